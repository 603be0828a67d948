import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHECKER_MUTATIONS } from './checker-mutations.ts';
import type { Invariant } from './checks/failure.ts';
import { COPY_MUTATIONS } from './copy-mutations.ts';
import { MUTATIONS } from './mutations.ts';
import { HUNT_MS_MAX, simulate } from './testing.ts';

const INVARIANTS: readonly Invariant[] = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8', 'I9', 'I10', 'I11', 'I12'];

test('every mutation is found, and each of the invariants finds one', { timeout: HUNT_MS_MAX }, async (context) => {
  const stdout = await simulate(['--mutations'], context.signal);
  context.diagnostic(stdout);
  const found = [...stdout.matchAll(/^found by seed \d+ as (\w+): (.*)$/gm)];
  assert.deepEqual(
    found.map(([, , name]) => name),
    [...MUTATIONS, ...CHECKER_MUTATIONS, ...COPY_MUTATIONS].map(({ name }) => name),
  );
  const finders = new Set(found.map(([, invariant]) => invariant));
  assert.deepEqual(
    INVARIANTS.filter((invariant) => !finders.has(invariant)),
    [],
    'invariants that find no mutation',
  );
});
