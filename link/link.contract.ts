/**
 * What every transport of the link must do; run by each transport's own test. Over mq the two ends share an inbox, and neither hears when the other ends: of such a
 * transport only the first part is asked.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../core/errors.ts';
import type { RoomId } from '../core/words.ts';
import type { Downward, Hello, LinkDialer, LinkFrame, LinkHost, LinkSession, ServedSession, Upward, Welcome } from './link.ts';

export interface TransportUnderTest {
  readonly dialer: LinkDialer;
  /** Where the host given to the factory is served. */
  readonly address: string;
  /** An address at which nobody listens. */
  readonly nowhere: string;
  /** Who serves; default: beijing. */
  readonly origin?: RoomId;
  close(): Promise<void>;
}

export type TransportFactory = (host: LinkHost) => Promise<TransportUnderTest>;

const DIRECT_MS_MAX = 20_000;
const INBOX_MS_MAX = 60_000;

const HELLO: Hello = {
  protocol: 1,
  from: 'guangzhou',
  to: 'beijing',
  topologyEpoch: 7,
  instance: 'g-1',
  sentMs: 1_700_000_000_000,
  nonce: 'ab',
  proof: 'cd',
};
const WELCOME: Welcome = {
  protocol: 1,
  room: 'beijing',
  topologyEpoch: 7,
  instance: 'b-1',
  logs: [
    { log: 'writes', epoch: '00112233445566ff', partitions: 8 },
    { log: 'changes', epoch: 'ff00112233445566', partitions: 1 },
  ],
};
const STAMP = '018bcfe568000001010000ab';
const EPOCH = '00112233445566ff';
const RESUME: Extract<Upward, { type: 'resume' }> = {
  ...({ type: 'resume', log: 'writes', partition: 7, epoch: EPOCH } as const),
  ...{ after: -1, historyWrites: 65_536, creditBytes: 4_194_304 },
};
const ACKS: readonly Upward[] = [
  {
    ...{ type: 'ack', log: 'writes', partition: 3, epoch: EPOCH, seq: 41, parkedSeq: -1, exceptionsFrom: 40 },
    exceptions: [{ seq: 40, index: 2, outcome: 'parked', reason: 'PROCESSOR_FAILED' }],
  },
  { type: 'ack', log: 'effects', partition: 4, epoch: EPOCH, seq: 7, parkedSeq: 5, exceptionsFrom: 8, exceptions: [] },
  {
    ...{ type: 'ack', log: 'writes', partition: 3, epoch: EPOCH, seq: 42, parkedSeq: -1, exceptionsFrom: 42 },
    ...{ exceptions: [], databaseSeq: 0 },
  },
];
const PULSE: Downward = {
  ...{ type: 'pulse', sentMs: 1_700_000_000_001, floor: STAMP },
  ends: [{ log: 'writes', partition: 0, epoch: EPOCH, seq: -1, writes: 0, stamp: '' }],
};

export function linkContract(name: string, make: TransportFactory): void {
  const check = checksOf(name, make, DIRECT_MS_MAX);
  everyLink(check);
  directLinks(check);
}

/** For a transport by way of an inbox. */
export function inboxContract(name: string, make: TransportFactory): void {
  everyLink(checksOf(name, make, INBOX_MS_MAX));
}

type Check = (title: string, body: (pair: Pair) => Promise<void>) => void;

function checksOf(name: string, make: TransportFactory, timeout: number): Check {
  return (title, body) =>
    test(`${name}: ${title}`, { timeout }, async () => {
      const pair = new Pair(make);
      try {
        await body(pair);
      } finally {
        await pair.close();
      }
    });
}

