import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from '../../core/config/types.ts';
import type { WmbError } from '../../core/errors.ts';
import { BoundedQueue } from '../../core/flow/bounded-queue.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { type Logger, silentLogger } from '../../core/logger.ts';
import { noMetrics } from '../../core/metrics.ts';
import type { Share } from '../../core/share.ts';
import { formatStamp } from '../../core/stamp.ts';
import { signHello } from '../../link/identity.ts';
import type { Downward, Hello, LinkFrame, ServedSession, Upward } from '../../link/link.ts';
import type { LogReader } from '../../log/log.ts';
import { MemoryLog, MemoryLogDisk } from '../../log/memory/memory.ts';
import { Shipper } from './shipper.ts';

const ADDRESSES = { grpc: '', http: '' };
const room = (id: string, number: number) => ({ id, number, database: 'none' as const, reship: ADDRESSES, collector: ADDRESSES });
const CONFIG = {
  topology: { epoch: 5, mode: 'independent', partitions: 2, rooms: [room('beijing', 1), room('guangzhou', 2)], links: [], kinds: {} },
  room: {
    id: 'beijing',
    secret: 'secret',
    link: { laneBytesMax: 1_000, pulseMs: 100, silenceMsMax: 1_000, reconnectMsMin: 1, reconnectMsMax: 1 },
  },
} as unknown as Config;
const CLAIM = { from: 'guangzhou', to: 'beijing', topologyEpoch: 5, instance: 'g-1' };

async function rig(logger = silentLogger, known: (log: MemoryLog) => LogReader = (log) => log) {
  const time = new VirtualTime();
  const log = new MemoryLog({ disk: new MemoryLogDisk(), log: 'writes', origin: 'beijing', partitions: 2, runtime: time });
  await log.open();
  for (let ms = 1; ms <= 10; ms += 1) {
    const stamp = formatStamp({ ms, counter: 0, writer: 1 });
    await log.append([{ partition: 0, bytes: Buffer.alloc(100), count: 1, stampFirst: stamp, stampLast: stamp }]);
  }
  const settledStamp = () => formatStamp({ ms: time.nowMs(), counter: 0, writer: 1 });
  const options = {
    config: CONFIG,
    readers: [known(log)],
    runtime: time,
    logger,
    metrics: noMetrics,
    instance: 'b-1',
    settledStamp,
  };
  const shipper = new Shipper(options);
  await shipper.start();
  return { time, log, shipper };
}

/** A session as a transport would give it, that keeps what is sent to the peer. */
class FakeSession implements ServedSession {
  readonly hello: Hello;
  readonly control = new BoundedQueue<Upward>({ bytesMax: 1e9, countMax: 1e6 });
  readonly sent: Downward[] = [];
  readonly frames: LinkFrame[] = [];
  readonly closed: Promise<WmbError | undefined>;
  #reason: WmbError | undefined;
  #resolve: (reason: WmbError | undefined) => void = () => {};

