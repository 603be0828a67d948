import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatStamp, versionOf } from '../../core/stamp.ts';
import { formatPosition } from '../../core/words.ts';
import type { Drift } from '../drift.ts';
import { START_MS, type TestWrite, World } from '../rooms-kit.ts';

const set = (key: string, value: string, ...more: (string | number)[]): TestWrite => ({
  id: `set ${key}`,
  commands: [['SET', key, value, ...more]],
});

/** What matters of a drift at a glance. */
function gist(drift: Drift | undefined): readonly string[] {
  return drift === undefined ? [] : [drift.level, drift.kind, drift.wrong, drift.cause, drift.repair.action];
}

async function explained(world: World, key: string, own = 'beijing', peer = 'guangzhou'): Promise<Drift> {
  const drift = await world.checker(own, peer).key(key);
  assert.ok(drift, `${key} is a drift`);
  return drift;
}

/** Each type: a first write request, and one on top of it that one room loses. `element` names what differs. */
const TYPES: readonly (readonly [
  type: string,
  first: TestWrite['commands'],
  then: TestWrite['commands'],
  added: TestWrite['commands'],
  removed: TestWrite['commands'],
  diff: readonly [string, string],
])[] = [
  ['string', [['SET', 'k', 'old']], [['SET', 'k', 'new']], [['SET', 'k', 'new']], [['DEL', 'k']], ['- k = old', '+ k = new']],
  [
    'hash field',
    [['HSET', 'k', 'f', 'old', 'g', '1']],
    [['HSET', 'k', 'f', 'new']],
    [['HSET', 'k', 'f', 'new']],
    [['HDEL', 'k', 'f']],
    ['- k.f = old', '+ k.f = new'],
  ],
  [
    'zset member',
    [['ZADD', 'k', 1, 'f', 1, 'g']],
    [['ZADD', 'k', 2, 'f']],
    [['ZADD', 'k', 2, 'f']],
    [['ZREM', 'k', 'f']],
    ['- k.f = 1', '+ k.f = 2'],
  ],
];

for (const [type, first, then, added, removed, diff] of TYPES) {
  describe(type, () => {
    test('an older version that stayed in one room is stale, and its own effect is resent', async () => {
      const world = new World();
      await world.write('beijing', [{ id: 'one', commands: first }]);
      await world.write('beijing', [{ id: 'two', commands: then }], { guangzhou: 'lose' });
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift), ['L2', 'stale', 'guangzhou', 'missed-apply', 'resend']);
      assert.deepEqual(drift.repair.diff, diff);
      assert.equal(drift.write?.requestId, 'two');
    });

    test('what was added and is missing in one room is missing, with other effects of the frame as witnesses', async () => {
      const world = new World();
      await world.write('guangzhou', [{ id: 'one', commands: added }, set('w1', 'x'), set('w2', 'x')], { beijing: 'lose' });
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift), ['L2', 'missing', 'beijing', 'missed-apply', 'resend']);
      assert.match(drift.causeText, /2 other effects of the same frame are missing there as well: its effects were lost$/);
    });

    test('what was removed and is shown in one room still is extra, also when the other has forgotten the removal', async () => {
      for (const forgotten of [false, true]) {
        const world = new World();
        await world.write('beijing', [{ id: 'one', commands: first }]);
        await world.write('beijing', [{ id: 'two', commands: removed }], { guangzhou: 'lose' });
        if (forgotten) for (const room of world.rooms.values()) await room.settle();
        const drift = await explained(world, 'k');
        assert.deepEqual(gist(drift).slice(0, 3), ['L2', 'extra', 'guangzhou'], drift.why);
        assert.equal(drift.write?.requestId, 'two');
      }
    });

    test('a value changed in the store, at its own version, is the side whose value the write request did not set', async () => {
      const world = new World();
      await world.write('beijing', [{ id: 'one', commands: first }]);
      world.room('beijing').overwrite('k', type === 'string' ? '' : 'f', type === 'zset member' ? 99 : 'evil');
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift), ['L3', 'value', 'beijing', 'behind-back', 'push']);
    });

    test('one whose version is lost is wrong', async () => {
      const world = new World();
      await world.write('beijing', [{ id: 'one', commands: first }]);
      world.room('guangzhou').overwrite('k', type === 'string' ? '' : 'f', type === 'zset member' ? 1 : 'old', '');
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift), ['L2', 'stale', 'guangzhou', 'behind-back', 'push'], drift.why);
      assert.match(drift.why, /it has lost its version/);
    });
  });
}

