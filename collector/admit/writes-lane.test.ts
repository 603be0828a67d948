import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { incr, set, TestLog, TestRoom } from './testing.ts';

const SEEN_BY_ALL = 'ffffffffffff000000000000';
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

test('write requests are applied in order, and the marks of all sinks move to the last frame', async () => {
  const room = await new TestRoom().open();
  await room.run(new TestLog().add(set('a', '1'), set('b', '2')).add(set('a', '3')));
  assert.equal(room.cache.value('a'), '3');
  assert.equal(room.cache.value('b'), '2');
  const marks = [...(await room.cache.marks()).marks, ...(await room.database.marks()), ...(await room.book.marks())];
  assert.deepEqual(
    marks.map((mark) => mark.seq),
    [1, 1, 1],
  );
  assert.deepEqual(await receipts(room), []);
  assert.deepEqual(room.applier.acks.current('guangzhou'), [{ log: 'writes', partition: 0, epoch: lane.epoch, seq: 1, parkedSeq: -1 }]);
});

test('small frames that come together are applied in one batch', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog();
  for (let at = 0; at < 50; at += 1) log.add(set(`k${at}`, 'v'));
  await room.run(log);
  assert.equal(room.cache.batches.length, 1);
  assert.equal(room.cache.batches[0]?.writes.length, 50);
});

test('a collector that stops does not apply all that a lane has taken: the rest is taken again at its next start', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog();
  for (let at = 0; at < 5_000; at += 1) log.add(incr('n'));
  const taking = room.run(log);
  await Promise.all([assert.rejects(taking, { code: 'DRAINING' }), room.applier.stop()]);
  const begun = Number(room.cache.value('n'));
  assert.ok(begun < 5_000, `${begun} were applied`);
  room.restart();
  await room.run(log);
  assert.equal(room.cache.value('n'), '5000');
});

test('a repeated request id has one effect, also when the collector was restarted in between', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(incr('n', { id: 'x' }), incr('n', { id: 'x' }));
  await room.run(log);
  room.restart();
  await room.run(log.add(incr('n', { id: 'x' }), incr('n', { id: 'y' })));
  assert.equal(room.cache.value('n'), '2');
  assert.deepEqual(await receipts(room), ['0.1 duplicate', '1.0 duplicate']);
});

test('a batch that fails and is taken again finds no duplicates of itself', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1', { id: 'x' })).add(set('b', '1', { id: 'x' }));
  room.crash.next('before cache');
  await assert.rejects(room.run(log));
  await room.run(log);
  assert.deepEqual(await receipts(room), ['1.0 duplicate']);
  assert.equal(room.cache.value('a'), '1');
});

test('history asked for once is not asked for again while the collector lives', async () => {
  const room = await new TestRoom({ windowWrites: 10 }).open();
  const log = new TestLog().add(set('a', '1')).add(set('a', '2'));
  await room.run(log);
  assert.equal((await room.applier.consumers(lane).resume({ epoch: lane.epoch })).historyWrites, 0);
  room.restart();
  assert.equal((await room.applier.consumers(lane).resume({ epoch: lane.epoch })).historyWrites, 10);
});

test('an older write request is superseded', async () => {
  const room = await new TestRoom().open();
  await room.run(new TestLog().add(set('a', 'new')));
  await room.run(new TestLog({ origin: 'beijing' }).add(set('a', 'old', { aheadMs: -500 })));
  assert.equal(room.cache.value('a'), 'new');
  assert.deepEqual(
    (await room.book.exceptions({ ...lane, origin: 'beijing' }, 0, 9)).map((it) => it.outcome),
    ['superseded'],
  );
});

test('a stamp too far ahead is parked, with what follows in its key, and applied when the clock has come up to it', async () => {
  const room = await new TestRoom().open();
  await room.applier.start();
  await room.run(new TestLog().add(set('a', '1', { aheadMs: 60_000 }), set('b', '1')).add(set('a', '2', { aheadMs: 60_001 })));
  assert.deepEqual(await receipts(room), ['0.0 parked STAMP_FUTURE', '1.0 parked STAMP_FUTURE']);
  assert.equal(room.cache.value('b'), '1');
  await room.applier.parking.retryDue();
  assert.equal(room.book.parkedTotal(), 2, 'not before its time');
  room.runtime.now += 55_000;
  await room.applier.parking.retryDue();
  assert.equal(room.cache.value('a'), '2');
  assert.deepEqual(await receipts(room), []);
  await room.applier.stop();
});

