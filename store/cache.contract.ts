/** What every cache store must do; each adapter's test runs it. The model for random batches is the pure rules in memory. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import type { Effect } from '../core/converge/effects.ts';
import { randomEffects, TEST_MS } from '../core/converge/effects-kit.ts';
import { stampMs, versionAt } from '../core/stamp.ts';
import type { CacheBatch, MarkMove } from './cache.ts';
import { effectContract } from './cache-effects.contract.ts';
import { apply, type CacheUnderTest, type Each, EPOCH, marksOf, move, NOW, OTHER_EPOCH, scan, sweep, value, write } from './cache-kit.ts';
import { restoreContract } from './cache-restore.contract.ts';
import { timeContract } from './cache-time.contract.ts';
import { MemoryCache } from './memory/cache.ts';

export function cacheContract(name: string, make: () => Promise<CacheUnderTest>): void {
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
    effectContract(each);
    describe('marks', () => {
      markTests(each);
      moveTests(each);
    });
    timeContract(each);
    describe('a copy that is put back under a running store', () => restoreContract(each));
    describe('scan', () => scanTests(each));
    describe('random batches', () => randomTests(make));
  });
}

function markTests(each: Each): void {
  each('a store without marks says so', async ({ store }) => {
    assert.deepEqual(await marksOf(store), []);
  });
  each('marks move with the effects and are there after opening again', async ({ store, reopen }) => {
    await apply(store, [write(1_000, ['SET', 'k', 'v'])], { moves: [move(0, -1, 4), move(1, -1, 0)] });
    await apply(store, [], { moves: [move(0, 4, 7)] });
    const marks = [...(await marksOf(await reopen()))].sort((a, b) => a.partition - b.partition);
    assert.deepEqual(marks, [
      { log: 'writes', origin: 'beijing', partition: 0, epoch: EPOCH, seq: 7 },
      { log: 'writes', origin: 'beijing', partition: 1, epoch: EPOCH, seq: 0 },
    ]);
  });
  each('marks that are read while batches are under way begin no generation, and never go back', async ({ store }) => {
    const { generation } = await store.marks();
    for (let seq = -1; seq < 200; seq += 1) {
      const writes = [write(1_000 + seq, ['SET', `k${seq}`, 'v'])];
      const [before, result, between] = await Promise.all([
        store.marks(),
        store.apply({ generation, moves: [move(0, seq, seq + 1)], writes, floor: '', nowMs: NOW }),
        store.marks(),
      ]);
      assert.equal(result.moved, true);
      const looks = [before, between, await store.marks()];
      assert.deepEqual(
        looks.map((look) => look.generation),
        looks.map(() => generation),
      );
      assert.equal(looks[2]?.marks[0]?.seq, seq + 1);
    }
  });
  each('logs, origins and partitions have marks of their own', async ({ store }) => {
    const moves: MarkMove[] = [
      move(0, -1, 1),
      { ...move(0, -1, 2), log: 'effects' },
      { ...move(0, -1, 3), origin: 'guangzhou' },
      move(1, -1, 4),
    ];
    await apply(store, [], { moves });
    assert.deepEqual((await marksOf(store)).map(({ seq }) => seq).sort(), [1, 2, 3, 4]);
  });
  each('where another mark is stored nothing changes and the stored mark comes back', async ({ store }) => {
    await apply(store, [], { moves: [move(0, -1, 4)] });
    const stored = { log: 'writes', origin: 'beijing', partition: 0, epoch: EPOCH, seq: 4 };
    for (const wrong of [move(0, 3, 5), move(0, 5, 6), move(0, -1, 5), move(0, 4, 5, OTHER_EPOCH)]) {
      const { generation } = await store.marks();
      const writes = [write(1_000, ['SET', 'k', 'v'])];
      const result = await store.apply({ generation, moves: [wrong], writes, floor: '', nowMs: NOW });
      assert.deepEqual(result, { moved: false, generation, stored });
    }
    assert.equal(await value(store, 'k'), undefined);
    assert.deepEqual(await marksOf(store), [stored]);
  });
  each('where no mark is stored an expectation fails with none', async ({ store }) => {
    const { generation } = await store.marks();
    const result = await store.apply({ generation, moves: [move(0, 3, 5)], writes: [], floor: '', nowMs: NOW });
    assert.deepEqual(result, { moved: false, generation, stored: undefined });
  });
}

function moveTests(each: Each): void {
  each('several marks move all or none', async ({ store }) => {
    await apply(store, [], { moves: [move(0, -1, 4), move(1, -1, 9)] });
    const { generation } = await store.marks();
    const result = await store.apply({
      generation,
      moves: [move(0, 4, 5), move(1, 8, 10)],
      writes: [write(1_000, ['INCR', 'k'])],
      floor: '',
      nowMs: NOW,
    });
    const stored = { log: 'writes', origin: 'beijing', partition: 1, epoch: EPOCH, seq: 9 };
    assert.deepEqual(result, { moved: false, generation, stored });
    assert.deepEqual((await marksOf(store)).map(({ seq }) => seq).sort(), [4, 9]);
    assert.equal(await value(store, 'k'), undefined);
  });
  each('a mark of another epoch counts as none', async ({ store }) => {
    await apply(store, [], { moves: [move(0, -1, 4)] });
    await apply(store, [], { moves: [move(0, -1, 0, OTHER_EPOCH)] });
    assert.deepEqual(
      (await marksOf(store)).map(({ epoch, seq }) => [epoch, seq]),
      [[OTHER_EPOCH, 0]],
    );
  });
  each('a mark goes back, and to the beginning of another epoch, where it is told to', async ({ store }) => {
    await apply(store, [], { moves: [move(0, -1, 4), move(1, -1, 4)] });
    await apply(store, [], { moves: [move(0, 4, 2), move(1, -1, -1, OTHER_EPOCH)] });
    assert.deepEqual((await marksOf(store)).map(({ epoch, seq }) => [epoch, seq]).sort(), [
      [EPOCH, 2],
      [OTHER_EPOCH, -1],
    ]);
  });
}

function scanTests(each: Each): void {
  each('a scan gives every visible key once, in the order of the UTF-8 bytes', async ({ store }) => {
    const keys = Array.from({ length: 1_000 }, (_, index) => `n${String(index).padStart(4, '0')}`);
    await apply(
      store,
      [...keys, 'é', '\uffee', '😀', 'Z'].map((key, index) => write(1_000 + index, ['SET', key, key])),
    );
    await apply(store, [write(3_000, ['DEL', 'n0003'])]);
    const expected = ['Z', ...keys.filter((key) => key !== 'n0003'), 'é', '\uffee', '😀'];
    assert.deepEqual(
      (await scan(store, '')).map(({ key }) => key),
      expected,
    );
  });
  each('a scan with a prefix gives the keys that start with it', async ({ store }) => {
    await apply(store, [write(1_000, ...['a', 'ab', 'ab%', 'ab_c', 'abé', 'ac', 'b'].map((key) => ['SET', key, 'v']))]);
    assert.deepEqual(
      (await scan(store, 'ab')).map(({ key }) => key),
      ['ab', 'ab%', 'ab_c', 'abé'],
    );
    assert.deepEqual(
      (await scan(store, 'ab_')).map(({ key }) => key),
      ['ab_c'],
    );
    assert.deepEqual(await scan(store, 'x'), []);
  });
  each('a scan and a get tell the same', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 's', 'v', 'PXAT', 20_000], ['ZADD', 'z', 1, 'm'], ['INCR', 'n'])]);
    for (const entry of await scan(store, '')) assert.deepEqual(await store.get(entry.key, NOW), entry);
  });
}

/** Each run has keys and a stretch of time of its own above the last, because floors never go back. */
export function shifted(effect: Effect, run: number): Effect {
  const ms = stampMs(effect.version) + run * RUN_MS;
  const version = versionAt(ms).slice(0, 12) + effect.version.slice(12);
  const later = 'expireAtMs' in effect && effect.expireAtMs !== 0 ? { expireAtMs: effect.expireAtMs + run * RUN_MS } : {};
  return { ...effect, ...later, key: `${run}:${effect.key}`, version };
}

