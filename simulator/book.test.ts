/** The book of simulated rooms against the one on SQLite: the same random calls, the same answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EmbeddedBook } from '../collector/receipts/embedded.ts';
import type { BookEntry, EpochLane, ExceptionReceipt, ParkedWrite, ReceiptBook } from '../collector/receipts/receipts.ts';
import { formatPosition, type Position } from '../core/words.ts';
import { MemoryBook } from './book.ts';

const RUNS = 200;
const EPOCHS = ['00000000000000aa', '00000000000000bb'] as const;
const LANES: readonly EpochLane[] = [
  { log: 'writes', origin: 'beijing', partition: 0, epoch: EPOCHS[0] },
  { log: 'writes', origin: 'beijing', partition: 1, epoch: EPOCHS[0] },
  { log: 'effects', origin: 'guangzhou', partition: 0, epoch: EPOCHS[0] },
  { log: 'writes', origin: 'beijing', partition: 0, epoch: EPOCHS[1] },
];
const KEYS = ['a', 'b', 'c'];
const SEQ_MAX = 8;
const FRAME_WRITES = 3;
const MANY = 1_000;

/** One call, made of what the book says at that moment, so that it is one that a collector could make. */
type Step = (book: ReceiptBook) => Promise<void>;

const place = fc.record({
  lane: fc.constantFrom(...LANES),
  seq: fc.integer({ min: 0, max: SEQ_MAX }),
  index: fc.integer({ min: 0, max: FRAME_WRITES - 1 }),
});
const outcome = fc.constantFrom('applied' as const, 'superseded' as const, 'duplicate' as const, 'parked' as const, 'rejected' as const);
const retryMs = fc.option(fc.integer({ min: 0, max: 50 }), { nil: undefined });

const record: fc.Arbitrary<Step> = fc
  .record({
    lane: fc.constantFrom(...LANES),
    /** How far before the mark the first frame lies. */
    back: fc.integer({ min: 0, max: 3 }),
    outcomes: fc.array(fc.array(outcome, { minLength: 1, maxLength: FRAME_WRITES }), { maxLength: 3 }),
    ahead: fc.boolean(),
    retryMs,
    nowMs: fc.integer({ min: 0, max: 100 }),
  })
  .map((made) => async (book) => {
    const { seq } = await book.summary(made.lane);
    const from = Math.max(0, seq + 1 - made.back);
    await book.record([entryOf(made, from)]);
  });

function entryOf(
  made: {
    readonly lane: EpochLane;
    readonly outcomes: readonly (readonly ExceptionReceipt['outcome'][])[];
    readonly ahead: boolean;
    readonly retryMs: number | undefined;
    readonly nowMs: number;
  },
  from: number,
): BookEntry {
  const { lane, outcomes, nowMs } = made;
  const exceptions: ExceptionReceipt[] = [];
  const parked: ParkedWrite[] = [];
  for (const [at, ofFrame] of outcomes.entries()) {
    for (const [index, it] of ofFrame.entries()) {
      const position = { ...lane, seq: from + at, index };
      const code = it === 'parked' ? 'PROCESSOR_FAILED' : '';
      exceptions.push({ seq: position.seq, index, requestId: idOf(position), outcome: it, code });
      if (it === 'parked') parked.push(parkedOf(position, nowMs, made.retryMs));
    }
  }
  const frames = outcomes.map((ofFrame, at) => {
    const seq = from + at;
    return { seq, count: ofFrame.length, stampFirst: `${seq}a`, stampLast: `${seq}b`, through: `${seq}b`, appliedMs: nowMs };
  });
  return { lane, frames: made.ahead ? [] : frames, exceptions, parked };
}

function idOf({ origin, partition, epoch, seq, index }: Position): string {
  return `${origin}-${partition}-${epoch.slice(-1)}-${seq % 3}-${index}`;
}

function parkedOf(position: Position, parkedMs: number, retry: number | undefined): ParkedWrite {
  const key = KEYS[(position.seq + position.index) % KEYS.length] ?? '';
  return {
    position,
    write: { requestId: idOf(position), kind: 'k', key, trace: 't', stamp: `${position.seq}`, payload: Uint8Array.from(Buffer.from(key)) },
    code: 'PROCESSOR_FAILED',
    message: 'boom',
    attempts: 1,
    parkedMs,
    retryMs: retry,
    inDatabase: false,
  };
}