test('a kind of other rooms gets its receipt without effects', async () => {
  const room = await new TestRoom({ kindRooms: ['guangzhou'] }).open();
  room.processors.kinds['message'] = () => assert.fail('it must not be called');
  await room.run(new TestLog().add(message('a', { value: '1' })));
  assert.equal(room.cache.value('a'), undefined);
  assert.deepEqual(await receipts(room), []);
});

test('a poisoned write request holds up its own key only, in this frame and in later ones', async () => {
  const room = await new TestRoom().open();
  messages(room);
  const log = new TestLog()
    .add(message('a', { value: '0' }), message('a', { fails: 'boom' }), message('b', { value: '1' }), message('a', { value: '1' }))
    .add(message('a', { value: '2' }), message('b', { value: '2' }));
  await room.run(log);
  assert.equal(room.cache.value('a'), '0');
  assert.equal(room.cache.value('b'), '2');
  assert.deepEqual(await receipts(room), ['0.1 parked PROCESSOR_FAILED', '0.3 parked BEHIND_PARKED', '1.0 parked BEHIND_PARKED']);
  const [head] = await room.applier.parking.list('', 10);
  assert.match(head?.message ?? '', /the processor threw Error: boom/);
  assert.deepEqual(room.applier.acks.current('guangzhou')[0]?.parkedSeq, 0);
});

test('after a restart a parked key still holds up later write requests', async () => {
  const room = await new TestRoom().open();
  messages(room);
  const log = new TestLog().add(message('a', { fails: 'boom' }));
  await room.run(log);
  room.restart();
  await room.run(log.add(message('a', { value: '1' })));
  assert.deepEqual(await receipts(room), ['0.0 parked PROCESSOR_FAILED', '1.0 parked BEHIND_PARKED']);
});

test('with the policy pass, what cannot be processed is rejected and its key goes on', async () => {
  const room = await new TestRoom({ onFailure: 'pass' }).open();
  messages(room);
  await room.run(new TestLog().add(message('a', { fails: 'boom' }), message('a', { value: '1' })));
  assert.deepEqual(await receipts(room), ['0.0 rejected PROCESSOR_FAILED']);
  assert.equal(room.cache.value('a'), '1');
});

test('a processor that hangs parks its write request, and other keys of the batch are applied after its timeout', async () => {
  const room = await new TestRoom().open();
  room.processors.kinds['message'] = (write) =>
    write.key === 'hangs' ? new Promise(() => {}) : Promise.resolve({ cache: [['SET', write.key, 'ok']] });
  const run = room.run(new TestLog().add(message('hangs', {}), message('b', {}), message('hangs', {})));
  await new Promise((resolve) => setImmediate(resolve));
  room.runtime.advance(100);
  await run;
  assert.equal(room.cache.value('b'), 'ok');
  assert.deepEqual(await receipts(room), ['0.0 parked PROCESSOR_TIMEOUT', '0.2 parked BEHIND_PARKED']);
  room.processors.kinds['message'] = (write) => ({ cache: [['SET', write.key, 'late']] });
  room.runtime.now += 10_000;
  await room.applier.parking.retryDue();
  assert.equal(room.cache.value('hangs'), 'late');
  assert.equal(room.book.parkedTotal(), 0);
});

test('asynchronous processors run at the same time across keys and in order within a key', async () => {
  const room = await new TestRoom().open();
  const running: string[] = [];
  let most = 0;
  room.processors.kinds['message'] = async (write) => {
    assert.ok(!running.includes(write.key), 'two of one key at once');
    running.push(write.key);
    most = Math.max(most, running.length);
    await new Promise((resolve) => setImmediate(resolve));
    running.splice(running.indexOf(write.key), 1);
    return { cache: [['SET', write.key, write.requestId]] };
  };
  const writes = ['a', 'b', 'c', 'a', 'b', 'a'].map((key) => message(key, {}));
  await room.run(new TestLog().add(...writes));
  assert.equal(most, 3);
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => room.cache.value(key)),
    ['guangzhou-6', 'guangzhou-5', 'guangzhou-3'],
  );
});