test('a set member: missing, extra', async () => {
  const world = new World();
  await world.write('beijing', [{ id: 'one', commands: [['SADD', 'k', 'a', 'b']] }]);
  await world.write('beijing', [{ id: 'two', commands: [['SADD', 'k', 'c']] }, set('w', '1')], { guangzhou: 'lose' });
  const drift = await explained(world, 'k');
  assert.deepEqual(gist(drift), ['L2', 'missing', 'guangzhou', 'missed-apply', 'resend']);
  assert.deepEqual(drift.repair.diff, ['- k.c = (nothing)', '+ k.c = (member)']);
  assert.match(drift.why, /^guangzhou shows no member `c` of k; write request two \(beijing\/0@.*:1\.0\) added it at 20:15:44\.120$/);
});

test('a set member that was removed is extra where it is shown still', async () => {
  const world = new World();
  await world.write('beijing', [{ id: 'one', commands: [['SADD', 'k', 'a', 'b']] }]);
  await world.write('guangzhou', [{ id: 'two', commands: [['SREM', 'k', 'a']] }], { beijing: 'lose' });
  for (const room of world.rooms.values()) await room.settle();
  const drift = await explained(world, 'k');
  assert.deepEqual(gist(drift).slice(0, 3), ['L2', 'extra', 'beijing']);
  assert.deepEqual(drift.repair.diff, ['- k.a = (member)', '+ k.a = (nothing)']);
});

test('a timeline member that is missing is judged; one that it pushes out follows from it', async () => {
  const world = new World();
  for (const member of ['a', 'b']) await world.write('beijing', [{ id: member, commands: [['WMB.TIMELINE', 'k', 2, member]] }]);
  await world.write('beijing', [{ id: 'c', commands: [['WMB.TIMELINE', 'k', 2, 'c']] }, set('w', '1')], { guangzhou: 'lose' });
  const drift = await explained(world, 'k');
  assert.deepEqual(gist(drift), ['L2', 'missing', 'guangzhou', 'missed-apply', 'resend'], drift.why);
  assert.match(drift.why, /guangzhou shows no member `c` of k; write request c /);
  assert.deepEqual(drift.repair.diff, ['- k.a = (member)', '+ k.a = (nothing)', '- k.c = (nothing)', '+ k.c = (member)']);
  assert.doesNotMatch(drift.why, /wrong in beijing/);
});

describe('a counter', () => {
  const incr = (id: string): TestWrite => ({ id, commands: [['INCRBY', 'n', 5]] });

  test('an increment that one room lost is resent while increments are kept apart', async () => {
    const world = new World();
    await world.write('beijing', [incr('one')]);
    await world.write('beijing', [incr('two')], { guangzhou: 'lose' });
    await world.write('beijing', [incr('three')]);
    const drift = await explained(world, 'n');
    assert.deepEqual(gist(drift), ['L3', 'value', 'guangzhou', 'missed-apply', 'resend'], drift.why);
    assert.match(drift.why, /guangzhou shows n as 10 and lacks 1 increment of it; write request two .* added 5 to it/);
    assert.deepEqual(drift.repair.diff, ['- n = 10', '+ n = 15']);
  });

  test('a folded sum that was changed is decided by evidence, then by a third room, and otherwise cannot be told', async () => {
    for (const decided of ['evidence', 'third', 'none']) {
      const world = new World(decided === 'third' ? ['beijing', 'guangzhou', 'shanghai'] : undefined);
      await world.write('beijing', [incr('one'), { id: 'x', commands: [['INCRBY', 'n', 1]] }]);
      for (const room of world.rooms.values()) await room.settle();
      world.room('guangzhou').overwrite('n', '', '999');
      if (decided === 'evidence') world.room('guangzhou').changedBehindMs.set('n', START_MS + 50);
      const drift = await explained(world, 'n');
      assert.deepEqual(gist(drift).slice(0, 3), ['L3', 'value', decided === 'none' ? '' : 'guangzhou'], drift.why);
      if (decided === 'evidence') assert.match(drift.why, /was seen to change at 2026-11-22 20:15:44\.050 without a write request/);
      if (decided === 'third') assert.match(drift.why, /while shanghai agrees with beijing/);
      if (decided !== 'none') continue;
      assert.match(drift.why, /which is right cannot be told: .*it is a sum/);
      assert.equal(drift.repair.command, `wmb repair ${drift.id} --from ROOM --apply`);
      assert.match(drift.repair.text, /--from beijing --apply` or `wmb repair [0-9a-f]{8} --from guangzhou/);
    }
  });
});

