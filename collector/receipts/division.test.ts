import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { holds } from '../../core/share.ts';
import { type Lane, laneKey } from '../../core/words.ts';
import { bookFile, ensureDivision, registryFile } from './division.ts';
import { EmbeddedBook } from './embedded.ts';
import { LEASE_MS, ShareLease } from './lease.ts';
import { EmbeddedLinkStates } from './link-states.ts';
import type { BookEntry, EpochLane } from './receipts.ts';
import { ShareRegistry } from './share-registry.ts';

const OLD_EPOCH = '0123456789abcdef';
const EPOCH = 'fedcba9876543210';
const LANES: readonly Lane[] = ['beijing', 'guangzhou'].flatMap((origin) =>
  Array.from({ length: 6 }, (_, partition) => ({ log: 'writes' as const, origin, partition })),
);

class TestRoom {
  readonly time = new VirtualTime();
  readonly directory = mkdtempSync(join(tmpdir(), 'wmb-division-'));

  constructor(context: TestContext) {
    context.after(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  divide(count: number, room = 'beijing'): void {
    ensureDivision({ directory: this.directory, room, count, runtime: this.time, logger: silentLogger });
  }

  async open(index: number, count: number): Promise<EmbeddedBook> {
    const book = new EmbeddedBook({ file: bookFile(this.directory, { index, count }), room: 'beijing' });
    await book.open();
    return book;
  }

  lease(index: number, count: number, owner: string): ShareLease {
    return new ShareLease({ file: bookFile(this.directory, { index, count }), room: 'beijing', owner, runtime: this.time });
  }

  /** Everything that the books say, by lane, and which share says it. */
  async told(count: number): Promise<ReadonlyMap<string, object>> {
    const told = new Map<string, object>();
    for (let index = 0; index < count; index += 1) {
      const book = await this.open(index, count);
      const states = new EmbeddedLinkStates(book);
      const marks = await book.marks();
      for (const { origin, partition } of marks) assert.ok(holds({ index, count }, partition), `share ${index} has ${origin}/${partition}`);
      assert.deepEqual([...states.transports()], [['guangzhou', 'mq']]);
      for (const lane of LANES.filter(({ partition }) => holds({ index, count }, partition)))
        told.set(laneKey(lane), await ofLane(book, lane, states));
      assert.equal(book.parkedTotal(), marks.length);
      await book.close();
    }
    return told;
  }
}

async function ofLane(book: EmbeddedBook, lane: Lane, states: EmbeddedLinkStates): Promise<object> {
  const now = { ...lane, epoch: EPOCH };
  const parked = (await book.list('', 100)).filter(({ position }) => laneKey(position) === laneKey(lane));
  return {
    mark: (await book.marks()).find((mark) => laneKey(mark) === laneKey(lane)),
    summaries: [await book.summary({ ...lane, epoch: OLD_EPOCH }), await book.summary(now)],
    frames: await book.frames({ lane: now, from: 0, to: 9 }),
    exceptions: await book.exceptions(now, 0, 9),
    parked: parked.map((it) => ({ ...it, write: { ...it.write, payload: Buffer.from(it.write.payload).toString() } })),
    retried: (await book.retried(now, 0, 0, 10)).map((it) => ({ ...it, id: 0 })),
    skips: (await book.skips(lane)).map((it) => ({ ...it, id: 0 })),
    state: states.load().find((row) => laneKey(row.lane) === laneKey(lane)),
  };
}

/** Two epochs, a write request in the parking lot, one that was retried, and a gap that somebody skipped. */
async function fill(book: EmbeddedBook, lane: Lane): Promise<void> {
  const [before, now] = [
    { ...lane, epoch: OLD_EPOCH },
    { ...lane, epoch: EPOCH },
  ];
  await book.record([entry(before, [0, 1]), entry(now, [0, 1, 2, 3]), parking(now, 1), parking(now, 3)]);
  const cacheMark = { ...now, seq: 3 };
  const effects = { commands: [['SET', 'k', '1']], cacheMark, nowMs: 9 };
  await book.settle({ position: { ...now, seq: 1, index: 0 }, requestId: `${laneKey(lane)}-1`, outcome: 'applied', code: '', effects });
  const skip = await book.beginSkip({ ...now, from: 4, to: 6, writes: 5, next: { epoch: EPOCH, seq: 6 }, skippedMs: 7 });
  await book.finishSkip(skip);
  new EmbeddedLinkStates(book).save({ lane, state: 'paused', reason: 'somebody said so', sinceMs: 5 });
}

function entry(lane: EpochLane, seqs: readonly number[]): BookEntry {
  const frames = seqs.map((seq) => ({ seq, count: 2, stampFirst: 'a', stampLast: `s${seq}`, through: `s${seq}`, appliedMs: 5 }));
  return { lane, frames, exceptions: [], parked: [] };
}

function parking(lane: EpochLane, seq: number): BookEntry {
  const requestId = `${laneKey(lane)}-${seq}`;
  const write = { requestId, kind: 'message', key: `k${seq}`, payload: Buffer.from(`p${seq}`), trace: 't', stamp: 's' };
  const position = { ...lane, seq, index: 0 };
  const why = { code: 'PROCESSOR_FAILED', message: 'boom', attempts: 1, parkedMs: 7, retryMs: undefined, inDatabase: false } as const;
  return {
    lane,
    frames: [],
    exceptions: [{ seq, index: 0, requestId, outcome: 'parked', code: why.code }],
    parked: [{ position, write, ...why }],
  };
}

async function filledRoom(context: TestContext): Promise<TestRoom> {
  const room = new TestRoom(context);
  const book = await room.open(0, 1);
  for (const lane of LANES) await fill(book, lane);
  new EmbeddedLinkStates(book).saveTransport('guangzhou', 'mq');
  await book.close();
  return room;
}

const booksIn = ({ directory }: TestRoom) =>
  readdirSync(directory)
    .filter((name) => /^book.*\.db$/.test(name))
    .sort();

test('a room is divided into other shares, and back: every receipt, and what is parked, is in the book of its share', async (context) => {
  const room = await filledRoom(context);
  const before = await room.told(1);
  assert.equal(before.size, LANES.length);
  for (const count of [3, 2, 6, 1]) {
    room.divide(count);
    assert.deepEqual(new Map([...(await room.told(count))].sort()), new Map([...before].sort()));
    assert.equal(booksIn(room).length, count);
  }
});

test('a room without receipts is divided too; another room’s directory is refused', (context) => {
  const room = new TestRoom(context);
  room.divide(1);
  assert.deepEqual(readdirSync(room.directory), []);
  room.divide(2);
  assert.deepEqual(booksIn(room), ['book-0of2.db', 'book-1of2.db']);
  assert.throws(() => room.divide(3, 'guangzhou'), { code: 'STORE_FOREIGN' });
});

test('nobody divides a room while collectors work in it', async (context) => {
  const room = await filledRoom(context);
  const alone = await room.open(0, 1);
  assert.throws(() => room.divide(3), {
    code: 'STORE_LOCKED',
    message: /room beijing are not divided, and a collector still works with them; stop all/,
  });
  await alone.close();
  room.divide(3);
  const registry = new ShareRegistry({ file: registryFile(room.directory), room: 'beijing', shares: 3, runtime: room.time });
  registry.beat({ name: 'a', address: 'a:1' }, []);
  assert.throws(() => room.divide(2), { code: 'STORE_LOCKED', message: /divided into 3 shares, and a still works with them; stop all/ });
  await room.time.advance(LEASE_MS);
  const lease = room.lease(1, 3, 'b');
  assert.ok(lease.take());
  assert.throws(() => room.divide(2), { code: 'STORE_LOCKED', message: /whoever has share 1 still works/ });
  lease.release();
  room.divide(2);
  assert.throws(() => registry.beat({ name: 'a', address: 'a:1' }, []), { code: 'STORE_FOREIGN', message: /divided into 2 shares/ });
});

test('a collector that stood still while the room was divided is refused when it wakes up', async (context) => {
  const room = await filledRoom(context);
  room.divide(2);
  const lease = room.lease(0, 2, 'zombie');
  assert.ok(lease.take());
  const book = new EmbeddedBook({ file: bookFile(room.directory, { index: 0, count: 2 }), room: 'beijing', owner: 'zombie' });
  await book.open();
  await room.time.advance(LEASE_MS + 1);
  room.divide(3);
  await assert.rejects(book.record([entry({ ...(LANES[0] as Lane), epoch: EPOCH }, [7])]), { code: 'STORE_LOCKED' });
  await book.close();
  lease.close();
});

test('what a division left that was killed, before or after it counted, does no harm', async (context) => {
  const room = await filledRoom(context);
  const before = new Map([...(await room.told(1))].sort());
  const torn = bookFile(room.directory, { index: 0, count: 3 });
  writeFileSync(torn, 'torn');
  const copy = `${room.directory}-copy`;
  context.after(() => rmSync(copy, { recursive: true, force: true }));
  cpSync(room.directory, copy, { recursive: true });
  room.divide(3);
  assert.deepEqual(new Map([...(await room.told(3))].sort()), before);
  cpSync(bookFile(copy, { index: 0, count: 1 }), bookFile(room.directory, { index: 0, count: 1 }));
  room.divide(3);
  assert.deepEqual(booksIn(room), ['book-0of3.db', 'book-1of3.db', 'book-2of3.db']);
  assert.deepEqual(new Map([...(await room.told(3))].sort()), before);
});
