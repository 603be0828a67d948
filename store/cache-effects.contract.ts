/** The part of the cache contract that is about single effects: values and outcomes. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { CacheValue } from '../core/converge/effects.ts';
import { apply, type Commands, type Each, NOW, scan, stamp, value, write } from './cache-kit.ts';

export function effectContract(each: Each): void {
  describe('effects', () => effectTests(each));
  describe('outcomes', () => {
    outcomeTests(each);
    tieTests(each);
  });
}

/** Commands of one write request each, and what is visible afterwards. */
const VALUES: readonly (readonly [title: string, writes: readonly Commands[], expected: CacheValue | undefined])[] = [
  ['a string is set', [[['SET', 'k', 'v']]], { type: 'string', value: 'v' }],
  ['an empty string is a value', [[['SET', 'k', '']]], { type: 'string', value: '' }],
  [
    'text keeps its zero bytes, its accents and its emoji',
    [[['HSET', 'k', 'a\0é😀', 'b\0é😀']]],
    { type: 'hash', fields: [['a\0é😀', 'b\0é😀']] },
  ],
  ['a deleted key is gone', [[['SET', 'k', 'v']], [['DEL', 'k']]], undefined],
  [
    'the commands of one write request work in their order',
    [
      [
        ['SET', 'k', 'v'],
        ['DEL', 'k'],
        ['HSET', 'k', 'f', 'w'],
      ],
    ],
    { type: 'hash', fields: [['f', 'w']] },
  ],
  [
    'hash fields come sorted and removed ones are gone',
    [[['HSET', 'k', 'b', '2', 'a', '1', 'c', '3']], [['HDEL', 'k', 'c']]],
    {
      type: 'hash',
      fields: [
        ['a', '1'],
        ['b', '2'],
      ],
    },
  ],
  ['a hash without fields is gone', [[['HSET', 'k', 'b', '2']], [['HDEL', 'k', 'b']]], undefined],
  ['fields may be empty and hold nothing', [[['HSET', 'k', '', '']]], { type: 'hash', fields: [['', '']] }],
  [
    'set members come in the order of their UTF-8 bytes',
    [[['SADD', 'k', '😀', '\uffee', 'b', 'a']], [['SREM', 'k', 'b']]],
    { type: 'set', members: ['a', '\uffee', '😀'] },
  ],
  [
    'zset members come by score, then by member',
    [[['ZADD', 'k', 2, 'b', '-inf', 'z', 2, 'a', '1.5', 'c', 1, 'd']], [['ZREM', 'k', 'd']]],
    {
      type: 'zset',
      members: [
        ['z', -Infinity],
        ['c', 1.5],
        ['a', 2],
        ['b', 2],
      ],
    },
  ],
  ['a counter starts at nothing', [[['INCR', 'k']], [['INCRBY', 'k', '41']]], { type: 'string', value: '42' }],
  ['a counter counts from what was set', [[['SET', 'k', '5']], [['DECR', 'k']], [['DECRBY', 'k', 10]]], { type: 'string', value: '-6' }],
  ['text counts as 0 under increments', [[['SET', 'k', 'many']], [['INCR', 'k']]], { type: 'string', value: '1' }],
  [
    'counters are exact beyond 2^53 and beyond 64 bits',
    [[['SET', 'k', '9223372036854775807']], [['INCR', 'k']]],
    { type: 'string', value: '9223372036854775808' },
  ],
  ['a set starts a counter anew', [[['INCRBY', 'k', 7]], [['SET', 'k', '1']], [['INCR', 'k']]], { type: 'string', value: '2' }],
  [
    'a hash field counts',
    [[['HSET', 'k', 'f', '5']], [['HINCRBY', 'k', 'f', -2]], [['HINCRBY', 'k', 'g', 1]]],
    {
      type: 'hash',
      fields: [
        ['f', '3'],
        ['g', '1'],
      ],
    },
  ],
  [
    'a removed hash field counts from nothing',
    [[['HINCRBY', 'k', 'f', 5]], [['HDEL', 'k', 'f']], [['HINCRBY', 'k', 'f', 1]]],
    { type: 'hash', fields: [['f', '1']] },
  ],
  ['a score counts', [[['ZADD', 'k', '0.1', 'm']], [['ZINCRBY', 'k', '0.2', 'm']]], { type: 'zset', members: [['m', 0.1 + 0.2]] }],
  [
    'a timeline keeps the newest members',
    [[['WMB.TIMELINE', 'k', 2, 'a']], [['WMB.TIMELINE', 'k', 2, 'b']], [['WMB.TIMELINE', 'k', 2, 'c']]],
    {
      type: 'zset',
      members: [
        ['b', 1_001],
        ['c', 1_002],
      ],
    },
  ],
  [
    'a timeline member added again becomes the newest',
    [[['WMB.TIMELINE', 'k', 2, 'a']], [['WMB.TIMELINE', 'k', 2, 'b']], [['WMB.TIMELINE', 'k', 2, 'a']]],
    {
      type: 'zset',
      members: [
        ['b', 1_001],
        ['a', 1_002],
      ],
    },
  ],
  [
    'another type replaces the key',
    [[['SET', 'k', 'v']], [['HSET', 'k', 'f', 'w']], [['SADD', 'k', 'm']]],
    { type: 'set', members: ['m'] },
  ],
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
      const [other, reversed] = [
        await reopen(),
        [...batch].reverse().map((effects) => effects.map((effect) => ({ ...effect, key: `${effect.key}2` }))),
      ];
      assert.deepEqual(await value(other, 'k'), expected, 'it is still there after opening again');
      for (const effects of reversed) await apply(other, [effects]);
      assert.deepEqual(await value(other, 'k2'), expected, 'the opposite order gives the same');
    });
  }
  each('a timeline of a thousand adds holds its cap', async ({ store }) => {
    for (let from = 0; from < 1_000; from += 100) {
      await apply(
        store,
        Array.from({ length: 100 }, (_, index) => write(1_000 + from + index, ['WMB.TIMELINE', 't', 50, `m${from + index}`])),
      );
    }
    const timeline = await value(store, 't');
    assert.ok(timeline?.type === 'zset');
    assert.deepEqual(
      timeline.members.map(([member]) => member),
      Array.from({ length: 50 }, (_, index) => `m${950 + index}`),
    );
  });
  each('an entry names the version that its value depends on', async ({ store }) => {
    await apply(store, [
      write(1_000, ['HSET', 'k', 'a', '1', 'b', '2']),
      write(1_001, ['HDEL', 'k', 'b']),
      write(1_002, ['INCR', 'n']),
      write(1_001, ['INCR', 'n']),
    ]);
    assert.equal((await store.get('k', NOW))?.version, `${stamp(1_000)}0000`);
    assert.equal((await store.get('n', NOW))?.version, `${stamp(1_002)}0000`);
  });
}

