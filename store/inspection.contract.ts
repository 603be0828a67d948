/** What every inspector must do; each adapter's test runs it. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { bucketOf } from '../core/converge/bucket.ts';
import type { Effect } from '../core/converge/effects.ts';
import { randomEffects, TEST_MS } from '../core/converge/effects-kit.ts';
import { compareText } from '../core/converge/order.ts';
import { cellOf, entryHash, exportState, visibleOf } from '../core/converge/state.ts';
import { stampMs, versionAt } from '../core/stamp.ts';
import { RUN_MS, shifted } from './cache.contract.ts';
import type { CacheStore } from './cache.ts';
import { apply, type Commands, NOW, scan, stamp, sweep, write } from './cache-kit.ts';
import type { BucketDigest, CacheInspector } from './inspection.ts';
import { MemoryCache } from './memory/cache.ts';
import { MemoryCacheInspector } from './memory/cache-inspector.ts';

export interface InspectorUnderTest {
  readonly store: CacheStore;
  /** Open, on the same data. */
  readonly inspector: CacheInspector;
  cleanup(): Promise<void>;
}

type Each = (title: string, body: (under: InspectorUnderTest) => Promise<void>) => void;

export function inspectionContract(name: string, make: () => Promise<InspectorUnderTest>): void {
  const each: Each = (title, body) =>
    test(title, async () => {
      const under = await make();
      try {
        await body(under);
      } finally {
        await under.cleanup();
      }
    });
  describe(name, () => {
    entryTests(each);
    changeTests(each);
    timeTests(each);
    stateTests(each);
    keyTests(each);
    randomTests(make);
  });
}

async function digest(inspector: CacheInspector, key: string, nowMs = NOW): Promise<BucketDigest> {
  const [found] = await inspector.digests([bucketOf(key)], nowMs);
  assert.ok(found);
  return found;
}

/** Two keys of one bucket, the first one first. */
const [FIRST, SECOND] = twoKeys();

function twoKeys(): readonly [string, string] {
  const byBucket = new Map<number, string>();
  for (let number = 0; ; number += 1) {
    const key = `n${number}`;
    const other = byBucket.get(bucketOf(key));
    if (other !== undefined) return compareText(other, key) < 0 ? [other, key] : [key, other];
    byBucket.set(bucketOf(key), key);
  }
}

function entryTests(each: Each): void {
  each('a bucket with nothing visible has the digest 0 and no entries', async ({ store, inspector }) => {
    const bucket = bucketOf('k');
    const nothing = { bucket, high: 0, low: 0, keys: 0, expiresMs: 0 };
    assert.deepEqual(await digest(inspector, 'k'), nothing);
    await apply(store, [write(1_000, ['SET', 'k', 'v']), write(2_000, ['DEL', 'k'])]);
    assert.deepEqual(await digest(inspector, 'k'), nothing);
    assert.deepEqual(await inspector.entries([bucket], NOW), [[]]);
  });
  each('the entries of a bucket are what a scan shows of it', async ({ store, inspector }) => {
    const keys = Array.from({ length: 300 }, (_, index) => `k${index}`);
    await apply(store, [
      write(1_000, ...keys.map((key) => ['SET', key, `of ${key}`])),
      write(1_001, ['SET', SECOND, 'b'], ['SADD', FIRST, 'm']),
    ]);
    await apply(store, [write(1_002, ['PEXPIREAT', 'k7', 20_000], ['INCR', 'count'], ['ZADD', 'z', '+inf', 'm'])]);
    const shown = await scan(store, '');
    const all = await inspector.entries(
      shown.map(({ key }) => bucketOf(key)),
      NOW,
    );
    for (const [index, { key, version, expireAtMs, ...value }] of shown.entries()) {
      const entry = all[index]?.find((it) => it.key === key);
      assert.deepEqual(entry, { key, version, hash: entryHash({ key, version, expireAtMs, ...value }), expireAtMs });
    }
    const [pair] = await inspector.entries([bucketOf(FIRST)], NOW);
    assert.deepEqual(
      pair?.map(({ key }) => key),
      [FIRST, SECOND],
    );
  });
  each('digests come in the order in which they were asked for, many at once too', async ({ store, inspector }) => {
    await apply(store, [write(1_000, ['SET', 'a', '1'], ['SET', 'b', '2'])]);
    const buckets = [bucketOf('b'), ...Array.from({ length: 500 }, (_, bucket) => bucket), bucketOf('a'), bucketOf('b')];
    const digests = await inspector.digests(buckets, NOW);
    assert.deepEqual(
      digests.map(({ bucket }) => bucket),
      buckets,
    );
    assert.deepEqual(digests.at(-1), digests[0]);
    assert.equal(digests.at(-2)?.keys, 1);
  });
}

const CHANGES: readonly (readonly [what: string, Commands])[] = [
  ['another value', [['SET', FIRST, 'other']]],
  ['the same value by another write request', [['SET', FIRST, 'v']]],
  ['an expiry', [['PEXPIREAT', FIRST, 20_000]]],
  ['another type', [['SADD', FIRST, 'v']]],
  ['a delete', [['DEL', FIRST]]],
  ['another key of the bucket', [['SET', SECOND, 'v']]],
];

