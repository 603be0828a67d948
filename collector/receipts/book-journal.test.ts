/** A receipt book that goes from one machine to another: what each has promised the next one has. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { WmbError } from '../../core/errors.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { MemoryJournal, MemoryJournalTopic } from '../../log/memory/journal.ts';
import { BookJournal, type BookJournalOptions } from './book-journal.ts';
import { EmbeddedBook } from './embedded.ts';
import { ShareLease } from './lease.ts';
import { EmbeddedLinkStates } from './link-states.ts';
import type { BookEntry, EpochLane, FrameReceipt, ParkedWrite } from './receipts.ts';

const LANE: EpochLane = { log: 'writes', origin: 'beijing', partition: 3, epoch: '0123456789abcdef' };
const STAMP = '018bcfe56800000101000001';

/** Machines that share nothing but a journal. */
class Machines {
  readonly topic = new MemoryJournalTopic();
  readonly #books: EmbeddedBook[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), 'wmb-journal-'));
  #machines = 0;

  constructor(context: TestContext) {
    context.after(async () => {
      for (const book of this.#books) await book.close();
      rmSync(this.#directory, { recursive: true });
    });
  }

  file(name: string): string {
    return join(this.#directory, name);
  }

  async open(more: Partial<BookJournalOptions> = {}): Promise<EmbeddedBook> {
    this.#machines += 1;
    const file = this.file(`${this.#machines}/book.db`);
    const journal = new MemoryJournal(this.topic);
    const book = new EmbeddedBook({
      ...{ file, room: 'guangzhou' },
      journal: new BookJournal({ journal, file, room: 'guangzhou', owner: file, runtime: systemRuntime, logger: silentLogger, ...more }),
    });
    this.#books.push(book);
    await book.open();
    return book;
  }

  /** What the machine that was started last has in its directory. */
  get left(): string[] {
    return readdirSync(this.file(String(this.#machines)));
  }
}

function frame(seq: number): FrameReceipt {
  return { seq, count: 2, stampFirst: STAMP, stampLast: STAMP, through: STAMP, appliedMs: 1 };
}

function entry(seq: number, more: Partial<BookEntry> = {}): BookEntry {
  return { lane: LANE, frames: [frame(seq)], exceptions: [], parked: [], ...more };
}

function parked(seq: number, payload = 'p'): ParkedWrite {
  const write = { requestId: `id-${seq}`, kind: 'cache', key: 'k', stamp: STAMP, trace: '', payload: Buffer.from(payload) };
  const why = { code: 'PROCESSOR_FAILED', message: 'no', attempts: 1, parkedMs: 5, retryMs: undefined, inDatabase: false } as const;
  return { position: { ...LANE, seq, index: 0 }, write, ...why };
}

function parking(seq: number): BookEntry {
  const receipt = { seq, index: 0, requestId: `id-${seq}`, outcome: 'parked', code: 'PROCESSOR_FAILED' } as const;
  return entry(seq, { exceptions: [receipt], parked: [parked(seq)] });
}

test('the next machine has all receipts and everything that is parked', async (context) => {
  const machines = new Machines(context);
  const first = await machines.open();
  await first.record([entry(0), parking(1)]);
  await first.record([parking(2), entry(3)]);
  await first.settle({ position: parked(1).position, requestId: 'id-1', outcome: 'applied', code: '', effects: undefined });
  const skip = await first.beginSkip({ ...LANE, from: 4, to: 6, writes: undefined, next: { epoch: LANE.epoch, seq: 6 }, skippedMs: 1 });
  // Nothing of it was closed: the machine is gone.
  const second = await machines.open();
  assert.deepEqual(await second.marks(), await first.marks());
  assert.deepEqual(await second.frames({ lane: LANE, from: 0, to: 3 }), await first.frames({ lane: LANE, from: 0, to: 3 }));
  assert.deepEqual(
    (await second.list('', 10)).map(({ position }) => position.seq),
    [2],
  );
  assert.equal(second.parkedTotal(), 1);
  assert.equal((await second.pendingSkip(LANE))?.id, skip.id);
  await second.finishSkip(skip);
  const third = await machines.open();
  assert.deepEqual(
    (await third.marks()).map(({ seq }) => seq),
    [6],
  );
  await third.close();
  assert.deepEqual(machines.left, []);
});

test('who had the book before can promise nothing more', async (context) => {
  const machines = new Machines(context);
  const first = await machines.open();
  await first.record([entry(0)]);
  const second = await machines.open();
  await assert.rejects(first.record([entry(1)]), { code: 'STORE_LOCKED' });
  await assert.rejects(first.record([entry(1)]), { code: 'STORE_LOCKED' });
  await second.record([entry(1)]);
  await second.record([entry(2)]);
  assert.deepEqual(
    (await second.marks()).map(({ seq }) => seq),
    [2],
  );
});

test('a receipt that was refused is not told either: its frame is not acked', async (context) => {
  const machines = new Machines(context);
  const first = await machines.open();
  await first.record([entry(0)]);
  await machines.open();
  await assert.rejects(first.record([parking(1)]), { code: 'STORE_LOCKED' });
  // A lane that is resumed acks what these say.
  await assert.rejects(first.summary(LANE), { code: 'STORE_LOCKED' });
  await assert.rejects(first.marks(), { code: 'STORE_LOCKED' });
  await assert.rejects(first.list('', 10), { code: 'STORE_LOCKED' });
});

test('a link that was switched is said to be so when the journal has it', async (context) => {
  const machines = new Machines(context);
  const first = await machines.open();
  const states = new EmbeddedLinkStates(first);
  states.saveTransport('beijing', 'mq');
  await states.durable();
  const second = await machines.open();
  assert.deepEqual([...new EmbeddedLinkStates(second).transports()], [['beijing', 'mq']]);
  states.saveTransport('beijing', 'rpc');
  await assert.rejects(states.durable(), { code: 'STORE_LOCKED' });
});

test('what was rolled back is not in the journal', async (context) => {
  const machines = new Machines(context);
  const first = await machines.open();
  await first.record([entry(0)]);
  const broken = { ...entry(1), frames: [frame(1), { ...frame(2), count: undefined as unknown as number }] };
  await assert.rejects(first.record([broken]));
  await first.record([entry(1)]);
  const second = await machines.open();
  assert.deepEqual(await second.frames({ lane: LANE, from: 0, to: 9 }), await first.frames({ lane: LANE, from: 0, to: 9 }));
});

test('snapshots stand in the place of what the journal forgets, also where one was left unfinished', async (context) => {
  const machines = new Machines(context);
  const snapshotBytes = 20_000;
  let book = await machines.open({ snapshotBytes });
  for (let seq = 0; seq < 3_000; seq += 1) {
    await book.record([seq % 100 === 7 ? parking(seq) : entry(seq)]);
    // The snapshot's thread is heard of.
    await setImmediate();
    // The machine is gone somewhere, in the middle of a snapshot too.
    if (seq % 700 === 699) book = await machines.open({ snapshotBytes });
  }
  assert.equal(machines.topic.isWhole, false);
  assert.ok(machines.topic.records.length < 2_000, `${machines.topic.records.length} records are kept`);
  const last = await machines.open();
  assert.equal((await last.frames({ lane: LANE, from: 0, to: 2_999 })).length, 3_000);
  assert.equal(last.parkedTotal(), 30);
  assert.deepEqual(
    (await last.marks()).map(({ seq }) => seq),
    [2_999],
  );
});

test('what is parked may be larger than a record of the journal, also where an owner died in the middle of it', async (context) => {
  const machines = new Machines(context);
  const first = await machines.open();
  await first.record([parking(0)]);
  const payloads = ['a', 'b'].map((letter) => letter.repeat(3_500_000));
  await first.record([
    entry(1, { parked: payloads.map((payload, index) => ({ ...parked(1, payload), position: { ...LANE, seq: 1, index } })) }),
  ]);
  assert.ok(machines.topic.records.every(({ value }) => value.length < 1_100_000));
  const second = await machines.open();
  assert.deepEqual(
    (await second.list('', 10)).map(({ write }) => Buffer.from(write.payload).toString()),
    ['p', ...payloads],
  );
  // Only some pieces of it had come, and another one has the book.
  machines.topic.records.splice(-3);
  const third = await machines.open();
  assert.equal(third.parkedTotal(), 1);
  await third.record([entry(1, { parked: [parked(1, 'c'.repeat(2_500_000))] })]);
  assert.equal((await machines.open()).parkedTotal(), 2);
});

test('a journal that lacks something is refused', async (context) => {
  const machines = new Machines(context);
  const first = await machines.open();
  for (let seq = 0; seq < 5; seq += 1) await first.record([entry(seq)]);
  const { topic } = machines;
  const [lost] = topic.records.splice(2, 1);
  await assert.rejects(machines.open(), { code: 'LOG_GAP', message: /transaction 4 .* does not follow transaction 2/ });
  topic.records.splice(2, 0, lost as (typeof topic.records)[number]);
  topic.isWhole = false;
  await assert.rejects(machines.open(), { code: 'LOG_GAP', message: /no snapshot/ });
});

/** As a collector without collector.receipts kafka has left it: one frame, and a write request that is parked. */
async function bookInFiles(machines: Machines): Promise<string> {
  const file = machines.file('book-0of2.db');
  const book = new EmbeddedBook({ file, room: 'guangzhou' });
  await book.open();
  await book.record([entry(0), parking(1)]);
  await book.close();
  return file;
}

test('an empty journal begins with the book that was in files, unless a collector works with it', async (context) => {
  const machines = new Machines(context);
  const before = await bookInFiles(machines);
  const runtime = new VirtualTime();
  const lease = new ShareLease({ file: before, room: 'guangzhou', owner: 'a collector of files', runtime });
  lease.take();
  await assert.rejects(machines.open({ before, runtime }), {
    code: 'STORE_LOCKED',
    message: /a collector without collector.receipts kafka/,
  });
  lease.release();
  lease.close();
  const first = await machines.open({ before, runtime });
  await first.record([entry(2)]);
  assert.equal(existsSync(before), false);
  const second = await machines.open({ before });
  assert.equal(second.parkedTotal(), 1);
  assert.deepEqual(
    (await second.marks()).map(({ seq }) => seq),
    [2],
  );
});

test('a book that was in files is there for other machines when the one that had it was lost before the journal forgot anything', async (context) => {
  const machines = new Machines(context);
  const before = await bookInFiles(machines);
  context.mock.method(MemoryJournal.prototype, 'forget', async () => Promise.reject(new WmbError('LOG_DENIED', 'no right to')), {
    times: 1,
  });
  await assert.rejects(machines.open({ before }), { code: 'LOG_DENIED' });
  const second = await machines.open();
  assert.equal(second.parkedTotal(), 1);
  await second.record([entry(2)]);
  assert.deepEqual(
    (await (await machines.open()).marks()).map(({ seq }) => seq),
    [2],
  );
});
