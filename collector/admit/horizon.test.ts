import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LanePlace } from '../../core/inspection.ts';
import { decodeFrame, encodeFrame } from '../../link/frame.ts';
import { EPOCH, START_MS, set, TestLog, TestRoom } from './testing.ts';

const canary = { kind: 'wmb.canary', key: 'wmb.canary/0', payload: '' };

async function place(room: TestRoom, origin: string): Promise<LanePlace | undefined> {
  return (await room.applier.horizon()).find((it) => it.origin === origin);
}

/** The stamp of the newest write request of a log. */
function newest(log: TestLog): string {
  return decodeFrame(log.frames.at(-1) ?? new Uint8Array()).header.stampLast;
}

test('the horizon names every lane of every origin, and says nothing of what is not known', async () => {
  const room = await new TestRoom().open();
  const unknown = { log: 'writes', partition: 0, epoch: '', mark: -1, seen: '', state: '', reason: '', lagWrites: 0 } as const;
  assert.deepEqual(await room.applier.horizon(), [
    { ...unknown, origin: 'beijing' },
    { ...unknown, origin: 'guangzhou' },
  ]);
});

test('the horizon follows the marks, the pulses and the lag of a lane', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  const passed = { log: 'writes', origin: 'guangzhou', partition: 0, epoch: EPOCH, mark: 0, state: '', reason: '' } as const;
  assert.deepEqual(await place(room, 'guangzhou'), { ...passed, seen: newest(log), lagWrites: 0 });
  const quiet = 'ffffffffffff000000000002';
  const pulse = { log: 'writes', partition: 0, epoch: EPOCH, stamp: quiet } as const;
  room.applier.consumers(log.lane).pulse({ ...pulse, seq: 0, writes: 1 }, 0);
  assert.deepEqual(await place(room, 'guangzhou'), { ...passed, seen: quiet, lagWrites: 0 });
  room.applier.consumers(log.lane).pulse({ ...pulse, seq: 2, writes: 4 }, 0);
  assert.deepEqual(await place(room, 'guangzhou'), { ...passed, seen: newest(log), lagWrites: 3 });
});

test('a canary moves what a room has seen, and touches neither cache nor database', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(canary);
  await room.run(log);
  assert.deepEqual([(await place(room, 'guangzhou'))?.mark, (await place(room, 'guangzhou'))?.seen], [0, newest(log)]);
  await room.run(log.add({ ...canary, id: 'next' }));
  assert.deepEqual([(await place(room, 'guangzhou'))?.mark, (await place(room, 'guangzhou'))?.seen], [1, newest(log)]);
  assert.deepEqual([room.cache.values.size, room.database.executed], [0, []]);
  assert.deepEqual(await room.book.exceptions({ ...log.lane, epoch: EPOCH }, 0, 9), []);
});

test('a canary goes through the effect log of the master to the slave room', async () => {
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  const slave = await new TestRoom({ mode: 'master-slave', id: 'guangzhou' }).open();
  const log = new TestLog().add(canary);
  await master.run(log);
  assert.equal((await place(slave, 'guangzhou'))?.seen, '');
  const effects = new TestLog({ log: 'effects', origin: 'beijing' }, master.effectLog.epoch);
  for (const frame of master.effectLog.frames) effects.raw(frame);
  await slave.run(effects);
  for (const room of [master, slave]) {
    assert.deepEqual([(await place(room, 'guangzhou'))?.mark, (await place(room, 'guangzhou'))?.seen], [0, newest(log)]);
    assert.deepEqual([room.cache.values.size, room.database.executed], [0, []]);
  }
});

test('where several processes append, a room has seen up to what its last frame says, also a slave room and after a restart', async () => {
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  const slave = await new TestRoom({ mode: 'master-slave', id: 'guangzhou' }).open();
  const log = new TestLog().add(canary);
  const through = newest(log);
  const { writes } = decodeFrame(new TestLog().add(canary, { ...canary, id: 'later' }).frames[0] ?? new Uint8Array());
  log.raw(encodeFrame({ ...log.lane, epoch: EPOCH }, writes, through));
  assert.ok(newest(log) > through);
  await master.run(log);
  const effects = new TestLog({ log: 'effects', origin: 'beijing' }, master.effectLog.epoch);
  for (const frame of master.effectLog.frames) effects.raw(frame);
  await slave.run(effects);
  for (const room of [master, slave]) {
    assert.deepEqual([(await place(room, 'guangzhou'))?.mark, (await place(room, 'guangzhou'))?.seen], [1, through]);
    assert.equal((await room.book.summary({ ...log.lane, epoch: EPOCH })).through, through);
  }
});

test('a canary waits for the clock only: not behind what is parked of its key', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog();
  room.processors.kinds['message'] = () => {
    throw new Error('boom');
  };
  await room.run(log.add({ kind: 'message', key: canary.key }, canary));
  await room.run(log.add(canary, { ...canary, aheadMs: 60_000 }));
  const receipts = await room.book.exceptions({ ...log.lane, epoch: EPOCH }, 0, 9);
  assert.deepEqual(
    receipts.map(({ seq, index, code }) => `${seq}.${index} ${code}`),
    ['0.0 PROCESSOR_FAILED', '1.1 STAMP_FUTURE'],
  );
});

test('the book keeps when frames were applied, in a slave room too', async () => {
  const master = await new TestRoom({ mode: 'master-slave' }).open();
  const slave = await new TestRoom({ mode: 'master-slave', id: 'guangzhou' }).open();
  const log = new TestLog().add(set('a', '1'), set('b', '1')).add(set('a', '2'));
  await master.run(log);
  slave.runtime.now += 250;
  const effects = new TestLog({ log: 'effects', origin: 'beijing' }, master.effectLog.epoch);
  for (const frame of master.effectLog.frames) effects.raw(frame);
  await slave.run(effects);
  const range = { lane: { ...log.lane, epoch: EPOCH }, from: 0, to: 1 };
  const times = async (room: TestRoom) => (await room.book.frames(range)).map(({ seq, count, appliedMs }) => [seq, count, appliedMs]);
  assert.deepEqual(await times(master), [
    [0, 2, START_MS],
    [1, 1, START_MS],
  ]);
  assert.deepEqual(await times(slave), [
    [0, 2, START_MS + 250],
    [1, 1, START_MS + 250],
  ]);
  assert.equal(await master.book.digest(range), await slave.book.digest(range));
});