function everyLink(check: Check): void {
  check('who dials and what is offered arrive as they were said', async (pair) => {
    const { session, served } = await pair.open();
    const { from, to, topologyEpoch, instance } = served.hello;
    assert.deepEqual({ ...pair.hello, ...{ from, to, topologyEpoch, instance } }, pair.hello);
    assert.deepEqual(session.welcome, pair.welcome());
  });

  check('the host’s refusal reaches the dialler with its code and message', async (pair) => {
    pair.refusal = new WmbError('TOPOLOGY_STALE', 'room guangzhou is older');
    await assert.rejects(
      pair.open(),
      (error) => error instanceof WmbError && error.code === 'TOPOLOGY_STALE' && error.message.includes('room guangzhou is older'),
    );
  });

  check('dialling where nobody listens is PEER_UNREACHABLE', async (pair) => {
    const transport = await pair.transport();
    await assert.rejects(transport.dialer.dial(transport.nowhere, pair.hello, new AbortController().signal), { code: 'PEER_UNREACHABLE' });
  });

  check('a dial that is given up rejects', async (pair) => {
    const transport = await pair.transport();
    const signal = AbortSignal.abort();
    await assert.rejects(transport.dialer.dial(transport.address, pair.hello, signal), { code: 'PEER_UNREACHABLE' });
  });

  check('marks arrive whole and in order', async (pair) => {
    const { session, served } = await pair.open();
    for (const message of ACKS) session.send(message);
    // A transport may say more, to show that it lives.
    const acks: Upward[] = [];
    for await (const message of served.control) {
      if (message.type === 'ack') acks.push(message);
      if (acks.length === ACKS.length) break;
    }
    assert.deepEqual(acks, ACKS);
  });

  check('a pulse arrives whole', async (pair) => {
    const { session, served } = await pair.open();
    served.send(PULSE);
    assert.deepEqual(await take(session.control, 1), [PULSE]);
  });

  check(
    'frames of a lane that is resumed arrive untouched and in order, whatever their sizes, and those up to the mark as history',
    async (pair) => {
      const { session, served } = await pair.open();
      const lanes = [0, 1, 2];
      for (const partition of lanes) session.send({ ...RESUME, partition, after: 0, historyWrites: 1 });
      const sizes = [1, 300_000, 10, 64_000, 64_000, 2_000_000, 1_000, 5, 70_000];
      const sent = sizes.map((size, index): LinkFrame => {
        const seq = Math.floor(index / lanes.length);
        return { log: 'writes', partition: index % lanes.length, seq, history: seq === 0, bytes: Buffer.alloc(size, index + 1) };
      });
      const sending = served.sendFrames(sent.slice(0, 5)).then(() => served.sendFrames(sent.slice(5)));
      const seen = await framesOf(session, sent.length);
      await sending;
      for (const partition of lanes)
        assert.deepEqual(
          seen.filter((frame) => frame.partition === partition),
          sent.filter((frame) => frame.partition === partition),
        );
    },
  );

  check('closing the dialler’s end ends its streams, without a reason', async (pair) => {
    const { session } = await pair.open();
    const ends = Promise.all([drained(session.control), drained(session.frames)]);
    session.close();
    assert.equal(await session.closed, undefined);
    await ends;
    session.send({ type: 'observed', stamp: STAMP });
  });
}

