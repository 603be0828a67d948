/**
 * Fetching what other programs have written, as a reader that takes only what is committed: the answer ends before the first transaction that is still open, and
 * names those that were aborted, whose records are still there.
 */
import type { Exchange } from './exchange.ts';
import { type Api, exchangeOf, type WireReader } from './wire.ts';

const FETCH: Api = { name: 'Fetch', key: 1, version: 11 };
const READ_COMMITTED = 1;

export interface SourcePlace {
  readonly partition: number;
  readonly from: number;
  readonly bytesMax: number;
}

export interface SourceAnswer {
  readonly partition: number;
  /** Kafka's number; 0: none. */
  readonly error: number;
  /** Offset after the last record that may be read. */
  readonly end: number;
  /** Offset of the first record that is kept. */
  readonly start: number;
  /** From which offset on a producer's transaction was aborted. */
  readonly aborted: readonly AbortedTransaction[];
  /** Record batches, for `sourceBatches`. */
  readonly records: Buffer;
}

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

/** Reads from partitions of one broker; waits up to `waitMs` where there is nothing. */
export function fetchSource(options: {
  readonly topic: string;
  readonly places: readonly SourcePlace[];
  readonly waitMs: number;
  readonly bytesMax: number;
}): Exchange<readonly SourceAnswer[]> {
  const { topic, places, waitMs, bytesMax } = options;
  return exchangeOf<readonly SourceAnswer[]>(
    FETCH,
    (target) => {
      target.int32(-1).int32(waitMs).int32(1).int32(bytesMax).int8(READ_COMMITTED).int32(0).int32(-1);
      target.list([topic], (name) => {
        target.text(name).list(places, (place) => {
          target.int32(place.partition).int32(-1).int64(place.from).int64(-1).int32(place.bytesMax);
        });
      });
      target.list([], () => {}).text('');
    },
    readAnswers,
    waitMs,
  );
}

function readAnswers(source: WireReader): readonly SourceAnswer[] {
  const error = source.int16();
  source.int32();
  return source
    .list(() => {
      source.text();
      return source.list(() => readPartition(source, error));
    })
    .flat();
}

function readPartition(source: WireReader, failure: number): SourceAnswer {
  const partition = source.int32();
  const error = failure || source.int16();
  source.int64();
  const end = source.int64();
  const start = source.int64();
  const aborted = source.list(() => ({ producerId: source.bigint64(), firstOffset: source.int64() }));
  source.int32();
  return { partition, error, end, start, aborted, records: source.blob() };
}