describe('an expiry', () => {
  test('that one room did not get is stale there', async () => {
    const world = new World();
    await world.write('beijing', [{ id: 'one', commands: [['HSET', 'k', 'f', '1']] }]);
    await world.write('beijing', [{ id: 'two', commands: [['EXPIRE', 'k', 3600]] }], { guangzhou: 'lose' });
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift), ['L2', 'stale', 'guangzhou', 'missed-apply', 'resend'], drift.why);
    assert.deepEqual(drift.repair.diff, ['- k expires never', '+ k expires at 2026-11-22 21:15:44.120']);
    assert.match(drift.why, /guangzhou shows no expiry for k; write request two .* gave it the expiry 21:15:44\.120/);
  });

  test('that was changed in the store is told by the write request that gave it', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v', 'EX', 3600)]);
    const cell = world.room('guangzhou').cache.cell('k');
    assert.ok(cell);
    cell.head.expireAtMs = START_MS + 50_000;
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift).slice(0, 4), ['L3', 'value', 'guangzhou', 'behind-back'], drift.why);
  });
});

describe('which side is wrong when the source does not say', () => {
  const forged = (ms: number, writer = 0x01000001) => versionOf(formatStamp({ ms, counter: 7, writer }), 0);
  const tampered = (version: string) => ({ op: 'set', key: 'k', version, value: 'evil', expireAtMs: 0 }) as const;

  test('no write request has the stamp although the log reaches back: who shows it is wrong', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v')]);
    await world.write('beijing', [set('other', 'v')], {}, 1);
    await world.room('guangzhou').tamper(tampered(forged(START_MS + 150)));
    await world.pass(1_000);
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift), ['L2', 'extra', 'guangzhou', 'behind-back', 'push']);
    assert.match(
      drift.why,
      /^guangzhou shows k as evil, which no write request made: the write log of beijing goes back to .*, and no write request in it is stamped 2026-11-22 20:15:44\.150/,
    );
    assert.deepEqual(drift.repair.diff, ['- k = evil', '+ k = v']);
  });

  test('a key that only one room has and no write request made is extra', async () => {
    const world = new World();
    await world.write('beijing', [set('other', 'v')]);
    await world.room('beijing').tamper(tampered(forged(START_MS + 105)));
    await world.pass(1_000);
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift), ['L2', 'extra', 'beijing', 'behind-back', 'push']);
    assert.deepEqual(drift.repair.diff, ['- k = evil', '+ k = (nothing)']);
  });

  const OTHERWISE: readonly (readonly [how: string, hide: (world: World) => void, says: RegExp])[] = [
    [
      'the log does not reach back',
      (world) => (world.room('beijing').logFrom = 'f'),
      /the write log of beijing has nothing stamped .* any more/,
    ],
    [
      'the origin is silent',
      (world) => (world.room('beijing').before = silentFor('findWrites')),
      /the write log of beijing cannot be asked: beijing does not answer/,
    ],
  ];
  for (const [how, hide, says] of OTHERWISE) {
    test(`${how}: the greater version is taken as right, and why is said`, async () => {
      const world = await stale();
      hide(world);
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift), ['L2', 'stale', 'guangzhou', 'unknown', 'push']);
      assert.match(drift.why, says);
      assert.match(drift.why, /beijing k as new, which is newer and is therefore taken as right/);
    });

    test(`${how}: evidence decides before the version does`, async () => {
      const world = await stale();
      hide(world);
      world.room('beijing').changedBehindMs.set('k', START_MS + 99);
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift), ['L2', 'extra', 'beijing', 'behind-back', 'push']);
      assert.match(drift.why, /what is stored there was seen to change at 2026-11-22 20:15:44\.099 without a write request/);
    });

    test(`${how}: a third room decides before the version does`, async () => {
      const world = await stale(['beijing', 'guangzhou', 'shanghai'], { guangzhou: 'lose', shanghai: 'lose' });
      hide(world);
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift).slice(0, 3), ['L2', 'extra', 'beijing']);
      assert.match(drift.why, /while shanghai agrees with guangzhou/);
    });
  }

  test('a version of a room that the topology does not have wins nothing by being greater', async () => {
    const world = await stale();
    await world.room('beijing').tamper(tampered(forged(START_MS + 200, 0x09000001)));
    await world.pass(1_000);
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, '', drift.why);
    assert.match(drift.why, /room number 9, which is not in the topology/);
  });

  test('both rooms changed: neither shows what the write request made', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v')]);
    world.room('beijing').overwrite('k', '', 'x');
    world.room('guangzhou').overwrite('k', '', 'y');
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift).slice(0, 3), ['L3', 'value', '']);
    assert.match(drift.why, /neither room shows what write request set k .* set it to v/);
  });

  test('a processor that answers otherwise than it did then proves nothing', async () => {
    const world = await stale();
    world.room('beijing').derive = (write) => ({ stamp: write.stamp, effects: [], error: '' });
    const drift = await explained(world, 'k');
    assert.match(drift.why, /has its stamp, but does not touch this key as the processors are now/);
    assert.equal(drift.wrong, 'guangzhou');
  });
});

