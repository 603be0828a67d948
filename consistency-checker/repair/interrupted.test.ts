import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { type TestChecker, World } from '../rooms-kit.ts';
import { audits, lossy, once, results, run, value } from './repairer-kit.ts';

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
    const [first] = await world.write('beijing', [{ id: 'other', commands: [['SET', 'other', 'v']] }]);
    await world.write('beijing', [
      {
        id: 'one',
        commands: [
          ['INCRBY', 'n', 5],
          ['INCRBY', 'n', 1],
        ],
      },
    ]);
    for (const room of world.rooms.values()) {
      await room.settle();
      // Nobody can tell any more whether there was something before.
      if (first !== undefined) room.receipts.lane(first.position).frames.delete(first.position.seq);
    }
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
    const some = await run(checker, { ids: ['00000000', alarm.id] });
    assert.deepEqual(results(some), ['refused', 'refused'], 'beside others it stops nobody');
    assert.match(some[1]?.detail ?? '', /the checker of \w+ has not found it itself/);
    const [closed] = await checker.book.list({ status: 'repaired', limit: 1 });
    assert.deepEqual(results(await run(checker, { ids: [closed?.id ?? ''] })), ['unchanged']);
  });
});

describe('what comes in between', () => {
  test('a peer that falls silent before anything was changed: failed, nothing changed, and its other drifts are not tried', async () => {
    const { world, checker } = await lossy('a', 'b');
    world.room('beijing').receipts.silent = true;
    let asked = 0;
    world.room('beijing').before = () => {
      asked += 1;
    };
    const steps = await run(checker);
    assert.deepEqual(results(steps), ['failed', 'failed']);
    assert.equal(asked, 1, 'a call that nobody answers lasts as long as its deadline');
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
      await checker.book.audit({ atMs: 1, driftId: 'x', action: 'push', subject: 'done', result: 'repaired', by: 'tester', detail: '' });
      await checker.repairer().recover();
      assert.deepEqual(await audits(checker), ['push repaired tester', 'resend interrupted tester']);
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