function changeTests(each: Each): void {
  for (const [what, commands] of CHANGES) {
    each(`${what} makes another digest`, async ({ store, inspector }) => {
      await apply(store, [write(1_000, ['SET', FIRST, 'v'])]);
      const before = await digest(inspector, FIRST);
      await apply(store, [write(2_000, ...commands)]);
      const after = await digest(inspector, FIRST);
      assert.notDeepEqual([after.high, after.low], [before.high, before.low]);
    });
  }
  each('two values that changed places make another digest', async ({ store, inspector }) => {
    await apply(store, [write(1_000, ['HSET', 'h', 'a', 'x', 'b', 'y'])]);
    const before = await digest(inspector, 'h');
    const [other, model] = [new MemoryCache(), write(1_000, ['HSET', 'h', 'a', 'y', 'b', 'x'])];
    await apply(other, [model]);
    const after = await digest(new MemoryCacheInspector(() => other), 'h');
    assert.notDeepEqual([after.high, after.low], [before.high, before.low]);
  });
  each('a write request that is superseded changes no digest', async ({ store, inspector }) => {
    await apply(store, [write(2_000, ['SET', FIRST, 'v'])]);
    const before = await digest(inspector, FIRST);
    await apply(store, [write(1_000, ['SET', FIRST, 'older'], ['HDEL', SECOND, 'f'])]);
    assert.deepEqual(await digest(inspector, FIRST), before);
  });
}

function timeTests(each: Each): void {
  each('a digest says until when it holds', async ({ store, inspector }) => {
    await apply(store, [write(1_000, ['SET', FIRST, 'v', 'PXAT', 30_000], ['SET', SECOND, 'w', 'PXAT', 20_000])]);
    const both = await digest(inspector, FIRST);
    assert.equal(both.expiresMs, 20_000);
    assert.deepEqual(await digest(inspector, FIRST, 19_999), both);
    const one = await digest(inspector, FIRST, 20_000);
    assert.deepEqual([one.keys, one.expiresMs], [1, 30_000]);
    assert.notEqual(one.low, both.low);
    assert.deepEqual(await digest(inspector, FIRST, 30_000), { bucket: bucketOf(FIRST), high: 0, low: 0, keys: 0, expiresMs: 0 });
  });
  each('a digest that only a write changes holds for ever', async ({ store, inspector }) => {
    await apply(store, [write(1_000, ['SET', FIRST, 'v', 'PXAT', 20_000], ['SET', SECOND, 'v']), write(2_000, ['PERSIST', FIRST])]);
    assert.equal((await digest(inspector, FIRST)).expiresMs, 0);
  });
  each('an expiry that has done its work does not count', async ({ store, inspector }) => {
    await apply(store, [write(1_000, ['HSET', FIRST, 'f', 'v'], ['PEXPIREAT', FIRST, 2_000]), write(3_000, ['HSET', FIRST, 'g', 'w'])]);
    const after = await digest(inspector, FIRST);
    assert.deepEqual([after.keys, after.expiresMs], [1, 0]);
  });
  each('a death by an expiry that is not the last counts', async ({ store, inspector }) => {
    await apply(store, [write(1_000, ['HSET', FIRST, 'f', 'v'], ['PEXPIREAT', FIRST, 12_000]), write(14_000, ['PERSIST', FIRST])]);
    const alive = await digest(inspector, FIRST);
    assert.deepEqual([alive.keys, alive.expiresMs], [1, 12_000]);
    assert.equal((await digest(inspector, FIRST, 12_000)).keys, 0);
  });
}

function keyTests(each: Each): void {
  each('the keys of a bucket are all of which anything is remembered, also where nothing shows', async ({ store, inspector }) => {
    await apply(store, [write(1_000, ['SET', FIRST, 'v'], ['SADD', SECOND, 'm'], ['DEL', 'gone'], ['SADD', 'emptied', 'm'])]);
    await apply(store, [
      write(1_001, ['SREM', 'emptied', 'm'], ['SET', 'expired', 'v', 'PXAT', 2_000]),
      write(1_002, ['PEXPIREAT', 'never', 90_000]),
    ]);
    assert.deepEqual(await inspector.keys([bucketOf(FIRST)]), [[FIRST, SECOND]]);
    const hidden = ['gone', 'emptied', 'expired', 'never'];
    const found = await inspector.keys(hidden.map(bucketOf));
    for (const [at, key] of hidden.entries()) assert.ok(found[at]?.includes(key), key);
  });
  each('keys come in the order of the buckets asked for, many at once too', async ({ store, inspector }) => {
    await apply(store, [write(1_000, ['SET', 'a', '1'], ['SET', 'b', '2'])]);
    const buckets = [bucketOf('b'), ...Array.from({ length: 300 }, (_, bucket) => bucket), bucketOf('a')];
    const found = await inspector.keys(buckets);
    assert.equal(found.length, buckets.length);
    assert.deepEqual([found[0], found.at(-1)], [['b'], ['a']]);
  });
}

