/** Several collectors on one cache (docs/adr/0013), each with lanes of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { versionAt } from '../../core/stamp.ts';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { move, NOW, write } from '../cache-kit.ts';
import { RedisCache } from './cache.ts';
import { cacheAt, SHIFT_MS, serverAt, testServers } from './redis-kit.ts';

const [server] = await testServers();
const skip = server === undefined && NO_ENGINE;

async function writers() {
  const address = server?.address ?? '';
  const first = await cacheAt([address], SHIFT_MS, 0);
  const open = async (share: number) => {
    const store = new RedisCache({ nodes: [serverAt(address)], room: 'beijing', runtime: systemRuntime, shiftMs: SHIFT_MS, share });
    await store.open();
    return store;
  };
  const second = await open(1);
  const cleanup = async () => {
    await second.close();
    await first.cleanup();
  };
  return { first: first.store, second, open, copy: first.copy, cleanup };
}

/** The next batch of a lane, which sets one key. */
function batch(lane: number, seq: number, key: string, generation = 0) {
  return { generation, moves: [move(lane, seq - 1, seq)], writes: [write(1_000 + seq, ['SET', key, 'v'])], floor: '', nowMs: NOW };
}

const floorAt = (ms: number) => versionAt(ms).slice(0, 24);

test('two collectors write at once, and neither takes the cache for another one', { skip }, async () => {
  const { first, second, cleanup } = await writers();
  try {
    const lanes = [first, second].map(async (store, lane) => {
      for (let seq = 0; seq < 100; seq += 1) {
        assert.deepEqual(await store.apply(batch(lane, seq, `${lane}:${seq}`)), { moved: true, outcomes: ['applied'] });
        if (seq % 10 === 0) await store.marks();
      }
    });
    await Promise.all(lanes);
    for (const store of [first, second]) {
      const { generation, marks } = await store.marks();
      assert.equal(generation, 0);
      assert.deepEqual(marks.map(({ partition, seq }) => `${partition}:${seq}`).sort(), ['0:99', '1:99']);
    }
  } finally {
    await cleanup();
  }
});

test('what one has taken of the marked buckets, the other marks again', { skip }, async () => {
  const { first, second, cleanup } = await writers();
  try {
    await first.apply(batch(0, 0, 'k'));
    await first.takeDirty(65_536);
    await second.apply(batch(1, 0, 'k'));
    const taken = await first.takeDirty(65_536);
    assert.equal(taken.length, 1);
    await first.apply({ ...batch(0, 1, 'k'), writes: [write(3_000, ['SET', 'k', 'w'])] });
    assert.deepEqual(await second.takeDirty(65_536), taken);
  } finally {
    await cleanup();
  }
});

test('a second collector of one share is noticed by the first', { skip }, async () => {
  const { first, open, cleanup } = await writers();
  const other = await open(0);
  try {
    assert.deepEqual(await first.apply(batch(0, 0, 'k')), { moved: false, generation: 1, stored: undefined });
  } finally {
    await other.close();
    await cleanup();
  }
});

test('a floor is refused where the cache has lost what another collector had seen', { skip }, async () => {
  const { first, second, copy, cleanup } = await writers();
  try {
    await first.apply(batch(0, 0, 'a'));
    await second.apply(batch(1, 0, 'b'));
    const restsOn = [second.left()];
    const sweep = (at: number) => first.sweep({ generation: 0, floor: floorAt(at), nowMs: NOW, restsOn });
    await sweep(500);
    const bringBack = await copy();
    await second.apply(batch(1, 1, 'c'));
    const later = [second.left()];
    await first.sweep({ generation: 0, floor: floorAt(600), nowMs: NOW, restsOn: later });
    // The copy has what the first one left last, so that nothing of its own is missing.
    await bringBack();
    const { generation } = await first.marks();
    const again = first.sweep({ generation, floor: floorAt(700), nowMs: NOW, restsOn: later });
    await assert.rejects(again, { code: 'MARK_MOVED' });
    assert.ok((await first.marks()).settled <= versionAt(600));
  } finally {
    await cleanup();
  }
});

test('a collector whose revision is gone finds out by itself, and the other one goes on', { skip }, async () => {
  const { first, second, copy, cleanup } = await writers();
  try {
    const bringBack = await copy();
    await second.apply(batch(1, 0, 'b'));
    await bringBack();
    assert.deepEqual(await first.apply(batch(0, 0, 'a')), { moved: true, outcomes: ['applied'] });
    assert.equal((await second.marks()).generation, 1);
  } finally {
    await cleanup();
  }
});
