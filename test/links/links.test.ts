import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { Receiver } from '../../collector/receive/receiver.ts';
import { WmbError } from '../../core/errors.ts';
import { silentLogger } from '../../core/logger.ts';
import { type GaugeReader, noMetrics } from '../../core/metrics.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp, NO_STAMP } from '../../core/stamp.ts';
import { rpcDialer } from '../../link/rpc/dialer.ts';
import { addLinkService } from '../../link/rpc/service.ts';
import { type MemoryLog, MemoryLogDisk } from '../../log/memory/memory.ts';
import { Shipper } from '../../reship/ship/shipper.ts';
import { TcpProxy } from '../harness/proxy.ts';
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
  until,
} from './rig.ts';

const NOW_MS = 1_700_000_000_000;
const SETTLED = formatStamp({ ms: NOW_MS + 1_000_000, counter: 0, writer: 9 });
/** A session does not end because the machine stands still for a while. */
const PATIENT_MS = 60_000;
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Beijing's shipping side behind a proxy. */
async function origin(options: Partial<RigConfig> & { disk?: MemoryLogDisk } = {}) {
  const config = configOf({ room: 'beijing', addresses: { beijing: '', guangzhou: '' }, silenceMsMax: PATIENT_MS, ...options });
  const log: MemoryLog = await logOf(options.disk ?? new MemoryLogDisk(), { origin: 'beijing', runtime: systemRuntime });
  const shipper = new Shipper({
    config,
    readers: [log],
    runtime: systemRuntime,
    logger: silentLogger,
    metrics: noMetrics,
    instance: 'b-1',
    settledStamp: () => SETTLED,
  });
  const server = new Server();
  addLinkService(server, shipper, { runtime: systemRuntime, logger: silentLogger, certificates: false });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const proxy = new TcpProxy({ host: '127.0.0.1', port });
  const address = `127.0.0.1:${await proxy.listen()}`;
  await shipper.start();
  const close = async () => {
    await shipper.stop();
    server.forceShutdown();
    await proxy.close();
    await log.close();
  };
  closers.push(close);
  return { log, shipper, proxy, address };
}

/** Guangzhou's receiving side. Its own reship is not there; that link keeps backing off beside the others. */
async function peer(address: string, options: Partial<RigConfig> & { states?: MemoryStates } = {}) {
  const addresses = { beijing: address, guangzhou: '127.0.0.1:1' };
  const config = configOf({ room: 'guangzhou', addresses, silenceMsMax: PATIENT_MS, ...options });
  const consumers = new CountingConsumers();
  const board = new FakeBoard();
  const hints = new FakeHints();
  const states = options.states ?? new MemoryStates();
  const lines: LogLine[] = [];
  const gauges = new Map<string, GaugeReader>();
  const metrics = { ...noMetrics, gauge: (spec: { name: string }, read: GaugeReader) => void gauges.set(spec.name, read) };
  const receiver = new Receiver({
    config,
    instance: 'g-1',
    dialer: rpcDialer({ runtime: systemRuntime, answerMsMax: 10_000 }),
    consumers: consumers.make,
    acks: board,
    hints,
    states,
    runtime: systemRuntime,
    logger: keepingLogger(lines),
    metrics,
  });
  closers.push(() => receiver.stop());
  const start = () => receiver.start();
  const lane = (partition: number) => receiver.status().find((link) => link.origin === 'beijing')?.lanes[partition];
  const queuedBytes = () => {
    let sum = 0;
    gauges.get('wmb_link_queue_bytes')?.((bytes) => {
      sum += bytes;
    });
    return sum;
  };
  return { receiver, consumers, board, states, lines, start, lane, queuedBytes };
}

const PARTITIONS = [0, 1, 2, 3, 4, 5, 6, 7];
const upTo = (count: number) => Array.from({ length: count }, (_, seq) => seq);

test('frames of eight partitions arrive exactly once and in order over a line that is cut again and again', {
  timeout: 30_000,
}, async () => {
  const { log, proxy, address } = await origin();
  const { consumers, start } = await peer(address);
  await start();
  const rounds = 300;
  for (let round = 0; round < rounds; round += 1) {
    for (const partition of PARTITIONS) await append(log, partition, { ms: NOW_MS + round, bytes: 2_000 });
    if (round % 60 === 30) {
      await until(() => PARTITIONS.some((partition) => consumers.of('beijing', partition).seqs.length > round / 2));
      proxy.cut();
      proxy.heal();
    }
  }
  await until(() => PARTITIONS.every((partition) => consumers.of('beijing', partition).mark === rounds - 1));
  for (const partition of PARTITIONS) {
    const consumer = consumers.of('beijing', partition);
    assert.deepEqual(consumer.seqs, upTo(rounds));
    assert.equal(consumer.overlapped, false);
  }
});

