import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import type { SeqRange } from '../../core/inspection.ts';
import type { Outcome } from '../../core/words.ts';
import { EmbeddedBook } from './embedded.ts';
import { receiptDigest } from './receipt-digest.ts';
import type { BookEntry, ExceptionReceipt } from './receipts.ts';

const lane = { log: 'writes', origin: 'beijing', partition: 3, epoch: '0123456789abcdef' } as const;
const range = (from: number, to: number): SeqRange => ({ lane, from, to });

async function open(t: TestContext, file = ':memory:', framesKept?: number): Promise<EmbeddedBook> {
  const book = new EmbeddedBook({ file, room: 'guangzhou', ...(framesKept === undefined ? {} : { framesKept }) });
  await book.open();
  t.after(() => book.close());
  return book;
}

function frames(from: number, to: number, exceptions: readonly ExceptionReceipt[] = [], appliedMs = 100): BookEntry {
  const list = Array.from({ length: to - from + 1 }, (_, at) => {
    const seq = from + at;
    return { seq, count: 2, stampFirst: `f${seq}`, stampLast: `s${seq}`, through: `s${seq}`, appliedMs: appliedMs + seq };
  });
  return { lane, frames: list, exceptions, parked: [] };
}

function exception(seq: number, index: number, outcome: Outcome, code: ExceptionReceipt['code'] = ''): ExceptionReceipt {
  return { seq, index, requestId: `r${seq}.${index}`, outcome, code };
}

async function skip(book: EmbeddedBook, { from, to, next }: { readonly from: number; readonly to: number; readonly next: number }) {
  const begun = await book.beginSkip({ ...lane, from, to, writes: undefined, next: { epoch: lane.epoch, seq: next }, skippedMs: 77 });
  await book.finishSkip(begun);
}

const detail = { code: '', parkedMs: 0, attempts: 0 };

test('frames come with when they were applied and with every receipt that is not applied, parked ones with their times', async (t) => {
  const book = await open(t);
  const write = { requestId: 'r1.0', kind: 'message', key: 'k', payload: Buffer.from('p'), trace: '', stamp: 's' };
  const parked = { position: { ...lane, seq: 1, index: 0 }, write, code: 'PROCESSOR_FAILED', message: 'boom' } as const;
  const entry = frames(0, 3, [exception(1, 0, 'parked', 'PROCESSOR_FAILED'), exception(1, 1, 'superseded')]);
  await book.record([{ ...entry, parked: [{ ...parked, attempts: 3, parkedMs: 77, retryMs: undefined, inDatabase: false }] }]);
  assert.deepEqual(await book.frames(range(1, 2)), [
    {
      seq: 1,
      count: 2,
      stampFirst: 'f1',
      stampLast: 's1',
      appliedMs: 101,
      exceptions: [
        { index: 0, requestId: 'r1.0', outcome: 'parked', code: 'PROCESSOR_FAILED', parkedMs: 77, attempts: 3 },
        { ...detail, index: 1, requestId: 'r1.1', outcome: 'superseded' },
      ],
    },
    { seq: 2, count: 2, stampFirst: 'f2', stampLast: 's2', appliedMs: 102, exceptions: [] },
  ]);
});

test('frames that somebody gave up are rejected, for as long as a frame would be told that was taken, and not where one was taken later', async (t) => {
  const book = await open(t, ':memory:', 600);
  await book.record([frames(0, 1)]);
  await skip(book, { from: 2, to: 4, next: 4 });
  await book.record([frames(5, 6)]);
  const rejected = { index: 0, requestId: '', outcome: 'rejected', code: 'LOG_GAP', parkedMs: 0, attempts: 0 };
  const told = await book.frames(range(1, 5));
  assert.deepEqual(
    told.map(({ seq }) => seq),
    [1, 2, 3, 4, 5],
  );
  assert.deepEqual(told[2], { seq: 3, count: 1, stampFirst: '', stampLast: '', appliedMs: 77, exceptions: [rejected] });
  assert.equal(await book.digest(range(1, 5)), '');
  await book.record([frames(3, 3)]);
  assert.deepEqual(
    (await book.frames(range(3, 3))).map(({ stampLast }) => stampLast),
    ['s3'],
  );
  for (let seq = 7; seq < 2_007; seq += 4) await book.record([frames(seq, seq + 3)]);
  assert.deepEqual(await book.frames(range(0, 6)), []);
});

test('a tail that the log has lost is not told as given up: its seqs belong to other frames', async (t) => {
  const book = await open(t);
  await book.record([frames(0, 9)]);
  await skip(book, { from: 6, to: 9, next: 5 });
  assert.equal((await book.frames(range(0, 9))).length, 6);
});

test('a frame that is recorded again keeps the time at which it was applied first', async (t) => {
  const book = await open(t);
  await book.record([frames(0, 1)]);
  await book.record([frames(0, 1, [], 900)]);
  assert.deepEqual(
    (await book.frames(range(0, 1))).map(({ appliedMs }) => appliedMs),
    [100, 101],
  );
});

