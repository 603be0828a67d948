import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Receiver } from '../../collector/receive/receiver.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { noMetrics } from '../../core/metrics.ts';
import { formatStamp } from '../../core/stamp.ts';
import { type Fate, MemoryNetwork } from '../../link/memory/network.ts';
import { MemoryLogDisk } from '../../log/memory/memory.ts';
import { Shipper } from '../../reship/ship/shipper.ts';
import {
  append,
  CountingConsumers,
  configOf,
  FakeBoard,
  FakeHints,
  keepingLogger,
  type LogLine,
  logOf,
  MemoryStates,
  type RigConfig,
} from './rig.ts';

const ADDRESSES = { beijing: 'beijing:1', guangzhou: 'guangzhou:1' };
const stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** Both rooms, each with both ends, in one process and on virtual time. */
async function rooms(options: Partial<RigConfig> = {}, fate: (from: string, to: string, what: string) => Fate = () => 1) {
  const time = new VirtualTime();
  const network = new MemoryNetwork(time, { fate });
  const room = async (id: 'beijing' | 'guangzhou') => {
    const config = configOf({ room: id, addresses: ADDRESSES, partitions: 2, ...options });
    const log = await logOf(new MemoryLogDisk(), { origin: id, runtime: time, partitions: 2 });
    const settledStamp = () => formatStamp({ ms: time.nowMs(), counter: 0, writer: 9 });
    const lines: LogLine[] = [];
    const shared = { config, runtime: time, metrics: noMetrics, instance: `${id}-1` };
    const shipper = new Shipper({ ...shared, readers: [log], logger: silentLogger, settledStamp });
    const consumers = new CountingConsumers();
    const board = new FakeBoard();
    const hints = new FakeHints();
    const receiver = new Receiver({
      ...shared,
      dialer: network,
      consumers: consumers.make,
      acks: board,
      hints,
      states: new MemoryStates(),
      logger: keepingLogger(lines),
    });
    const close = network.listen(ADDRESSES[id], shipper);
    await shipper.start();
    await receiver.start();
    stops.push(async () => {
      close();
      const stopped = receiver.stop();
      await time.advance(10);
      await stopped;
      await shipper.stop();
    });
    return { log, shipper, receiver, consumers, board, hints, lines };
  };
  return { time, network, beijing: await room('beijing'), guangzhou: await room('guangzhou') };
}

test('a bandwidth limit holds over every stretch of time, and only towards the peer that it is for', async () => {
  const bytesPerSecondMax = 10_000;
  const { time, beijing, guangzhou } = await rooms({ bytesPerSecondMax });
  for (let seq = 0; seq < 60; seq += 1) await append(beijing.log, seq % 2, { ms: time.nowMs(), bytes: 1_000 });
  const arrived = (room: { consumers: CountingConsumers }) =>
    [0, 1].reduce((sum, p) => sum + room.consumers.of('beijing', p).seqs.length, 0);
  let last = 0;
  for (let second = 1; second <= 8 && arrived(guangzhou) < 60; second += 1) {
    await time.advance(1_000);
    const frames = arrived(guangzhou);
    // A batch is let go when its bytes are paid for, so what arrives in one second may have been saved up for over the seconds before.
    assert.ok(frames * 1_000 <= second * bytesPerSecondMax + 0.1 * bytesPerSecondMax + 1_000, `${frames} kB after ${second} s`);
    last = second;
  }
  assert.equal(arrived(guangzhou), 60);
  assert.ok(last >= 5, `60 kB took ${last} s at 10 kB/s`);
  assert.equal(arrived(beijing), 60);
});

