import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BUCKETS } from '../../core/converge/bucket.ts';
import { Descent, type NodeSource } from './descent.ts';
import { DigestTree } from './tree.ts';

/** A room of which the leaves named differ from one that has nothing. */
function roomWith(leaves: readonly number[]): NodeSource {
  const tree = new DigestTree();
  // As hashes are: with digests that follow from each other the leaves 5, 6, 9 and 10 would cancel out in the nodes above them.
  const digest = (bucket: number, factor: number) => Math.imul(bucket + factor, factor) >>> 0;
  for (const bucket of leaves) {
    tree.set(bucket, { high: digest(bucket, 0x9e3779b1), low: digest(bucket, 0x85ebca6b), keys: 1, expiresMs: 0 });
  }
  return { nodes: async ({ level, parents }) => ({ digests: tree.children(level, parents), keys: tree.keys, built: 1 }) };
}

/** Which leaves are found in so many rounds, each of which goes on where the one before has ended. */
async function foundIn(rounds: number, leaves: readonly number[]): Promise<Set<number>> {
  const [mine, theirs] = [roomWith(leaves), roomWith([])];
  const found = new Set<number>();
  let cursor = 0;
  for (let round = 0; round < rounds; round += 1) {
    const descent = new Descent({ mine, theirs, cursor });
    await descent.begin();
    for (let next = await descent.next(); next !== undefined; next = await descent.next()) {
      for (const leaf of next.leaves) found.add(leaf);
      cursor = next.cursor;
    }
  }
  return found;
}

test('leaves that differ for good, more than one round follows, keep no other leaf from being found', async () => {
  const spread = Array.from({ length: 100 }, (_, n) => (n * BUCKETS) / 128 + 17);
  assert.deepEqual(await foundIn(4, spread), new Set(spread));
});

test('however the leaves that differ lie, all of them are found', async () => {
  const someLeaves = fc.uniqueArray(fc.nat({ max: BUCKETS - 1 }), { minLength: 1, maxLength: 150 });
  await fc.assert(
    fc.asyncProperty(someLeaves, async (leaves) => {
      const found = await foundIn(Math.ceil(leaves.length / 31) + 2, leaves);
      assert.deepEqual([...found].sort(), [...leaves].sort());
    }),
    { numRuns: 30, examples: [[[5, 6, 9, 10]]] },
  );
});
