import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HybridClock } from '../../core/clock.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import type { Runtime } from '../../core/runtime.ts';
import { WHOLE } from '../../core/share.ts';
import { formatStamp, NO_STAMP, type Stamp, stampMs } from '../../core/stamp.ts';
import type { Seq } from '../../core/words.ts';
import { Listeners } from '../../log/listeners.ts';
import { MemoryTalk, MemoryTalkTopic } from '../../log/memory/talk.ts';
import type { PeerAck, PeerSessionName } from '../ship/peer-ack.ts';
import { Fellows } from './fellows.ts';
import { encodeSaid, type Said, type TopicTaken } from './said.ts';

const EPOCH = '0a0a0a0a0a0a0a0a';
const stampOf = (ms: number) => formatStamp({ ms, counter: 0, writer: 1 });

class Room {
  readonly time = new VirtualTime();
  readonly topic = new MemoryTalkTopic();
  /** How much of the log everybody knows who does not say otherwise. */
  next: Seq = 0;
  /** Processes that stand still, and when Kafka is away. */
  readonly standing = new Set<string>();

  reship(name: string, more: { seat?: string; skewMs?: number } = {}): Reship {
    return new Reship(this, name, more);
  }

  /** All of them have joined. */
  async with(...names: string[]): Promise<Reship[]> {
    const reships = names.map((name) => this.reship(name));
    await Promise.all(reships.map((reship) => this.joined(reship)));
    return reships;
  }

  async joined(reship: Reship): Promise<void> {
    let isOver = false;
    const joining = reship.join().then(() => {
      isOver = true;
    });
    for (let ms = 0; !isOver && ms < 30_000; ms += 50) await this.time.advance(50);
    assert.ok(isOver, `${reship.name} has joined`);
    await joining;
  }
}

class Reship {
  readonly name: string;
  readonly clock: HybridClock;
  readonly fellows: Fellows;
  readonly acks: PeerAck[] = [];
  readonly ended: string[] = [];
  sessions: PeerSessionName[] = [];
  /** What peers have acked here so far. */
  kept: readonly PeerAck[] = [];
  waits = false;
  topics: TopicTaken[] = [];
  isIdle = true;
  overtaken = 0;
  own: Stamp | undefined;
  known: Seq | undefined;
  readonly listeners = new Listeners();

  constructor(room: Room, name: string, { seat = `seat of ${name}`, skewMs = 0 }: { seat?: string; skewMs?: number }) {
    this.name = name;
    const { time, topic, standing } = room;
    const runtime: Runtime = {
      nowMs: () => time.nowMs() + skewMs,
      monotonicMs: () => time.monotonicMs(),
      // What stands still looks again until it does not.
      after: (delayMs, task) => {
        const later = () => (standing.has(name) ? time.after(100, later) : task());
        return time.after(delayMs, later);
      },
      turn: () => time.turn(),
      random: () => time.random(),
      bytes: (count) => time.bytes(count),
    };
    this.clock = new HybridClock({ runtime, writer: name.charCodeAt(0), stampLast: NO_STAMP, aheadMsMax: 60_000 });
    this.fellows = new Fellows({
      ...{ name, seat, address: '', runtime, clock: this.clock, logger: silentLogger },
      talk: new MemoryTalk({ topic, runtime, delayMs: () => 2 }),
      onOvertaken: () => {
        this.overtaken += 1;
      },
      log: {
        epoch: EPOCH,
        partitions: 1,
        extent: () => ({ next: this.known ?? room.next, stampLast: NO_STAMP }),
        catchUp: async () => {},
        onAppend: (listener) => this.listeners.add(listener),
      },
    });
  }

  async join(): Promise<void> {
    await this.fellows.join();
    this.fellows.attach({
      settled: () => this.own ?? this.clock.settle(),
      sessions: () => this.sessions,
      acks: () => this.kept,
      waits: () => this.waits,
      topics: () => this.topics,
      isIdle: () => this.isIdle,
      endSession: (id) => void this.ended.push(id),
      takeAck: (ack) => void this.acks.push(ack),
    });
  }

  get claim(): Stamp {
    return this.fellows.settled(this.own ?? this.clock.settle());
  }

  get others(): string[] {
    return this.fellows.others.map(({ name }) => name);
  }
}

