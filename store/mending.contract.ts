/** What every cache store must do for the checker; each adapter's test runs it. The rule itself is tested in core/converge/mend.test.ts. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import { bucketOf } from '../core/converge/bucket.ts';
import { randomEffects, TEST_MS } from '../core/converge/effects-kit.ts';
import { type KeyState, stateDigest } from '../core/converge/state.ts';
import { stampMs, versionAt } from '../core/stamp.ts';
import { RUN_MS, shifted } from './cache.contract.ts';
import type { CacheStore } from './cache.ts';
import { apply, NOW, scan, stamp, sweep, value, write } from './cache-kit.ts';
import type { InspectorUnderTest } from './inspection.contract.ts';
import type { CacheInspector, CacheRepair } from './inspection.ts';
import { MemoryCache } from './memory/cache.ts';
import { MemoryCacheInspector } from './memory/cache-inspector.ts';

export interface MendingUnderTest extends InspectorUnderTest {
  /** Closes the store and opens another one on the same data. */
  reopen(): Promise<CacheStore>;
}

type Each = (title: string, body: (under: MendingUnderTest) => Promise<void>) => void;

export function mendingContract(name: string, make: () => Promise<MendingUnderTest>): void {
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
    dirtyTests(each);
    repairTests(each);
    takeOverTests(each);
    pushTests(each);
    refusalTests(each);
    randomTests(make);
  });
}

const ALL = 100_000;
const ascending = (buckets: readonly number[]) => [...buckets].sort((a, b) => a - b);
const bucketsOf = (...keys: string[]) => ascending(keys.map(bucketOf));

function dirtyTests(each: Each): void {
  each('the buckets that were written are taken once', async ({ store }) => {
    assert.deepEqual(await store.takeDirty(ALL), []);
    await apply(store, [write(1_000, ['SET', 'a', '1'], ['SADD', 'b', 'm']), write(1_001, ['SET', 'a', '2'])]);
    assert.deepEqual(ascending(await store.takeDirty(ALL)), bucketsOf('a', 'b'));
    assert.deepEqual(await store.takeDirty(ALL), []);
  });
  each('a write after they were taken marks again', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 'a', '1'])]);
    await store.takeDirty(ALL);
    await apply(store, [write(1_001, ['SET', 'a', '2'])]);
    assert.deepEqual(await store.takeDirty(ALL), bucketsOf('a'));
  });
  each('no more are taken than asked for, and the others stay', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 'a', '1'], ['SET', 'b', '1'], ['SET', 'c', '1'])]);
    const taken: number[] = [];
    for (const size of [2, 1]) {
      const some = await store.takeDirty(2);
      assert.equal(some.length, size);
      taken.push(...some);
    }
    assert.deepEqual(ascending(taken), bucketsOf('a', 'b', 'c'));
    assert.deepEqual(await store.takeDirty(2), []);
  });
  each('what was taken and what was not is remembered over opening again', async ({ store, reopen }) => {
    await apply(store, [write(1_000, ['SET', 'a', '1'])]);
    await store.takeDirty(ALL);
    await apply(store, [write(1_000, ['SET', 'b', '1'])]);
    const again = await reopen();
    assert.deepEqual(await again.takeDirty(ALL), bucketsOf('b'));
    assert.deepEqual(await (await reopen()).takeDirty(ALL), []);
  });
}

async function stateOf(inspector: CacheInspector, key: string): Promise<KeyState | undefined> {
  return (await inspector.states([key]))[0];
}

const PASSED = versionAt(8_000);

async function pushTo(under: InspectorUnderTest, key: string, right: KeyState | undefined): Promise<CacheRepair> {
  const state = right ?? { key, type: 'none', kill: '', expireAtMs: 0, caps: [], registers: [], increments: [], expiries: [] };
  return { action: 'push', key, expected: stateDigest(await stateOf(under.inspector, key)), seen: PASSED, upTo: PASSED, state };
}

/** What a room that got these commands remembers. */
async function rightState(key: string, ...writes: Parameters<typeof write>[]): Promise<KeyState | undefined> {
  const cache = new MemoryCache();
  await apply(
    cache,
    writes.map((each) => write(...each)),
  );
  return stateOf(new MemoryCacheInspector(() => cache), key);
}

const LANES = [0, 1].map((partition) => ({ log: 'writes', origin: 'beijing', partition, epoch: '0123456789abcdef' }) as const);
const [LANE, OTHER] = LANES as [(typeof LANES)[0], (typeof LANES)[0]];

