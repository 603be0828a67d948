/**
 * What it costs to keep a share's receipts in Kafka instead of a file (docs/adr/0015), and how long another machine needs until it has a book that is full: every lane with as many frames as are kept.
 * One book, in this process; batches of frames from all lanes at once, as an applier records them.
 */
import { join } from 'node:path';
import { BookJournal } from '../../collector/receipts/book-journal.ts';
import { EmbeddedBook } from '../../collector/receipts/embedded.ts';
import type { FrameReceipt } from '../../collector/receipts/receipts.ts';
import { RECEIPT_FRAMES_KEPT } from '../../core/inspection.ts';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { KafkaLogAdministration } from '../../log/kafka/administration.ts';
import { openReceipts } from '../../log/kafka/receipts.ts';
import { startKafka } from '../../test/containers/kafka.ts';
import type { Row } from '../report.ts';

const ROOM = 'beijing';
/** Of a share of four, in a room with two origins and 32 partitions. */
const LANES = 16;
const BATCH_FRAMES = 8;
const STAMP = '018bcfe56800000101000001';
const RESTORE_MS = { must: 5_000, aim: 2_000 };

export async function measureReceipts(directory: string, framesPerLane = RECEIPT_FRAMES_KEPT): Promise<Row[]> {
  const server = await startKafka();
  try {
    const kafka = {
      adapter: 'kafka',
      brokers: [server.address],
      sasl: undefined,
      tls: undefined,
      replicas: 1,
      minInSyncReplicas: 1,
    } as const;
    const place = { kafka, log: 'writes', origin: ROOM, partitions: 1, receiptShares: 1, runtime: systemRuntime } as const;
    for await (const _ of new KafkaLogAdministration(place).init({ dryRun: false, newEpoch: false }));
    const receipts = await openReceipts({ kafka, room: ROOM, shares: 1, owner: 'bench', runtime: systemRuntime, logger: silentLogger });
    const inKafka = (name: string) => {
      const file = join(directory, name, 'book.db');
      const options = { file, room: ROOM, owner: 'bench', runtime: systemRuntime, logger: silentLogger };
      return new EmbeddedBook({ file, room: ROOM, journal: new BookJournal({ ...options, journal: receipts.journal(0) }) });
    };
    const inFile = await filled(new EmbeddedBook({ file: join(directory, 'book.db'), room: ROOM }), framesPerLane);
    await inFile.book.close();
    const journaled = await filled(inKafka('one'), framesPerLane);
    const startMs = performance.now();
    const other = inKafka('other');
    await other.open();
    const restoreMs = performance.now() - startMs;
    if ((await other.marks()).length !== LANES) throw new Error('the other machine lacks lanes');
    for (const book of [journaled.book, other]) await book.close();
    receipts.talk.close();
    return rowsOf(framesPerLane, { inFile, journaled, restoreMs });
  } finally {
    await server.remove();
  }
}

interface Filled {
  readonly book: EmbeddedBook;
  readonly cpuSeconds: number;
  /** Of one batch. */
  readonly longestMs: number;
}

async function filled(book: EmbeddedBook, framesPerLane: number): Promise<Filled> {
  await book.open();
  const before = process.cpuUsage();
  let longestMs = 0;
  for (let seq = 0; seq < framesPerLane; seq += BATCH_FRAMES) {
    const startMs = performance.now();
    await Promise.all(Array.from({ length: LANES }, (_, partition) => book.record([entryOf(partition, seq)])));
    longestMs = Math.max(longestMs, performance.now() - startMs);
  }
  const { user, system } = process.cpuUsage(before);
  return { book, cpuSeconds: (user + system) / 1e6, longestMs };
}

function entryOf(partition: number, from: number) {
  const frames = Array.from({ length: BATCH_FRAMES }, (_, index) => frameOf(from + index));
  return { lane: { log: 'writes', origin: ROOM, partition, epoch: '0123456789abcdef' }, frames, exceptions: [], parked: [] } as const;
}

function frameOf(seq: number): FrameReceipt {
  return { seq, count: 100, stampFirst: STAMP, stampLast: STAMP, through: STAMP, appliedMs: seq };
}

function rowsOf(
  framesPerLane: number,
  measured: { readonly inFile: Filled; readonly journaled: Filled; readonly restoreMs: number },
): Row[] {
  const { inFile, journaled, restoreMs } = measured;
  const micros = ({ cpuSeconds }: Filled) => (cpuSeconds * 1e6) / (framesPerLane * LANES);
  const target = { text: `at most ${RESTORE_MS.must}, aim ${RESTORE_MS.aim}`, met: restoreMs <= RESTORE_MS.must };
  return [
    { what: 'receipt of a frame, in a file: processor', value: micros(inFile), unit: 'µs' },
    { what: 'receipt of a frame, in Kafka: processor', value: micros(journaled), unit: 'µs' },
    { what: '  the one divided by the other', value: micros(journaled) / micros(inFile), unit: '' },
    { what: '  longest batch in a file', value: inFile.longestMs, unit: 'ms' },
    { what: '  longest batch in Kafka, snapshots taken meanwhile', value: journaled.longestMs, unit: 'ms' },
    { what: `another machine has the book (${LANES} lanes of ${framesPerLane} frames)`, value: restoreMs, unit: 'ms', target },
  ];
}