const ack = (seq: Seq, more: Partial<PeerAck> = {}): PeerAck => ({
  ...{ room: 'guangzhou', log: 'writes', partition: 0, epoch: EPOCH, seq, parkedSeq: -1, exceptionsFrom: seq, exceptions: [], ...more },
});

test('alone, a reship claims what it knows itself, and its frames say nothing but their last stamps', async () => {
  const room = new Room();
  const [a] = (await room.with('a')) as [Reship];
  assert.equal(a.fellows.through(stampOf(5)), stampOf(5));
  assert.equal(a.claim, a.clock.last);
  assert.deepEqual([a.others, a.fellows.isFirst, a.fellows.isMine(7)], [[], true, true]);
});

test('one that joins waits until the others have heard it, and stamps above what they had claimed by then', async () => {
  const room = new Room();
  const [a] = (await room.with('a')) as [Reship];
  const slow = room.reship('b', { skewMs: -5_000 });
  const claimed: Stamp[] = [];
  let isOver = false;
  const joining = slow.join().then(() => {
    isOver = true;
  });
  while (!isOver) {
    if (a.others.length === 0) claimed.push(a.claim);
    await room.time.advance(1);
  }
  await joining;
  assert.deepEqual([a.others, slow.others], [['b'], ['a']]);
  assert.ok(claimed.length > 3 && claimed.every((stamp) => stamp !== NO_STAMP && stamp < slow.clock.next()));
});

test('one that joins does not wait for one that is dead longer than that one could still claim anything', async () => {
  const room = new Room();
  await room.with('a');
  room.standing.add('a');
  const startedMs = room.time.nowMs();
  const b = room.reship('b');
  await room.joined(b);
  const tookMs = room.time.nowMs() - startedMs;
  assert.ok(tookMs >= 6_000 && tookMs < 7_000, `${tookMs} ms`);
});

test('a frame says what the others have settled, and a pulse only what is known of the log here', async () => {
  const room = new Room();
  const [a, b] = (await room.with('a', 'b')) as [Reship, Reship];
  const nowMs = room.time.nowMs();
  [b.own, b.known, a.known] = [stampOf(nowMs + 100), 3, 2];
  await room.time.advance(600);
  assert.equal(a.fellows.through(stampOf(nowMs + 50)), stampOf(nowMs + 50), 'the others are further');
  assert.equal(a.fellows.through(stampOf(nowMs + 900)), stampOf(nowMs + 100));
  assert.ok(a.claim < stampOf(nowMs + 100), 'frame 2, which is stamped before, is not known here');
  a.known = 3;
  a.listeners.call(0);
  assert.equal(a.claim, stampOf(nowMs + 100));
});

test('one that has stood still for some seconds appends nothing and claims nothing before it has heard itself', async () => {
  const room = new Room();
  const [a, b] = (await room.with('a', 'b')) as [Reship, Reship];
  await room.time.advance(1_000);
  assert.ok(a.fellows.isHeld && a.claim !== NO_STAMP);
  room.standing.add('a');
  await room.time.advance(4_500);
  assert.deepEqual([a.fellows.isHeld, a.claim], [false, NO_STAMP]);
  assert.ok(stampMs(b.claim) < room.time.nowMs() - 4_000, 'the other one waits for it');
  room.standing.delete('a');
  await room.time.advance(300);
  assert.ok(a.fellows.isHeld && a.claim !== NO_STAMP);
  await room.time.advance(600);
  assert.ok(stampMs(b.claim) > room.time.nowMs() - 1_000);
});

test('what one that stood still was to append is given up where another one joined meanwhile, and only there', async () => {
  const room = new Room();
  const [a] = (await room.with('a')) as [Reship];
  room.standing.add('a');
  await room.time.advance(7_000);
  assert.equal(a.fellows.through(stampOf(5)), NO_STAMP, 'what it makes now says nothing');
  room.standing.delete('a');
  await room.time.advance(1_000);
  assert.deepEqual([a.fellows.isHeld, a.overtaken], [true, 0]);
  room.standing.add('a');
  await room.joined(room.reship('b'));
  room.standing.delete('a');
  await room.time.advance(1_000);
  const { overtaken } = a;
  assert.ok(a.fellows.isHeld && overtaken > 0);
  await room.joined(room.reship('c'));
  assert.equal(a.overtaken, overtaken);
});

