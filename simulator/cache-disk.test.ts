import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stateDigest } from '../core/converge/state.ts';
import { versionAt } from '../core/stamp.ts';
import { apply, NOW, value, write } from '../store/cache-kit.ts';
import type { CacheRepair } from '../store/inspection.ts';
import { MemoryCache } from '../store/memory/cache.ts';
import { MemoryCacheInspector } from '../store/memory/cache-inspector.ts';
import { CacheDisk } from './cache-disk.ts';

const PASSED = versionAt(5_000);
const batch = (ms: number, ...commands: Parameters<typeof write>[1][]) => ({
  generation: 0,
  moves: [],
  writes: [write(ms, ...commands)],
  floor: '',
  nowMs: NOW,
});

/** A disk that has missed an increment and got what nobody wrote, and what a room that has not would push to it. */
async function drifted(): Promise<{ readonly disk: CacheDisk; readonly push: CacheRepair }> {
  const [disk, right] = [new CacheDisk(), new MemoryCache()];
  await apply(right, [write(1_000, ['HSET', 'k', 'f', '1']), write(1_001, ['HINCRBY', 'k', 'f', 4])]);
  await disk.apply(batch(1_000, ['HSET', 'k', 'f', '1']));
  await disk.apply(batch(1_002, ['HSET', 'k', 'forged', 'x']));
  await disk.apply(batch(6_000, ['HSET', 'k', 'g', 'newer']));
  const [state] = await new MemoryCacheInspector(() => right).states(['k']);
  const [own] = await new MemoryCacheInspector(() => disk.memory).states(['k']);
  assert.ok(state);
  return { disk, push: { action: 'push', key: 'k', expected: stateDigest(own), seen: PASSED, upTo: PASSED, state } };
}

const PUSHED = [
  ['f', '5'],
  ['g', 'newer'],
];

test('after a push a key must show what the right room had got, and its own newer writes', async () => {
  const { disk, push } = await drifted();
  assert.deepEqual(await disk.repair([push], NOW), ['repaired']);
  assert.deepEqual(await value(disk.cache, 'k'), { type: 'hash', fields: PUSHED });
  assert.equal(await disk.check('beijing', 'k', NOW), undefined);
  await disk.apply(batch(7_000, ['HINCRBY', 'k', 'f', 1]));
  assert.equal(await disk.check('beijing', 'k', NOW), undefined);
});

test('effects that were sent again must be there', async () => {
  const { disk, push } = await drifted();
  const effects = write(1_003, ['HSET', 'k', 'lost', 'y']);
  assert.deepEqual(await disk.repair([{ ...push, action: 'resend', effects }], NOW), ['repaired']);
  assert.equal(await disk.check('beijing', 'k', NOW), undefined);
});

test('a repair that was refused brings nothing in', async () => {
  const { disk, push } = await drifted();
  assert.deepEqual(await disk.repair([{ ...push, expected: '' }], NOW), ['overtaken']);
  assert.equal(await disk.check('beijing', 'k', NOW), undefined);
});

test('a cache that is put back to a moment after a repair has it, and to one before has not', async () => {
  const { disk, push } = await drifted();
  const before = disk.steps;
  await disk.repair([push], NOW);
  await disk.restore(disk.steps);
  assert.deepEqual(await value(disk.cache, 'k'), { type: 'hash', fields: PUSHED });
  assert.equal(await disk.check('beijing', 'k', NOW), undefined);
  await disk.restore(before);
  assert.equal(await disk.check('beijing', 'k', NOW), undefined);
  assert.notDeepEqual(await value(disk.cache, 'k'), { type: 'hash', fields: PUSHED });
});
