import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from './plan.ts';
import { run } from './run.ts';
import { HUNT_MS_MAX, simulate } from './testing.ts';

/** CI hunts longer than somebody who waits for `npm test`. */
const IS_LONG = process.env['WMB_SLOW_TESTS'] === '1';
const SEEDS = IS_LONG ? 200 : 40;
/** With checkers, and a copy takes many calls. */
const EMPTIED_SEEDS = IS_LONG ? 8 : 3;

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