function stateTests(each: Each): void {
  each('states come in the order asked for, undefined where nothing is remembered', async ({ store, inspector }) => {
    await apply(store, [write(1_000, ['SET', 'a', 'v'], ['DEL', 'gone'])]);
    const [none, a, gone] = await inspector.states(['none', 'a', 'gone']);
    assert.equal(none, undefined);
    assert.deepEqual(a?.registers, [{ name: '', version: a?.kill, value: 'v' }]);
    assert.deepEqual([gone?.type, gone?.kill], ['none', `${stamp(1_000)}0001`]);
  });
  each('a state tells of every type what the store shows', async ({ store, inspector }) => {
    await apply(store, [
      write(1_000, ['SET', 's', 'v', 'PXAT', 20_000], ['HSET', 'h', 'f', '5', 'g', 'x'], ['SADD', 'm', 'é', '😀', '\uffee'], ['INCR', 'n']),
      write(1_001, ['ZADD', 'z', '-inf', 'low', '0.1', 'm'], ['WMB.TIMELINE', 't', 2, 'a'], ['WMB.TIMELINE', 't', 2, 'b']),
      write(
        1_002,
        ['HINCRBY', 'h', 'f', 2],
        ['HDEL', 'h', 'g'],
        ['ZINCRBY', 'z', '0.2', 'm'],
        ['WMB.TIMELINE', 't', 2, 'c'],
        ['PEXPIREAT', 'h', 20_000],
      ),
    ]);
    for (const { key } of await scan(store, '')) {
      const [state] = await inspector.states([key]);
      assert.ok(state);
      assert.deepEqual(visibleOf(state, NOW), await store.get(key, NOW));
      assert.deepEqual(exportState(key, cellOf(state)), state);
    }
  });
}

const RUNS = 150;
const MOMENTS = [20, 45, 90];

/** The same effects twice: in two orders, in batches and with sweeps of their own. */
const twice = randomEffects(20).chain((effects) => {
  const way = fc.record({
    order: fc.shuffledSubarray(effects, { minLength: effects.length, maxLength: effects.length }),
    sizes: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 8 }),
    sweeps: fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }),
  });
  return fc.record({ effects: fc.constant(effects), ways: fc.tuple(way, way) });
});

async function bring(
  store: CacheStore,
  run: number,
  way: { order: readonly Effect[]; sizes: readonly number[]; sweeps: readonly boolean[] },
) {
  const left = way.order.map((effect) => shifted(effect, run));
  for (const [index, size] of [...way.sizes, left.length].entries()) {
    const writes = left.splice(0, size).map((effect) => [effect]);
    await apply(store, writes, { nowMs: run * RUN_MS + TEST_MS.from });
    const missing = left.map((effect) => stampMs(effect.version)).sort((a, b) => a - b)[0] ?? run * RUN_MS + TEST_MS.to + 1;
    if (way.sweeps[index] === true) await sweep(store, versionAt(missing - 1).slice(0, 24), run * RUN_MS + TEST_MS.from + index);
  }
}

function randomTests(make: () => Promise<InspectorUnderTest>): void {
  let under: InspectorUnderTest | undefined;
  after(() => under?.cleanup());
  test('two rooms that have everything say the same at the same moment, in whatever order it came and whatever each has forgotten', async () => {
    under = await make();
    const { store, inspector } = under;
    const model = new MemoryCache();
    const other = new MemoryCacheInspector(() => model);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(twice, async ({ effects, ways }) => {
        run += 1;
        await bring(store, run, ways[0]);
        await bring(model, run, ways[1]);
        const keys = [...new Set(effects.map(({ key }) => `${run}:${key}`))];
        for (const nowMs of MOMENTS.map((ms) => run * RUN_MS + TEST_MS.from + ms)) {
          const buckets = keys.map(bucketOf);
          const digests = await inspector.digests(buckets, nowMs);
          assert.deepEqual(digests, await other.digests(buckets, nowMs));
          assert.deepEqual(await inspector.entries(buckets, nowMs), await other.entries(buckets, nowMs));
          for (const [index, state] of (await inspector.states(keys)).entries()) {
            assert.deepEqual(visibleOf(state, nowMs), await model.get(keys[index] ?? '', nowMs));
          }
          await assertHolds(inspector, digests, nowMs);
        }
      }),
      { numRuns: RUNS },
    );
  });
}

/** Until its moment comes a digest stays what it is. */
async function assertHolds(inspector: CacheInspector, digests: readonly BucketDigest[], nowMs: number): Promise<void> {
  for (const found of digests) {
    const until = found.expiresMs === 0 ? nowMs + RUN_MS / 2 : found.expiresMs;
    assert.ok(until > nowMs);
    for (const at of [nowMs + 1, (nowMs + until) / 2, until - 1]) {
      if (at > nowMs && at < until) assert.deepEqual((await inspector.digests([found.bucket], at))[0], found);
    }
  }
}
