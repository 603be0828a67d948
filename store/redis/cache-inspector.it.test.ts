import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { bucketOf } from '../../core/converge/bucket.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { randomEffects, TEST_MS } from '../../core/converge/effects-kit.ts';
import { isDamaged, stateDigest, visibleOf } from '../../core/converge/state.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { stampMs, versionAt } from '../../core/stamp.ts';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { RUN_MS, shifted } from '../cache.contract.ts';
import { apply, type Commands, move, NOW, sweep, value, write } from '../cache-kit.ts';
import { inspectionContract } from '../inspection.contract.ts';
import { MemoryCache } from '../memory/cache.ts';
import { MemoryCacheInspector } from '../memory/cache-inspector.ts';
import { mendingContract } from '../mending.contract.ts';
import { RedisCacheInspector } from './cache-inspector.ts';
import { cacheAt, type RedisUnderTest, SHIFT_MS, serverAt, testServers } from './redis-kit.ts';

const servers = await testServers();
const address = servers[0]?.address ?? '';

async function underTest(shiftMs = SHIFT_MS) {
  const under = await cacheAt([address], shiftMs);
  const inspector = new RedisCacheInspector({ nodes: [serverAt(address)], room: 'beijing', runtime: systemRuntime, shiftMs });
  await inspector.open();
  const cleanup = async () => {
    await inspector.close();
    await under.cleanup();
  };
  return { ...under, inspector, cleanup };
}

if (servers.length === 0) test('the inspector of the cache on Redis', { skip: NO_ENGINE }, () => {});
else {
  inspectionContract('the inspector of the cache on Redis', () => underTest());
  mendingContract('the mending of the cache on Redis', () => underTest());
  describe('outcomes', outcomeTests);
  describe('lanes', overlapTests);
  describe('what was changed behind WMB’s back', tamperTests);
}

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