  constructor(hello: Hello) {
    this.hello = hello;
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Why it was closed; undefined while it is open. */
  reason(): WmbError | undefined {
    return this.#reason;
  }

  say(message: Upward): void {
    this.control.push(message, 1);
  }

  send(message: Downward): void {
    this.sent.push(message);
  }

  async sendFrames(frames: readonly LinkFrame[]): Promise<void> {
    this.frames.push(...frames);
  }

  close(error?: WmbError): void {
    this.#reason = error;
    this.control.end();
    this.#resolve(error);
  }
}

/** Knows the first six frames of a partition until it catches up. */
function behind(log: MemoryLog): LogReader {
  let next = 6;
  const methods = ['open', 'read', 'seqBack', 'writesUpTo', 'stampsAt', 'onAppend', 'close'] as const;
  return {
    ...(Object.fromEntries(methods.map((name) => [name, (log[name] as (...given: unknown[]) => unknown).bind(log)])) as Pick<
      LogReader,
      (typeof methods)[number]
    >),
    ...{ log: log.log, origin: log.origin, epoch: log.epoch, partitions: log.partitions },
    extent: (partition) => ({ ...log.extent(partition), next: Math.min(next, log.extent(partition).next) }),
    catchUp: async () => {
      next = Number.POSITIVE_INFINITY;
    },
  };
}

async function session(from = 'guangzhou', logger = silentLogger, known?: (log: MemoryLog) => LogReader) {
  const parts = await rig(logger, known);
  const fake = new FakeSession(signHello({ ...CLAIM, from }, 'secret', parts.time));
  parts.shipper.serve(fake);
  const resume = (lane: { after: number; partition?: number; epoch?: string; historyWrites?: number; creditBytes?: number }) =>
    fake.say({ type: 'resume', log: 'writes', partition: 0, epoch: parts.log.epoch, historyWrites: 0, creditBytes: 10_000, ...lane });
  return { ...parts, fake, resume };
}

test('a hello is checked for protocol, rooms, topology and proof, and each refusal names both sides', async () => {
  const { shipper, time } = await rig();
  const hello = () => signHello(CLAIM, 'secret', time);
  assert.deepEqual(
    shipper.welcome(hello()).logs.map(({ log, partitions }) => [log, partitions]),
    [['writes', 2]],
  );
  const cases: [Hello, string, RegExp][] = [
    [{ ...hello(), protocol: 2 }, 'PROTOCOL_VERSION', /room guangzhou speaks link protocol 2, room beijing speaks 1/],
    [{ ...hello(), to: 'shanghai' }, 'ROOM_UNKNOWN', /this is room beijing, not shanghai/],
    [{ ...hello(), from: 'shanghai' }, 'ROOM_UNKNOWN', /room shanghai is not in the topology of room beijing/],
    [{ ...hello(), topologyEpoch: 6 }, 'TOPOLOGY_STALE', /beijing is older/],
    [{ ...hello(), topologyEpoch: 4 }, 'TOPOLOGY_STALE', /guangzhou is older/],
    [{ ...hello(), proof: '00' }, 'IDENTITY_REFUSED', /guangzhou/],
  ];
  for (const [wrong, code, message] of cases) assert.throws(() => shipper.welcome(wrong), { code, message });
});

test('a reship that shuts down ends its sessions and welcomes nobody', async () => {
  const { shipper, fake, time } = await session();
  await shipper.stop();
  assert.equal(fake.reason()?.code, 'DRAINING');
  assert.throws(() => shipper.welcome(signHello(CLAIM, 'secret', time)), { code: 'DRAINING' });
});

test('only the room’s own collector may hint', async () => {
  const seen: string[] = [];
  const hint: Extract<Upward, { type: 'observed' }> = { type: 'observed', stamp: formatStamp({ ms: 1, counter: 0, writer: 1 }) };
  const peer = await session();
  peer.shipper.onObserved((stamp) => seen.push(stamp));
  peer.fake.say(hint);
  await peer.time.advance(0);
  assert.equal(peer.fake.reason()?.code, 'PEER_GARBAGE');
  assert.equal(seen.length, 0);
  const own = await session('beijing');
  own.shipper.onObserved((stamp) => seen.push(stamp));
  own.fake.say(hint);
  await own.time.advance(0);
  assert.equal(own.fake.reason(), undefined);
  assert.deepEqual(seen, [hint.stamp]);
});

test('a peer that says nothing for the silence limit is closed; one that says anything is kept', async () => {
  const { time, fake } = await session();
  for (let second = 0; second < 5; second += 1) {
    await time.advance(900);
    fake.say({ type: 'credit', log: 'writes', partition: 0, bytes: 0 });
  }
  assert.equal(fake.reason(), undefined);
  await time.advance(1_200);
  assert.match(fake.reason()?.message ?? '', /room guangzhou said nothing for 1000 ms/);
});

test('a lane that was not offered ends the session', async () => {
  for (const lane of [{ after: -1, partition: 2 }, { after: -2 }, { after: Number.NaN }]) {
    const { time, fake, resume } = await session();
    resume(lane);
    await time.advance(0);
    assert.equal(fake.reason()?.code, 'PEER_GARBAGE', JSON.stringify(lane));
  }
});

test('a mark of another log epoch is a gap that names both epochs', async () => {
  const { time, fake, log, resume } = await session();
  resume({ after: 3, epoch: '0123456789abcdef' });
  await time.advance(0);
  const gap = fake.sent.find((message) => message.type === 'gap');
  assert.match(gap?.message ?? '', new RegExp(`epoch 0123456789abcdef.*epoch ${log.epoch}`));
  assert.deepEqual(fake.frames, []);
});

test('a mark beyond what is known of the log here is a gap only when that was caught up with: another reship of the room may have shipped more', async () => {
  const { resume, fake, time } = await session('guangzhou', silentLogger, behind);
  resume({ after: 8 });
  await time.advance(0);
  const resumed = { type: 'resumed', log: 'writes', partition: 0, historyFrom: 9, liveFrom: 9 };
  assert.deepEqual(
    fake.sent.filter(({ type }) => type !== 'pulse'),
    [resumed],
  );
});

test('acks of frames that are not known here yet are taken in their order when they are', async () => {
  const { shipper, log, fake, time } = await session('guangzhou', silentLogger, behind);
  const acked: number[] = [];
  shipper.onAck(({ seq }) => acked.push(seq));
  for (const seq of [5, 7, 4, 9, 10])
    fake.say({ type: 'ack', log: 'writes', partition: 0, epoch: log.epoch, seq, parkedSeq: -1, exceptionsFrom: 0, exceptions: [] });
  await time.advance(0);
  assert.deepEqual(acked, [5, 7, 4, 9]);
  assert.equal(shipper.ackedSeq('guangzhou', 'writes', 0), undefined, 'the log ends at 9');
});

test('a mark below the first stored frame is a gap, also where history is asked for', async () => {
  for (const historyWrites of [0, 100]) {
    const { time, fake, log, resume } = await session();
    await log.trim({ ageMsMin: 0, bytesMax: 1, overflow: 'keep', writesMin: 0 }, [{ partition: 0, appliedSeq: 4 }], time.nowMs());
    resume({ after: 1, historyWrites });
    await time.advance(0);
    assert.deepEqual(fake.frames, []);
    const gap = fake.sent.find((message) => message.type === 'gap');
    assert.deepEqual([gap?.missingFrom, gap?.missingTo], [2, 4]);
  }
});

test('a history that is shorter than asked for, because frames before it are gone, is told', async () => {
  for (const [historyWrites, warnings] of [
    [2, 0],
    [3, 1],
  ] as const) {
    const warned: string[] = [];
    const logger: Logger = { ...silentLogger, warn: (_fields, message) => warned.push(message), child: () => logger };
    const { time, fake, log, resume } = await session('guangzhou', logger);
    resume({ after: 6, historyWrites: 100 });
    await time.advance(0);
    assert.deepEqual(warned, [], 'nothing ever was before seq 0');
    await log.trim({ ageMsMin: 0, bytesMax: 1, overflow: 'keep', writesMin: 0 }, [{ partition: 0, appliedSeq: 4 }], time.nowMs());
    resume({ after: 6, historyWrites });
    await time.advance(0);
    assert.equal(fake.sent.findLast((message) => message.type === 'resumed')?.historyFrom, 5);
    assert.equal(warned.length, warnings, `${historyWrites}`);
  }
});

test('retention keeps what a room that takes the log has not acked, and nothing for a log that no room takes', async () => {
  const { shipper, log, time } = await session();
  assert.deepEqual(
    shipper.retentionFloors('writes').map(({ appliedSeq }) => appliedSeq),
    [-1, -1],
  );
  const changes = new MemoryLog({ disk: new MemoryLogDisk(), log: 'changes', origin: 'beijing', partitions: 2, runtime: time });
  await changes.open();
  for (const seq of [0, 1]) {
    const frames = await log.read(0, seq, 0);
    await changes.append(frames.map(({ bytes }) => ({ partition: 1, bytes, count: 1, stampFirst: '', stampLast: '' })));
  }
  shipper.offer(changes);
  assert.deepEqual(
    shipper.retentionFloors('changes').map(({ appliedSeq }) => appliedSeq),
    [-1, 1],
  );
});

test('a room’s newest session ends its older one, and what the older one still says is ignored', async () => {
  const { shipper, fake: older, resume, log, time } = await session();
  const ack = (seq: number): Upward => ({
    type: 'ack',
    log: 'writes',
    partition: 0,
    epoch: log.epoch,
    seq,
    parkedSeq: -1,
    exceptionsFrom: 0,
    exceptions: [],
  });
  const newer = new FakeSession(signHello(CLAIM, 'secret', time));
  const own = new FakeSession(signHello({ ...CLAIM, from: 'beijing' }, 'secret', time));
  older.say(ack(8));
  await time.advance(0);
  assert.equal(shipper.ackedSeq('guangzhou', 'writes', 0), 8);
  shipper.serve(own);
  assert.equal(older.reason(), undefined, 'another room’s session is none of its business');
  // What stands before it makes the older session's ack come after the newer one's.
  for (let i = 0; i < 5; i += 1) resume({ after: 3, historyWrites: 2 });
  older.say(ack(9));
  shipper.serve(newer);
  assert.match(older.reason()?.message ?? '', /room guangzhou has a newer session/);
  // Its cache was put back from an older copy in between.
  newer.say(ack(3));
  await time.advance(0);
  assert.equal(shipper.ackedSeq('guangzhou', 'writes', 0), 3);
  assert.equal(newer.reason(), undefined);
});

test('frames go out under the lane’s credit, and again when there is more', async () => {
  const { time, fake, resume } = await session();
  resume({ after: -1, creditBytes: 250 });
  await time.advance(0);
  assert.deepEqual(
    fake.frames.map(({ seq }) => seq),
    [0, 1, 2],
  );
  fake.say({ type: 'credit', log: 'writes', partition: 0, bytes: 50 });
  await time.advance(0);
  assert.equal(fake.frames.length, 3, 'the overdraft is paid first');
  fake.say({ type: 'credit', log: 'writes', partition: 0, bytes: 100 });
  await time.advance(0);
  assert.deepEqual(
    fake.frames.map(({ seq }) => seq),
    [0, 1, 2, 3],
  );
  fake.say({ type: 'halt', log: 'writes', partition: 0 });
  fake.say({ type: 'credit', log: 'writes', partition: 0, bytes: 10_000 });
  await time.advance(0);
  assert.equal(fake.frames.length, 4);
});

test('of a room with several collectors each share has a session, and speaks for its partitions only', async () => {
  const { shipper, time, log } = await rig();
  const sessionOf = (instance: string, share: Share) => {
    const fake = new FakeSession(signHello({ ...CLAIM, instance, share }, 'secret', time));
    shipper.serve(fake);
    return fake;
  };
  const ack = (partition: number, seq: number): Upward => ({
    ...{ type: 'ack', log: 'writes', partition, epoch: log.epoch, seq, parkedSeq: -1, exceptionsFrom: 0, exceptions: [] },
  });
  const [first, second] = [sessionOf('g-1', { index: 0, count: 2 }), sessionOf('g-2', { index: 1, count: 2 })];
  second.say(ack(0, 3));
  await time.advance(0);
  assert.equal(shipper.ackedSeq('guangzhou', 'writes', 0), undefined, 'it is not its partition');
  first.say(ack(0, 4));
  await time.advance(0);
  assert.equal(shipper.ackedSeq('guangzhou', 'writes', 0), 4);
  const taken = sessionOf('g-2', { index: 0, count: 2 });
  assert.match(first.reason()?.message ?? '', /room guangzhou has a newer session/);
  assert.equal(second.reason(), undefined);
  taken.say(ack(0, 2));
  await time.advance(0);
  assert.equal(shipper.ackedSeq('guangzhou', 'writes', 0), 2);
  sessionOf('g-3', { index: 0, count: 1 });
  assert.deepEqual(
    [second, taken].map((fake) => fake.reason()?.code),
    ['PEER_UNREACHABLE', 'PEER_UNREACHABLE'],
    'the room is divided otherwise now',
  );
});

test('a share that cannot be is refused', async () => {
  const { shipper, time } = await rig();
  for (const share of [
    { index: 2, count: 2 },
    { index: 0, count: 3 },
    { index: 0, count: 0 },
  ])
    assert.throws(() => shipper.welcome(signHello({ ...CLAIM, share }, 'secret', time)), { code: 'PEER_GARBAGE' });
});

test('what is acked can be told also when a log has been closed', async () => {
  const { shipper, log, time } = await rig();
  const closed = new Proxy(log, {
    get(target, name) {
      if (name === 'log') return 'effects';
      throw new Error(`it is not open, and is asked for ${String(name)}: ${target.log}`);
    },
  });
  shipper.offer(closed);
  shipper.serve(new FakeSession(signHello(CLAIM, 'secret', time)));
  assert.deepEqual(shipper.acks(), []);
});
