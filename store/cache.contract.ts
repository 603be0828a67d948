/** What every cache store must do; each adapter's test runs it. The model for random batches is the pure rules in memory. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import fc from 'fast-check';
import type { CacheEntry, CacheValue, Effect } from '../core/converge/effects.ts';
import { randomEffects, TEST_MS } from '../core/converge/effects.testing.ts';
import { compileCommands } from '../core/converge/commands.ts';
import { formatStamp, type Stamp, stampMs, versionAt } from '../core/stamp.ts';
import type { CacheBatch, CacheOutcome, CacheStore, MarkMove } from './cache.ts';
import { MemoryCache } from './memory/cache.ts';

export interface CacheUnderTest {
  readonly store: CacheStore;
  /** Closes the store and opens another one on the same data. */
  reopen(): Promise<CacheStore>;
  cleanup(): Promise<void>;
}

type Commands = readonly (readonly (string | number)[])[];

/** The tests' clock; no stamp of a test is beyond it. */
const NOW = 10_000;
const EPOCH = '00000000000000aa';
const OTHER_EPOCH = '00000000000000bb';

const stamp = (ms: number): Stamp => formatStamp({ ms, counter: 0, writer: 1 });
const write = (ms: number, ...commands: Commands): readonly Effect[] => compileCommands(commands, stamp(ms));
const move = (partition: number, expected: number, next: number, epoch = EPOCH): MarkMove => ({ log: 'writes', origin: 'beijing', partition, epoch, expected, next });

async function apply(store: CacheStore, writes: readonly (readonly Effect[])[], more: Partial<CacheBatch> = {}): Promise<readonly CacheOutcome[]> {
  const result = await store.apply({ moves: [], writes, floor: '', nowMs: NOW, ...more });
  assert.ok(result.moved);
  return result.outcomes;
}

async function value(store: CacheStore, key: string, nowMs = NOW): Promise<CacheValue | undefined> {
  return (await store.get(key, nowMs))?.value;
}

async function scan(store: CacheStore, prefix: string, nowMs = NOW): Promise<CacheEntry[]> {
  const entries: CacheEntry[] = [];
  for await (const entry of store.scan({ prefix, nowMs })) entries.push(entry);
  return entries;
}

export function cacheContract(name: string, make: () => Promise<CacheUnderTest>): void {
  const each = (title: string, body: (under: CacheUnderTest) => Promise<void>) =>
    test(title, async () => {
      const under = await make();
      try {
        await body(under);
      } finally {
        await under.cleanup();
      }
    });
  describe(name, () => {
    describe('effects', () => effectTests(each));
    describe('outcomes', () => outcomeTests(each));
    describe('marks', () => markTests(each));
    describe('expiry', () => expiryTests(each));
    describe('floor', () => floorTests(each));
    describe('scan', () => scanTests(each));
    describe('random batches', () => randomTests(make));
  });
}

type Each = (title: string, body: (under: CacheUnderTest) => Promise<void>) => void;