function overlapTests(): void {
  test('a key that is written between its reading and its writing is read again', async () => {
    const { store, inspector, cleanup } = await underTest();
    const model = new MemoryCache();
    const batch = (lane: number, ...writes: readonly (readonly Effect[])[]) => ({
      generation: 0,
      moves: [move(lane, -1, 0)],
      writes,
      floor: '',
      nowMs: NOW,
    });
    const [counting, setting] = [batch(0, write(3_000, ['INCR', 'k'])), batch(1, write(2_000, ['SET', 'k', '100']))];
    try {
      for (const cache of [store, model]) await apply(cache, [write(1_000, ['SET', 'k', '1'])]);
      // The first one reads; the second one goes out before the first has an answer, and needs no reading.
      await Promise.all([store.apply(counting), store.apply(setting)]);
      await Promise.all([model.apply(setting), model.apply(counting)]);
      assert.deepEqual(await value(store, 'k'), { type: 'string', value: '101' });
      assert.deepEqual(await inspector.states(['k']), await new MemoryCacheInspector(() => model).states(['k']));
    } finally {
      await cleanup();
    }
  });
  test('marks that are read while batches are in flight begin no generation, and none of them goes back', async () => {
    const { store, cleanup } = await underTest();
    let isDone = false;
    const highest = new Map<number, number>();
    try {
      const lanes = [0, 1, 2, 3].map(async (lane) => {
        for (let round = 0; round < 150; round += 1) {
          const writes = [write(1_000 + round, ['SET', `${lane}:${round}`, 'v'])];
          const answer = await store.apply({ generation: 0, moves: [move(lane, round - 1, round)], writes, floor: '', nowMs: NOW });
          assert.ok(answer.moved);
          highest.set(lane, round);
        }
      });
      const reading = Array.from({ length: 4 }, async () => {
        while (!isDone) {
          const before = new Map(highest);
          const { generation, marks } = await store.marks();
          assert.equal(generation, 0);
          for (const { partition, seq } of marks) assert.ok(seq >= (before.get(partition) ?? -1));
        }
      });
      await Promise.all(lanes);
      isDone = true;
      await Promise.all(reading);
    } finally {
      isDone = true;
      await cleanup();
    }
  });
  test('lanes that write the same keys at once, some with a reading before and some without, lose nothing', async () => {
    const { store, inspector, cleanup } = await underTest();
    const model = new MemoryCache();
    const keys = Array.from({ length: 8 }, (_, index) => `k${index}`);
    const lanes = [0, 1, 2, 3];
    const batchOf = (lane: number, round: number) => {
      const hot = lane % 2 === 0;
      return keys.map((key, index) =>
        write(1_000 + round * 40 + index * 4 + lane, hot ? ['SET', key, `${round * 100}`] : ['INCR', key], ['HINCRBY', `h${key}`, 'f', 1]),
      );
    };
    const plain = (writes: ReturnType<typeof batchOf>) => writes.map((effects) => effects.filter(({ op }) => op !== 'hincr'));
    try {
      await Promise.all(
        lanes.map(async (lane) => {
          for (let round = 0; round < 40; round += 1) {
            const writes = lane === 3 ? batchOf(lane, round) : plain(batchOf(lane, round));
            const answer = await store.apply({ generation: 0, moves: [move(lane, round - 1, round)], writes, floor: '', nowMs: NOW });
            assert.ok(answer.moved);
          }
        }),
      );
      for (const lane of lanes) {
        for (let round = 0; round < 40; round += 1) {
          await apply(model, lane === 3 ? batchOf(lane, round) : plain(batchOf(lane, round)));
        }
      }
      const all = [...keys, ...keys.map((key) => `h${key}`)];
      assert.deepEqual(await inspector.states(all), await new MemoryCacheInspector(() => model).states(all));
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

  test('a key that was put in and has no version is found, and a push of nothing removes it', async () => {
    await redis('SET', 'stray', 'forged');
    await redis('SADD', 'wmb:=wmb:strange', 'forged');
    // A pass begins when an inspector is opened.
    const inspector = new RedisCacheInspector({ nodes: [serverAt(address)], room: 'beijing', runtime: systemRuntime, shiftMs: SHIFT_MS });
    const isFound = async (key: string) => (await inspector.entries([bucketOf(key)], NOW)).flat().some((entry) => entry.key === key);
    for (const key of ['stray', 'wmb:strange']) {
      const untilMs = performance.now() + 60_000;
      while (!(await isFound(key)) && performance.now() < untilMs) await systemRuntime.turn();
      const [wrong] = await inspector.states([key]);
      const state = { key, type: 'none', kill: '', expireAtMs: 0, caps: [], registers: [], increments: [], expiries: [] } as const;
      const upTo = 'f'.repeat(28);
      const repair = { action: 'push', key, expected: stateDigest(wrong), seen: upTo, upTo, state } as const;
      assert.deepEqual(await under.store.repair([repair], NOW), ['repaired'], key);
      assert.equal(await isFound(key), false);
    }
    assert.deepEqual(await redis('EXISTS', 'stray', 'wmb:=wmb:strange'), 0);
    await inspector.close();
  });

  test('a key whose name begins like WMB’s own is kept apart from them', async () => {
    await set(['SET', 'wmb:room', 'mine'], ['HSET', 'wmb:marks', 'f', 'v']);
    await set(['SET', 'wmb:room', 'mine too']);
    assert.deepEqual(await value(under.store, 'wmb:room'), { type: 'string', value: 'mine too' });
    assert.equal(await redis('GET', 'wmb:=wmb:room'), 'mine too');
    assert.deepEqual(
      (await under.inspector.entries([bucketOf('wmb:marks')], NOW)).flat().map(({ key }) => key),
      ['wmb:marks'],
    );
  });

  test('what the server lets expire by itself is no damage, and is forgotten when the floor has passed', async () => {
    let nowMs: number;
    let shown: unknown;
    // It is to be seen before it expires, which a machine that stands still for a moment misses.
    do {
      await under.cleanup();
      under = await underTest(0);
      nowMs = Date.now();
      const commands: Commands = [
        ['SET', 's', 'v', 'PXAT', nowMs + 300],
        ['HSET', 'h', 'f', '1'],
        ['HINCRBY', 'h', 'f', 1],
        ['PEXPIREAT', 'h', nowMs + 300],
      ];
      await apply(under.store, [write(nowMs - 1_000, ...commands)], { nowMs });
      shown = await value(under.store, 'h', nowMs);
    } while (Date.now() >= nowMs + 300);
    assert.deepEqual(shown, { type: 'hash', fields: [['f', '2']] });
    while (Number(await redis('EXISTS', 's', 'h')) > 0) await systemRuntime.turn();
    for (const key of ['s', 'h']) {
      assert.equal(await value(under.store, key, nowMs + 300), undefined);
      assert.deepEqual((await under.inspector.states([key])).map(isDamaged), [false]);
    }
    await apply(under.store, [write(nowMs + 400, ['HINCRBY', 'h', 'f', 5])], { nowMs: nowMs + 400 });
    assert.deepEqual(await value(under.store, 'h', nowMs + 400), { type: 'hash', fields: [['f', '5']] });
    assert.equal(await redis('HGET', 'h', 'f'), '5');
    await sweep(under.store, versionAt(nowMs + 350).slice(0, 24), nowMs + 400);
    assert.deepEqual(await under.inspector.states(['s']), [undefined]);
  });

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
