import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CHECKER_MUTATIONS } from './checker-mutations.ts';
import { MUTATIONS } from './mutations.ts';
import { run } from './run.ts';

const SEEDS = 200;
/** Every mutation is found within so many seeds. */
const MUTATION_SEEDS_MAX = 200;
/** It takes a quarter of a minute on a machine that is free. */
const SEEDS_MS_MAX = 300_000;

/** In a process of its own: the test runner follows every promise of its own process, which takes the simulator three times as long. */
test(`${SEEDS} seeds keep every invariant`, { timeout: SEEDS_MS_MAX }, async ({ signal }) => {
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const hunt = promisify(execFile)(process.execPath, [...process.execArgv, main, '--seeds', String(SEEDS)], { signal });
  const { stdout } = await hunt.catch((cause: { readonly stdout?: string }) => assert.fail(cause.stdout || String(cause)));
  const acked = Number(/(\d+) writes acked.* 0 failed\n$/.exec(stdout)?.[1]);
  assert.ok(acked > 50 * SEEDS, stdout);
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

for (const { name, breaks, make, plan } of [...MUTATIONS, ...CHECKER_MUTATIONS]) {
  test(`found: ${name}`, async (context) => {
    for (let seed = 1; seed <= MUTATION_SEEDS_MAX; seed += 1) {
      const { failure } = await run({ seed, injection: make(), ...(plan && { plan }) });
      if (failure === undefined) continue;
      context.diagnostic(`seed ${seed}: ${failure.invariant}, expected ${failure.expected}; found ${failure.found}`);
      assert.ok(breaks.includes(failure.invariant), `found as ${failure.invariant} instead of ${breaks.join(' or ')}: ${failure.expected}`);
      return;
    }
    assert.fail(`not found in ${MUTATION_SEEDS_MAX} seeds`);
  });
}