/** Commands of one write request each, and what is visible afterwards. */
const VALUES: readonly (readonly [title: string, writes: readonly Commands[], expected: CacheValue | undefined])[] = [
  ['a string is set', [[['SET', 'k', 'v']]], { type: 'string', value: 'v' }],
  ['an empty string is a value', [[['SET', 'k', '']]], { type: 'string', value: '' }],
  ['text keeps its zero bytes, its accents and its emoji', [[['HSET', 'k', 'a\0é😀', 'b\0é😀']]], { type: 'hash', fields: [['a\0é😀', 'b\0é😀']] }],
  ['a deleted key is gone', [[['SET', 'k', 'v']], [['DEL', 'k']]], undefined],
  ['the commands of one write request work in their order', [[['SET', 'k', 'v'], ['DEL', 'k'], ['HSET', 'k', 'f', 'w']]], { type: 'hash', fields: [['f', 'w']] }],
  ['hash fields come sorted and removed ones are gone', [[['HSET', 'k', 'b', '2', 'a', '1', 'c', '3']], [['HDEL', 'k', 'c']]], { type: 'hash', fields: [['a', '1'], ['b', '2']] }],
  ['a hash without fields is gone', [[['HSET', 'k', 'b', '2']], [['HDEL', 'k', 'b']]], undefined],
  ['fields may be empty and hold nothing', [[['HSET', 'k', '', '']]], { type: 'hash', fields: [['', '']] }],
  ['set members come in the order of their UTF-8 bytes', [[['SADD', 'k', '😀', '\uffee', 'b', 'a']], [['SREM', 'k', 'b']]], { type: 'set', members: ['a', '\uffee', '😀'] }],
  ['zset members come by score, then by member', [[['ZADD', 'k', 2, 'b', '-inf', 'z', 2, 'a', '1.5', 'c', 1, 'd']], [['ZREM', 'k', 'd']]], { type: 'zset', members: [['z', -Infinity], ['c', 1.5], ['a', 2], ['b', 2]] }],
  ['a counter starts at nothing', [[['INCR', 'k']], [['INCRBY', 'k', '41']]], { type: 'string', value: '42' }],
  ['a counter counts from what was set', [[['SET', 'k', '5']], [['DECR', 'k']], [['DECRBY', 'k', 10]]], { type: 'string', value: '-6' }],
  ['text counts as 0 under increments', [[['SET', 'k', 'many']], [['INCR', 'k']]], { type: 'string', value: '1' }],
  ['counters are exact beyond 2^53 and beyond 64 bits', [[['SET', 'k', '9223372036854775807']], [['INCR', 'k']]], { type: 'string', value: '9223372036854775808' }],
  ['a set starts a counter anew', [[['INCRBY', 'k', 7]], [['SET', 'k', '1']], [['INCR', 'k']]], { type: 'string', value: '2' }],
  ['a hash field counts', [[['HSET', 'k', 'f', '5']], [['HINCRBY', 'k', 'f', -2]], [['HINCRBY', 'k', 'g', 1]]], { type: 'hash', fields: [['f', '3'], ['g', '1']] }],
  ['a removed hash field counts from nothing', [[['HINCRBY', 'k', 'f', 5]], [['HDEL', 'k', 'f']], [['HINCRBY', 'k', 'f', 1]]], { type: 'hash', fields: [['f', '1']] }],
  ['a score counts', [[['ZADD', 'k', '0.1', 'm']], [['ZINCRBY', 'k', '0.2', 'm']]], { type: 'zset', members: [['m', 0.1 + 0.2]] }],
  ['a timeline keeps the newest members', [[['WMB.TIMELINE', 'k', 2, 'a']], [['WMB.TIMELINE', 'k', 2, 'b']], [['WMB.TIMELINE', 'k', 2, 'c']]], { type: 'zset', members: [['b', 1_001], ['c', 1_002]] }],
  ['a timeline member added again becomes the newest', [[['WMB.TIMELINE', 'k', 2, 'a']], [['WMB.TIMELINE', 'k', 2, 'b']], [['WMB.TIMELINE', 'k', 2, 'a']]], { type: 'zset', members: [['b', 1_001], ['a', 1_002]] }],
  ['another type replaces the key', [[['SET', 'k', 'v']], [['HSET', 'k', 'f', 'w']], [['SADD', 'k', 'm']]], { type: 'set', members: ['m'] }],
  ['many keys are set at once', [[['MSET', 'j', '1', 'k', '2']]], { type: 'string', value: '2' }],
];

