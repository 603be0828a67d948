import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import type { CachePlace } from '../../core/inspection.ts';
import { decodeFrame } from '../../link/frame.ts';
import { EPOCH, set, TestLog, TestRoom } from './testing.ts';

async function place(room: TestRoom, origin = 'guangzhou'): Promise<CachePlace | undefined> {
  return (await room.applier.copying.places()).lanes.find((it) => it.origin === origin);
}

function stamps(log: TestLog, seq: number): { readonly stampFirst: string; readonly stampLast: string } {
  return decodeFrame(log.frames[seq] ?? new Uint8Array()).header;
}

const LANE = { log: 'writes', origin: 'guangzhou', partition: 0, epoch: EPOCH } as const;
const isMoved = (cause: unknown) => cause instanceof WmbError && cause.code === 'MARK_MOVED';

test('a cache stands for what it and the receipt book have of a lane', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1')).add(set('b', '1'));
  await room.run(log);
  const base = { ...LANE, cache: 1, others: 1, state: '', reason: '', logFrom: -1 };
  assert.deepEqual(await place(room), { ...base, applied: 1, seen: stamps(log, 1).stampLast });
});

test('it does not stand for what is parked, nor for anything behind that', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1')).add({ kind: 'message', key: 'p', payload: 'throw' }).add(set('b', '1'));
  await room.run(log);
  const found = await place(room);
  assert.deepEqual([found?.cache, found?.applied], [2, 0]);
  assert.ok(found !== undefined && found.seen < stamps(log, 1).stampFirst && found.seen >= stamps(log, 0).stampLast);
});

test('a cache that came back says nothing of what it has seen until its lanes have looked, and lives another life', async () => {
  const room = await new TestRoom().open();
  const empty = room.cache.copy();
  await room.applier.start();
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  const before = await room.applier.copying.places();
  empty();
  const after = await room.applier.copying.places();
  assert.notEqual(after.life, before.life);
  const found = after.lanes.find(({ origin }) => origin === 'guangzhou');
  assert.deepEqual([found?.cache, found?.others, found?.applied, found?.seen], [-1, 0, -1, '']);
  await room.applier.stop();
});

test('at the end of a copy the marks move, and the lane goes on from there without a receipt lost', async () => {
  const room = await new TestRoom().open();
  const empty = room.cache.copy();
  await room.applier.start();
  const log = new TestLog().add(set('a', '1')).add(set('b', '1'));
  await room.run(log);
  empty();
  const { life } = await room.applier.copying.places();
  const end = { life, settled: '', moves: [{ ...LANE, expected: -1, next: 1 }] };
  await assert.rejects(room.applier.copying.takeOver({ ...end, life: 'another' }), isMoved);
  await assert.rejects(room.applier.copying.takeOver({ ...end, moves: [{ ...LANE, expected: 0, next: 1 }] }), isMoved);
  assert.equal((await place(room))?.cache, -1);
  await room.applier.copying.takeOver(end);
  assert.deepEqual((await room.applier.consumers(LANE).resume({ epoch: EPOCH })).after, 1);
  assert.deepEqual(await place(room).then((it) => [it?.cache, it?.others, it?.applied]), [1, 1, 1]);
  await room.applier.stop();
});

test('where the copied room had more than this room’s receipts, the log brings those', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  const { life } = await room.applier.copying.places();
  await room.applier.copying.takeOver({ life, settled: '', moves: [{ ...LANE, expected: 0, next: 5 }] });
  assert.equal((await room.applier.consumers(LANE).resume({ epoch: EPOCH })).after, 0);
});

test('nothing is taken over up to a moment that has not come by this room’s clock', async () => {
  const room = await new TestRoom().open();
  await room.run(new TestLog().add(set('a', '1')));
  const { life, nowMs } = await room.applier.copying.places();
  const settled = `${(nowMs + 60_000).toString(16).padStart(12, '0')}000000000001ffff`;
  await assert.rejects(room.applier.copying.takeOver({ life, settled, moves: [{ ...LANE, expected: 0, next: 5 }] }), isMoved);
});

test('what was retried long ago is not applied again over a copy: the peer has had it, as every room has', async () => {
  const room = await new TestRoom().open();
  let healed = false;
  room.processors.kinds['message'] = (write) => {
    if (!healed) throw new Error('boom');
    return { cache: [['INCR', write.key]] };
  };
  const log = new TestLog().add({ kind: 'message', key: 'p', payload: {} }).add(set('a', '1'));
  await room.run(log);
  healed = true;
  await room.applier.parking.retry({ writes: [], all: true });
  assert.equal((await room.book.retried({ ...LANE }, -1, 0, 9)).length, 1);
  const { life } = await room.applier.copying.places();
  await room.applier.copying.takeOver({ life, settled: `${stamps(log, 1).stampLast}ffff`, moves: [{ ...LANE, expected: 1, next: 5 }] });
  assert.deepEqual(await room.book.retried({ ...LANE }, -1, 0, 9), []);
});

test('a retry that is late although it held the floor was applied before the cache was lost; one that was parked for being late was not', async () => {
  const room = await new TestRoom().open();
  let healed = false;
  room.processors.kinds['message'] = (write) => {
    if (!healed) throw new Error('boom');
    return { cache: [['INCR', write.key]] };
  };
  room.cache.late.add('p');
  room.cache.late.add('q');
  await room.run(new TestLog().add({ kind: 'message', key: 'p', payload: {} }, set('q', '1')));
  healed = true;
  const { outcomes } = await room.applier.parking.retry({ writes: [], all: true });
  assert.deepEqual(
    outcomes.map(({ outcome, code }) => [outcome, code]),
    [
      ['applied', ''],
      ['parked', 'WRITE_LATE'],
    ],
  );
});

test('a cache that came back with the same mark says nothing of what it has seen until what was retried is there again', async () => {
  const room = await new TestRoom().open();
  let healed = false;
  room.processors.kinds['message'] = (write) => {
    if (!healed) throw new Error('boom');
    return { cache: [['INCR', write.key]] };
  };
  await room.applier.start();
  await room.run(new TestLog().add({ kind: 'message', key: 'p', payload: {} }).add(set('a', '1')));
  const restore = room.cache.copy();
  healed = true;
  await room.applier.parking.retry({ writes: [], all: true });
  assert.notEqual((await place(room))?.seen, '');
  restore();
  assert.equal((await place(room))?.seen, '');
  await room.applier.stop();
});