test('a lane whose log the reship that answers does not have says so', async () => {
  const { address } = await origin({ mode: 'master-slave' });
  const { start, lane } = await peer(address, { mode: 'master-slave' });
  await start();
  await until(() => lane(0)?.reason !== 'the link is being made');
  assert.deepEqual([lane(0)?.log, lane(0)?.state], ['effects', 'connecting']);
  assert.equal(lane(0)?.reason, 'b-1 has no log effects: it is not there yet, or its files are on another machine');
});

test('a lane that stands still neither stalls the others nor holds more than its credit and a frame', { timeout: 30_000 }, async () => {
  const { log, address } = await origin();
  const laneBytesMax = 50_000;
  const { consumers, start, queuedBytes } = await peer(address, { laneBytesMax });
  const slow = consumers.of('beijing', 3);
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  slow.gate = () => opened;
  for (let seq = 0; seq < 200; seq += 1)
    for (const partition of PARTITIONS) await append(log, partition, { ms: NOW_MS + seq, bytes: 4_000 });
  await start();
  const others = PARTITIONS.filter((partition) => partition !== 3);
  await until(() => others.every((partition) => consumers.of('beijing', partition).mark === 199));
  assert.deepEqual(slow.seqs, []);
  const held = slow.bytes + queuedBytes();
  assert.ok(held > 0 && held <= laneBytesMax + 4_000, `${held} bytes are held`);
  open();
  await until(() => slow.mark === 199);
  assert.deepEqual(slow.seqs, upTo(200));
});

test('a refusal arrives with its code and stays visible as the reason of every lane', { timeout: 20_000 }, async () => {
  const cases: [Partial<RigConfig>, RegExp][] = [
    [{ epoch: 2 }, /^TOPOLOGY_STALE: .*guangzhou holds topology epoch 2, room beijing holds 1: beijing is older/],
    [{ epoch: 0 }, /^TOPOLOGY_STALE: .*guangzhou is older/],
    [{ secret: 'wrong' }, /^IDENTITY_REFUSED: .*the link secrets differ/],
    [{ secret: '' }, /^IDENTITY_REFUSED: .*no link secret/],
  ];
  const { address } = await origin();
  for (const [wrong, reason] of cases) {
    const { lane, start } = await peer(address, wrong);
    await start();
    await until(() => lane(0)?.state === 'backing-off');
    assert.match(lane(0)?.reason ?? '', reason);
  }
});

test('a room that the topology does not know, or that meant another room, is refused', { timeout: 20_000 }, async () => {
  const { address } = await origin();
  const stranger = await peer('', { room: 'shanghai', addresses: { shanghai: '127.0.0.1:1', beijing: address } });
  await stranger.start();
  const reason = () => stranger.receiver.status().find((link) => link.origin === 'beijing')?.lanes[0]?.reason ?? '';
  await until(() => reason().startsWith('ROOM_UNKNOWN'));
  assert.match(reason(), /room shanghai is not in the topology of room beijing/);
  const lost = await peer('', { addresses: { hangzhou: address, guangzhou: '127.0.0.1:1' } });
  await lost.start();
  const lostReason = () => lost.receiver.status().find((link) => link.origin === 'hangzhou')?.lanes[0]?.reason ?? '';
  await until(() => lostReason().startsWith('ROOM_UNKNOWN'));
  assert.match(lostReason(), /this is room beijing, not hangzhou/);
});

test('a lane whose frames were purged stops with the range named, and its neighbours stream', { timeout: 20_000 }, async () => {
  const { log, address } = await origin();
  for (let seq = 0; seq < 10; seq += 1) for (const partition of [0, 1]) await append(log, partition, { ms: NOW_MS + seq });
  await log.trim({ ageMsMin: 0, bytesMax: 1, overflow: 'keep', writesMin: 0 }, [{ partition: 0, appliedSeq: 4 }], NOW_MS + 1_000_000);
  assert.equal(log.extent(0).first, 5);
  const { consumers, lane, start, lines, states } = await peer(address);
  consumers.of('beijing', 0).mark = 1;
  await start();
  await until(() => lane(0)?.state === 'stopped-on-gap' && consumers.of('beijing', 1).mark === 9);
  assert.match(lane(0)?.reason ?? '', /LOG_GAP: .*frames 2 to 4/);
  assert.deepEqual(consumers.of('beijing', 0).seqs, []);
  assert.equal(lines.filter((line) => line.level === 'error' && line.to === 'stopped-on-gap').length, 1);
  assert.equal(states.rows.get('writes/beijing/0')?.state, 'stopped-on-gap');
});

