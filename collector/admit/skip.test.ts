/** Lanes that are taken over a gap because a person accepts the loss. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaneGap } from '../lane.ts';
import { EPOCH, incr, set, TestLog, TestRoom } from './testing.ts';

const lane = { log: 'writes', origin: 'guangzhou', partition: 0 } as const;
const NEW_EPOCH = 'ffffffffffffffff';

async function marksOf(room: TestRoom): Promise<string[]> {
  const sinks = [(await room.cache.marks()).marks, await room.database.marks(), await room.bookFile.marks()];
  return sinks.flat().map(({ epoch, seq }) => `${epoch.slice(0, 4)}:${seq}`);
}

function skip(room: TestRoom, gap: LaneGap, confirmed = true) {
  const consumer = room.applier.consumers(lane);
  assert.ok(consumer.skipGap);
  return consumer.skipGap(gap, confirmed);
}

/** Hands over the frames from `from` on, as after a resume. */
async function take(room: TestRoom, log: TestLog): Promise<void> {
  const { after } = await room.applier.consumers(lane).resume({ epoch: log.epoch });
  await room.applier.consumers(lane).take(log.after(after));
}

test('behind a purged range all marks move, the range is in the book, and the lane goes on', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  log.add(set('b', 'gone')).add(set('b', 'gone')).add(set('c', '1'), incr('n'));
  const gap = { epoch: EPOCH, missing: { from: 1, to: 2 } };
  const planned = await skip(room, gap, false);
  assert.deepEqual([planned.from, planned.to, planned.writes, planned.next], [1, 2, undefined, { epoch: EPOCH, seq: 2 }]);
  assert.deepEqual([await marksOf(room), await room.book.skips(lane)], [['0123:0', '0123:0', '0123:0'], []], 'a dry run changes nothing');
  await skip(room, gap);
  assert.deepEqual(await marksOf(room), ['0123:2', '0123:2', '0123:2']);
  assert.deepEqual(
    (await room.book.skips(lane)).map((it) => [it.epoch, it.from, it.to, it.done]),
    [[EPOCH, 1, 2, true]],
  );
  await take(room, log);
  assert.deepEqual([room.cache.value('b'), room.cache.value('c'), room.cache.value('n')], [undefined, '1', '1']);
  const end = { log: 'writes', partition: 0, epoch: EPOCH, seq: 3, writes: 5, stamp: '' } as const;
  room.applier.consumers(lane).pulse(end, 0);
  assert.equal(room.applier.consumers(lane).progress().lagWrites, 0, 'what was given up is no lag');
});

test('a log made anew goes on from its beginning, also where its seqs and request ids are known from the old one', async () => {
  const room = await new TestRoom().open();
  await room.run(new TestLog().add(incr('n', { id: 'x' })).add(incr('n')));
  const anew = new TestLog({}, NEW_EPOCH).add(incr('n', { id: 'x', aheadMs: 1 }));
  await assert.rejects(room.run(anew), { code: 'LOG_GAP' });
  const skipped = await skip(room, { epoch: NEW_EPOCH, missing: undefined });
  assert.deepEqual([skipped.epoch, skipped.from, skipped.to, skipped.next], [EPOCH, 2, undefined, { epoch: NEW_EPOCH, seq: -1 }]);
  await room.run(anew);
  assert.equal(room.cache.value('n'), '3');
  assert.deepEqual((await room.book.marks())[0], { ...lane, epoch: NEW_EPOCH, seq: 0 });
});

test('where the origin lost its tail the marks go back, and other write requests take the seqs without inheriting receipts', async () => {
  const room = await new TestRoom().open();
  room.database.refuses.add('bad');
  room.processors.kinds['message'] = (write) => ({
    cache: [['SET', write.key, write.requestId]],
    database: [{ op: 'sql', text: (write.json() as { sql: string }).sql, params: [] }],
  });
  const log = new TestLog().add(set('a', '1')).add({ kind: 'message', key: 'm', payload: { sql: 'bad' } }, incr('n'));
  await room.run(log);
  const gap = { epoch: EPOCH, missing: { from: 1, to: 1 } };
  await assert.rejects(skip(room, gap), { code: 'LOG_GAP', message: /1 of the write requests from 1 to 1 are parked; retry or discard/ });
  await room.applier.parking.discard({ writes: ['guangzhou-2'], all: false });
  const skipped = await skip(room, gap);
  assert.deepEqual([skipped.from, skipped.to, skipped.writes, skipped.next.seq], [1, 1, 2, 0]);
  assert.deepEqual(await marksOf(room), ['0123:0', '0123:0', '0123:0']);
  log.frames.pop();
  await take(room, log.add({ kind: 'message', key: 'other', payload: { sql: 'good' }, id: 'other' }));
  assert.equal(room.cache.value('other'), 'other');
  assert.deepEqual(room.database.executed, ['good']);
  assert.deepEqual(await room.book.exceptions({ ...lane, epoch: EPOCH }, 0, 9), []);
  assert.equal((await room.book.summary({ ...lane, epoch: EPOCH })).writes, 2);
});

test('a sink that is beyond the range already stays where it is', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1')).add(set('b', '1')).add(set('c', '1'));
  await room.run(log);
  room.database.marksTable.set({ ...lane, epoch: EPOCH, seq: -1 });
  await skip(room, { epoch: EPOCH, missing: { from: 0, to: 1 } });
  assert.deepEqual(await marksOf(room), ['0123:2', '0123:1', '0123:2']);
  assert.equal((await room.book.summary({ ...lane, epoch: EPOCH })).writes, 3);
});

for (const step of ['before database', 'after database', 'before cache', 'after cache']) {
  test(`a collector that dies ${step} while it skips carries the decision out when it is back`, async () => {
    const room = await new TestRoom().open();
    const log = new TestLog().add(set('a', '1')).add(set('a', 'lost'));
    await room.run(log);
    room.crash.next(step);
    await assert.rejects(skip(room, { epoch: EPOCH, missing: { from: 1, to: 1 } }), /crash/);
    room.restart();
    log.frames.pop();
    await take(room, log.add(set('a', '2')));
    assert.deepEqual(await marksOf(room), ['0123:1', '0123:1', '0123:1']);
    assert.deepEqual([room.cache.value('a'), (await room.book.skips(lane)).map((it) => it.done)], ['2', [true]]);
  });
}

test('row changes, effects and the master of a master–slave topology refuse, each with its reason', async () => {
  const gap = { epoch: EPOCH, missing: { from: 1, to: 1 } };
  const slave = await new TestRoom({ mode: 'master-slave', id: 'guangzhou' }).open();
  const refusal = (log: 'changes' | 'effects') => slave.applier.consumers({ log, origin: 'beijing', partition: 0 }).skipGap?.(gap, true);
  await assert.rejects(refusal('changes') ?? assert.fail(), {
    code: 'LOG_GAP',
    message: /restore it from the master.*docs\/databases\.md/,
  });
  await assert.rejects(refusal('effects') ?? assert.fail(), { code: 'LOG_GAP', message: /effects of every room/ });
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  await assert.rejects(skip(master, gap), { code: 'LOG_GAP', message: /every slave would find the same hole/ });
});