function effectTests(each: Each): void {
  for (const [title, writes, expected] of VALUES) {
    each(title, async ({ store, reopen }) => {
      const batch = writes.map((commands, index) => write(1_000 + index, ...commands));
      await apply(store, batch);
      assert.deepEqual(await value(store, 'k'), expected);
      await apply(store, batch);
      assert.deepEqual(await value(store, 'k'), expected, 'the same batch again changes nothing');
      const [other, reversed] = [await reopen(), [...batch].reverse().map((effects) => effects.map((effect) => ({ ...effect, key: `${effect.key}2` })))];
      assert.deepEqual(await value(other, 'k'), expected, 'it is still there after opening again');
      for (const effects of reversed) await apply(other, [effects]);
      assert.deepEqual(await value(other, 'k2'), expected, 'the opposite order gives the same');
    });
  }
  each('a timeline of a thousand adds holds its cap', async ({ store }) => {
    for (let from = 0; from < 1_000; from += 100) {
      await apply(store, Array.from({ length: 100 }, (_, index) => write(1_000 + from + index, ['WMB.TIMELINE', 't', 50, `m${from + index}`])));
    }
    const timeline = await value(store, 't');
    assert.ok(timeline?.type === 'zset');
    assert.deepEqual(timeline.members.map(([member]) => member), Array.from({ length: 50 }, (_, index) => `m${950 + index}`));
  });
  each('an entry names the version that its value depends on', async ({ store }) => {
    await apply(store, [write(1_000, ['HSET', 'k', 'a', '1', 'b', '2']), write(1_001, ['HDEL', 'k', 'b']), write(1_002, ['INCR', 'n']), write(1_001, ['INCR', 'n'])]);
    assert.equal((await store.get('k', NOW))?.version, `${stamp(1_000)}0000`);
    assert.equal((await store.get('n', NOW))?.version, `${stamp(1_002)}0000`);
  });
}

function outcomeTests(each: Each): void {
  each('a write request is applied once and a duplicate afterwards', async ({ store }) => {
    const batch = [
      write(1_000, ['SET', 's', 'v']), write(1_001, ['HSET', 'h', 'f', 'v', 'g', 'w']), write(1_002, ['SADD', 'm', 'a']), write(1_003, ['ZADD', 'z', 1, 'a']),
      write(1_004, ['INCR', 'n']), write(1_005, ['HINCRBY', 'c', 'f', 1]), write(1_006, ['ZINCRBY', 'y', 1, 'a']), write(1_007, ['WMB.TIMELINE', 't', 3, 'a']),
      write(1_008, ['DEL', 'd']), write(1_009, ['PEXPIREAT', 's', 20_000]), write(1_010, ['HDEL', 'r', 'f']),
    ];
    assert.deepEqual(await apply(store, batch), batch.map(() => 'applied'));
    assert.deepEqual(await apply(store, batch), batch.map(() => 'duplicate'));
  });
  each('an older write request is superseded', async ({ store }) => {
    await apply(store, [write(2_000, ['SET', 's', 'new'], ['HDEL', 'h', 'f'], ['DEL', 'd'], ['SADD', 't', 'm'], ['PERSIST', 'e'])]);
    const older = [
      write(1_000, ['SET', 's', 'old']), write(1_001, ['INCR', 's']), write(1_002, ['HSET', 'h', 'f', 'old']), write(1_003, ['HINCRBY', 'h', 'f', 1]),
      write(1_004, ['SADD', 'd', 'm']), write(1_005, ['SET', 't', 'old type']), write(1_006, ['PEXPIREAT', 'e', 20_000]),
    ];
    assert.deepEqual(await apply(store, older), older.map(() => 'superseded'));
    assert.deepEqual((await scan(store, '')).map(({ key }) => key), ['s', 't']);
  });
  each('one effect that counts makes a write request applied, and none makes it applied too', async ({ store }) => {
    await apply(store, [write(2_000, ['SET', 'a', 'new'])]);
    assert.deepEqual(await apply(store, [write(1_000, ['SET', 'a', 'old'], ['SET', 'b', 'old']), []]), ['applied', 'applied']);
    assert.deepEqual(await value(store, 'a'), { type: 'string', value: 'new' });
  });
  each('a write request that overwrites itself is a duplicate the second time', async ({ store }) => {
    const itself = write(1_000, ['SET', 'a', '1'], ['SET', 'a', '2']);
    assert.deepEqual(await apply(store, [itself, itself]), ['applied', 'duplicate']);
    assert.deepEqual(await value(store, 'a'), { type: 'string', value: '2' });
  });
  each('at equal versions the delete wins in either order', async ({ store }) => {
    const [set] = write(1_000, ['SET', 'a', 'v']);
    const [del] = write(1_000, ['DEL', 'a']);
    assert.ok(set !== undefined && del !== undefined);
    await apply(store, [[set], [del], [{ ...del, key: 'b' }], [{ ...set, key: 'b' }]]);
    const [hset] = write(1_000, ['HSET', 'h', 'f', 'v']);
    const [hdel] = write(1_000, ['HDEL', 'h', 'f']);
    assert.ok(hset !== undefined && hdel !== undefined);
    await apply(store, [[hset], [hdel], [{ ...hdel, key: 'i' }], [{ ...hset, key: 'i' }]]);
    assert.deepEqual(await scan(store, ''), []);
  });
}

