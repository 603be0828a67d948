import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { bucketOf } from '../../core/converge/bucket.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { randomEffects, TEST_MS } from '../../core/converge/effects-kit.ts';
import { isDamaged, stateDigest, visibleOf } from '../../core/converge/state.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { stampMs, versionAt } from '../../core/stamp.ts';
import { RUN_MS, shifted } from '../cache.contract.ts';
import { apply, type Commands, NOW, sweep, value, write } from '../cache-kit.ts';
import { inspectionContract } from '../inspection.contract.ts';
import { MemoryCache } from '../memory/cache.ts';
import { MemoryCacheInspector } from '../memory/cache-inspector.ts';
import { mendingContract } from '../mending.contract.ts';
import { RedisCacheInspector } from './cache-inspector.ts';
import { cacheAt, type RedisUnderTest, SHIFT_MS, serverAt, testServer } from './redis-kit.ts';

const address = testServer();
const skip = address === undefined && 'WMB_TEST_REDIS names no server';

async function underTest() {
  const under = await cacheAt([address ?? '']);
  const inspector = new RedisCacheInspector({
    nodes: [serverAt(address ?? '')],
    room: 'beijing',
    runtime: systemRuntime,
    shiftMs: SHIFT_MS,
  });
  await inspector.open();
  const cleanup = async () => {
    await inspector.close();
    await under.cleanup();
  };
  return { ...under, inspector, cleanup };
}

describe('on a real server', { skip }, () => {
  inspectionContract('the inspector of the cache on Redis', underTest);
  mendingContract('the mending of the cache on Redis', underTest);
  describe('outcomes', outcomeTests);
  describe('what was changed behind WMB’s back', tamperTests);
});

const sequences = randomEffects(24).chain((effects) =>
  fc.record({
    effects: fc.constant(effects),
    writes: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 24, maxLength: 24 }),
    batches: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 24, maxLength: 24 }),
    twice: fc.boolean(),
    floors: fc.array(fc.boolean(), { minLength: 24, maxLength: 24 }),
  }),
);

function outcomeTests(): void {
  test('random sequences have the outcomes, the values and the remembered states that they have in memory', async () => {
    const { store, inspector, cleanup } = await underTest();
    const model = new MemoryCache();
    const other = new MemoryCacheInspector(() => model);
    let run = 0;
    try {
      await fc.assert(
        fc.asyncProperty(sequences, async ({ effects, writes, batches, twice, floors }) => {
          run += 1;
          const left = grouped(
            effects.map((effect) => shifted(effect, run)),
            writes,
          );
          for (let at = 0; left.length > 0; at += 1) {
            const some = left.splice(0, batches[at] ?? 1);
            const nowMs = run * RUN_MS + TEST_MS.from + at * 3;
            const missing = Math.min(...left.flat().map((effect) => stampMs(effect.version)), run * RUN_MS + TEST_MS.to + 1);
            const floor = floors[at] === true ? versionAt(missing - 1).slice(0, 24) : '';
            for (const batch of twice ? [some, [...some].reverse()] : [some]) {
              assert.deepEqual(await apply(store, batch, { nowMs, floor }), await apply(model, batch, { nowMs, floor }));
            }
            if (floors[at] === true) for (const cache of [store, model]) await sweep(cache, floor, nowMs);
            const keys = [...new Set(effects.map(({ key }) => `${run}:${key}`))];
            assert.deepEqual(await inspector.states(keys), await other.states(keys));
          }
        }),
        { numRuns: 150 },
      );
    } finally {
      await cleanup();
    }
  });
}

function grouped(effects: Effect[], sizes: readonly number[]): Effect[][] {
  const writes: Effect[][] = [];
  for (let at = 0; effects.length > 0; at += 1) writes.push(effects.splice(0, sizes[at] ?? 1));
  return writes;
}