function outcomeTests(each: Each): void {
  each('a write request is applied once and a duplicate afterwards', async ({ store }) => {
    const batch = [
      write(1_000, ['SET', 's', 'v']),
      write(1_001, ['HSET', 'h', 'f', 'v', 'g', 'w']),
      write(1_002, ['SADD', 'm', 'a']),
      write(1_003, ['ZADD', 'z', 1, 'a']),
      write(1_004, ['INCR', 'n']),
      write(1_005, ['HINCRBY', 'c', 'f', 1]),
      write(1_006, ['ZINCRBY', 'y', 1, 'a']),
      write(1_007, ['WMB.TIMELINE', 't', 3, 'a']),
      write(1_008, ['DEL', 'd']),
      write(1_009, ['PEXPIREAT', 's', 20_000]),
      write(1_010, ['HDEL', 'r', 'f']),
    ];
    assert.deepEqual(
      await apply(store, batch),
      batch.map(() => 'applied'),
    );
    assert.deepEqual(
      await apply(store, batch),
      batch.map(() => 'duplicate'),
    );
  });
  each('an older write request is superseded', async ({ store }) => {
    await apply(store, [write(2_000, ['SET', 's', 'new'], ['HDEL', 'h', 'f'], ['DEL', 'd'], ['SADD', 't', 'm'], ['PERSIST', 'e'])]);
    const older = [
      write(1_000, ['SET', 's', 'old']),
      write(1_001, ['INCR', 's']),
      write(1_002, ['HSET', 'h', 'f', 'old']),
      write(1_003, ['HINCRBY', 'h', 'f', 1]),
      write(1_004, ['SADD', 'd', 'm']),
      write(1_005, ['SET', 't', 'old type']),
      write(1_006, ['PEXPIREAT', 'e', 20_000]),
    ];
    assert.deepEqual(
      await apply(store, older),
      older.map(() => 'superseded'),
    );
    assert.deepEqual(
      (await scan(store, '')).map(({ key }) => key),
      ['s', 't'],
    );
  });
  each('one effect that counts makes a write request applied, and none makes it applied too', async ({ store }) => {
    await apply(store, [write(2_000, ['SET', 'a', 'new'])]);
    assert.deepEqual(await apply(store, [write(1_000, ['SET', 'a', 'old'], ['SET', 'b', 'old']), []]), ['applied', 'applied']);
    assert.deepEqual(await value(store, 'a'), { type: 'string', value: 'new' });
  });
}

function tieTests(each: Each): void {
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