test('when all rooms have acked, the floor reaches every room, follows the clock, and goes down with an older mark', async () => {
  const { time, beijing, guangzhou } = await rooms();
  const appendedMs = time.nowMs();
  await append(beijing.log, 0, { ms: appendedMs });
  await append(beijing.log, 0, { ms: appendedMs + 1 });
  const ack = (room: typeof beijing, seq: number) =>
    room.board.set('beijing', { log: 'writes', partition: 0, epoch: beijing.log.epoch, seq, parkedSeq: -1 });
  await time.advance(100);
  assert.equal(guangzhou.receiver.floor(), '');
  ack(beijing, 1);
  ack(guangzhou, 1);
  await time.advance(100);
  const floorMs = Number.parseInt(guangzhou.receiver.floor().slice(0, 12), 16);
  assert.ok(floorMs > time.nowMs() - 60 && floorMs <= time.nowMs(), `${time.nowMs() - floorMs} ms`);
  assert.deepEqual(
    beijing.shipper.retentionFloors('writes').map(({ appliedSeq }) => appliedSeq),
    [1, -1],
  );
  ack(guangzhou, 0);
  await time.advance(100);
  assert.equal(guangzhou.receiver.floor(), formatStamp({ ms: appendedMs, counter: 0, writer: 1 }));
  assert.equal(beijing.shipper.ackedSeq('guangzhou', 'writes', 0), 0);
});

test('an ack beyond the end of the log, or of another epoch, makes the room unknown', async () => {
  const { time, beijing, guangzhou } = await rooms();
  await append(beijing.log, 0, { ms: time.nowMs() });
  const ack = (epoch: string, seq: number) => guangzhou.board.set('beijing', { log: 'writes', partition: 0, epoch, seq, parkedSeq: -1 });
  await time.advance(50);
  ack(beijing.log.epoch, 0);
  await time.advance(50);
  assert.equal(beijing.shipper.ackedSeq('guangzhou', 'writes', 0), 0);
  ack(beijing.log.epoch, 1);
  await time.advance(50);
  assert.equal(beijing.shipper.ackedSeq('guangzhou', 'writes', 0), undefined);
  ack(beijing.log.epoch, 0);
  await time.advance(50);
  ack('0000000000000000', 0);
  await time.advance(50);
  assert.equal(beijing.shipper.ackedSeq('guangzhou', 'writes', 0), undefined);
});

test('the room’s own collector tells its reship what it saw and what it appended; nobody else may', async () => {
  const { time, beijing, guangzhou } = await rooms();
  const seen: string[] = [];
  beijing.shipper.onObserved((stamp) => seen.push(stamp));
  guangzhou.shipper.onObserved((stamp) => seen.push(`guangzhou ${stamp}`));
  await time.advance(20);
  const stamp = (ms: number) => formatStamp({ ms, counter: 0, writer: 1 });
  beijing.hints.observed(stamp(7));
  beijing.hints.observed(stamp(9));
  beijing.hints.observed(stamp(8));
  await time.advance(20);
  assert.deepEqual(seen, [stamp(9)]);
});

test('a failure is told louder the longer it lasts, and its end is told', async () => {
  let cut = true;
  const { time, guangzhou } = await rooms({ reconnectMsMax: 500 }, (from, to) => (cut && from !== to ? 'cut' : 1));
  const levels = () =>
    new Set(guangzhou.lines.filter((line) => line.origin === 'beijing' && line.message === 'the link is down').map((line) => line.level));
  await time.advance(9_000);
  assert.deepEqual([...levels()], ['info']);
  await time.advance(40_000);
  assert.deepEqual([...levels()], ['info', 'warn']);
  await time.advance(20_000);
  assert.deepEqual([...levels()], ['info', 'warn', 'error']);
  cut = false;
  await time.advance(2_000);
  assert.ok(guangzhou.lines.some((line) => line.origin === 'beijing' && line.message === 'the link works again'));
});