async function stale(rooms?: readonly string[], faults: Record<string, 'lose'> = { guangzhou: 'lose' }): Promise<World> {
  const world = new World(rooms);
  await world.write('beijing', [set('k', 'old')]);
  await world.write('beijing', [set('k', 'new')], faults);
  return world;
}

function silentFor(what: string) {
  return (asked: string) => {
    if (asked === what) throw new Error('beijing does not answer');
  };
}

describe('what happened on the wrong side', () => {
  test('evidence there, and a receipt that says applied: it was changed behind WMB’s back', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v')]);
    world.room('guangzhou').wipe('k');
    world.room('guangzhou').changedBehindMs.set('k', START_MS + 123);
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift), ['L2', 'missing', 'guangzhou', 'behind-back', 'push']);
    assert.match(
      drift.causeText,
      /^guangzhou's receipt says applied at 20:15:44\.088, and what is stored in guangzhou was seen to change at 2026-11-22 20:15:44\.123 without a write request/,
    );
  });

  test('other effects of its frame are there: it was applied, and changed afterwards', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v'), set('w', '1')]);
    world.room('guangzhou').wipe('k');
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift), ['L2', 'missing', 'guangzhou', 'behind-back', 'push'], drift.why);
    assert.match(drift.causeText, /1 other effect of the same frame is there: it was applied, and the key was changed afterwards/);
  });

  test('nothing to judge by: it is said that it cannot be told', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v')], { guangzhou: 'lose' });
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift), ['L2', 'missing', 'guangzhou', 'unknown', 'push']);
    assert.match(
      drift.causeText,
      /its frame has no other effects to judge by, so it was either never applied there \(missed apply\), or deleted in the store since/,
    );
  });

  test('given up there', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v')], { guangzhou: 'rejected' });
    assert.deepEqual(gist(await explained(world, 'k')), ['L2', 'missing', 'guangzhou', 'given-up', 'push']);
  });

  test('parked there: the parked write request is the drift, and names the key', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [set('k', 'v')], { guangzhou: 'parked' });
    assert.ok(found);
    const checker = world.checker('beijing', 'guangzhou');
    assert.equal(await checker.key('k'), undefined);
    const drift = await checker.receipt(found.position);
    assert.deepEqual(gist(drift), ['L1', 'parked', 'guangzhou', 'parked', 'retry']);
    assert.match(drift?.why ?? '', /waits in the parking lot of guangzhou; beijing's receipt says applied at .*; it would change k$/);
    assert.equal(drift?.repair.command, `wmb repair ${drift?.id} --apply`);
  });

  test('of a kind that is not for one of the rooms: no drift', async () => {
    const world = new World(undefined, { local: { rooms: ['beijing'], onFailure: 'park' } });
    await world.write('beijing', [{ ...set('k', 'v'), kind: 'local' }], { guangzhou: 'lose' });
    assert.equal(await world.checker('beijing', 'guangzhou').key('k'), undefined);
  });

  test('elements that are wrong on either side: one side is reported, the other after it', async () => {
    const world = new World();
    await world.write('beijing', [{ id: 'one', commands: [['HSET', 'k', 'a', '1']] }, set('w', '1')], { guangzhou: 'lose' });
    await world.write('beijing', [{ id: 'two', commands: [['HSET', 'k', 'b', '1']] }, set('w2', '1')], { beijing: 'lose' });
    for (const [own, peer] of [
      ['beijing', 'guangzhou'],
      ['guangzhou', 'beijing'],
    ] as const) {
      const drift = await explained(world, 'k', own, peer);
      assert.equal(drift.wrong, 'beijing');
      assert.match(drift.why, /1 part is wrong in guangzhou and will be reported when this is put right/);
    }
  });
});