function directLinks(check: Check): void {
  check('the hello arrives as it was sent', async (pair) => {
    const { served } = await pair.open();
    assert.deepEqual(served.hello, HELLO);
  });

  check('every message up arrives whole and in order', async (pair) => {
    const { session, served } = await pair.open();
    const messages: Upward[] = [
      RESUME,
      { type: 'credit', log: 'effects', partition: 0, bytes: 123_456 },
      ...ACKS,
      { type: 'halt', log: 'changes', partition: 0 },
      { type: 'observed', stamp: STAMP },
      { type: 'appended', log: 'effects', partition: 5 },
    ];
    for (const message of messages) session.send(message);
    assert.deepEqual(await take(served.control, messages.length), messages);
  });

  check('every message down arrives whole and in order', async (pair) => {
    const { session, served } = await pair.open();
    const messages: Downward[] = [
      { type: 'resumed', log: 'writes', partition: 7, historyFrom: 0, liveFrom: 12 },
      { type: 'gap', log: 'writes', partition: 1, code: 'LOG_CORRUPT', missingFrom: 3, missingTo: 3, message: 'damaged' },
      PULSE,
    ];
    for (const message of messages) served.send(message);
    assert.deepEqual(await take(session.control, messages.length), messages);
  });

  check('frames arrive in the order in which they were sent, over all lanes, empty ones too', async (pair) => {
    const { session, served } = await pair.open();
    const sizes = [1, 300_000, 10, 0, 5];
    const sent = sizes.map(
      (size, seq): LinkFrame => ({ log: 'writes', partition: seq % 3, seq, history: seq < 2, bytes: Buffer.alloc(size, seq + 1) }),
    );
    const sending = served.sendFrames(sent);
    assert.deepEqual(await framesOf(session, sent.length), sent);
    await sending;
  });

  check('a reader that does not read holds the sender back, and control still flows', async (pair) => {
    const { session, served } = await pair.open();
    let sent = 0;
    let stop = false;
    const sending = (async () => {
      while (!stop) {
        await served.sendFrames([{ log: 'writes', partition: 0, seq: sent, history: false, bytes: Buffer.alloc(256 * 1024) }]);
        sent += 1;
      }
    })().catch(() => {});
    // The sender is held back when control messages that take the same way round see no more frames accepted.
    let before = -1;
    while (before !== sent) {
      before = sent;
      for (let round = 0; round < 50; round += 1) {
        served.send({ type: 'resumed', log: 'writes', partition: 0, historyFrom: round, liveFrom: round });
        await take(session.control, 1);
      }
    }
    assert.ok(sent < 256, `${sent} frames of 256 KiB were taken while nobody read`);
    stop = true;
    session.close();
    await sending;
  });

  check('closing the dialler’s end ends the host’s too', async (pair) => {
    const { session, served } = await pair.open();
    session.close();
    await drained(served.control);
    await served.closed;
    await assert.rejects(served.sendFrames([{ log: 'writes', partition: 0, seq: 0, history: false, bytes: Buffer.alloc(1) }]), {
      code: 'PEER_UNREACHABLE',
    });
  });

  check('the reason with which the host closes reaches the dialler', async (pair) => {
    const { session, served } = await pair.open();
    const ends = Promise.all([drained(session.control), drained(session.frames)]);
    served.close(new WmbError('DRAINING', 'room beijing shuts down'));
    const reason = await session.closed;
    assert.equal(reason?.code, 'DRAINING');
    assert.match(reason?.message ?? '', /room beijing shuts down/);
    await ends;
    served.send({ type: 'pulse', sentMs: 1, floor: '', ends: [] });
  });

  check('when the serving process goes, the dialler’s streams end with PEER_UNREACHABLE', async (pair) => {
    const { session } = await pair.open();
    const ends = Promise.all([drained(session.control), drained(session.frames)]);
    await pair.stopServing();
    assert.equal((await session.closed)?.code, 'PEER_UNREACHABLE');
    await ends;
  });
}

/** A host that keeps what it is given, and a session with it. */
class Pair implements LinkHost {
  refusal: WmbError | undefined;
  readonly #make: TransportFactory;
  #transport: Promise<TransportUnderTest> | undefined;
  #served: ServedSession[] = [];
  #waiting: ((session: ServedSession) => void)[] = [];
  #session: LinkSession | undefined;
  /** Known when the transport is made. */
  hello = HELLO;

  constructor(make: TransportFactory) {
    this.#make = make;
  }

  async transport(): Promise<TransportUnderTest> {
    this.#transport ??= this.#make(this);
    const transport = await this.#transport;
    this.hello = { ...HELLO, to: transport.origin ?? HELLO.to };
    return transport;
  }

  welcome(): Welcome {
    if (this.refusal !== undefined) throw this.refusal;
    return { ...WELCOME, room: this.hello.to };
  }

  serve(session: ServedSession): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#served.push(session);
    else waiting(session);
  }

  async open(): Promise<{ session: LinkSession; served: ServedSession }> {
    const transport = await this.transport();
    this.#session = await transport.dialer.dial(transport.address, this.hello, new AbortController().signal);
    const served = this.#served.shift() ?? (await new Promise<ServedSession>((resolve) => this.#waiting.push(resolve)));
    return { session: this.#session, served };
  }

  async stopServing(): Promise<void> {
    const transport = await this.#transport;
    this.#transport = undefined;
    await transport?.close();
  }

  async close(): Promise<void> {
    this.#session?.close();
    await this.stopServing();
  }
}

/** The next `count` items, leaving the iterator open. */
async function take<T>(source: AsyncIterable<T>, count: number): Promise<T[]> {
  const iterator = source[Symbol.asyncIterator]();
  const items: T[] = [];
  while (items.length < count) {
    const item = await iterator.next();
    if (item.done) break;
    items.push(item.value);
  }
  return items;
}

async function framesOf(session: LinkSession, count: number): Promise<LinkFrame[]> {
  const seen: LinkFrame[] = [];
  for await (const frames of session.frames) {
    seen.push(...frames.map((frame) => ({ ...frame, bytes: Buffer.from(frame.bytes) })));
    if (seen.length >= count) break;
  }
  return seen;
}

async function drained(source: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of source);
}