test('whatever breaks, delays or silences a line, frames arrive once and in order, and again when it is whole', async () => {
  let seed = 12_345;
  const random = () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
    return seed / 2_147_483_648;
  };
  let faulty = true;
  const fate = (): Fate => {
    if (!faulty) return 1;
    const dice = random();
    return dice < 0.01 ? 'cut' : dice < 0.015 ? 'stall' : Math.floor(random() * 40);
  };
  const { time, beijing, guangzhou } = await rooms({ silenceMsMax: 300, laneBytesMax: 2_000 }, fate);
  for (let seq = 0; seq < 500; seq += 1) {
    for (const partition of [0, 1]) await append(beijing.log, partition, { ms: time.nowMs(), bytes: 150 });
    await time.advance(5);
  }
  faulty = false;
  await time.advance(30_000);
  const all = Array.from({ length: 500 }, (_, seq) => seq);
  for (const room of [beijing, guangzhou]) {
    for (const partition of [0, 1]) {
      assert.deepEqual(room.consumers.of('beijing', partition).seqs, all);
      assert.equal(room.consumers.of('beijing', partition).overlapped, false);
    }
  }
  assert.ok(guangzhou.lines.filter((line) => line.message === 'the link is down').length > 5);
});

test('a reship that says nothing, and a collector that says nothing, are both given up', async () => {
  let silent = false;
  const { time, beijing, guangzhou } = await rooms({ silenceMsMax: 300 }, (from, to) => (silent && from !== to ? 'stall' : 1));
  await time.advance(100);
  assert.equal((await beijing.shipper.peers()).find(({ room }) => room === 'guangzhou')?.connected, true);
  silent = true;
  await time.advance(400);
  assert.ok(guangzhou.lines.some((line) => line.message === 'the link is down' && String(line.reason).includes('said nothing for 300 ms')));
  assert.equal((await beijing.shipper.peers()).find(({ room }) => room === 'guangzhou')?.connected, false);
});

test('a peer that turns out to be another room, or speaks of lanes that cannot be, is not believed', async () => {
  const time = new VirtualTime();
  const network = new MemoryNetwork(time);
  const config = configOf({ room: 'guangzhou', addresses: ADDRESSES, partitions: 2 });
  const answers = {
    protocol: 1,
    room: 'shanghai',
    topologyEpoch: 1,
    instance: 'x',
    logs: [{ log: 'writes' as const, epoch: '0'.repeat(16), partitions: 70_000 }],
  };
  const end = (partition: number) => ({ log: 'writes' as const, partition, epoch: '0'.repeat(16), seq: 0, writes: 1, stamp: '' });
  network.listen(ADDRESSES.beijing, {
    welcome: () => ({ ...answers }),
    serve: (session) => session.send({ type: 'pulse', sentMs: 1, floor: '', ends: [end(1), end(2), end(4_000_000_000)] }),
  });
  const consumers = new CountingConsumers();
  const runtime = time;
  const shared = { config, runtime, metrics: noMetrics, instance: 'g-1', dialer: network, consumers: consumers.make };
  const receiver = new Receiver({
    ...shared,
    acks: new FakeBoard(),
    hints: new FakeHints(),
    states: new MemoryStates(),
    logger: silentLogger,
  });
  await receiver.start();
  stops.push(async () => {
    const stopped = receiver.stop();
    await time.advance(10);
    await stopped;
  });
  const lanes = () => receiver.status().find((link) => link.origin === 'beijing')?.lanes ?? [];
  await time.advance(50);
  assert.match(lanes()[0]?.reason ?? '', /ROOM_UNKNOWN: the address of room beijing answers as room shanghai/);
  for (const [wrong, reason] of [
    [{ protocol: 2 }, /PROTOCOL_VERSION: room beijing speaks link protocol 2/],
    [{ topologyEpoch: 2 }, /TOPOLOGY_STALE: room beijing holds topology epoch 2, this room holds 1/],
  ] as const) {
    Object.assign(answers, { protocol: 1, room: 'beijing', topologyEpoch: 1 }, wrong);
    await time.advance(100);
    assert.match(lanes()[0]?.reason ?? '', reason);
  }
  Object.assign(answers, { topologyEpoch: 1 });
  await time.advance(100);
  assert.equal(lanes().length, 2);
  assert.deepEqual([...consumers.lanes.keys()].sort(), [
    'writes/beijing/0',
    'writes/beijing/1',
    'writes/guangzhou/0',
    'writes/guangzhou/1',
  ]);
});
