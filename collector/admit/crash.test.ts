import assert from 'node:assert/strict';
import { test } from 'node:test';
import { incr, set, TestLog, TestRoom } from './testing.ts';

const lane = { log: 'writes', origin: 'guangzhou', partition: 0, epoch: new TestLog().epoch } as const;

/** Message kind: the payload says what the processor does. */
function messages(room: TestRoom): void {
  room.processors.kinds['message'] = (write) => {
    const { fails, sql, value } = write.json() as { fails?: string; sql?: string; value?: string };
    if (fails !== undefined && !healed.has(fails)) throw new Error(fails);
    return {
      cache: value === undefined ? [] : [['SET', write.key, value]],
      ...(sql === undefined ? {} : { database: [{ op: 'sql' as const, text: sql, params: [] }] }),
    };
  };
}

const healed = new Set<string>();

function message(key: string, payload: object) {
  return { kind: 'message', key, payload };
}

async function receipts(room: TestRoom): Promise<string[]> {
  return (await room.book.exceptions(lane, 0, 1_000)).map(
    (it) => `${it.seq}.${it.index} ${it.outcome}${it.code === '' ? '' : ` ${it.code}`}`,
  );
}

test('what was parked ahead of the mark is neither retried nor discarded before the lane has passed it: no statement runs twice', async () => {
  const room = await new TestRoom().open();
  messages(room);
  const log = new TestLog().add(message('p', { fails: 'flaky', sql: 'once' }));
  room.crash.next('before database');
  await assert.rejects(room.run(log));
  room.restart();
  healed.add('flaky');
  const { parking } = room.applier;
  for (const decide of [parking.retry, parking.discard]) {
    const { outcomes } = await decide.call(parking, { writes: [], all: true });
    assert.deepEqual(
      outcomes.map((it) => `${it.outcome} ${it.code}`),
      ['parked LANE_BEHIND'],
    );
  }
  await room.run(log);
  assert.deepEqual(room.database.executed, []);
  await parking.retry({ writes: [], all: true });
  healed.clear();
  assert.deepEqual(room.database.executed, ['once']);
  assert.deepEqual(await receipts(room), []);
});

test('before a retry the database’s mark follows: what it executes is not executed again after a kill', async () => {
  const room = await new TestRoom().open();
  messages(room);
  const log = new TestLog().add(message('a', {}));
  await room.run(log);
  room.cache.late.add('b');
  await room.applier.consumers(lane).take(log.add(message('b', { value: '1' })).after(0));
  room.cache.late.clear();
  room.processors.kinds['message'] = () => ({ cache: [], database: [{ op: 'sql', text: 'corrected', params: [] }] });
  await room.applier.parking.retry({ writes: [], all: true });
  room.restart();
  await room.run(log);
  assert.deepEqual(room.database.executed, ['corrected']);
});

for (const step of ['before cache', 'after effect log']) {
  test(`a retry that broke off ${step} is finished where it is discarded: the slave room has it, so the master has it too`, async () => {
    const master = await new TestRoom({ mode: 'master-slave' }).open();
    const slave = await new TestRoom({ mode: 'master-slave', id: 'guangzhou' }).open();
    messages(master);
    await master.run(new TestLog().add(message('p', { fails: 'flaky', value: '1' })));
    healed.add('flaky');
    const { parking } = master.applier;
    master.crash.next(step);
    await assert.rejects(parking.retry({ writes: [], all: true }));
    healed.clear();
    const refused = await parking.discard({ writes: [], all: true });
    assert.deepEqual(
      refused.outcomes.map((it) => `${it.outcome} ${it.code}`),
      ['parked RETRY_BEGUN'],
      'the processor fails again: it can neither be finished nor be given up',
    );
    assert.match(refused.outcomes[0]?.message ?? '', /flaky/);
    healed.add('flaky');
    await parking.discard({ writes: [], all: true });
    healed.clear();
    const shipped = new TestLog({ log: 'effects', origin: 'beijing' }, master.effectLog.epoch);
    for (const frame of master.effectLog.frames) shipped.raw(frame);
    await slave.run(shipped);
    for (const room of [master, slave]) assert.deepEqual([room.cache.value('p'), await receipts(room)], ['1', []]);
  });
}

test('a retry that broke off behind the database is finished by itself, and its statements do not run again', async () => {
  const room = await new TestRoom().open();
  messages(room);
  await room.run(new TestLog().add(message('p', { fails: 'flaky', sql: 'once', value: '1' })));
  healed.add('flaky');
  room.crash.next('before cache');
  await assert.rejects(room.applier.parking.retry({ writes: [], all: true }));
  room.runtime.now += 10_000;
  await room.applier.parking.retryDue();
  healed.clear();
  assert.deepEqual([room.database.executed, room.cache.value('p'), await receipts(room)], [['once'], '1', []]);
});

for (const step of [
  'before database',
  'after database',
  'before parking',
  'after parking',
  'before cache',
  'after cache',
  'before book',
  'after book',
]) {
  for (const restart of [true, false]) {
    test(`a crash ${step} loses nothing and doubles nothing${restart ? ', with a new collector' : ''}`, async () => {
      const room = await new TestRoom().open();
      messages(room);
      room.database.refuses.add('bad');
      const log = new TestLog()
        .add(incr('n'), message('a', { sql: 'one', value: '1' }), message('p', { fails: 'flaky', sql: 'never' }))
        .add(
          incr('n', { id: 'twice' }),
          message('r', { sql: 'bad', value: '1' }),
          message('r', { sql: 'two', value: '2' }),
          incr('n', { id: 'twice' }),
        );
      room.crash.next(step);
      await assert.rejects(room.run(log), new RegExp(`crash ${step}`));
      if (restart) room.restart();
      // What failed before would succeed now: the receipts must not change their mind halfway.
      if (step !== 'before database' && step !== 'before parking') healed.add('flaky');
      await room.run(log);
      healed.clear();
      assert.equal(room.cache.value('n'), '2');
      assert.deepEqual(room.database.executed, ['one']);
      assert.deepEqual([room.cache.value('a'), room.cache.value('r')], ['1', undefined]);
      assert.deepEqual(await receipts(room), [
        '0.2 parked PROCESSOR_FAILED',
        '1.1 parked STATEMENT_FAILED',
        '1.2 parked BEHIND_PARKED',
        '1.3 duplicate',
      ]);
      assert.equal((await room.book.summary(lane)).writes, 7);
      room.database.refuses.clear();
      await room.applier.parking.retry({ writes: [], all: true });
      assert.deepEqual([room.database.executed, room.cache.value('r')], [['one', 'bad', 'two'], '2']);
    });
  }
}

test('a cache that comes back from an older copy is replayed; what was discarded stays discarded', async () => {
  const room = await new TestRoom().open();
  messages(room);
  const log = new TestLog()
    .add(set('a', '1'))
    .add(message('p', { fails: 'boom', value: 'p' }))
    .add(set('a', '2'), incr('n'));
  await room.run(log);
  await room.applier.parking.discard({ writes: ['guangzhou-2'], all: false });
  room.cache.values.clear();
  room.cache.marksTable.set({ ...lane, seq: 0 });
  healed.add('boom');
  await room.run(log);
  healed.clear();
  assert.deepEqual([room.cache.value('a'), room.cache.value('n'), room.cache.value('p')], ['2', '1', undefined]);
  assert.deepEqual(await receipts(room), ['1.0 rejected PROCESSOR_FAILED']);
});