const settle: fc.Arbitrary<Step> = fc
  .record({ nth: fc.nat(20), rejected: fc.boolean(), kept: fc.boolean(), cacheSeq: fc.integer({ min: -1, max: SEQ_MAX }) })
  .map(({ nth, rejected, kept, cacheSeq }) => async (book) => {
    const found = (await book.list('', MANY))[nth];
    if (found === undefined) return;
    const { position, write } = found;
    const { log, origin, partition, epoch } = position;
    const effects = { commands: [['SET', write.key, 'v']], cacheMark: { log, origin, partition, epoch, seq: cacheSeq }, nowMs: 7 };
    const code = rejected ? found.code : '';
    await book.settle({
      position,
      requestId: write.requestId,
      outcome: rejected ? 'rejected' : 'applied',
      code,
      effects: kept && !rejected ? effects : undefined,
    });
  });

const failAgain: fc.Arbitrary<Step> = fc.record({ nth: fc.nat(20), retryMs }).map((made) => async (book) => {
  const found = (await book.list('', MANY))[made.nth];
  if (found === undefined) return;
  await book.failAgain({
    ...found,
    code: 'RETRY_BEGUN',
    message: 'again',
    attempts: found.attempts + 1,
    retryMs: made.retryMs,
    parkedMs: 999,
    inDatabase: true,
  });
});

const parkAgain: fc.Arbitrary<Step> = fc
  .record({ lane: fc.constantFrom(...LANES), nth: fc.nat(3) })
  .map(({ lane, nth }) => async (book) => {
    const found = (await book.retried(lane, -1, 0, MANY))[nth];
    if (found === undefined) return;
    // A lane that loads reads what was retried once, and parks again what is not parked.
    if ((await book.find(found.position)) !== undefined) return;
    await book.parkAgain(found, { code: 'WRITE_LATE', message: 'late', nowMs: 40 });
  });

const steps = fc.array(
  fc.oneof({ weight: 4, arbitrary: record }, { weight: 2, arbitrary: settle }, failAgain, { weight: 2, arbitrary: parkAgain }),
  {
    minLength: 1,
    maxLength: 25,
  },
);

/** Everything that the book answers. */
async function answers(
  book: ReceiptBook,
  at: { readonly lane: EpochLane; readonly seq: number; readonly index: number },
): Promise<unknown> {
  const { lane, seq, index } = at;
  const range = { lane, from: seq - 2, to: seq };
  const list = await book.list('', MANY);
  const middle = list[seq] === undefined ? '' : formatPosition(list[seq].position);
  const lanes = await Promise.all(
    LANES.map(async (it) => ({
      summary: await book.summary(it),
      exceptions: await book.exceptions(it, 1, SEQ_MAX),
      keys: [...(await book.parkedKeys(it))].sort((a, b) => (a.key < b.key ? -1 : 1)),
      first: await Promise.all(KEYS.map((key) => book.firstOfKey(it, key))),
      retried: await book.retried(it, index, 0, MANY),
    })),
  );
  return {
    marks: sorted(await book.marks()),
    lanes,
    list,
    rest: await book.list(middle, 3),
    pages: [await book.page('', MANY), await book.page(middle, 3)],
    selected: [await book.select([idOf({ ...lane, seq, index })]), await book.select([middle])],
    found: await book.find({ ...lane, seq, index }),
    due: await book.due(30, MANY),
    frames: await book.frames(range),
    digest: await book.digest(range),
    totals: [book.parkedTotal(), book.parkedBytes()],
  };
}

function sorted<T>(list: readonly T[]): T[] {
  return [...list].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** Payloads are buffers here and plain bytes there. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (_, it: unknown) => (it instanceof Uint8Array ? Buffer.from(it).toString('hex') : it)) ?? 'null');
}

test('the book in memory answers as the book on SQLite', async () => {
  await fc.assert(
    fc.asyncProperty(steps, place, async (calls, at) => {
      const embedded = new EmbeddedBook({ file: ':memory:', room: 'beijing' });
      await embedded.open();
      const memory = new MemoryBook();
      try {
        for (const call of calls) {
          await call(embedded);
          await call(memory);
          assert.deepEqual(plain(await answers(memory, at)), plain(await answers(embedded, at)));
        }
      } finally {
        await embedded.close();
      }
    }),
    { numRuns: RUNS },
  );
});