/** The end of a copy of a peer's cache (docs/adr/0009). */
function takeOverTests(each: Each): void {
  const batch = { generation: 0, writes: [], nowMs: NOW };
  each('marks of several lanes move together, or none', async ({ store }) => {
    await store.apply({ ...batch, moves: [{ ...OTHER, expected: -1, next: 3 }], floor: '' });
    const both = (expected: number) => [
      { ...LANE, expected: -1, next: 70 },
      { ...OTHER, expected, next: 80 },
    ];
    assert.equal((await store.apply({ ...batch, moves: both(2), floor: stamp(5_000) })).moved, false);
    assert.deepEqual((await store.marks()).marks, [{ ...OTHER, seq: 3 }]);
    assert.equal((await store.marks()).settled, '');
    assert.equal((await store.apply({ ...batch, moves: both(3), floor: stamp(5_000) })).moved, true);
    const marks = [...(await store.marks()).marks].sort((a, b) => a.partition - b.partition);
    assert.deepEqual(marks, [
      { ...LANE, seq: 70 },
      { ...OTHER, seq: 80 },
    ]);
  });
  each('what has been forgotten is told with the marks, and remembered over opening again', async ({ store, reopen }) => {
    assert.equal((await store.marks()).settled, '');
    await apply(store, [write(1_000, ['SET', 'a', '1'])]);
    assert.equal((await store.marks()).settled, '');
    await store.apply({ ...batch, moves: [], floor: stamp(5_000) });
    assert.equal((await store.marks()).settled, `${stamp(5_000)}ffff`);
    assert.equal((await (await reopen()).marks()).settled, `${stamp(5_000)}ffff`);
  });
}

function repairTests(each: Each): void {
  each('a push makes a key what it is in the right room, of whatever type', async (under) => {
    const { store } = under;
    await apply(store, [
      write(1_000, ['SET', 'a', 'wrong', 'PXAT', 20_000], ['HSET', 'b', 'x', 'y', 'z', '1'], ['INCR', 'c'], ['SADD', 'd', 'm']),
    ]);
    const rights: Parameters<typeof write>[] = [
      [1_001, ['HSET', 'a', 'f', '1', 'g', '2'], ['HINCRBY', 'a', 'f', 4], ['HDEL', 'a', 'g'], ['PEXPIREAT', 'a', 30_000]],
      [1_002, ['SET', 'b', 'v', 'PXAT', 25_000]],
      [1_003, ['INCRBY', 'c', 7], ['ZADD', 'e', 1, 'm', 2, 'n'], ['ZINCRBY', 'e', 1, 'm']],
      [1_004, ['WMB.TIMELINE', 'd', 2, 'a'], ['WMB.TIMELINE', 'd', 2, 'b'], ['WMB.TIMELINE', 'd', 2, 'c']],
    ];
    const model = new MemoryCache();
    await apply(
      model,
      rights.map((each) => write(...each)),
    );
    const keys = ['a', 'b', 'c', 'd', 'e'];
    const repairs: CacheRepair[] = [];
    for (const key of keys) repairs.push(await pushTo(under, key, await stateOf(new MemoryCacheInspector(() => model), key)));
    assert.deepEqual(
      await store.repair(repairs, NOW),
      keys.map(() => 'repaired'),
    );
    assert.deepEqual(await scan(store, ''), await scan(model, ''));
    assert.deepEqual(await under.inspector.states(keys), await new MemoryCacheInspector(() => model).states(keys));
    assert.deepEqual(await scan(await under.reopen(), ''), await scan(model, ''));
  });
}

function pushTests(each: Each): void {
  each('a push of nothing removes everything, and a key can be used again', async (under) => {
    const { store } = under;
    await apply(store, [write(1_000, ['HSET', 'k', 'f', 'v'], ['HINCRBY', 'k', 'n', 1], ['PEXPIREAT', 'k', 20_000])]);
    assert.deepEqual(await store.repair([await pushTo(under, 'k', undefined)], NOW), ['repaired']);
    assert.equal(await stateOf(under.inspector, 'k'), undefined);
    await apply(store, [write(9_000, ['HSET', 'k', 'g', 'w'])]);
    assert.deepEqual(await value(store, 'k'), { type: 'hash', fields: [['g', 'w']] });
  });
  each('a newer write of this room stays over a push', async (under) => {
    const { store } = under;
    await apply(store, [write(9_000, ['HSET', 'k', 'mine', '1'])]);
    const right = await rightState('k', [1_000, ['HSET', 'k', 'mine', '0', 'lost', 'x']]);
    assert.deepEqual(await store.repair([await pushTo(under, 'k', right)], NOW), ['repaired']);
    const fields = [
      ['lost', 'x'],
      ['mine', '1'],
    ];
    assert.deepEqual(await value(store, 'k'), { type: 'hash', fields });
  });
  each('effects that are sent again are applied below the floor too', async (under) => {
    const { store, inspector } = under;
    await sweep(store, stamp(5_000));
    const effects = write(1_000, ['SET', 'k', 'lost']);
    assert.deepEqual(await apply(store, [effects]), ['late']);
    const expected = stateDigest(await stateOf(inspector, 'k'));
    assert.deepEqual(await store.repair([{ action: 'resend', key: 'k', expected, seen: PASSED, effects }], NOW), ['repaired']);
    assert.deepEqual(await value(store, 'k'), { type: 'string', value: 'lost' });
  });
  each('a repaired key marks its bucket, an unchanged one does not', async (under) => {
    const { store } = under;
    await apply(store, [write(1_000, ['SET', 'same', 'v'], ['SET', 'k', 'wrong'])]);
    await store.takeDirty(ALL);
    const same = await pushTo(under, 'same', await stateOf(under.inspector, 'same'));
    const changed = await pushTo(under, 'k', await rightState('k', [1_000, ['SET', 'k', 'right']]));
    assert.deepEqual(await store.repair([same, changed], NOW), ['unchanged', 'repaired']);
    assert.deepEqual(await store.takeDirty(ALL), bucketsOf('k'));
  });
}