describe('receipts that differ', () => {
  test('given up in one room, applied in the other: lost, with what is missing and a resend', async () => {
    const world = new World();
    const [found] = await world.write(
      'beijing',
      [
        {
          id: 'w',
          commands: [
            ['SET', 'a', '1'],
            ['HSET', 'h', 'f', '2'],
          ],
        },
      ],
      { guangzhou: 'rejected' },
    );
    assert.ok(found);
    const drift = await world.checker('guangzhou', 'beijing').receipt(found.position);
    assert.deepEqual(gist(drift), ['L1', 'lost', 'guangzhou', 'given-up', 'resend']);
    assert.deepEqual(drift?.repair.diff, ['- a = (nothing)', '+ a = 1', '- h.f = (nothing)', '+ h.f = 2']);
    assert.match(
      drift?.why ?? '',
      /beijing applied write request w .*, and guangzhou never did: .* 2 effects of it are missing there, on a, h$/,
    );
  });

  test('no receipt below the mark: lost, cause unknown', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [set('a', '1')], { guangzhou: 'none' });
    assert.ok(found);
    world.room('guangzhou').wipe('a');
    const drift = await world.checker('guangzhou', 'beijing').receipt(found.position);
    assert.deepEqual(gist(drift), ['L1', 'lost', 'guangzhou', 'unknown', 'resend']);
  });

  test('nothing of it is missing any more: no drift', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [set('a', '1')], { guangzhou: 'rejected' });
    await world.write('beijing', [set('a', '2')]);
    assert.ok(found);
    assert.equal(await world.checker('guangzhou', 'beijing').receipt(found.position), undefined);
  });

  test('a duplicate in one room: the request id tells who is wrong, and nothing is repaired by itself', async () => {
    for (const again of [false, true]) {
      const world = new World();
      if (again) await world.write('beijing', [set('a', '1')]);
      const [found] = await world.write('beijing', [set('a', '1')], { guangzhou: 'duplicate' });
      assert.ok(found);
      const drift = await world.checker('beijing', 'guangzhou').receipt(found.position);
      assert.deepEqual(gist(drift), ['L1', 'duplicated', again ? 'beijing' : 'guangzhou', 'duplicate-window', 'none']);
    }
  });

  test('parked in both rooms: each checker reports its own, both sides show it', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [{ ...set('a', '1'), kind: 'poison' }], { beijing: 'parked', guangzhou: 'parked' });
    assert.ok(found);
    const here = await world.checker('beijing', 'guangzhou').receipt(found.position);
    const there = await world.checker('guangzhou', 'beijing').receipt(found.position);
    assert.deepEqual([here?.wrong, there?.wrong], ['beijing', 'guangzhou']);
    assert.equal(here?.id, there?.id);
    assert.deepEqual(
      here?.sides.map(({ room, shows }) => `${room} ${shows}`),
      [
        'beijing parked: PROCESSOR_FAILED, since 20:15:44.088, tried 1 time',
        'guangzhou parked: PROCESSOR_FAILED, since 20:15:44.088, tried 1 time',
      ],
    );
  });
});

