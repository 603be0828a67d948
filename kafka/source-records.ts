/**
 * Record batches that other programs have written: with keys, compressed, and within transactions. The form of a batch is in records.ts; what matters here besides:
 *
 *     attributes     bits 0 to 2 the compression, bit 4 within a transaction, bit 5 a control batch
 *     control batch  one record, whose key is version (2), type (2): 0 aborts the transaction of the batch's producer, 1 commits it
 *
 * A batch stays packed until its turn comes: packed it is small, and one at a time may be large.
 */
import { crc32c } from '@node-rs/crc32';
import { type Codec, codecOf, unpack } from './codecs.ts';
import { CONTROL, CRC_FROM, HEADER_BYTES, MAGIC, readVarint } from './records.ts';

const TRANSACTIONAL = 0x10;
/** No client makes such a batch; it is refused before memory is given to it. */
const UNPACKED_BYTES_MAX = 256 * 1024 * 1024;
const ABORT = 0;

export interface SourceBatch {
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly count: number;
  /** Undefined: none that is known. */
  readonly codec: Codec | undefined;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly producerId: bigint;
  /** Of the first record, milliseconds; records say how much later they are. */
  readonly timestampMs: number;
  readonly packed: Buffer;
}

export interface SourceRecord {
  readonly offset: number;
  readonly timestampMs: number;
  /** Views; undefined: there is none. */
  readonly key: Buffer | undefined;
  readonly value: Buffer | undefined;
}

/** Why bytes that a broker sent are no batch. */
export interface DamagedBatch {
  readonly damage: string;
}

/** The whole batches at the front of `bytes`: Kafka may cut the last one off. What is damaged ends them. */
export function* sourceBatches(bytes: Buffer): Generator<SourceBatch | DamagedBatch> {
  let at = 0;
  while (at + HEADER_BYTES <= bytes.length) {
    const end = at + 12 + bytes.readInt32BE(at + 8);
    const magic = bytes[at + 16] ?? 0;
    if (magic !== MAGIC) return yield { damage: `a message of the old form ${magic}, from before Kafka 0.11` };
    if (end < at + HEADER_BYTES) return yield { damage: 'a batch that is shorter than its header' };
    if (end > bytes.length) return;
    if (crc32c(bytes.subarray(at + CRC_FROM, end)) !== bytes.readUInt32BE(at + 17))
      return yield { damage: 'a batch whose checksum does not match' };
    yield readHeader(bytes, at, end);
    at = end;
  }
}

function readHeader(bytes: Buffer, at: number, end: number): SourceBatch {
  const firstOffset = Number(bytes.readBigInt64BE(at));
  const attributes = bytes.readInt16BE(at + 21);
  return {
    firstOffset,
    lastOffset: firstOffset + bytes.readInt32BE(at + 23),
    count: bytes.readInt32BE(at + 57),
    codec: codecOf(attributes),
    isTransactional: (attributes & TRANSACTIONAL) !== 0,
    isControl: (attributes & CONTROL) !== 0,
    producerId: bytes.readBigInt64BE(at + 43),
    timestampMs: Number(bytes.readBigInt64BE(at + 27)),
    packed: bytes.subarray(at + HEADER_BYTES, end),
  };
}

/** The records of a batch. RangeError, or what the codec throws, where its inside is damaged or its codec not known. */
export function sourceRecords(batch: SourceBatch): SourceRecord[] {
  if (batch.codec === undefined) throw new RangeError('the codec is not known');
  const cursor = new Cursor(unpack(batch.codec, batch.packed, UNPACKED_BYTES_MAX));
  return Array.from({ length: batch.count }, () => readRecord(cursor, batch));
}

/** Whether a control batch says that its producer's transaction is aborted. */
export function isAbort(batch: SourceBatch): boolean {
  const key = sourceRecords(batch)[0]?.key;
  return key !== undefined && key.length >= 4 && key.readInt16BE(2) === ABORT;
}

function readRecord(cursor: Cursor, { firstOffset, timestampMs }: SourceBatch): SourceRecord {
  const end = cursor.varint() + cursor.at;
  cursor.skip(1);
  const laterMs = cursor.varint();
  const offset = firstOffset + cursor.varint();
  const key = cursor.blob();
  const value = cursor.blob();
  if (cursor.at > end) throw new RangeError('a record is longer than it says');
  cursor.skip(end - cursor.at);
  return { offset, timestampMs: timestampMs + laterMs, key, value };
}

class Cursor {
  readonly #bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  skip(bytes: number): void {
    this.at += bytes;
    if (bytes < 0 || this.at > this.#bytes.length) throw new RangeError('a record is longer than its batch');
  }

  blob(): Buffer | undefined {
    const length = this.varint();
    if (length < 0) return undefined;
    const start = this.at;
    this.skip(length);
    return this.#bytes.subarray(start, this.at);
  }

  varint(): number {
    return readVarint(this.#bytes, this);
  }
}