function tamperTests(): void {
  let under: RedisUnderTest & { readonly inspector: RedisCacheInspector };
  beforeEach(async () => {
    under = await underTest();
  });
  afterEach(() => under.cleanup());
  let ms = 1_000;
  const set = (...commands: Commands) => apply(under.store, [write(ms++, ...commands)]);
  const redis = (name: string, ...args: (string | number)[]) => under.clients[0]?.call(name, ...args);
  const digest = async (key: string) => (await under.inspector.digests([bucketOf(key)], NOW))[0];
  const shown = async (key: string) => visibleOf((await under.inspector.states([key]))[0], NOW)?.value;

  const CHANGES: readonly (readonly [what: string, key: string, change: readonly [string, ...(string | number)[]]])[] = [
    ['a value that was overwritten', 's', ['SET', 's', 'forged', 'KEEPTTL']],
    ['a value that was deleted', 's', ['DEL', 's']],
    ['a value of another type', 's', ['EVAL', `redis.call('DEL', 's') redis.call('RPUSH', 's', 'x')`, 0]],
    ['an expiry that was taken away', 'x', ['PERSIST', 'x']],
    ['an expiry that was put on', 's', ['EXPIRE', 's', 5_000]],
    ['a field that was changed', 'h', ['HSET', 'h', 'f', 'forged']],
    ['a field that was removed', 'h', ['HDEL', 'h', 'f']],
    ['a field that was put in', 'h', ['HSET', 'h', 'new', 'forged']],
    ['a counter that was set', 'n', ['SET', 'n', '99']],
    ['a field’s count that was changed', 'h', ['HINCRBY', 'h', 'n', 5]],
    ['a member that was removed', 'm', ['SREM', 'm', 'a']],
    ['a member that was put in', 'm', ['SADD', 'm', 'forged']],
    ['a score that was changed', 'z', ['ZADD', 'z', 9, 'a']],
    ['a timeline that has lost a member', 't', ['ZREM', 't', 'b']],
    ['a version that was removed', 's', ['HDEL', `wmb:b:${bucketOf('s')}`, 's']],
    ['a version that is none', 's', ['HSET', `wmb:b:${bucketOf('s')}`, 's', 'garbage']],
    ['a collection that has lost its versions', 'h', ['DEL', 'wmb:e:h']],
    ['an element’s version that is none', 'h', ['HSET', 'wmb:e:h', 'ef', 'garbage']],
  ];

  for (const [what, key, change] of CHANGES) {
    test(`${what} is seen, and a push of the right state puts it right`, async () => {
      await set(
        ['SET', 's', 'v'],
        ['SET', 'x', 'v', 'PXAT', 20_000],
        ['HSET', 'h', 'f', '1', 'g', '2'],
        ['HINCRBY', 'h', 'n', 1],
        ['SADD', 'm', 'a', 'b'],
        ['ZADD', 'z', 1, 'a', 2, 'b'],
        ['INCR', 'n'],
        ['WMB.TIMELINE', 't', 2, 'a'],
        ['WMB.TIMELINE', 't', 2, 'b'],
      );
      const before = await digest(key);
      const [right] = await under.inspector.states([key]);
      await redis(...change);
      const [wrong] = await under.inspector.states([key]);
      const after = await digest(key);
      assert.notDeepEqual([after?.high, after?.low], [before?.high, before?.low]);
      assert.ok(right !== undefined);
      const upTo = 'f'.repeat(28);
      const repair = { action: 'push', key, expected: stateDigest(wrong), seen: upTo, upTo, state: right } as const;
      assert.deepEqual(await under.store.repair([repair], NOW), ['repaired']);
      assert.deepEqual((await under.inspector.states([key]))[0], right);
      assert.deepEqual(await digest(key), before);
    });

    test(`${what} does not stop the writes that follow`, async () => {
      await set(
        ['SET', 's', 'v'],
        ['HSET', 'h', 'f', '1'],
        ['SADD', 'm', 'a'],
        ['ZADD', 'z', 1, 'a'],
        ['INCR', 'n'],
        ['WMB.TIMELINE', 't', 2, 'b'],
      );
      await redis(...change);
      await set(
        ['HSET', 'h', 'later', '1'],
        ['SADD', 'm', 'later'],
        ['ZADD', 'z', 3, 'later'],
        ['WMB.TIMELINE', 't', 2, 'later'],
        ['INCR', 'n'],
      );
      await set(['SET', key, 'whole']);
      assert.deepEqual(await value(under.store, key), { type: 'string', value: 'whole' });
      assert.deepEqual(await shown(key), { type: 'string', value: 'whole' });
      assert.deepEqual((await under.inspector.states([key])).map(isDamaged), [false]);
    });
  }
}