test('both rooms’ checkers say the same of a drift', async () => {
  const world = await stale();
  const [here, there] = [await explained(world, 'k'), await explained(world, 'k', 'guangzhou', 'beijing')];
  assert.deepEqual(here, there);
});

test('the timeline tells every room’s receipt, and of rooms that cannot say so, why', async () => {
  const world = new World(['beijing', 'guangzhou', 'shanghai', 'lhasa', 'xian']);
  world.room('lhasa').receipts.change({ log: 'writes', origin: 'beijing', partition: 0, epoch: 'e0e0e0e0e0e0e0e0' }, {});
  const [found] = await world.write('beijing', [set('k', 'v')], { guangzhou: 'parked' });
  assert.ok(found);
  world.room('shanghai').receipts.silent = true;
  const lane = world.room('lhasa').receipts.lane(found.position);
  lane.frames.clear();
  lane.place = { ...lane.place, mark: -1, state: 'paused', reason: 'by an operator', lagWrites: 1 };
  const checker = world.checker('beijing', 'guangzhou');
  checker.absent.add('xian');
  const { hops, position } = await checker.explainer.timeline(found);
  assert.equal(position, formatPosition(found.position));
  assert.deepEqual(
    hops.map(({ room, what, atMs, detail }) => `${room} ${what} ${atMs === 0 ? '-' : atMs - START_MS} ${detail}`),
    [
      `beijing stamped 10 ${found.write.stamp}`,
      `beijing logged - ${position}`,
      'beijing applied 88 78 ms after the stamp',
      'guangzhou parked 88 PROCESSOR_FAILED, tried 1 time',
      'shanghai unknown - shanghai does not answer',
      'lhasa waiting - the mark of its lane is -1, with 1 write requests to come; the link is paused: by an operator',
      'xian unknown - the room has no checker',
    ],
  );
});

test('an alarm names what to do', async () => {
  const checker = new World().checker('guangzhou', 'beijing');
  const text = 'nothing stamped by beijing within the last 62 s has come through lane beijing/3, not even a canary; its link is paused';
  const drift = checker.explainer.alarm({ lane: 'beijing/3', origin: 'beijing', level: 'L0', text, sinceMs: START_MS - 62_000 }, 'beijing');
  assert.deepEqual(gist(drift), ['L0', 'stuck', '', 'path', 'none']);
  assert.equal(drift.repair.text, 'it was paused by an operator: `wmb link resume beijing guangzhou` lets it go on');
  assert.deepEqual(
    drift.sides.map(({ room }) => room),
    ['beijing', 'guangzhou'],
  );
});

test('values are shortened, and what does not print is escaped', async () => {
  const world = new World();
  await world.write('beijing', [set('k', 'old')]);
  await world.write('beijing', [set('k', `line\nbreak\u001b[31m${'x'.repeat(200)}`)], { guangzhou: 'lose' });
  const drift = await explained(world, 'k');
  const [, line] = drift.repair.diff;
  assert.match(line ?? '', /^\+ k = line\\nbreak\\u\{1b\}\[31mx+…$/);
  assert.ok((line ?? '').length < 110);
  assert.ok(drift.why.length < 400);
});
