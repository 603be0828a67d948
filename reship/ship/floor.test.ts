import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp, NO_STAMP } from '../../core/stamp.ts';
import type { RoomId, Seq } from '../../core/words.ts';
import { MemoryLog, MemoryLogDisk } from '../../log/memory/memory.ts';
import { AckLedger } from './ack-ledger.ts';
import { endsOf, floorOf } from './floor.ts';
import { peerStatuses } from './peer-status.ts';

const ROOMS = ['beijing', 'guangzhou', 'shanghai'];
const stampOf = (ms: number) => formatStamp({ ms, counter: 0, writer: 1 });
const SETTLED = stampOf(9_000);

/** Two partitions; the frame with seq n of partition p is stamped 1000 + 10 n + p and holds two write requests. */
async function logOf(counts: readonly [number, number]): Promise<MemoryLog> {
  const log = new MemoryLog({ disk: new MemoryLogDisk(), log: 'writes', origin: 'beijing', partitions: 2, runtime: systemRuntime });
  await log.open();
  for (const [partition, count] of counts.entries()) {
    for (let seq = 0; seq < count; seq += 1) {
      const stamp = stampOf(1_000 + 10 * seq + partition);
      await log.append([{ partition, bytes: Buffer.alloc(10), count: 2, stampFirst: stamp, stampLast: stamp }]);
    }
  }
  return log;
}

function acked(log: MemoryLog, acks: AckLedger, rooms: readonly RoomId[], seqs: readonly [Seq, Seq], parkedSeq = -1): void {
  for (const room of rooms) {
    for (const [partition, seq] of seqs.entries()) acks.set({ room, log: 'writes', partition }, { epoch: log.epoch, seq, parkedSeq });
  }
}

test('the floor is the settled stamp where every room has applied everything', async () => {
  const log = await logOf([3, 2]);
  const acks = new AckLedger();
  acked(log, acks, ROOMS, [2, 1]);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), SETTLED);
});

test('the floor is held by the slowest room and the slowest partition', async () => {
  const log = await logOf([3, 3]);
  const acks = new AckLedger();
  acked(log, acks, ROOMS, [2, 2]);
  acked(log, acks, ['shanghai'], [1, 2]);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), stampOf(1_010));
  acked(log, acks, ['guangzhou'], [2, 0]);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), stampOf(1_001));
});

test('the floor stays below the oldest write request that a room has parked, although its mark went on', async () => {
  const log = await logOf([3, 3]);
  const acks = new AckLedger();
  acked(log, acks, ROOMS, [2, 2]);
  acked(log, acks, ['guangzhou'], [2, 2], 1);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), stampOf(1_000));
  acked(log, acks, ['guangzhou'], [2, 2], 0);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), NO_STAMP);
});

test('where several processes append, a room that has applied a frame has everything up to what that frame says, and no more', async () => {
  const log = new MemoryLog({ disk: new MemoryLogDisk(), log: 'writes', origin: 'beijing', partitions: 2, runtime: systemRuntime });
  await log.open();
  for (const [ms, through] of [
    [1_100, 990],
    [1_010, 1_005],
  ] as const) {
    const stamp = stampOf(ms);
    await log.append([{ partition: 0, bytes: Buffer.alloc(10), count: 2, stampFirst: stamp, stampLast: stamp, through: stampOf(through) }]);
  }
  const acks = new AckLedger();
  acked(log, acks, ROOMS, [0, -1]);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), stampOf(990), 'the frame behind it has older stamps than it has itself');
  acked(log, acks, ROOMS, [1, -1]);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), SETTLED);
  const ends = (settled: number) => endsOf(log, stampOf(settled))[0]?.stamp;
  assert.deepEqual([ends(1_050), ends(1_000)], [stampOf(1_050), stampOf(1_005)], 'a pulse says no more than is settled');
});

test('there is no floor while a room has not spoken, nor where a room has applied nothing', async () => {
  const log = await logOf([1, 1]);
  const acks = new AckLedger();
  acked(log, acks, ['beijing', 'guangzhou'], [0, 0]);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), NO_STAMP);
  acked(log, acks, ['shanghai'], [0, -1]);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), NO_STAMP);
});