function markTests(each: Each): void {
  each('a store without marks says so', async ({ store }) => {
    assert.deepEqual(await store.marks(), []);
  });
  each('marks move with the effects and are there after opening again', async ({ store, reopen }) => {
    await apply(store, [write(1_000, ['SET', 'k', 'v'])], { moves: [move(0, -1, 4), move(1, -1, 0)] });
    await apply(store, [], { moves: [move(0, 4, 7)] });
    const marks = [...(await (await reopen()).marks())].sort((a, b) => a.partition - b.partition);
    assert.deepEqual(marks, [
      { log: 'writes', origin: 'beijing', partition: 0, epoch: EPOCH, seq: 7 },
      { log: 'writes', origin: 'beijing', partition: 1, epoch: EPOCH, seq: 0 },
    ]);
  });
  each('logs, origins and partitions have marks of their own', async ({ store }) => {
    const moves: MarkMove[] = [move(0, -1, 1), { ...move(0, -1, 2), log: 'effects' }, { ...move(0, -1, 3), origin: 'guangzhou' }, move(1, -1, 4)];
    await apply(store, [], { moves });
    assert.deepEqual((await store.marks()).map(({ seq }) => seq).sort(), [1, 2, 3, 4]);
  });
  each('where another mark is stored nothing changes and the stored mark comes back', async ({ store }) => {
    await apply(store, [], { moves: [move(0, -1, 4)] });
    const stored = { log: 'writes', origin: 'beijing', partition: 0, epoch: EPOCH, seq: 4 };
    for (const wrong of [move(0, 3, 5), move(0, 5, 6), move(0, -1, 5), move(0, 4, 5, OTHER_EPOCH)]) {
      const result = await store.apply({ moves: [wrong], writes: [write(1_000, ['SET', 'k', 'v'])], floor: '', nowMs: NOW });
      assert.deepEqual(result, { moved: false, stored });
    }
    assert.equal(await value(store, 'k'), undefined);
    assert.deepEqual(await store.marks(), [stored]);
  });
  each('where no mark is stored an expectation fails with none', async ({ store }) => {
    const result = await store.apply({ moves: [move(0, 3, 5)], writes: [], floor: '', nowMs: NOW });
    assert.deepEqual(result, { moved: false, stored: undefined });
  });
  each('several marks move all or none', async ({ store }) => {
    await apply(store, [], { moves: [move(0, -1, 4), move(1, -1, 9)] });
    const result = await store.apply({ moves: [move(0, 4, 5), move(1, 8, 10)], writes: [write(1_000, ['INCR', 'k'])], floor: '', nowMs: NOW });
    assert.deepEqual(result, { moved: false, stored: { log: 'writes', origin: 'beijing', partition: 1, epoch: EPOCH, seq: 9 } });
    assert.deepEqual((await store.marks()).map(({ seq }) => seq).sort(), [4, 9]);
    assert.equal(await value(store, 'k'), undefined);
  });
  each('a mark of another epoch counts as none', async ({ store }) => {
    await apply(store, [], { moves: [move(0, -1, 4)] });
    await apply(store, [], { moves: [move(0, -1, 0, OTHER_EPOCH)] });
    assert.deepEqual((await store.marks()).map(({ epoch, seq }) => [epoch, seq]), [[OTHER_EPOCH, 0]]);
  });
}

