import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { formatPosition } from '../../core/words.ts';
import { EmbeddedBook } from './embedded.ts';
import { LEASE_MS, ShareLease } from './lease.ts';
import { EmbeddedLinkStates } from './link-states.ts';
import type { BookEntry, ParkedPlace, ParkedWrite } from './receipts.ts';

const lane = { log: 'writes', origin: 'beijing', partition: 3, epoch: '0123456789abcdef' } as const;

function directory(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'wmb-book-'));
  t.after(() => rmSync(made, { recursive: true }));
  return made;
}

function frames(from: number, to: number): BookEntry {
  const list = Array.from({ length: to - from + 1 }, (_, at) => ({
    seq: from + at,
    count: 2,
    stampFirst: 'a',
    stampLast: `s${from + at}`,
    through: `s${from + at}`,
    appliedMs: 5,
  }));
  return { lane, frames: list, exceptions: [], parked: [] };
}

function parked(seq: number, key: string, more: Partial<ParkedWrite> = {}): ParkedWrite {
  const write = { requestId: `r${seq}`, kind: 'message', key, payload: Buffer.from('p'), trace: 't', stamp: 's' };
  return {
    position: { ...lane, seq, index: 1 },
    write,
    code: 'PROCESSOR_FAILED',
    message: 'boom',
    attempts: 1,
    parkedMs: 7,
    retryMs: undefined,
    inDatabase: false,
    ...more,
  };
}

function park(...writes: ParkedWrite[]): BookEntry {
  const exceptions = writes.map((it) => ({
    seq: it.position.seq,
    index: 1,
    requestId: it.write.requestId,
    outcome: 'parked' as const,
    code: it.code,
  }));
  return { lane, frames: [], exceptions, parked: writes };
}

test('receipts, marks and the parking lot are there again after a restart', async (t) => {
  const file = join(directory(t), 'room', 'book.db');
  const first = new EmbeddedBook({ file, room: 'guangzhou' });
  await first.open();
  await first.record([frames(0, 4), park(parked(3, 'k'))]);
  await first.close();
  const book = new EmbeddedBook({ file, room: 'guangzhou' });
  await book.open();
  t.after(() => book.close());
  assert.deepEqual(await book.marks(), [{ log: 'writes', origin: 'beijing', partition: 3, epoch: lane.epoch, seq: 4 }]);
  assert.deepEqual(await book.summary(lane), {
    epoch: lane.epoch,
    seq: 4,
    writes: 10,
    through: 's4',
    parkedSeq: 3,
    parked: 1,
    knownSeq: 4,
  });
  const [row] = await book.list('', 10);
  assert.deepEqual(
    { ...row, write: { ...row?.write, payload: String(Buffer.from(row?.write.payload ?? [])) } },
    { ...parked(3, 'k'), write: { ...parked(3, 'k').write, payload: 'p' } },
  );
  assert.equal(book.parkedTotal(), 1);
});

test('a batch is recorded whole or not at all', async (t) => {
  const book = new EmbeddedBook({ file: join(directory(t), 'book.db'), room: 'guangzhou' });
  await book.open();
  t.after(() => book.close());
  const broken = { ...parked(1, 'k'), write: { ...parked(1, 'k').write, payload: undefined as unknown as Uint8Array } };
  await assert.rejects(book.record([frames(0, 4), park(parked(0, 'k')), park(broken)]));
  assert.deepEqual([await book.marks(), book.parkedTotal(), await book.exceptions(lane, 0, 9)], [[], 0, []]);
});

test('frames recorded again replace what was said of them and never move the mark back', async (t) => {
  const book = new EmbeddedBook({ file: join(directory(t), 'book.db'), room: 'guangzhou' });
  await book.open();
  t.after(() => book.close());
  const superseded = { seq: 1, index: 0, requestId: 'x', outcome: 'superseded', code: '' } as const;
  await book.record([{ ...frames(0, 4), exceptions: [superseded] }]);
  await book.record([frames(1, 2)]);
  assert.deepEqual(await book.exceptions(lane, 0, 9), []);
  assert.deepEqual([(await book.summary(lane)).seq, (await book.summary(lane)).writes], [4, 10]);
});

