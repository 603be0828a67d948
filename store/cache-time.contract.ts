/** The part of the cache contract that is about time: expiries and the floor. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { apply, type Each, move, NOW, scan, stamp, sweep, value, write } from './cache-kit.ts';

const FLOOR = stamp(5_000);

export function timeContract(each: Each): void {
  describe('expiry', () => {
    expiryTests(each);
    deathTests(each);
  });
  describe('floor', () => {
    settleTests(each);
    lateTests(each);
    lateTimelineTests(each);
  });
}

function expiryTests(each: Each): void {
  each('a key dies at its moment and not before', async ({ store }) => {
    await apply(store, [
      write(1_000, ['SET', 's', 'v', 'PXAT', 20_000]),
      write(1_001, ['HSET', 'h', 'f', 'v'], ['PEXPIREAT', 'h', 20_000]),
    ]);
    assert.deepEqual(
      (await scan(store, '', 19_999)).map(({ key, expireAtMs }) => [key, expireAtMs]),
      [
        ['h', 20_000],
        ['s', 20_000],
      ],
    );
    assert.deepEqual(await scan(store, '', 20_000), []);
    assert.equal(await store.get('h', 20_000), undefined);
  });
  each('relative expiries count from the stamp', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 's', 'v', 'EX', 20]), write(1_001, ['SADD', 'm', 'a'], ['PEXPIRE', 'm', 20_000])]);
    assert.deepEqual(
      (await scan(store, '')).map(({ expireAtMs }) => expireAtMs),
      [21_001, 21_000],
    );
  });
  each('PERSIST and a plain SET take an expiry away', async ({ store }) => {
    await apply(store, [
      write(1_000, ['SET', 'a', 'v', 'PXAT', 20_000], ['SET', 'b', 'v', 'PXAT', 20_000]),
      write(1_001, ['PERSIST', 'a'], ['SET', 'b', 'w']),
    ]);
    assert.deepEqual(
      (await scan(store, '', 30_000)).map(({ key, expireAtMs }) => [key, expireAtMs]),
      [
        ['a', 0],
        ['b', 0],
      ],
    );
  });
  each('the later of two expiries counts, whichever comes first', async ({ store }) => {
    await apply(store, [
      write(1_000, ['SET', 'k', 'v']),
      write(1_002, ['PEXPIREAT', 'k', 30_000]),
      write(1_001, ['PEXPIREAT', 'k', 20_000]),
    ]);
    assert.equal((await store.get('k', 25_000))?.expireAtMs, 30_000);
    assert.equal(await store.get('k', 30_000), undefined);
  });
}

function deathTests(each: Each): void {
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

function settleTests(each: Each): void {
  each('sweeping changes nothing that is visible and forgets the dead', async ({ store, reopen }) => {
    await apply(store, [
      write(
        1_000,
        ['SET', 'kept', 'v'],
        ['HSET', 'h', 'a', '1', 'b', '2'],
        ['INCRBY', 'n', 5],
        ['ZADD', 'z', '0.1', 'm'],
        ['SADD', 'gone', 'm'],
      ),
      write(2_000, ['HDEL', 'h', 'b'], ['INCR', 'n'], ['ZINCRBY', 'z', '0.2', 'm'], ['DEL', 'gone'], ['SET', 'dead', 'v', 'PXAT', 4_000]),
      write(6_000, ['INCR', 'n'], ['HDEL', 'h', 'c'], ['ZINCRBY', 'z', '0.3', 'm']),
    ]);
    const before = await scan(store, '');
    assert.ok((await sweep(store, FLOOR)) > 0);
    assert.equal(await sweep(store, FLOOR), 0);
    assert.deepEqual(await scan(store, ''), before);
    assert.deepEqual(await scan(await reopen(), ''), before);
    assert.deepEqual(
      before.map(({ key }) => key),
      ['h', 'kept', 'n', 'z'],
    );
  });
  each('what expired before the floor does not count again', async ({ store }) => {
    await apply(store, [write(1_000, ['HINCRBY', 'h', 'f', 1], ['PEXPIREAT', 'h', 2_000]), write(3_000, ['HINCRBY', 'h', 'f', 10])]);
    await sweep(store, FLOOR);
    assert.deepEqual(await value(store, 'h'), { type: 'hash', fields: [['f', '10']] });
  });
  each('a batch that is refused does not raise the floor', async ({ store }) => {
    const { generation } = await store.marks();
    await store.apply({ generation, moves: [move(0, 3, 4)], writes: [], floor: FLOOR, nowMs: NOW });
    assert.deepEqual(await apply(store, [write(1_000, ['SET', 'k', 'v'])]), ['applied']);
  });
  each('a floor ahead of the room’s clock does not forget beyond the clock', async ({ store }) => {
    await apply(store, [write(1_000, ['SET', 'k', 'v', 'PXAT', 20_000])]);
    await sweep(store, stamp(30_000), 15_000);
    assert.deepEqual(await value(store, 'k', 15_000), { type: 'string', value: 'v' });
    assert.deepEqual(await apply(store, [write(16_000, ['SET', 'k', 'w'])], { nowMs: 15_000 }), ['applied']);
  });
  each('a clock that says parts of a millisecond counts as the millisecond that it is in', async ({ store }) => {
    await sweep(store, stamp(30_000), 15_000.7);
    assert.deepEqual(await apply(store, [write(14_999, ['SET', 'k', 'v']), write(15_001, ['SET', 'k', 'w'])]), ['late', 'applied']);
  });
  each('a batch raises the floor for its own writes', async ({ store }) => {
    assert.deepEqual(await apply(store, [write(5_000, ['SET', 'k', 'v']), write(5_001, ['SET', 'k', 'w'])], { floor: FLOOR }), [
      'late',
      'applied',
    ]);
  });
}

function lateTests(each: Each): void {
  each('a write request below the floor with nothing newer stored is late and is not applied', async ({ store, reopen }) => {
    await apply(store, [write(2_000, ['DEL', 'k'], ['HSET', 'h', 'f', 'v'])]);
    await sweep(store, FLOOR);
    const late = [
      write(1_000, ['SET', 'k', 'old']),
      write(1_001, ['INCR', 'n']),
      write(1_002, ['DEL', 'other']),
      write(1_003, ['PEXPIREAT', 'h', 20_000]),
      write(1_004, ['HDEL', 'h', 'g']),
    ];
    assert.deepEqual(
      await apply(store, late),
      late.map(() => 'late'),
    );
    assert.deepEqual(
      await apply(await reopen(), late),
      late.map(() => 'late'),
      'the floor is remembered',
    );
  });
  each('below the floor a write request of another type is late, or superseded, and changes nothing', async ({ store }) => {
    await apply(store, [write(1_000, ['HSET', 'h', 'a', '1']), write(3_000, ['HSET', 'h', 'b', '2'])]);
    await sweep(store, FLOOR);
    assert.deepEqual(await apply(store, [write(4_000, ['SADD', 'h', 'm']), write(2_000, ['SADD', 'h', 'm'])]), ['late', 'superseded']);
    assert.deepEqual(await value(store, 'h'), {
      type: 'hash',
      fields: [
        ['a', '1'],
        ['b', '2'],
      ],
    });
  });
  each('below the floor what is stored is a duplicate and what has been overtaken is superseded', async ({ store }) => {
    const first = [write(1_000, ['SET', 's', 'v']), write(1_001, ['HSET', 'h', 'f', 'v']), write(1_002, ['INCR', 'n'])];
    await apply(store, [...first, write(6_000, ['SET', 'r', 'new'])]);
    await sweep(store, FLOOR);
    assert.deepEqual(await apply(store, [...first, write(1_003, ['SET', 'r', 'old'])]), [
      'duplicate',
      'duplicate',
      'duplicate',
      'superseded',
    ]);
    assert.deepEqual(await value(store, 'n'), { type: 'string', value: '1' });
  });
}

function lateTimelineTests(each: Each): void {
  each('below the floor a timeline member is late, or superseded where the timeline has no room for it', async ({ store }) => {
    await apply(store, [write(2_000, ['WMB.TIMELINE', 't', 2, 'a']), write(3_000, ['WMB.TIMELINE', 't', 2, 'b'])]);
    await sweep(store, FLOOR);
    assert.deepEqual(await apply(store, [write(2_500, ['WMB.TIMELINE', 't', 2, 'c']), write(1_000, ['WMB.TIMELINE', 't', 2, 'd'])]), [
      'late',
      'superseded',
    ]);
    assert.deepEqual(await value(store, 't'), {
      type: 'zset',
      members: [
        ['a', 2_000],
        ['b', 3_000],
      ],
    });
  });
}
