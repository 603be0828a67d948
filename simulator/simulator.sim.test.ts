import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MUTATIONS } from './mutations.ts';
import { type RunResult, run } from './run.ts';

const SEEDS = 100;
/** Every mutation is found within so many seeds. */
const MUTATION_SEEDS_MAX = 200;

function told({ seed, failure }: RunResult): string {
  return `seed ${seed} broke ${failure?.invariant}: expected ${failure?.expected}; found ${failure?.found}. Replay: npm run sim -- --seed ${seed} --trace`;
}

test(`${SEEDS} seeds keep every invariant`, async () => {
  let acked = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const result = await run({ seed });
    assert.equal(result.failure, undefined, told(result));
    acked += result.acked;
  }
  assert.ok(acked > 50 * SEEDS, `only ${acked} write requests were acked`);
});

test('a seed gives the same run bit for bit, and another seed gives another', async () => {
  const hashes = new Set<string>();
  for (const seed of [1, 2, 3, 5]) {
    const first: string[] = [];
    const again: string[] = [];
    const { hash } = await run({ seed, show: (line) => first.push(line) });
    assert.equal((await run({ seed, show: (line) => again.push(line) })).hash, hash);
    assert.deepEqual(again, first);
    assert.equal((await run({ seed })).hash, hash, 'looking at the trace changes nothing');
    hashes.add(hash);
  }
  assert.equal(hashes.size, 4);
});

for (const { name, breaks, make } of MUTATIONS) {
  test(`found: ${name}`, async (context) => {
    for (let seed = 1; seed <= MUTATION_SEEDS_MAX; seed += 1) {
      const { failure } = await run({ seed, injection: make() });
      if (failure === undefined) continue;
      context.diagnostic(`seed ${seed}: ${failure.invariant}, expected ${failure.expected}; found ${failure.found}`);
      assert.ok(breaks.includes(failure.invariant), `found as ${failure.invariant} instead of ${breaks.join(' or ')}: ${failure.expected}`);
      return;
    }
    assert.fail(`not found in ${MUTATION_SEEDS_MAX} seeds`);
  });
}