function expiryTests(each: Each): void {
  each('a key dies at its moment and not before', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 's', 'v', 'PXAT', 20_000]), write(1_001, ['HSET', 'h', 'f', 'v'], ['PEXPIREAT', 'h', 20_000])]);
    assert.deepEqual((await scan(store, '', 19_999)).map(({ key, expireAtMs }) => [key, expireAtMs]), [['h', 20_000], ['s', 20_000]]);
    assert.deepEqual(await scan(store, '', 20_000), []);
    assert.equal(await store.get('h', 20_000), undefined);
  });
  each('relative expiries count from the stamp', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 's', 'v', 'EX', 20]), write(1_001, ['SADD', 'm', 'a'], ['PEXPIRE', 'm', 20_000])]);
    assert.deepEqual((await scan(store, '')).map(({ expireAtMs }) => expireAtMs), [21_001, 21_000]);
  });
  each('PERSIST and a plain SET take an expiry away', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 'a', 'v', 'PXAT', 20_000], ['SET', 'b', 'v', 'PXAT', 20_000]), write(1_001, ['PERSIST', 'a'], ['SET', 'b', 'w'])]);
    assert.deepEqual((await scan(store, '', 30_000)).map(({ key, expireAtMs }) => [key, expireAtMs]), [['a', 0], ['b', 0]]);
  });
  each('the later of two expiries counts, whichever comes first', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 'k', 'v']), write(1_002, ['PEXPIREAT', 'k', 30_000]), write(1_001, ['PEXPIREAT', 'k', 20_000])]);
    assert.equal((await store.get('k', 25_000))?.expireAtMs, 30_000);
    assert.equal(await store.get('k', 30_000), undefined);
  });
  each('what is written after the death lives, without what was there before and without its expiry', async ({ store }) => {
    await apply(store, [write(1_000, ['HSET', 'h', 'a', '1'], ['PEXPIREAT', 'h', 5_000]), write(6_000, ['HSET', 'h', 'b', '2'])]);
    const entry = await store.get('h', NOW);
    assert.deepEqual([entry?.value, entry?.expireAtMs], [{ type: 'hash', fields: [['b', '2']] }, 0]);
  });
  each('a new expiry does not bring back what had died', async ({ store }) => {
    await apply(store, [write(1_000, ['HSET', 'h', 'a', '1'], ['PEXPIREAT', 'h', 5_000])]);
    await apply(store, [write(6_000, ['HSET', 'h', 'b', '2'], ['PEXPIREAT', 'h', 20_000])]);
    assert.deepEqual(await value(store, 'h'), { type: 'hash', fields: [['b', '2']] });
  });
  each('an expiry that comes late but was given in time keeps the key alive', async ({ store }) => {
    await apply(store, [write(1_000, ['HSET', 'h', 'a', '1'], ['PEXPIREAT', 'h', 5_000])]);
    assert.equal(await store.get('h', 9_000), undefined);
    await apply(store, [write(4_000, ['PERSIST', 'h'])]);
    assert.deepEqual(await value(store, 'h', 9_000), { type: 'hash', fields: [['a', '1']] });
  });
  each('a counter that died starts at nothing', async ({ store }) => {
    await apply(store, [write(1_000, ['INCRBY', 'n', 7], ['PEXPIREAT', 'n', 5_000]), write(6_000, ['INCR', 'n'])]);
    assert.deepEqual(await value(store, 'n'), { type: 'string', value: '1' });
  });
}