test('a mark beyond the end of the log, or of another log epoch, stops the lane', { timeout: 20_000 }, async () => {
  const { log, address } = await origin();
  await append(log, 0, { ms: NOW_MS });
  const { consumers, lane, start } = await peer(address);
  consumers.of('beijing', 0).mark = 5;
  await start();
  await until(() => lane(0)?.state === 'stopped-on-gap');
  assert.match(lane(0)?.reason ?? '', /the log ends at 0: frames 1 to 5 were lost/);
});

test('history comes before the mark, flagged, and what follows is live', { timeout: 20_000 }, async () => {
  const { log, address } = await origin();
  for (let seq = 0; seq < 10; seq += 1) await append(log, 2, { ms: NOW_MS + seq });
  const { consumers, start } = await peer(address);
  const consumer = consumers.of('beijing', 2);
  consumer.mark = 6;
  consumer.historyWrites = 3;
  await start();
  await until(() => consumer.mark === 9);
  assert.deepEqual(consumer.history, [4, 5, 6]);
  assert.deepEqual(consumer.seqs, [7, 8, 9]);
});

test('frames that cannot be taken now are fetched again over the same session, in order', { timeout: 20_000 }, async () => {
  const { log, address } = await origin();
  const { consumers, start, lines } = await peer(address);
  const consumer = consumers.of('beijing', 0);
  let failures = 0;
  consumer.gate = async () => {
    failures += 1;
    if (failures % 3 === 1 && failures < 20) throw new WmbError('STORE_UNAVAILABLE', 'the store is away');
  };
  await start();
  for (let seq = 0; seq < 200; seq += 1) {
    await append(log, 0, { ms: NOW_MS + seq, bytes: 3_000 });
    if (seq % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until(() => consumer.mark === 199);
  assert.deepEqual(consumer.seqs, upTo(200));
  assert.equal(consumer.overlapped, false);
  assert.ok(lines.some((line) => line.to === 'backing-off' && String(line.reason).startsWith('STORE_UNAVAILABLE')));
  assert.equal(lines.filter((line) => line.message === 'the origin welcomed the session' && line.origin === 'beijing').length, 1);
});

test('a failure that does not pass stops its lane until somebody resumes the link', { timeout: 20_000 }, async () => {
  const { log, address } = await origin();
  await append(log, 0, { ms: NOW_MS });
  const { receiver, consumers, lane, start } = await peer(address);
  const consumer = consumers.of('beijing', 0);
  consumer.gate = async () => {
    throw new WmbError('CHANGES_CONFLICT', 'a row differs');
  };
  await start();
  await until(() => lane(0)?.state === 'stopped-on-gap');
  consumer.gate = async () => {};
  await receiver.setPaused('beijing', false);
  await until(() => consumer.mark === 0);
  assert.equal(lane(0)?.state, 'streaming');
});

test('a paused link takes nothing, stays paused over a restart, and goes on where it was', { timeout: 20_000 }, async () => {
  const { log, address, shipper } = await origin();
  const states = new MemoryStates();
  const first = await peer(address, { states });
  await first.start();
  await append(log, 0, { ms: NOW_MS });
  await until(() => first.consumers.of('beijing', 0).mark === 0);
  assert.ok((await first.receiver.setPaused('beijing', true)).every((lane) => lane.state === 'paused'));
  await append(log, 0, { ms: NOW_MS + 1 });
  await first.receiver.drain();
  await first.receiver.stop();
  assert.equal(first.consumers.of('beijing', 0).mark, 0);

  const second = await peer(address, { states });
  second.consumers.of('beijing', 0).mark = 0;
  await second.start();
  // Acks still go over the paused link, so that it is known to be up.
  second.board.set('beijing', { log: 'writes', partition: 0, epoch: log.epoch, seq: 0, parkedSeq: -1 });
  await until(() => shipper.ackedSeq('guangzhou', 'writes', 0) === 0);
  assert.equal(second.lane(0)?.state, 'paused');
  assert.equal(second.receiver.status().find((link) => link.origin === 'beijing')?.paused, true);
  assert.deepEqual(second.consumers.of('beijing', 0).seqs, []);
  await second.receiver.setPaused('beijing', false);
  await until(() => second.consumers.of('beijing', 0).mark === 1);
  await assert.rejects(second.receiver.setPaused('nowhere', true), { code: 'ROOM_UNKNOWN' });
  // Nobody is told that it stays so before it does.
  states.durable = async () => Promise.reject(new WmbError('LOG_UNAVAILABLE', 'Kafka is away'));
  await assert.rejects(second.receiver.setPaused('beijing', true), { code: 'LOG_UNAVAILABLE' });
  await assert.rejects(second.receiver.setTransport('beijing', 'rpc'), { code: 'LOG_UNAVAILABLE' });
});

test('draining finishes what was taken, takes no more, and tells the last acks', { timeout: 20_000 }, async () => {
  const { log, address, shipper } = await origin();
  const { receiver, consumers, board, lane, start } = await peer(address);
  const consumer = consumers.of('beijing', 0);
  let open = () => {};
  consumer.gate = () =>
    new Promise((resolve) => {
      open = resolve;
    });
  await append(log, 0, { ms: NOW_MS });
  await start();
  await until(() => consumer.takes === 1);
  await append(log, 0, { ms: NOW_MS + 1 });
  const drained = receiver.drain();
  assert.equal(lane(0)?.state, 'draining');
  board.set('beijing', { log: 'writes', partition: 0, epoch: log.epoch, seq: 0, parkedSeq: -1 });
  open();
  await drained;
  assert.equal(lane(0)?.state, 'idle');
  assert.equal(consumer.takes, 1);
  await receiver.stop();
  await until(() => shipper.ackedSeq('guangzhou', 'writes', 0) === 0);
});

test('acks, the floor and retention follow what the rooms say, and a room that has not spoken keeps everything', {
  timeout: 20_000,
}, async () => {
  const { log, address, shipper } = await origin();
  for (let seq = 0; seq < 3; seq += 1) await append(log, 0, { ms: NOW_MS + seq });
  const news: unknown[] = [];
  shipper.onAck((ack) => news.push(ack));
  const { receiver, consumers, board, start } = await peer(address);
  await start();
  await until(() => consumers.of('beijing', 0).mark === 2);
  board.set('beijing', { log: 'writes', partition: 0, epoch: log.epoch, seq: 2, parkedSeq: -1 }, [
    { seq: 1, index: 0, outcome: 'parked', reason: 'PROCESSOR_FAILED' },
  ]);
  await until(() => news.length === 1);
  assert.deepEqual(news[0], {
    room: 'guangzhou',
    log: 'writes',
    partition: 0,
    epoch: log.epoch,
    seq: 2,
    parkedSeq: -1,
    exceptionsFrom: 0,
    exceptions: [{ seq: 1, index: 0, outcome: 'parked', reason: 'PROCESSOR_FAILED' }],
    databaseSeq: undefined,
  });
  // Beijing's own collector has not spoken.
  assert.equal(shipper.retentionFloors('writes')[0]?.appliedSeq, -1);
  assert.equal(receiver.floor(), NO_STAMP);
  const status = (await shipper.peers()).find((room) => room.room === 'beijing');
  assert.equal(status?.connected, false);
  assert.equal(status?.lanes[0]?.lagWrites, 3);
  assert.equal(status?.lanes[0]?.ackedSeq, -1);
});

test('a session on which nothing comes any more is given up by both sides and made anew', { timeout: 30_000 }, async () => {
  const { log, proxy, address } = await origin({ silenceMsMax: 200 });
  const { consumers, lines, start } = await peer(address, { silenceMsMax: 200 });
  await start();
  await append(log, 0, { ms: NOW_MS });
  await until(() => consumers.of('beijing', 0).mark === 0);
  proxy.delay(3_000);
  await until(() =>
    lines.some(
      (line) => line.origin === 'beijing' && line.code === 'PEER_UNREACHABLE' && String(line.reason).includes('said nothing for 200 ms'),
    ),
  );
  proxy.cut();
  proxy.delay(0);
  proxy.heal();
  await append(log, 0, { ms: NOW_MS + 1 });
  await until(() => consumers.of('beijing', 0).mark === 1);
});
