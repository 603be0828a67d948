import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatStamp, versionOf } from '../../core/stamp.ts';
import { START_MS, type TestChecker, World } from '../rooms-kit.ts';
import type { RepairStep } from './repairer.ts';
import { audits, lossy, once, results, run, set, settled, value } from './repairer-kit.ts';

describe('a repair', () => {
  test('is a dry run unless it is told to apply: it says what it would change, and changes nothing', async () => {
    const { world, checker } = await lossy('k');
    const [step] = await run(checker, { apply: false });
    assert.deepEqual(
      [step?.result, step?.action, step?.diff, step?.done, step?.total],
      ['planned', 'resend', ['- k = old', '+ k = new'], 1, 1],
    );
    assert.deepEqual(await value(world, 'guangzhou', 'k'), { type: 'string', value: 'old' });
    assert.deepEqual(await audits(checker), []);
    assert.equal((await checker.book.counts()).open, 1);
  });

  test('that is applied is audited, verified and closes the drift', async () => {
    const { world, checker } = await lossy('k');
    const [step] = await run(checker);
    assert.equal(step?.result, 'repaired');
    assert.match(step?.detail ?? '', /verified: both rooms show the same$/);
    assert.deepEqual(await world.room('guangzhou').cache.get('k', START_MS), await world.room('beijing').cache.get('k', START_MS));
    assert.deepEqual(await audits(checker), ['resend repaired tester']);
    const [drift] = await checker.book.list({ status: 'all', limit: 1 });
    assert.deepEqual([drift?.status, drift?.closedMs !== 0, drift?.note], ['repaired', true, step?.detail]);
    assert.equal(await checker.key('k'), undefined);
  });

  const BROKEN: readonly (readonly [what: string, action: string, make: (world: World) => Promise<void>])[] = [
    ['a changed value', 'push', async (world) => world.room('guangzhou').overwrite('k', 'f', 'evil')],
    ['a lost version', 'push', async (world) => world.room('guangzhou').overwrite('k', 'f', 'v', '')],
    ['a key taken out', 'push', async (world) => world.room('guangzhou').wipe('k')],
    ['an element taken out', 'push', async (world) => world.room('guangzhou').wipe('k', 'f')],
    [
      'a key that nobody wrote',
      'push',
      async (world) => {
        const version = versionOf(formatStamp({ ms: START_MS + 40, counter: 9, writer: 0x01000001 }), 0);
        await world.room('guangzhou').tamper({ op: 'hset', key: 'k', field: 'f', value: 'evil', version });
      },
    ],
    [
      'a delete that was lost and is forgotten in the other room',
      'resend',
      async (world) => {
        await world.write('beijing', [{ id: 'del', commands: [['DEL', 'k']] }, set('w', '1')], { guangzhou: 'lose' });
        await world.room('beijing').settle();
      },
    ],
    [
      'another type',
      'push',
      async (world) => {
        await world.write('beijing', [{ id: 'set', commands: [['SET', 'k', 'x']] }], { guangzhou: 'lose' });
      },
    ],
  ];
  for (const [what, action, make] of BROKEN) {
    test(`puts right ${what}, and the rooms show the same afterwards`, async () => {
      const world = new World();
      await world.write('beijing', [
        {
          id: 'one',
          commands: [
            ['HSET', 'k', 'f', 'v', 'g', 'w'],
            ['EXPIRE', 'k', 5000],
          ],
        },
        set('other', '1'),
      ]);
      await make(world);
      await world.pass(1_000);
      const checker = world.checker('guangzhou', 'beijing');
      const drift = await checker.key('k');
      assert.equal(drift?.wrong, 'guangzhou', drift?.why);
      const [step] = await run(checker);
      assert.equal(step?.result, 'repaired', step?.detail);
      if (what !== 'another type') assert.equal(step?.action, action);
      const nowMs = world.runtime.nowMs();
      assert.deepEqual(await world.room('guangzhou').cache.get('k', nowMs), await world.room('beijing').cache.get('k', nowMs));
    });
  }

  test('of a drift that has healed meanwhile changes nothing and closes it', async () => {
    const { world, checker } = await lossy('k');
    await world.write('beijing', [set('k', 'newer')]);
    assert.deepEqual(results(await run(checker)), ['unchanged']);
    assert.equal((await checker.book.counts()).healed, 1);
    assert.deepEqual(await audits(checker), []);
  });

  test('of several takes one after the other and counts them', async () => {
    const { checker } = await lossy('a', 'b', 'c');
    assert.deepEqual(
      (await run(checker)).map(({ result, done, total }) => `${result} ${done}/${total}`),
      ['repaired 1/3', 'repaired 2/3', 'repaired 3/3'],
    );
  });

  test('goes no faster than it may', async () => {
    const { world, checker } = await lossy('a', 'b', 'c', 'd');
    const startedMs = world.runtime.monotonicMs();
    const repairer = checker.repairer({ keysMax: 100, keysPerSecondMax: 2 });
    const steps: RepairStep[] = [];
    await settled(
      checker,
      (async () => {
        for await (const step of repairer.run({ ids: 'all', apply: true, limit: 0, from: '', by: '' }, new AbortController().signal))
          steps.push(step);
      })(),
      steps,
    );
    assert.equal(steps.length, 4);
    assert.ok(world.runtime.monotonicMs() - startedMs >= 1_800);
  });
});