function refusalTests(each: Each): void {
  each('a key that was written meanwhile is left as it is, and the others are repaired', async (under) => {
    const { store } = under;
    await apply(store, [write(1_000, ['SET', 'a', 'wrong'], ['SET', 'b', 'wrong'])]);
    const a = await pushTo(under, 'a', await rightState('a', [1_000, ['SET', 'a', 'right']]));
    const b = await pushTo(under, 'b', await rightState('b', [1_000, ['SET', 'b', 'right']]));
    await apply(store, [write(9_000, ['SET', 'a', 'the user’s'])]);
    await store.takeDirty(ALL);
    assert.deepEqual(await store.repair([a, b], NOW), ['overtaken', 'repaired']);
    assert.deepEqual(await value(store, 'a'), { type: 'string', value: 'the user’s' });
    assert.deepEqual(await value(store, 'b'), { type: 'string', value: 'right' });
    assert.deepEqual(await store.takeDirty(ALL), bucketsOf('b'));
  });
  each('a room that has settled beyond what the right side had seen changes nothing, also after opening again', async (under) => {
    await apply(under.store, [write(1_000, ['SET', 'k', 'v']), write(2_000, ['DEL', 'k'])]);
    await sweep(under.store, stamp(5_000));
    const right = await rightState('k', [1_000, ['SET', 'k', 'v']]);
    const repair: CacheRepair = { ...(await pushTo(under, 'k', right)), seen: versionAt(4_000) };
    assert.deepEqual(await under.store.repair([repair], NOW), ['outdated']);
    const again = await under.reopen();
    assert.deepEqual(await again.repair([repair], NOW), ['outdated']);
    assert.equal(await value(again, 'k'), undefined);
  });
}

const RUNS = 150;

const drifts = randomEffects(16).chain((effects) =>
  fc.record({
    effects: fc.constant(effects),
    applied: fc.subarray(effects),
    passedMs: fc.integer({ min: TEST_MS.from, max: TEST_MS.to + 1 }),
    floors: fc.array(fc.nat(20), { minLength: 2, maxLength: 2 }),
  }),
);

function randomTests(make: () => Promise<MendingUnderTest>): void {
  let under: MendingUnderTest | undefined;
  after(() => under?.cleanup());
  test('random repairs give what the pure rules give', async () => {
    under = await make();
    const { store, inspector } = under;
    const [model, right] = [new MemoryCache(), new MemoryCache()];
    const modelInspector = new MemoryCacheInspector(() => model);
    const rightInspector = new MemoryCacheInspector(() => right);
    let run = 0;
    await fc.assert(
      fc.asyncProperty(drifts, async ({ effects, applied, passedMs, floors }) => {
        run += 1;
        const passed = versionAt(run * RUN_MS + passedMs);
        const shift = (some: typeof effects) => some.map((effect) => [shifted(effect, run)]);
        const complete = shift(effects).filter(([effect]) => effect !== undefined && effect.version < passed);
        await apply(right, complete, { nowMs: run * RUN_MS });
        for (const cache of [store, model]) await apply(cache, shift(applied), { nowMs: run * RUN_MS });
        const floorOf = (at = 0) => versionAt(Math.min(run * RUN_MS + TEST_MS.from + at, stampMs(passed) - 1)).slice(0, 24);
        for (const cache of [store, model]) await sweep(cache, floorOf(floors[0]), (run + 1) * RUN_MS);
        await sweep(right, floorOf(floors[1]), (run + 1) * RUN_MS);
        const keys = [`${run}:k`, `${run}:l`];
        for (const [index, state] of (await rightInspector.states(keys)).entries()) {
          const key = keys[index] ?? '';
          const repair = await pushTo(under as MendingUnderTest, key, state);
          const both = { ...repair, seen: passed, upTo: passed };
          const expected = stateDigest(await stateOf(modelInspector, key));
          assert.deepEqual(await store.repair([both], NOW), await model.repair([{ ...both, expected }], NOW));
        }
        for (const nowMs of [20, 45, 90].map((ms) => run * RUN_MS + TEST_MS.from + ms)) {
          assert.deepEqual(await scan(store, `${run}:`, nowMs), await scan(model, `${run}:`, nowMs));
        }
        assert.deepEqual((await inspector.states(keys)).map(stateDigest), (await modelInspector.states(keys)).map(stateDigest));
      }),
      { numRuns: RUNS },
    );
  });
}