test('one that is silent for twenty seconds is given up, not before, and hears of it when it wakes up', async () => {
  const room = new Room();
  const [a, b] = (await room.with('a', 'b')) as [Reship, Reship];
  room.standing.add('a');
  await room.time.advance(19_000);
  assert.deepEqual([b.others, b.fellows.isFirst], [['a'], true]);
  await room.time.advance(2_000);
  assert.deepEqual(b.others, []);
  assert.ok(stampMs(b.claim) > room.time.nowMs() - 1_000);
  room.standing.delete('a');
  await room.time.advance(1_000);
  assert.match(a.fellows.unready() ?? '', /^LOG_GIVEN_UP: the other reships of this room have given this one up/);
  assert.equal((await a.fellows.failed).code, 'LOG_GIVEN_UP');
  await room.time.advance(30_000);
  assert.deepEqual([a.fellows.isHeld, a.claim, b.others], [false, NO_STAMP, []], 'what it says counts no more');
});

test('one that stood still until what was said is forgotten appends nothing either: that it was given up may have been said then', async () => {
  const room = new Room();
  const [a, b] = (await room.with('a', 'b')) as [Reship, Reship];
  room.standing.add('a');
  await room.time.advance(30_000);
  room.topic.first = room.topic.records.length;
  room.standing.delete('a');
  await room.time.advance(3_000);
  assert.match(a.fellows.unready() ?? '', /given this one up/);
  assert.deepEqual([a.fellows.isHeld, a.claim, b.others], [false, NO_STAMP, []]);
});

test('where Kafka is away for all of them for a minute, nobody is given up', async () => {
  const room = new Room();
  const [a, b] = (await room.with('a', 'b')) as [Reship, Reship];
  for (const name of ['a', 'b']) room.standing.add(name);
  await room.time.advance(60_000);
  room.standing.clear();
  await room.time.advance(2_000);
  assert.deepEqual([a.others, b.others], [['b'], ['a']]);
  assert.ok(a.fellows.isHeld && b.fellows.isHeld && a.claim !== NO_STAMP && b.claim !== NO_STAMP);
});

test('who shuts down counts no more at once; who is started in the place of one that was killed, as soon as what that one sent has arrived', async () => {
  const room = new Room();
  const [a, b] = (await room.with('a', 'b', 'c')) as [Reship, Reship, Reship];
  const stopped = b.fellows.stop();
  await room.time.advance(300);
  await stopped;
  assert.deepEqual(a.others, ['c']);
  room.standing.add('c');
  await room.time.advance(2_000);
  const d = room.reship('d', { seat: 'seat of c' });
  await room.joined(d);
  await room.time.advance(100);
  assert.deepEqual([a.others, d.others], [['d'], ['a']]);
  const killedMs = room.time.nowMs();
  const isCurrent = () => stampMs(a.claim) > room.time.nowMs() - 1_000;
  assert.ok(!isCurrent() && a.fellows.through(stampOf(killedMs)) < stampOf(killedMs));
  for (let ms = 0; ms < 4_000 && !isCurrent(); ms += 100) await room.time.advance(100);
  assert.ok(isCurrent());
});

test('who shuts down with something on its way to the log is waited for', async () => {
  const room = new Room();
  const [a, ...others] = (await room.with('a', 'b', 'c', 'd', 'e')) as [Reship, ...Reship[]];
  for (const reship of others) {
    reship.isIdle = reship.name !== 'e';
    const stopped = reship.fellows.stop();
    await room.time.advance(20);
    await stopped;
  }
  await room.time.advance(500);
  assert.deepEqual(a.others, ['e']);
});

test('two processes with one place in the directory do not go on both', async () => {
  const room = new Room();
  const [a] = (await room.with('a')) as [Reship];
  const copy = room.reship('b', { seat: 'seat of a' });
  await room.joined(copy);
  assert.match(a.fellows.unready() ?? '', /another process has its directory/);
  assert.ok(!a.fellows.isHeld && copy.fellows.isHeld);
});

test('what is done by one of them is done by the first that is awake, and what is many is divided', async () => {
  const room = new Room();
  const reships = await room.with('a', 'b', 'c');
  await room.time.advance(1_000);
  const first = () => reships.filter(({ fellows }) => fellows.isFirst).map(({ name }) => name);
  assert.equal(first().length, 1);
  for (let index = 0; index < 6; index += 1) assert.equal(reships.filter(({ fellows }) => fellows.isMine(index)).length, 1);
  const [name = ''] = first();
  room.standing.add(name);
  await room.time.advance(7_000);
  assert.equal(first().length, 1);
  assert.notDeepEqual(first(), [name]);
});

