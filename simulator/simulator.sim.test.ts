import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CHECKER_MUTATIONS } from './checker-mutations.ts';
import type { Invariant } from './checks/failure.ts';
import { COPY_MUTATIONS } from './copy-mutations.ts';
import { MUTATIONS } from './mutations.ts';
import type { Plan } from './plan.ts';
import { run } from './run.ts';

const SEEDS = 200;
/** With checkers, and a copy takes many calls. */
const EMPTIED_SEEDS = 8;
/** Each takes less than a minute on a machine that is free. */
const HUNT_MS_MAX = 300_000;
const INVARIANTS: readonly Invariant[] = ['I1', 'I2', 'I3', 'I4', 'I5', 'I6', 'I7', 'I8', 'I9', 'I10', 'I11', 'I12'];

/** In a process of its own: the test runner follows every promise of its own process, which takes the simulator three times as long. */
async function simulate(args: readonly string[], signal: AbortSignal): Promise<string> {
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const hunt = promisify(execFile)(process.execPath, [...process.execArgv, main, ...args], { signal });
  const { stdout } = await hunt.catch((cause: { readonly stdout?: string }) => assert.fail(cause.stdout || String(cause)));
  return stdout;
}

test(`${SEEDS} seeds keep every invariant`, { timeout: HUNT_MS_MAX }, async ({ signal }) => {
  const stdout = await simulate(['--seeds', String(SEEDS)], signal);
  const acked = Number(/(\d+) writes acked.* 0 failed\n$/.exec(stdout)?.[1]);
  assert.ok(acked > 50 * SEEDS, stdout);
});

for (const family of ['--emptied', '--emptied-slave']) {
  test(`${EMPTIED_SEEDS} seeds in which caches are emptied after the logs were trimmed keep every invariant (${family})`, {
    timeout: HUNT_MS_MAX,
  }, async ({ signal }) => {
    const stdout = await simulate([family, '--seeds', String(EMPTIED_SEEDS)], signal);
    assert.match(stdout, / 0 failed\n$/);
  });
}

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

const REPEATED: readonly { readonly seed: number; readonly plan?: Partial<Plan> }[] = [
  { seed: 1 },
  { seed: 2 },
  { seed: 3 },
  { seed: 5, plan: { checked: true } },
];

test('a seed gives the same run bit for bit, with checkers too, and another seed gives another', { timeout: HUNT_MS_MAX }, async () => {
  const hashes = new Set<string>();
  for (const options of REPEATED) {
    const first: string[] = [];
    const again: string[] = [];
    const { hash } = await run({ ...options, show: (line) => first.push(line) });
    assert.equal((await run({ ...options, show: (line) => again.push(line) })).hash, hash);
    assert.deepEqual(again, first);
    assert.equal((await run(options)).hash, hash, 'looking at the trace changes nothing');
    hashes.add(hash);
  }
  assert.equal(hashes.size, REPEATED.length);
});
