import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { START_MS, type TestWrite, World } from '../rooms-kit.ts';
import { explained, gist, set } from './explain-kit.ts';

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

test('the expiry of a timeline is no member that newer ones push out: lost it is judged, parked it is no drift of the key', async () => {
  for (const fault of ['lose', 'parked'] as const) {
    const world = new World();
    await world.write('beijing', [{ id: 'a', commands: [['WMB.TIMELINE', 'k', 2, 'a']] }]);
    await world.write('beijing', [{ id: 'e', commands: [['PEXPIREAT', 'k', START_MS + 200]] }], { guangzhou: fault });
    await world.runtime.advance(1_000);
    const drift = await world.checker('beijing', 'guangzhou').key('k');
    if (fault === 'parked') assert.equal(drift, undefined, drift?.why);
    else assert.deepEqual(gist(drift), ['L2', 'stale', 'guangzhou', 'missed-apply', 'resend'], drift?.why);
  }
});

test('an expiry that was killed by what the other room has not: parked there it is no drift, lost there that room is wrong', async () => {
  for (const [killer, name] of [
    [['DEL', 'k'], 'DEL'],
    [['ZADD', 'k', 1, 'm'], 'ZADD'],
  ] as const) {
    for (const fault of ['parked', 'lose'] as const) {
      const world = new World();
      await world.write('beijing', [{ id: 'a', commands: [['HSET', 'k', 'f', '1']] }]);
      await world.write('guangzhou', [{ id: 'e', commands: [['PEXPIREAT', 'k', START_MS + 1_500]] }]);
      await world.write('beijing', [{ id: 'z', commands: [killer] }], { guangzhou: fault });
      await world.write('beijing', [{ id: 'h', commands: [['HSET', 'k', 'b', '2']] }], { guangzhou: fault });
      await world.runtime.advance(5_000);
      const drift = await world.checker('beijing', 'guangzhou').key('k');
      if (fault === 'parked') assert.equal(drift, undefined, `${name}: ${drift?.why}`);
      else
        assert.deepEqual(
          [drift?.wrong, drift?.cause, drift?.write?.requestId],
          ['guangzhou', 'missed-apply', 'z'],
          `${name}: ${drift?.why}`,
        );
    }
  }
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
      const [first] = await world.write('beijing', [set('other', 'v')]);
      await world.write('beijing', [incr('one'), { id: 'x', commands: [['INCRBY', 'n', 1]] }]);
      for (const room of world.rooms.values()) {
        await room.settle();
        // Nobody can tell any more whether there was something before.
        if (first !== undefined) room.receipts.lane(first.position).frames.delete(first.position.seq);
      }
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

  test('evidence of another key of its bucket is no evidence where the whole frame is missing; evidence of the whole frame is', async () => {
    for (const changed of [['k'], ['k', 'w']]) {
      const world = new World();
      await world.write('beijing', [set('k', 'v'), set('w', '1')], { guangzhou: 'lose' });
      for (const key of changed) world.room('guangzhou').changedBehindMs.set(key, START_MS + 123);
      assert.equal((await explained(world, 'k')).cause, changed.length === 1 ? 'missed-apply' : 'behind-back');
    }
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
