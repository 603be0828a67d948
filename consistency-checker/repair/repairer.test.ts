import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { formatStamp, versionOf } from '../../core/stamp.ts';
import { START_MS, type TestChecker, type TestWrite, World } from '../rooms-kit.ts';
import type { RepairRequest, RepairStep } from './repairer.ts';

const set = (key: string, value: string): TestWrite => ({ id: `set ${key}`, commands: [['SET', key, value]] });

/** guangzhou has lost what beijing wrote to `keys`. */
async function lossy(...keys: readonly string[]): Promise<{ readonly world: World; readonly checker: TestChecker }> {
  const world = new World();
  await world.write(
    'beijing',
    keys.map((key) => set(key, 'old')),
  );
  await world.write(
    'beijing',
    keys.map((key) => set(key, 'new')),
    { guangzhou: 'lose' },
  );
  const checker = world.checker('guangzhou', 'beijing');
  for (const key of keys) assert.ok(await checker.key(key));
  return { world, checker };
}

async function run(
  checker: TestChecker,
  request: Partial<RepairRequest> = {},
  signal = new AbortController().signal,
): Promise<RepairStep[]> {
  const steps: RepairStep[] = [];
  const running = (async () => {
    for await (const step of checker.repairer().run({ ids: 'all', apply: true, limit: 0, from: '', by: 'tester', ...request }, signal))
      steps.push(step);
  })();
  return await settled(checker, running, steps);
}

/** Time goes on while it runs: rate limit and pauses are on virtual time. */
async function settled(checker: TestChecker, running: Promise<void>, steps: RepairStep[]): Promise<RepairStep[]> {
  let isOver = false;
  const over = running.finally(() => {
    isOver = true;
  });
  over.catch(() => {});
  for (let turn = 0; turn < 200 && !isOver; turn += 1) await checker.world.runtime.advance(100);
  await over;
  return steps;
}

const results = (steps: readonly RepairStep[]) => steps.map(({ result }) => result);
const value = async (world: World, room: string, key: string) => (await world.room(room).cache.get(key, world.runtime.nowMs()))?.value;
const audits = async (checker: TestChecker) => (await checker.book.audits(10)).map(({ action, result, by }) => `${action} ${result} ${by}`);

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

/** The first time only. */
function once(task: () => unknown): () => Promise<void> {
  let isDone = false;
  return async () => {
    if (isDone) return;
    isDone = true;
    await task();
  };
}

describe('what is refused', () => {
  test('a selection over the limit, before anything is changed, naming the number; the caller may raise it', async () => {
    const { world, checker } = await lossy('a', 'b', 'c');
    const repairer = checker.repairer({ keysMax: 2, keysPerSecondMax: 1_000 });
    const all = { ids: 'all', apply: true, limit: 0, from: '', by: '' } as const;
    const first = repairer.run(all, new AbortController().signal).next();
    await assert.rejects(first, {
      code: 'REPAIR_LIMIT',
      message: /^3 keys and write requests would be repaired in guangzhou, and the limit is 2; nothing more was changed.* --limit 3$/,
    });
    assert.deepEqual(await value(world, 'guangzhou', 'a'), { type: 'string', value: 'old' });
    assert.deepEqual(await audits(checker), []);
    assert.equal((await run(checker, { limit: 3 })).length, 3);
  });

  test('a lost write request with more keys than the limit', async () => {
    const world = new World();
    const [found] = await world.write(
      'beijing',
      [
        {
          id: 'w',
          commands: [
            ['SET', 'a', '1'],
            ['SET', 'b', '1'],
            ['SET', 'c', '1'],
          ],
        },
      ],
      { guangzhou: 'rejected' },
    );
    assert.ok(found);
    const checker = world.checker('guangzhou', 'beijing');
    await checker.receipt(found.position);
    await assert.rejects(run(checker, { limit: 2 }), { code: 'REPAIR_LIMIT' });
    assert.equal(await value(world, 'guangzhou', 'a'), undefined);
  });

  test('a drift of which the wrong side cannot be told, until somebody names the right one; only the other room is repaired here', async () => {
    const world = new World();
    await world.write('beijing', [
      {
        id: 'one',
        commands: [
          ['INCRBY', 'n', 5],
          ['INCRBY', 'n', 1],
        ],
      },
    ]);
    for (const room of world.rooms.values()) await room.settle();
    world.room('guangzhou').overwrite('n', '', '999');
    const checker = world.checker('guangzhou', 'beijing');
    const drift = await checker.key('n');
    assert.equal(drift?.wrong, '');
    const [refused] = await run(checker);
    assert.equal(refused?.result, 'refused');
    assert.match(
      refused?.detail ?? '',
      new RegExp(
        `which room is right cannot be told: .*wmb repair ${drift?.id} --from guangzhou\` or \`wmb repair ${drift?.id} --from beijing\``,
      ),
    );
    const ids = [drift?.id ?? ''];
    const [own] = await run(checker, { ids, from: 'guangzhou' });
    assert.match(own?.detail ?? '', /--from guangzhou would change beijing: its own checker does that/);
    const [stranger] = await run(checker, { ids, from: 'lhasa' });
    assert.match(stranger?.detail ?? '', /--from lhasa is neither of the two rooms/);
    const [step] = await run(checker, { ids, from: 'beijing' });
    assert.equal(step?.result, 'repaired', step?.detail);
    assert.deepEqual(await value(world, 'guangzhou', 'n'), { type: 'string', value: '6' });
  });

  test('--from the room that is proven to be wrong', async () => {
    const { world, checker } = await lossy('k');
    const there = world.checker('beijing', 'guangzhou');
    const drift = await there.key('k');
    const [step] = await run(there, { ids: [drift?.id ?? ''], from: 'guangzhou' });
    assert.equal(step?.result, 'refused');
    assert.match(step?.detail ?? '', /--from guangzhou would copy what is wrong: guangzhou shows k as old; write request/);
    assert.equal(checker.own.id, 'guangzhou');
  });

  test('a drift of which the other room is the wrong side; with `all` it is passed over', async () => {
    const { world } = await lossy('k');
    const there = world.checker('beijing', 'guangzhou');
    const drift = await there.key('k');
    assert.deepEqual(await run(there), []);
    const [step] = await run(there, { ids: [drift?.id ?? ''] });
    assert.equal(step?.result, 'refused');
    assert.match(step?.detail ?? '', /guangzhou is the wrong side now, not beijing: its own checker repairs it/);
  });

  test('an alarm, an unknown id, and one that is closed already', async () => {
    const { checker } = await lossy('k');
    const alarm = checker.explainer.alarm({ lane: 'beijing/3', origin: 'beijing', level: 'L0', text: 'x', sinceMs: 1 }, 'beijing');
    await checker.book.put([alarm]);
    assert.match((await run(checker, { ids: [alarm.id] }))[0]?.detail ?? '', /an alarm has no repair/);
    assert.equal((await run(checker)).length, 1, '`all` passes alarms over');
    await assert.rejects(run(checker, { ids: ['00000000'] }), { code: 'NOT_FOUND' });
    const [closed] = await checker.book.list({ status: 'repaired', limit: 1 });
    assert.deepEqual(results(await run(checker, { ids: [closed?.id ?? ''] })), ['unchanged']);
  });
});

