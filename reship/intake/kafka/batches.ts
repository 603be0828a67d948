/** Batches of a topic on their way to intake: which of them count, and how their records are submitted. */
import { AbortedBatches } from '../../../kafka/aborted.ts';
import type { FetchAnswer } from '../../../kafka/requests.ts';
import { type DamagedBatch, type SourceBatch, type SourceRecord, sourceBatches, sourceRecords } from '../../../kafka/source-records.ts';
import type { RecordWrite } from './record-write.ts';

/** Offsets that a member may go on beyond what it has committed. */
export const AHEAD_MAX = 16_384;
/** Submitted together. */
const CALL_RECORDS_MAX = 2_048;
const CALL_BYTES_MAX = 4 * 1024 * 1024;
const NO_BYTES = new Uint8Array(0);

export interface Queued {
  readonly batch: SourceBatch | DamagedBatch;
  /** Its records count for nothing. */
  readonly isVoid: boolean;
}

/** The batches of an answer. */
export function* queuedOf(answer: FetchAnswer): Generator<Queued> {
  const aborted = new AbortedBatches(answer.aborted);
  for (const batch of sourceBatches(answer.records)) yield { batch, isVoid: !('damage' in batch) && aborted.isVoid(batch) };
}

/** Undefined where the partition is going to stop. */
export function readable(batch: SourceBatch | DamagedBatch): readonly SourceRecord[] | undefined {
  try {
    return 'damage' in batch || batch.codec === undefined ? undefined : sourceRecords(batch);
  } catch {
    return undefined;
  }
}

/** All that is needed to know it again. */
export function identity({ offset, write, refused }: RecordWrite): RecordWrite {
  return { offset, refused, write: { ...write, payload: NO_BYTES } };
}

/** From `offset` on, in calls of bounded sizes. Where a topic is compacted, offsets may lie far apart. */
export function* callsOf(records: readonly RecordWrite[], offset: number): Generator<readonly RecordWrite[]> {
  let call: RecordWrite[] = [];
  let bytes = 0;
  for (const record of records) {
    if (record.offset < offset) continue;
    if (record.offset - (call[0]?.offset ?? record.offset) >= AHEAD_MAX / 2) {
      yield call;
      [call, bytes] = [[], 0];
    }
    call.push(record);
    bytes += record.write.payload.length;
    if (call.length < CALL_RECORDS_MAX && bytes < CALL_BYTES_MAX) continue;
    yield call;
    [call, bytes] = [[], 0];
  }
  if (call.length > 0) yield call;
}