describe('a write request meanwhile', () => {
  test('wins where it settles the difference, and that is said', async () => {
    const { world, checker } = await lossy('k');
    checker.beforeRepair = once(() => world.write('guangzhou', [set('k', 'newest')]));
    const [step] = await run(checker);
    assert.equal(step?.result, 'overtaken');
    assert.match(step?.detail ?? '', /it was written meanwhile, and the user's write wins/);
    assert.deepEqual(await value(world, 'guangzhou', 'k'), { type: 'string', value: 'newest' });
    assert.deepEqual(await audits(checker), ['resend overtaken tester']);
    assert.equal((await checker.book.counts()).healed, 1);
  });

  test('to another element stays, and the rest is repaired from what is read anew', async () => {
    const world = new World();
    await world.write('beijing', [{ id: 'one', commands: [['HSET', 'k', 'f', '1']] }, set('w', '1')], { guangzhou: 'lose' });
    const checker = world.checker('guangzhou', 'beijing');
    await checker.key('k');
    checker.beforeRepair = once(() => world.write('guangzhou', [{ id: 'two', commands: [['HSET', 'k', 'g', 'mine']] }]));
    const [step] = await run(checker);
    assert.equal(step?.result, 'repaired');
    assert.match(step?.detail ?? '', /it was written meanwhile, and what was written stays$/);
    assert.deepEqual(await value(world, 'guangzhou', 'k'), {
      type: 'hash',
      fields: [
        ['f', '1'],
        ['g', 'mine'],
      ],
    });
  });

  test('again and again: given up after five times, with nothing changed', async () => {
    const world = new World();
    await world.write('beijing', [{ id: 'one', commands: [['HSET', 'k', 'f', '1']] }, set('w', '1')], { guangzhou: 'lose' });
    const checker = world.checker('guangzhou', 'beijing');
    await checker.key('k');
    let turn = 0;
    checker.beforeRepair = async () => {
      turn += 1;
      await world.write('guangzhou', [{ id: `w${turn}`, commands: [['HSET', 'k', 'hot', turn]] }]);
    };
    const [step] = await run(checker);
    assert.deepEqual([step?.result, turn], ['overtaken', 5]);
    assert.match(step?.detail ?? '', /written 5 times while it was being repaired, and the user's writes win; nothing was changed/);
    assert.equal((await checker.book.counts()).open, 1);
  });

  test('a room that has settled beyond what the other had seen: read again, at most five times', async () => {
    for (const times of [2, 9]) {
      const { world, checker } = await lossy('k');
      let left = times;
      const { cache } = world.room('guangzhou');
      const repair = cache.repair.bind(cache);
      cache.repair = async (repairs, nowMs) => {
        left -= 1;
        return left < 0 ? repair(repairs, nowMs) : repairs.map(() => 'outdated');
      };
      const [step] = await run(checker);
      assert.equal(step?.result, times === 2 ? 'repaired' : 'outdated');
      if (times === 9) assert.match(step?.detail ?? '', /has settled beyond what the other room had seen, 5 times; nothing was changed/);
    }
  });

  test('a delete that both got and one forgot between reading and repairing does not come back', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v'), set('w', '1')], { guangzhou: 'lose' });
    const checker = world.checker('guangzhou', 'beijing');
    await checker.key('k');
    checker.beforeRepair = once(async () => {
      await world.write('guangzhou', [{ id: 'del', commands: [['DEL', 'k']] }]);
      for (const room of world.rooms.values()) await room.settle();
    });
    assert.deepEqual(results(await run(checker)), ['unchanged']);
    assert.equal(await value(world, 'guangzhou', 'k'), undefined);
    assert.equal(await value(world, 'beijing', 'k'), undefined);
  });
});

describe('write requests', () => {
  test('one that was lost is made good by its effects, and its drift is closed though the receipt stays', async () => {
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
    await world.write('beijing', [set('a', '2')]);
    const checker = world.checker('guangzhou', 'beijing');
    const drift = await checker.receipt(found.position);
    assert.deepEqual(drift?.repair.diff, ['- h.f = (nothing)', '+ h.f = 2'], 'what was overwritten since is not brought back');
    const [step] = await run(checker);
    assert.equal(step?.result, 'repaired', step?.detail);
    assert.deepEqual(await value(world, 'guangzhou', 'h'), { type: 'hash', fields: [['f', '2']] });
    assert.equal((await checker.receipt(found.position))?.status, 'healed');
  });

  test('one that touched hundreds of keys is made good in steps', async () => {
    const world = new World();
    const commands = Array.from({ length: 150 }, (_, at) => ['SET', `key${at}`, String(at)]);
    const [found] = await world.write('beijing', [{ id: 'w', commands }], { guangzhou: 'rejected' });
    assert.ok(found);
    const checker = world.checker('guangzhou', 'beijing');
    const calls: number[] = [];
    const { mender } = checker;
    const repair: typeof mender.repair = (repairs) => {
      calls.push(repairs.length);
      return mender.repair(repairs);
    };
    const counted: TestChecker['mender'] = { ...mender, repair };
    Object.assign(checker, { mender: counted });
    await checker.receipt(found.position);
    assert.deepEqual(results(await run(checker, { limit: 200 })), ['repaired']);
    assert.deepEqual(calls, [64, 64, 22]);
    assert.deepEqual(await value(world, 'guangzhou', 'key149'), { type: 'string', value: '149' });
  });

  test('one that is parked is retried; one that fails again stays parked and is said', async () => {
    for (const kind of ['cache', 'poison']) {
      const world = new World();
      const [found] = await world.write('beijing', [{ ...set('k', '1'), kind }], {
        guangzhou: 'parked',
        ...(kind === 'poison' ? { beijing: 'lose' } : {}),
      });
      assert.ok(found);
      const checker = world.checker('guangzhou', 'beijing');
      await checker.receipt(found.position);
      const [step] = await run(checker);
      assert.deepEqual([step?.action, step?.result], ['retry', kind === 'cache' ? 'repaired' : 'failed'], step?.detail);
      if (kind === 'poison') assert.match(step?.detail ?? '', /it failed again and is parked still: the processor threw/);
      assert.equal((await checker.book.counts()).open, kind === 'cache' ? 0 : 1);
    }
  });

  test('a duplicate has no repair of its own', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [set('a', '1')], { guangzhou: 'duplicate' });
    assert.ok(found);
    const checker = world.checker('guangzhou', 'beijing');
    await checker.receipt(found.position);
    assert.match((await run(checker))[0]?.detail ?? '', /its keys are compared as all others are/);
  });
});