test('the digest of the book is that of its frames', async (t) => {
  const book = await open(t);
  await book.record([frames(0, 9, [exception(2, 0, 'duplicate'), exception(2, 1, 'superseded'), exception(5, 1, 'rejected', 'LOG_GAP')])]);
  assert.match(await book.digest(range(0, 9)), /^[0-9a-f]{16}$/);
  assert.equal(await book.digest(range(0, 9)), receiptDigest(await book.frames(range(0, 9))));
  assert.notEqual(await book.digest(range(0, 9)), await book.digest(range(0, 8)));
});

test('there is no digest of a range of which a frame has no receipts, or has them no longer', async (t) => {
  const book = await open(t, ':memory:', 600);
  assert.equal(await book.digest(range(0, 0)), '');
  await book.record([frames(0, 3)]);
  assert.equal(await book.digest(range(0, 4)), '');
  assert.notEqual(await book.digest(range(0, 3)), '');
  assert.equal(await book.digest({ ...range(0, 3), lane: { ...lane, epoch: 'ffffffffffffffff' } }), '');
  for (let seq = 4; seq < 2_000; seq += 4) await book.record([frames(seq, seq + 3)]);
  assert.equal(await book.digest(range(0, 3)), '');
  assert.deepEqual(await book.frames(range(0, 3)), []);
});

test('a digest tells write requests that were not done, and nothing of those that were', () => {
  const digest = (...exceptions: readonly { index: number; outcome: Outcome }[]) =>
    receiptDigest([
      { seq: 0, count: 2, stampLast: 'a', exceptions },
      { seq: 1, count: 2, stampLast: 'b', exceptions: [] },
    ]);
  const done = digest();
  assert.equal(digest({ index: 0, outcome: 'superseded' }), done);
  const others = [
    digest({ index: 0, outcome: 'duplicate' }),
    digest({ index: 1, outcome: 'duplicate' }),
    digest({ index: 0, outcome: 'parked' }),
    digest({ index: 0, outcome: 'rejected' }),
    digest({ index: 0, outcome: 'parked' }, { index: 1, outcome: 'parked' }),
  ];
  assert.equal(new Set([done, ...others]).size, 6);
});

test('a digest tells another frame at the same seq', () => {
  const frame = { seq: 7, count: 2, stampLast: 'a', exceptions: [] };
  const others = [frame, { ...frame, seq: 8 }, { ...frame, count: 3 }, { ...frame, stampLast: 'b' }];
  assert.equal(new Set(others.map((it) => receiptDigest([it]))).size, 4);
});

/** The tables of version 1 that matter here, with one frame. */
function bookOfVersion1(file: string): void {
  const db = new DatabaseSync(file);
  db.exec(`
    CREATE TABLE book (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, room TEXT NOT NULL);
    INSERT INTO book VALUES (1, 1, 'guangzhou');
    CREATE TABLE lanes (
      id INTEGER PRIMARY KEY, log TEXT NOT NULL, origin TEXT NOT NULL, partition INTEGER NOT NULL, epoch TEXT NOT NULL,
      seq INTEGER NOT NULL, writes INTEGER NOT NULL, stamp_last TEXT NOT NULL,
      UNIQUE (log, origin, partition, epoch)
    );
    INSERT INTO lanes VALUES (1, 'writes', 'beijing', 3, '0123456789abcdef', 0, 2, 's0');
    CREATE TABLE frames (
      lane INTEGER NOT NULL, seq INTEGER NOT NULL, count INTEGER NOT NULL, stamp_first TEXT NOT NULL, stamp_last TEXT NOT NULL,
      PRIMARY KEY (lane, seq)
    ) WITHOUT ROWID;
    INSERT INTO frames VALUES (1, 0, 2, 'f0', 's0');
  `);
  db.close();
}

test('a book of version 1 is taken over in place: when its frames were applied is not known', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-book-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'book.db');
  bookOfVersion1(file);
  for (const start of ['first', 'second']) {
    const book = new EmbeddedBook({ file, room: 'guangzhou' });
    await book.open();
    if (start === 'first') await book.record([frames(1, 1)]);
    assert.deepEqual(
      (await book.frames(range(0, 1))).map(({ seq, appliedMs }) => [seq, appliedMs]),
      [
        [0, 0],
        [1, 101],
      ],
    );
    assert.equal((await book.summary(lane)).writes, 4);
    assert.equal(
      book.guarded((db) => db.prepare('SELECT version FROM book').get()?.['version']),
      2,
    );
    await book.close();
  }
});

test('a book of a newer version is refused', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-book-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'book.db');
  bookOfVersion1(file);
  const db = new DatabaseSync(file);
  db.exec('UPDATE book SET version = 3');
  db.close();
  await assert.rejects(new EmbeddedBook({ file, room: 'guangzhou' }).open(), { code: 'STORE_FOREIGN', message: /newer WMB \(version 3\)/ });
});