function floorTests(each: Each): void {
  const FLOOR = stamp(5_000);
  each('sweeping changes nothing that is visible and forgets the dead', async ({ store, reopen }) => {
    await apply(store, [
      write(1_000, ['SET', 'kept', 'v'], ['HSET', 'h', 'a', '1', 'b', '2'], ['INCRBY', 'n', 5], ['ZADD', 'z', '0.1', 'm'], ['SADD', 'gone', 'm']),
      write(2_000, ['HDEL', 'h', 'b'], ['INCR', 'n'], ['ZINCRBY', 'z', '0.2', 'm'], ['DEL', 'gone'], ['SET', 'dead', 'v', 'PXAT', 4_000]),
      write(6_000, ['INCR', 'n'], ['HDEL', 'h', 'c'], ['ZINCRBY', 'z', '0.3', 'm']),
    ]);
    const before = await scan(store, '');
    assert.ok((await store.sweep(FLOOR, NOW)) > 0);
    assert.equal(await store.sweep(FLOOR, NOW), 0);
    assert.deepEqual(await scan(store, ''), before);
    assert.deepEqual(await scan(await reopen(), ''), before);
    assert.deepEqual(before.map(({ key }) => key), ['h', 'kept', 'n', 'z']);
  });
  each('a write request below the floor with nothing newer stored is late and is not applied', async ({ store, reopen }) => {
    await apply(store, [write(2_000, ['DEL', 'k'], ['HSET', 'h', 'f', 'v'])]);
    await store.sweep(FLOOR, NOW);
    const late = [write(1_000, ['SET', 'k', 'old']), write(1_001, ['INCR', 'n']), write(1_002, ['DEL', 'other']), write(1_003, ['PEXPIREAT', 'h', 20_000]), write(1_004, ['HDEL', 'h', 'g'])];
    assert.deepEqual(await apply(store, late), late.map(() => 'late'));
    assert.deepEqual(await apply(await reopen(), late), late.map(() => 'late'), 'the floor is remembered');
  });
  each('below the floor a write request of another type is late, or superseded, and changes nothing', async ({ store }) => {
    await apply(store, [write(1_000, ['HSET', 'h', 'a', '1']), write(3_000, ['HSET', 'h', 'b', '2'])]);
    await store.sweep(FLOOR, NOW);
    assert.deepEqual(await apply(store, [write(4_000, ['SADD', 'h', 'm']), write(2_000, ['SADD', 'h', 'm'])]), ['late', 'superseded']);
    assert.deepEqual(await value(store, 'h'), { type: 'hash', fields: [['a', '1'], ['b', '2']] });
  });
  each('below the floor a timeline member is late, or superseded where the timeline has no room for it', async ({ store }) => {
    await apply(store, [write(2_000, ['WMB.TIMELINE', 't', 2, 'a']), write(3_000, ['WMB.TIMELINE', 't', 2, 'b'])]);
    await store.sweep(FLOOR, NOW);
    assert.deepEqual(await apply(store, [write(2_500, ['WMB.TIMELINE', 't', 2, 'c']), write(1_000, ['WMB.TIMELINE', 't', 2, 'd'])]), ['late', 'superseded']);
    assert.deepEqual(await value(store, 't'), { type: 'zset', members: [['a', 2_000], ['b', 3_000]] });
  });
  each('what expired before the floor does not count again', async ({ store }) => {
    await apply(store, [write(1_000, ['HINCRBY', 'h', 'f', 1], ['PEXPIREAT', 'h', 2_000]), write(3_000, ['HINCRBY', 'h', 'f', 10])]);
    await store.sweep(FLOOR, NOW);
    assert.deepEqual(await value(store, 'h'), { type: 'hash', fields: [['f', '10']] });
  });
  each('a batch raises the floor for its own writes', async ({ store }) => {
    assert.deepEqual(await apply(store, [write(5_000, ['SET', 'k', 'v']), write(5_001, ['SET', 'k', 'w'])], { floor: FLOOR }), ['late', 'applied']);
  });
  each('a batch that is refused does not raise the floor', async ({ store }) => {
    await store.apply({ moves: [move(0, 3, 4)], writes: [], floor: FLOOR, nowMs: NOW });
    assert.deepEqual(await apply(store, [write(1_000, ['SET', 'k', 'v'])]), ['applied']);
  });
  each('below the floor what is stored is a duplicate and what has been overtaken is superseded', async ({ store }) => {
    const first = [write(1_000, ['SET', 's', 'v']), write(1_001, ['HSET', 'h', 'f', 'v']), write(1_002, ['INCR', 'n'])];
    await apply(store, [...first, write(6_000, ['SET', 'r', 'new'])]);
    await store.sweep(FLOOR, NOW);
    assert.deepEqual(await apply(store, [...first, write(1_003, ['SET', 'r', 'old'])]), ['duplicate', 'duplicate', 'duplicate', 'superseded']);
    assert.deepEqual(await value(store, 'n'), { type: 'string', value: '1' });
  });
  each('a floor ahead of the room’s clock does not forget beyond the clock', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 'k', 'v', 'PXAT', 20_000])]);
    await store.sweep(stamp(30_000), 15_000);
    assert.deepEqual(await value(store, 'k', 15_000), { type: 'string', value: 'v' });
    assert.deepEqual(await apply(store, [write(16_000, ['SET', 'k', 'w'])], { nowMs: 15_000 }), ['applied']);
  });
}