export const RUN_MS = 1_000;
const RUNS = 200;

const batches = randomEffects(30).chain((effects) =>
  fc.record({
    effects: fc.constant(effects),
    sizes: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 12 }),
    sweeps: fc.array(fc.boolean(), { maxLength: 12 }),
    sorted: fc.boolean(),
    again: fc.boolean(),
  }),
);

function randomTests(make: () => Promise<CacheUnderTest>): void {
  let under: CacheUnderTest | undefined;
  after(() => under?.cleanup());
  test('random batches, floors, sweeps and duplicates give what the pure rules give', async () => {
    under = await make();
    const { store } = under;
    const model = new MemoryCache();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(batches, async ({ effects, sizes, sweeps, sorted, again }) => {
        run++;
        const shift = effects.map((effect) => shifted(effect, run));
        if (sorted) shift.sort((a, b) => (a.version < b.version ? -1 : 1));
        for (const [index, size] of [...sizes, shift.length].entries()) {
          const writes = shift.splice(0, size).map((effect) => [effect]);
          const missing = shift.map((effect) => stampMs(effect.version)).sort((a, b) => a - b)[0] ?? run * RUN_MS + TEST_MS.to + 1;
          const nowMs = run * RUN_MS + TEST_MS.from + index * 6;
          const floor = versionAt(missing - 1).slice(0, 24);
          const all: Partial<CacheBatch>[] = [{ writes, nowMs }];
          if (again) all.push({ writes: [...writes].reverse(), floor, nowMs });
          for (const batch of all) for (const cache of [store, model]) await apply(cache, batch.writes ?? [], batch);
          if (sweeps[index] === true) for (const cache of [store, model]) await sweep(cache, floor, nowMs);
        }
        for (const nowMs of [20, 45, 90].map((ms) => run * RUN_MS + TEST_MS.from + ms)) {
          assert.deepEqual(await scan(store, `${run}:`, nowMs), await scan(model, `${run}:`, nowMs));
        }
      }),
      { numRuns: RUNS },
    );
  });
}
