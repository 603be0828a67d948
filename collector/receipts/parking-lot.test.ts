/** The bounds of the parking lot, and of what is kept of those who left it. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { silentLogger } from '../../core/logger.ts';
import { formatPosition } from '../../core/words.ts';
import { TestRuntime } from '../admit/testing.ts';
import { EmbeddedBook, type EmbeddedBookOptions } from './embedded.ts';
import { Parking, type Retried } from './parked.ts';
import type { BookEntry, ParkedWrite } from './receipts.ts';

const lane = { log: 'writes', origin: 'beijing', partition: 0, epoch: '0123456789abcdef' } as const;
const DAY_MS = 24 * 3_600_000;

async function openBook(t: TestContext, options: Partial<EmbeddedBookOptions> = {}): Promise<EmbeddedBook> {
  const book = new EmbeddedBook({ file: ':memory:', room: 'guangzhou', ...options });
  await book.open();
  t.after(() => book.close());
  return book;
}

function parked(seq: number, key: string, payload = 'p'): ParkedWrite {
  return {
    position: { ...lane, seq, index: 0 },
    write: { requestId: `r${seq}`, kind: 'message', key, payload: Buffer.from(payload), trace: '', stamp: 's' },
    code: 'PROCESSOR_FAILED',
    message: 'boom',
    attempts: 1,
    parkedMs: 7,
    retryMs: undefined,
    inDatabase: false,
  };
}

function park(...writes: ParkedWrite[]): BookEntry[] {
  const exceptions = writes.map((it) => ({
    seq: it.position.seq,
    index: 0,
    requestId: it.write.requestId,
    outcome: 'parked' as const,
    code: it.code,
  }));
  return [{ lane, frames: [], exceptions, parked: writes }];
}

function settle(book: EmbeddedBook, seq: number, nowMs = 0): Promise<void> {
  const effects = { commands: [['DEL', 'k']], cacheMark: { ...lane, seq: 9 }, nowMs };
  return book.settle({ position: { ...lane, seq, index: 0 }, requestId: `r${seq}`, outcome: 'applied', code: '', effects });
}

async function retriedSeqs(book: EmbeddedBook): Promise<number[]> {
  return (await book.retried(lane, 9, 0, 100)).map((it) => it.position.seq);
}

test('one too many, or too large, is PARKING_FULL; nothing of the record is there, and there is room again when one has left', async (t) => {
  const book = await openBook(t, { parking: { writesMax: 3, bytesMax: 10 } });
  await book.record(park(parked(1, 'a', '1234'), parked(2, 'b', '1234')));
  await assert.rejects(book.record(park(parked(3, 'c', '123'))), { code: 'PARKING_FULL', message: /holds 2 write requests with 8 bytes/ });
  await book.record(park(parked(3, 'c', '')));
  await assert.rejects(book.record(park(parked(4, 'd', ''))), { code: 'PARKING_FULL' });
  assert.deepEqual([book.parkedTotal(), book.parkedBytes(), (await book.exceptions(lane, 0, 9)).length], [3, 8, 3]);
  await book.record(park(parked(1, 'a', '1234')));
  await settle(book, 1);
  await book.record(park(parked(4, 'd', '')));
  assert.deepEqual([book.parkedTotal(), book.parkedBytes()], [3, 4]);
});

test('one that is larger than the limit finds room in an empty parking lot', async (t) => {
  const book = await openBook(t, { parking: { writesMax: 3, bytesMax: 10 } });
  await book.record(park(parked(1, 'a', '12345678901')));
  await assert.rejects(book.record(park(parked(2, 'b', ''))), { code: 'PARKING_FULL' });
});

test('a lane learns each key once, with its oldest place, from an index that holds no payloads', async (t) => {
  const book = await openBook(t);
  const second = { ...parked(7, 'b'), position: { ...lane, seq: 7, index: 3 } };
  await book.record(park(parked(9, 'a'), second, parked(4, 'a'), parked(8, 'b')));
  assert.deepEqual(
    [...(await book.parkedKeys(lane))].sort((a, b) => a.seq - b.seq),
    [
      { key: 'a', seq: 4, index: 0 },
      { key: 'b', seq: 7, index: 3 },
    ],
  );
  const plan = book.guarded((db) =>
    db.prepare('EXPLAIN QUERY PLAN SELECT key, min(seq << 24 | place) AS at FROM parked WHERE lane = 1 GROUP BY key').all(),
  );
  assert.match(plan.map((row) => String(row['detail'])).join(), /COVERING INDEX parked_key/);
});

test('a list ends where its payloads would be more than an answer may hold', async (t) => {
  const book = await openBook(t);
  const large = 'x'.repeat(9 * 1024 * 1024);
  await book.record(park(parked(1, 'a', large), parked(2, 'b', large), parked(3, 'c')));
  const first = await book.list('', 100);
  assert.deepEqual(
    first.map((it) => it.position.seq),
    [1],
  );
  assert.equal((await book.list(formatPosition({ ...lane, seq: 1, index: 0 }), 100)).length, 2);
});

test('retried write requests are kept for a cache whose mark is not behind theirs, within limits of number, bytes and age', async (t) => {
  const book = await openBook(t, { retried: { writesMax: 3, bytesMax: 10, ageMsMax: DAY_MS } });
  await book.record(park(...[1, 2, 3, 4].map((seq) => parked(seq, 'k', '12'))));
  for (const seq of [1, 2, 3, 4]) await settle(book, seq);
  assert.deepEqual(await retriedSeqs(book), [2, 3, 4], 'number');
  assert.deepEqual([await book.retried(lane, 10, 0, 9), await book.retried({ ...lane, epoch: 'f'.repeat(16) }, 0, 0, 9)], [[], []]);
  assert.equal((await book.retried(lane, -1, 0, 9)).length, 3, 'an empty cache');
  await book.record(park(parked(5, 'k', '1234567')));
  await settle(book, 5);
  assert.deepEqual(await retriedSeqs(book), [4, 5], 'bytes');
  await book.record(park(parked(6, 'k', '')));
  await settle(book, 6, DAY_MS + 1);
  assert.deepEqual(await retriedSeqs(book), [6], 'age');
});

/** A parking lot of `count` write requests, one lane, keys as given; every retry is applied, every discard rejected. */
async function parkingOf(t: TestContext, count: number, key: (at: number) => string) {
  const book = await openBook(t);
  const runtime = new TestRuntime();
  await book.record(park(...Array.from({ length: count }, (_, at) => parked(at, key(at)))));
  const done: string[] = [];
  const end = async (it: ParkedWrite, outcome: 'applied' | 'rejected'): Promise<Retried> => {
    await book.settle({ position: it.position, requestId: it.write.requestId, outcome, code: '', effects: undefined });
    done.push(`${it.write.requestId} ${outcome}`);
    return { outcome, code: '', message: '' };
  };
  const lanes = () => ({ retry: (it: ParkedWrite) => end(it, 'applied'), discard: (it: ParkedWrite) => end(it, 'rejected') });
  return { book, runtime, done, parking: new Parking({ book, lanes, runtime, logger: silentLogger }) };
}