describe('what comes in between', () => {
  test('a peer that falls silent before anything was changed: failed, nothing changed, and its other drifts are not tried', async () => {
    const { world, checker } = await lossy('a', 'b');
    world.room('beijing').receipts.silent = true;
    const steps = await run(checker);
    assert.deepEqual(results(steps), ['failed', 'failed']);
    assert.ok(steps.every(({ detail }) => detail.startsWith('nothing was changed')));
    assert.deepEqual(await value(world, 'guangzhou', 'a'), { type: 'string', value: 'old' });
    assert.deepEqual(await audits(checker), []);
    world.room('beijing').receipts.silent = false;
    assert.deepEqual(results(await run(checker)), ['repaired', 'repaired']);
  });

  test('a peer that falls silent before the verification: failed, said, open until it is looked at again', async () => {
    const { world, checker } = await lossy('k');
    checker.beforeRepair = () => {
      world.room('beijing').receipts.silent = true;
    };
    const [step] = await run(checker);
    assert.equal(step?.result, 'failed');
    assert.match(step?.detail ?? '', /^whether it was changed is not known, and is looked at again in the next round.*PEER_UNREACHABLE/);
    assert.deepEqual(await audits(checker), ['resend failed tester']);
    assert.equal((await checker.book.counts()).open, 1);
  });

  test('a kill: what had begun is interrupted afterwards, and the drift is either still there or gone', async () => {
    for (const isDone of [false, true]) {
      const { world, checker } = await lossy('k');
      const { mender } = checker;
      const killed: TestChecker['mender'] = {
        ...mender,
        repair: async (repairs) => {
          if (isDone) await mender.repair(repairs);
          return await new Promise(() => {});
        },
      };
      Object.assign(checker, { mender: killed });
      void checker.repairer().run({ ids: 'all', apply: true, limit: 0, from: '', by: 'tester' }, new AbortController().signal).next();
      await world.runtime.advance(1_000);
      assert.deepEqual(await audits(checker), ['resend begun tester']);
      Object.assign(checker, { mender });
      await checker.repairer().recover();
      assert.deepEqual(await audits(checker), ['resend interrupted tester']);
      assert.deepEqual(results(await run(checker)), [isDone ? 'unchanged' : 'repaired']);
    }
  });

  test('a person who stops it: it stops between two keys and says how many were done', async () => {
    const { world, checker } = await lossy('a', 'b', 'c');
    const stop = new AbortController();
    checker.beforeRepair = () => stop.abort();
    const steps = await run(checker, {}, stop.signal);
    assert.deepEqual(results(steps), ['repaired', 'refused']);
    assert.equal(steps[1]?.detail, 'stopped after 1 of 3 drifts; the others were not touched');
    assert.deepEqual([steps[1]?.done, steps[1]?.total], [1, 3]);
    const untouched = await Promise.all(['a', 'b', 'c'].map((key) => value(world, 'guangzhou', key)));
    assert.equal(untouched.filter((it) => it?.type === 'string' && it.value === 'old').length, 2);
  });

  test('a collector that refuses: failed, with its reason, and the next one is tried', async () => {
    const { checker } = await lossy('a', 'b');
    checker.beforeRepair = once(() => {
      throw new WmbError('STORE_UNAVAILABLE', 'the cache is locked');
    });
    const steps = await run(checker);
    assert.deepEqual(results(steps), ['failed', 'repaired']);
    assert.match(steps[0]?.detail ?? '', /STORE_UNAVAILABLE: the cache is locked/);
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
    assert.equal(await checker.receipt(found.position), undefined);
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
});