test('a processor service that is away holds up the lane and parks nothing', async () => {
  const room = await new TestRoom().open();
  let away = true;
  const log = new TestLog().add(set('a', '1'), message('b', {}), set('c', '1'));
  const builtIn = room.processors.run.bind(room.processors);
  room.processors.run = (write) => {
    if (away && write.kind === 'message') throw new WmbError('PROCESSOR_UNAVAILABLE', 'away');
    return builtIn(write);
  };
  room.processors.kinds['message'] = (write) => ({ cache: [['SET', write.key, '1']] });
  await assert.rejects(room.run(log), { code: 'PROCESSOR_UNAVAILABLE' });
  assert.deepEqual([room.book.parkedTotal(), room.cache.value('a')], [0, undefined]);
  away = false;
  await room.run(log);
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => room.cache.value(key)),
    ['1', '1', '1'],
  );
});

test('a refused statement parks its write request without cache effects; the statements of its key behind it wait, and run behind it', async () => {
  const room = await new TestRoom().open();
  messages(room);
  room.database.refuses.add('bad');
  await room.run(
    new TestLog().add(
      message('a', { sql: 'bad', value: '1' }),
      message('a', { sql: 'second', value: '2' }),
      message('b', { sql: 'other', value: '1' }),
    ),
  );
  assert.deepEqual(room.database.executed, ['other']);
  assert.deepEqual([room.cache.value('a'), room.cache.value('b')], [undefined, '1']);
  assert.deepEqual(await receipts(room), ['0.0 parked STATEMENT_FAILED', '0.1 parked BEHIND_PARKED']);
  room.database.refuses.clear();
  await room.applier.parking.retry({ writes: ['guangzhou-1'], all: false });
  assert.deepEqual(room.database.executed, ['other', 'bad', 'second']);
  assert.equal(room.cache.value('a'), '2');
  assert.deepEqual(await receipts(room), []);
});

test('what the database has committed is not executed again by a retry, even when the database has forgotten it', async () => {
  const room = await new TestRoom().open();
  messages(room);
  room.cache.late.add('a');
  await room.run(new TestLog().add(message('a', { sql: 'once', value: '1' })));
  room.cache.late.clear();
  room.database.forgetRecords();
  await room.applier.parking.retry({ writes: [], all: true });
  assert.deepEqual(room.database.executed, ['once']);
  assert.equal(room.cache.value('a'), '1');
});

test('with the policy pass, a refused statement does not hold up the statements of its key behind it', async () => {
  const room = await new TestRoom({ onFailure: 'pass' }).open();
  messages(room);
  room.database.refuses.add('bad');
  await room.run(new TestLog().add(message('a', { sql: 'bad' }), message('a', { sql: 'second', value: '2' })));
  assert.deepEqual([room.database.executed, await receipts(room)], [['second'], ['0.0 rejected STATEMENT_FAILED']]);
});

test('frames on both sides of the database mark are not mixed: what was executed is not executed again', async () => {
  const room = await new TestRoom().open();
  messages(room);
  const log = new TestLog().add(message('a', { sql: 'one' }));
  await room.run(log);
  room.crash.next('before cache');
  await assert.rejects(room.run(log.add(message('a', { sql: 'two' }))));
  room.restart();
  await room.run(log.add(message('a', { sql: 'three' })));
  assert.deepEqual(room.database.executed, ['one', 'two', 'three']);
});

test('a slave room executes no statements', async () => {
  const room = await new TestRoom({ id: 'guangzhou' }).open();
  messages(room);
  await room.run(new TestLog().add(message('a', { sql: 'x', value: '1' })));
  assert.deepEqual([room.database.executed, await room.database.marks()], [[], []]);
  assert.equal(room.cache.value('a'), '1');
});

test('a late write request is parked, not applied', async () => {
  const room = await new TestRoom().open();
  room.cache.late.add('a');
  await room.run(new TestLog().add(set('a', '1'), set('b', '1')));
  assert.deepEqual(await receipts(room), ['0.0 parked WRITE_LATE']);
  room.cache.late.clear();
  assert.deepEqual(
    (await room.applier.parking.retry({ writes: [], all: true })).outcomes.map((it) => it.outcome),
    ['applied'],
  );
  assert.equal(room.cache.value('a'), '1');
});

test('where another collector moved the mark the lane stops with MARK_MOVED and resumes from what is stored', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1')).add(set('a', '2'));
  const consumer = room.applier.consumers(lane);
  await consumer.resume({ epoch: lane.epoch });
  room.cache.marksTable.set({ ...lane, seq: 0 });
  await assert.rejects(consumer.take(log.after(-1)), { code: 'MARK_MOVED' });
  await room.run(log);
  assert.equal((await room.cache.marks()).marks[0]?.seq, 1);
  assert.equal(room.cache.value('a'), '2');
});

