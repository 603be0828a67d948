/**
 * A record of an intake topic that is no write request which this room takes. It goes into the write log all the same, as a write request of WMB's own that
 * says what was found where: so it is durable, has a position, and every room parks it. Nobody can submit one, and no topology lists the kind.
 */
import type { ErrorCode } from './errors.ts';

export const REFUSED_RECORD_KIND = 'wmb.refused-record';

export interface RefusedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Why it was refused. */
  readonly code: ErrorCode;
  readonly reason: string;
  /** Of the record's value. */
  readonly valueBytes: number;
  /** Left out where there is none, or where it is too large to be kept twice: it is in its topic. */
  readonly keyBase64?: string;
  readonly valueBase64?: string;
}

export function encodeRefusedRecord(record: RefusedRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

/** One sentence for people. `payload` was made by {@link encodeRefusedRecord}. */
export function tellRefusedRecord(payload: Uint8Array): string {
  const { topic, partition, offset, code, reason } = JSON.parse(Buffer.from(payload).toString()) as RefusedRecord;
  return `the record at offset ${offset} of partition ${partition} of the topic ${topic} is no write request (${code}: ${reason}); produce it anew as it should be, then discard this one`;
}