test('all of them are retried in steps of at most 200', async (t) => {
  const { parking, book } = await parkingOf(t, 450, (at) => `k${at}`);
  const sizes: number[] = [];
  for (let after: string | undefined = ''; after !== undefined; ) {
    const { outcomes, next } = await parking.retry({ writes: [], all: true, after });
    sizes.push(outcomes.length);
    after = next || undefined;
  }
  assert.deepEqual([sizes, book.parkedTotal()], [[200, 200, 50], 0]);
});

test('all of them are discarded, also those of one key that stand in later steps; what comes behind them is retried in the end', async (t) => {
  const { parking, book, runtime, done } = await parkingOf(t, 300, () => 'k');
  const { next } = await parking.discard({ writes: [], all: true });
  assert.equal(book.parkedTotal(), 100);
  await parking.retryDue();
  await parking.discard({ writes: [], all: true, after: next });
  assert.deepEqual([book.parkedTotal(), done.every((it) => it.endsWith('rejected'))], [0, true]);

  const { parking: other, book: left, runtime: later } = await parkingOf(t, 201, () => 'k');
  await other.discard({ writes: [], all: true });
  later.now += 60_000;
  await other.retryDue();
  assert.equal(left.parkedTotal(), 0, 'nobody came for the last step');
  assert.ok(runtime.now < later.now);
});

test('a long queue behind one key is retried in turns, by itself', async (t) => {
  const { parking, book } = await parkingOf(t, 1_500, () => 'k');
  const { outcomes } = await parking.retry({ writes: ['r0'], all: false });
  assert.deepEqual([outcomes.length, book.parkedTotal()], [1_000, 500]);
  await parking.retryDue();
  assert.equal(book.parkedTotal(), 0);
});