test('a mark of another log epoch is LOG_GAP and names both', async () => {
  const room = await new TestRoom().open();
  await room.run(new TestLog().add(set('a', '1')));
  await assert.rejects(room.applier.consumers(lane).resume({ epoch: 'ffffffffffffffff' }), (error: WmbError) => {
    assert.equal(error.code, 'LOG_GAP');
    assert.match(error.message, /0123456789abcdef.*ffffffffffffffff/);
    return true;
  });
});

test('older frames are dropped, a skipped one is an error, and a frame of another origin dies here', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1')).add(set('a', '2')).add(set('a', '3'));
  await room.run(log);
  const consumer = room.applier.consumers(lane);
  await consumer.take(log.after(0));
  assert.equal(room.cache.batches.length, 1);
  log.add(set('a', '4')).add(set('a', '5'));
  await assert.rejects(consumer.take(log.after(3)), { code: 'PEER_GARBAGE' });
  const stray = new TestLog({ origin: 'beijing' }).add(set('a', 'stray'));
  await consumer.resume({ epoch: lane.epoch });
  const bytes = stray.frames[0] ?? new Uint8Array();
  await assert.rejects(consumer.take([{ log: 'writes', partition: 0, seq: 3, history: false, bytes }]), {
    code: 'FRAME_CORRUPT',
    message: /it is of beijing, not of guangzhou/,
  });
  assert.equal(room.cache.value('a'), '3');
});

test('retry goes oldest first and stops at the first that fails again; discard lets the next follow', async () => {
  const room = await new TestRoom().open();
  messages(room);
  const log = new TestLog().add(
    message('a', { fails: 'one', value: '1' }),
    message('a', { fails: 'two', value: '2' }),
    message('a', { value: '3' }),
    message('b', { fails: 'one', value: 'b' }),
  );
  await room.run(log);
  const { parking } = room.applier;
  const behind = await parking.retry({ writes: ['guangzhou-2'], all: false });
  assert.deepEqual(
    behind.outcomes.map((it) => it.code),
    ['BEHIND_PARKED'],
  );
  healed.add('one');
  const retried = await parking.retry({ writes: [], all: true });
  assert.deepEqual(
    retried.outcomes.map((it) => `${it.requestId} ${it.outcome}`),
    ['guangzhou-1 applied', 'guangzhou-2 parked', 'guangzhou-3 parked', 'guangzhou-4 applied'],
  );
  assert.deepEqual([room.cache.value('a'), room.cache.value('b')], ['1', 'b']);
  assert.equal((await parking.list('', 10))[0]?.attempts, 2);
  const discarded = await parking.discard({ writes: ['guangzhou-2', 'nobody'], all: false });
  assert.deepEqual(
    discarded.outcomes.map((it) => `${it.requestId} ${it.outcome} ${it.code}`),
    ['guangzhou-2 rejected PROCESSOR_FAILED', 'guangzhou-3 applied ', 'nobody applied NOT_FOUND'],
  );
  assert.equal(room.cache.value('a'), '3');
  assert.equal(room.book.parkedTotal(), 0);
  healed.clear();
  await room.run(log.add(message('a', { value: '4' })));
  assert.equal(room.cache.value('a'), '4');
  assert.equal(room.applier.acks.current('guangzhou')[0]?.parkedSeq, -1);
});

test('the floor is no further than what the room has seen of every lane', async () => {
  const room = await new TestRoom().open();
  room.setFloor(SEEN_BY_ALL);
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  assert.equal(room.applier.floor(), '', 'nothing is known of the lane of beijing');
  const end = { log: 'writes', partition: 0, epoch: lane.epoch, seq: -1, writes: 0, stamp: SEEN_BY_ALL } as const;
  room.applier.consumers({ ...lane, origin: 'beijing' }).pulse(end, 0);
  assert.equal(room.applier.floor().slice(12, 16), '0001', 'the last frame applied');
  room.applier.consumers(lane).pulse({ ...end, seq: 0, writes: 1 }, room.runtime.nowMs());
  assert.equal(room.applier.floor(), SEEN_BY_ALL);
  room.applier.consumers(lane).pulse({ ...end, seq: 1, writes: 2 }, room.runtime.nowMs());
  assert.notEqual(room.applier.floor(), SEEN_BY_ALL, 'there is more to come');
  assert.deepEqual(room.applier.consumers(lane).progress(), { epoch: lane.epoch, mark: 0, parked: 0, lagWrites: 1, lagMs: 0 });
});