function scanTests(each: Each): void {
  each('a scan gives every visible key once, in the order of the UTF-8 bytes', async ({ store }) => {
    const keys = Array.from({ length: 1_000 }, (_, index) => `n${String(index).padStart(4, '0')}`);
    await apply(store, [...keys, 'é', '\uffee', '😀', 'Z'].map((key, index) => write(1_000 + index, ['SET', key, key])));
    await apply(store, [write(3_000, ['DEL', 'n0003'])]);
    const expected = ['Z', ...keys.filter((key) => key !== 'n0003'), 'é', '\uffee', '😀'];
    assert.deepEqual((await scan(store, '')).map(({ key }) => key), expected);
  });
  each('a scan with a prefix gives the keys that start with it', async ({ store }) => {
    await apply(store, [write(1_000, ...['a', 'ab', 'ab%', 'ab_c', 'abé', 'ac', 'b'].map((key) => ['SET', key, 'v']))]);
    assert.deepEqual((await scan(store, 'ab')).map(({ key }) => key), ['ab', 'ab%', 'ab_c', 'abé']);
    assert.deepEqual((await scan(store, 'ab_')).map(({ key }) => key), ['ab_c']);
    assert.deepEqual(await scan(store, 'x'), []);
  });
  each('a scan and a get tell the same', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 's', 'v', 'PXAT', 20_000], ['ZADD', 'z', 1, 'm'], ['INCR', 'n'])]);
    for (const entry of await scan(store, '')) assert.deepEqual(await store.get(entry.key, NOW), entry);
  });
}

/** Each run has keys and a stretch of time of its own above the last, because floors never go back. */
function shifted(effect: Effect, run: number): Effect {
  const ms = stampMs(effect.version) + run * RUN_MS;
  const version = versionAt(ms).slice(0, 12) + effect.version.slice(12);
  const later = 'expireAtMs' in effect && effect.expireAtMs !== 0 ? { expireAtMs: effect.expireAtMs + run * RUN_MS } : {};
  return { ...effect, ...later, key: `${run}:${effect.key}`, version };
}

const RUN_MS = 1_000;
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
          const all: CacheBatch[] = [{ moves: [], writes, floor: '', nowMs }];
          if (again) all.push({ moves: [], writes: [...writes].reverse(), floor, nowMs });
          for (const batch of all) for (const cache of [store, model]) await cache.apply(batch);
          if (sweeps[index] === true) for (const cache of [store, model]) await cache.sweep(floor, nowMs);
        }
        for (const nowMs of [20, 45, 90].map((ms) => run * RUN_MS + TEST_MS.from + ms)) {
          assert.deepEqual(await scan(store, `${run}:`, nowMs), await scan(model, `${run}:`, nowMs));
        }
      }),
      { numRuns: RUNS },
    );
  });
}