describe('a key of which both rooms are wrong', () => {
  test('each room is given what it lacks, and loses nothing that it alone has right', async () => {
    const world = new World();
    await world.write('beijing', [{ id: 'one', commands: [['HSET', 'k', 'a', '1']] }], { guangzhou: 'lose' });
    await world.write('beijing', [{ id: 'two', commands: [['HSET', 'k', 'b', '2']] }], { beijing: 'lose' });
    for (const id of ['beijing', 'guangzhou']) world.room(id).changedBehindMs.set('k', START_MS);
    const here = world.checker('beijing', 'guangzhou');
    assert.equal((await here.key('k'))?.wrong, 'beijing');
    const [first] = await run(here);
    assert.equal(first?.result, 'repaired', first?.detail);
    assert.match(first?.detail ?? '', /Other parts of it still differ and stay reported/);
    const [left] = await here.book.list({ status: 'open', limit: 1 });
    assert.equal(left?.wrong, 'guangzhou');
    const there = world.checker('guangzhou', 'beijing');
    await there.key('k');
    assert.deepEqual(results(await run(there)), ['repaired']);
    for (const id of ['beijing', 'guangzhou'])
      assert.deepEqual(await value(world, id, 'k'), {
        type: 'hash',
        fields: [
          ['a', '1'],
          ['b', '2'],
        ],
      });
  });

  test('what waits in the other room’s parking lot is not taken away here', async () => {
    const world = new World();
    await world.write('beijing', [{ id: 'one', commands: [['HSET', 'k', 'a', '1']] }, set('w', '1')], {
      guangzhou: { 0: 'lose', 1: 'lose' },
    });
    await world.write('guangzhou', [{ id: 'two', commands: [['HSET', 'k', 'b', '2']] }], { beijing: 'parked' });
    world.room('guangzhou').changedBehindMs.set('k', START_MS);
    world.room('guangzhou').changedBehindMs.set('w', START_MS);
    const checker = world.checker('guangzhou', 'beijing');
    const drift = await checker.key('k');
    assert.deepEqual([drift?.wrong, drift?.repair.action], ['guangzhou', 'push'], drift?.why);
    assert.deepEqual(drift?.repair.diff, ['- k.a = (nothing)', '+ k.a = 1']);
    assert.deepEqual(results(await run(checker)), ['repaired']);
    assert.deepEqual(await value(world, 'guangzhou', 'k'), {
      type: 'hash',
      fields: [
        ['a', '1'],
        ['b', '2'],
      ],
    });
  });

  test('what cannot be taken apart is refused, with the way out', async () => {
    const world = new World(['atlas', 'beijing']);
    await world.write('atlas', [{ id: 'one', commands: [['HSET', 'k', 'b', '1']] }]);
    const version = versionOf(formatStamp({ ms: world.runtime.nowMs(), counter: 9, writer: 0x01000001 }), 0);
    await world.room('beijing').tamper({ op: 'del', key: 'k', version });
    await world.write('atlas', [{ id: 'two', commands: [['HSET', 'k', 'a', '1']] }], { atlas: 'lose' });
    world.room('atlas').changedBehindMs.set('k', START_MS);
    const checker = world.checker('atlas', 'beijing');
    const drift = await checker.key('k');
    assert.deepEqual([drift?.wrong, drift?.repair.action, drift?.elements.length], ['atlas', 'none', 2], drift?.why);
    const [step] = await run(checker);
    assert.equal(step?.result, 'refused');
    assert.match(
      step?.detail ?? '',
      /both rooms are wrong about parts of k that cannot be taken apart; name the room that is to be right with --from ROOM/,
    );
    assert.deepEqual(await value(world, 'atlas', 'k'), { type: 'hash', fields: [['b', '1']] });
  });
});