test('old frames and exceptions go, what is parked stays', async (t) => {
  const book = new EmbeddedBook({ file: join(directory(t), 'book.db'), room: 'guangzhou', framesKept: 100 });
  await book.open();
  t.after(() => book.close());
  const duplicate = { seq: 6, index: 0, requestId: 'x', outcome: 'duplicate', code: '' } as const;
  await book.record([{ ...frames(0, 9), exceptions: [duplicate] }, park(parked(5, 'k'))]);
  for (let seq = 10; seq < 2_000; seq += 10) await book.record([frames(seq, seq + 9)]);
  assert.deepEqual(
    (await book.exceptions(lane, 0, 9)).map((it) => it.outcome),
    ['parked'],
  );
  const left = book.guarded((db) => db.prepare('SELECT count(*) AS n FROM frames').get()?.['n']);
  assert.ok(Number(left) < 700, `${left} frames`);
  const [frame, ...others] = await book.frames({ lane, from: 0, to: 1_000 });
  assert.deepEqual([frame?.seq, frame?.exceptions.map(({ outcome }) => outcome), others], [5, ['parked'], []], 'with its frame');
});

test('parked write requests are listed, selected and found by key, by request id and by position', async (t) => {
  const book = new EmbeddedBook({ file: join(directory(t), 'book.db'), room: 'guangzhou' });
  await book.open();
  t.after(() => book.close());
  await book.record([park(parked(1, 'a'), parked(2, 'b'), parked(3, 'a', { retryMs: 50 }))]);
  const seqs = (rows: readonly ParkedPlace[] | readonly ParkedWrite[]) => rows.map((row) => row.position.seq);
  assert.deepEqual(seqs(await book.list('', 2)), [1, 2]);
  assert.deepEqual(seqs(await book.list(formatPosition({ ...lane, seq: 2, index: 1 }), 2)), [3]);
  assert.deepEqual(seqs(await book.select(['r3', formatPosition({ ...lane, seq: 1, index: 1 }), 'none'])), [1, 3]);
  assert.deepEqual(seqs(await book.page('', 2)), [1, 2]);
  assert.deepEqual(seqs(await book.page(formatPosition({ ...lane, seq: 2, index: 1 }), 2)), [3]);
  assert.deepEqual([seqs(await book.due(49, 9)), seqs(await book.due(50, 9))], [[], [3]]);
  assert.equal((await book.firstOfKey(lane, 'a'))?.position.seq, 1);
  await book.settle({ position: { ...lane, seq: 1, index: 1 }, requestId: 'r1', outcome: 'applied', code: '', effects: undefined });
  assert.equal((await book.firstOfKey(lane, 'a'))?.position.seq, 3);
  assert.deepEqual([(await book.summary(lane)).parkedSeq, book.parkedTotal()], [2, 2]);
});

test('one process has the book open, and another room’s book is refused', async (t) => {
  const file = join(directory(t), 'book.db');
  const book = new EmbeddedBook({ file, room: 'guangzhou' });
  await book.open();
  await assert.rejects(new EmbeddedBook({ file, room: 'guangzhou' }).open(), { code: 'STORE_LOCKED' });
  await book.close();
  await assert.rejects(new EmbeddedBook({ file, room: 'beijing' }).open(), { code: 'STORE_FOREIGN', message: /belongs to room guangzhou/ });
});

test('states of links are kept and replaced', async (t) => {
  const file = join(directory(t), 'book.db');
  const book = new EmbeddedBook({ file, room: 'guangzhou' });
  await book.open();
  const row = { lane: { log: 'writes', origin: 'beijing', partition: 1 }, state: 'paused', reason: 'by hand', sinceMs: 5 } as const;
  new EmbeddedLinkStates(book).save({ ...row, sinceMs: 1 });
  new EmbeddedLinkStates(book).save(row);
  await book.close();
  await book.open();
  t.after(() => book.close());
  assert.deepEqual(new EmbeddedLinkStates(book).load(), [row]);
});

test('who has lost the lease of a book can write nothing into it, and reads it all the same', async (t) => {
  const file = join(directory(t), 'book-0.db');
  const leaseOf = (owner: string) => new ShareLease({ file, room: 'beijing', owner, runtime: time });
  const time = new VirtualTime();
  const [first, second] = [leaseOf('a'), leaseOf('b')];
  const book = new EmbeddedBook({ file, room: 'beijing', owner: 'a' });
  t.after(async () => {
    await book.close();
    for (const lease of [first, second]) lease.close();
  });
  assert.ok(first.take());
  assert.ok(!second.take());
  await book.open();
  await book.record([frames(0, 1)]);
  await time.advance(LEASE_MS);
  assert.ok(first.renew());
  await time.advance(LEASE_MS + 1);
  assert.ok(second.take());
  assert.ok(!first.renew());
  await assert.rejects(book.record([frames(2, 3)]), { code: 'STORE_LOCKED', message: /with another collector of the room now: b/ });
  assert.equal((await book.summary(lane)).seq, 1);
  second.release();
  assert.ok(first.take());
  await book.record([frames(2, 3)]);
});