test('a partition that nothing was ever written to holds nobody up', async () => {
  const log = await logOf([1, 0]);
  const acks = new AckLedger();
  for (const room of ROOMS) acks.set({ room, log: 'writes', partition: 0 }, { epoch: log.epoch, seq: 0, parkedSeq: -1 });
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), SETTLED);
});

test('the floor goes down with an ack that goes down, and vanishes where its frame is gone', async () => {
  const log = await logOf([4, 1]);
  const acks = new AckLedger();
  acked(log, acks, ROOMS, [3, 0]);
  acked(log, acks, ['shanghai'], [1, 0]);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), stampOf(1_010));
  await log.trim({ ageMsMin: 0, bytesMax: 1, overflow: 'keep', writesMin: 0 }, [{ partition: 0, appliedSeq: 2 }], 1e9);
  assert.equal(log.extent(0).first, 3);
  assert.equal(await floorOf(log, acks, ROOMS, SETTLED), NO_STAMP);
});

test('the end of a write log’s lane is settled beyond its last frame; another log’s is not', async () => {
  const log = await logOf([2, 0]);
  assert.deepEqual(endsOf(log, SETTLED), [
    { log: 'writes', partition: 0, epoch: log.epoch, seq: 1, writes: 4, stamp: SETTLED },
    { log: 'writes', partition: 1, epoch: log.epoch, seq: -1, writes: 0, stamp: SETTLED },
  ]);
  const effects = new MemoryLog({ disk: new MemoryLogDisk(), log: 'effects', origin: 'beijing', partitions: 1, runtime: systemRuntime });
  await effects.open();
  await effects.append([{ partition: 0, bytes: Buffer.alloc(1), count: 1, stampFirst: stampOf(1), stampLast: stampOf(1) }]);
  assert.equal(endsOf(effects, SETTLED)[0]?.stamp, stampOf(1));
});

test('what all rooms have applied counts parked write requests for retention, because their rooms keep them', async () => {
  const log = await logOf([3, 3]);
  const acks = new AckLedger();
  acked(log, acks, ROOMS, [2, 2], 1);
  assert.equal(acks.appliedBy(ROOMS, { log: 'writes', partition: 0 }, 'pass'), 2);
  assert.equal(acks.appliedBy(ROOMS, { log: 'writes', partition: 0 }, 'hold'), 0);
  acks.forget({ room: 'shanghai', log: 'writes', partition: 0 });
  assert.equal(acks.appliedBy(ROOMS, { log: 'writes', partition: 0 }, 'pass'), undefined);
});

test('a peer’s lag is counted in write requests and in the age of the oldest that it lacks', async () => {
  const log = await logOf([3, 1]);
  const acks = new AckLedger();
  acked(log, acks, ['guangzhou'], [0, 0]);
  const room = (id: RoomId) => ({
    id,
    number: 1,
    database: 'none' as const,
    reship: { grpc: '', http: '' },
    collector: { grpc: '', http: '' },
  });
  const topology = {
    epoch: 1,
    mode: 'independent' as const,
    partitions: 2,
    rooms: [room('beijing'), room('guangzhou')],
    links: [],
    kinds: {},
    limits: { payloadBytesMax: 1, clockAheadMsMax: 1, duplicateWindowWrites: 1 },
  };
  const [own, peer] = await peerStatuses({
    topology,
    room: 'beijing',
    readers: [log],
    acks,
    connected: new Set(['guangzhou']),
    nowMs: 1_500,
  });
  assert.deepEqual(peer, {
    room: 'guangzhou',
    connected: true,
    lanes: [
      { log: 'writes', partition: 0, ackedSeq: 0, parkedSeq: -1, lagWrites: 4, lagMs: 490 },
      { log: 'writes', partition: 1, ackedSeq: 0, parkedSeq: -1, lagWrites: 0, lagMs: 0 },
    ],
  });
  assert.deepEqual(own?.lanes[0], { log: 'writes', partition: 0, ackedSeq: -1, parkedSeq: -1, lagWrites: 6, lagMs: 500 });
});