test('each of them can say which topics all of them take in', async () => {
  const room = new Room();
  const [a, b] = (await room.with('a', 'b')) as [Reship, Reship];
  b.topics = [{ topic: 'app.writes', partitions: [1, 3] }];
  await room.time.advance(1_000);
  for (const { fellows } of [a, b])
    assert.deepEqual(
      fellows.members().map(({ instance, topics }) => [instance, topics]),
      [
        ['a', []],
        ['b', [{ topic: 'app.writes', partitions: [1, 3] }]],
      ],
    );
  b.topics = [];
  await room.time.advance(1_000);
  assert.deepEqual(a.fellows.members()[1]?.topics, []);
});

test('an ack to one reship is the others’ too, at once where somebody waits, and only when its frames are known', async () => {
  const room = new Room();
  const [a, b] = (await room.with('a', 'b')) as [Reship, Reship];
  b.waits = true;
  b.fellows.changed();
  a.sessions = [{ id: 's1', peer: 'guangzhou', share: WHOLE }];
  [room.next, b.known] = [5, 4];
  a.fellows.changed();
  await room.time.advance(50);
  const duplicate = { seq: 3, index: 0, outcome: 'duplicate', reason: '' } as const;
  a.fellows.acked(ack(3, { exceptions: [duplicate] }));
  a.fellows.acked(ack(4));
  await room.time.advance(50);
  assert.deepEqual(b.acks, [], 'frame 4 is not known there');
  b.known = 5;
  b.listeners.call(0);
  assert.deepEqual(b.acks, [ack(4, { exceptionsFrom: 3, exceptions: [duplicate] })]);
});

test('how the write requests of an ack fared is heard before what else says that it is acked', async () => {
  const room = new Room();
  const [a, b] = (await room.with('a', 'b')) as [Reship, Reship];
  b.waits = true;
  b.fellows.changed();
  a.sessions = [{ id: 's1', peer: 'guangzhou', share: WHOLE }];
  a.fellows.changed();
  await room.time.advance(50);
  for (let seq = 1; seq <= 8; seq += 1) {
    room.next = seq + 1;
    a.kept = [ack(seq, { exceptionsFrom: seq + 1 })];
    a.fellows.acked(ack(seq));
    await room.time.advance(50);
    assert.deepEqual(
      b.acks.find((heard) => heard.seq === seq),
      ack(seq),
    );
  }
});

test('of two sessions of a peer the one that was said last counts: the other is ended, and its acks are no more taken', async () => {
  const room = new Room();
  const [a, b, c] = (await room.with('a', 'b', 'c')) as [Reship, Reship, Reship];
  a.sessions = [{ id: 's1', peer: 'guangzhou', share: WHOLE }];
  a.fellows.changed();
  await room.time.advance(100);
  b.sessions = [{ id: 's2', peer: 'guangzhou', share: WHOLE }];
  b.fellows.changed();
  await room.time.advance(100);
  assert.deepEqual([a.ended, b.ended], [['s1'], []]);
  a.fellows.acked(ack(9));
  b.fellows.acked(ack(2));
  await room.time.advance(1_000);
  assert.deepEqual(c.acks, [ack(2)]);
});

test('a stranger’s word is passed over; what a newer WMB says is not', async () => {
  const room = new Room();
  const [a] = (await room.with('a')) as [Reship];
  room.topic.records.push(Buffer.from('hello'), Buffer.from('{}'));
  await room.time.advance(1_000);
  assert.equal(a.fellows.unready(), undefined);
  const said = JSON.parse(Buffer.from(encodeSaid({} as Said)).toString()) as object;
  room.topic.records.push(Buffer.from(JSON.stringify({ ...said, format: 2 })));
  await room.time.advance(6_000);
  assert.match(a.fellows.unready() ?? '', /^LOG_FOREIGN: a reship of this room says to the others what is of format 2/);
  assert.equal(a.claim, NO_STAMP);
});

test('one that joins waits while Kafka has no leader, longer than twenty seconds', async (t) => {
  const room = new Room();
  const startedMs = room.time.nowMs();
  t.mock.method(MemoryTalk.prototype, 'say', () => Promise.reject(new Error('has no leader')), { times: 26 });
  await room.joined(room.reship('a'));
  assert.ok(room.time.nowMs() - startedMs > 22_000);
});
