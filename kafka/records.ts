/**
 * Record batches as Kafka stores them, written and read here for one purpose: values that are bytes already, without keys, headers and compression. A
 * CRC-32C is the processor's own, and values are neither copied where they are written nor where they are read.
 *
 *     offset  size
 *          0     8  offset of the first record
 *          8     4  length of what follows
 *         12     4  partition leader epoch
 *         16     1  magic (2)
 *         17     4  CRC-32C of what follows
 *         21     2  attributes: bits 0 to 2 the compression, bit 5 a control batch
 *         23     4  offset of the last record, from the first
 *         27     8  first timestamp
 *         35     8  greatest timestamp
 *         43     8  producer id
 *         51     2  producer epoch
 *         53     4  sequence of the first record
 *         57     4  count of records
 *         61        records, each: varint length, attributes (1), varint timestamp from the first, varint offset from the first,
 *                   varint length of the key (-1: none), varint length of the value, value, varint count of headers
 *
 * All integers are big-endian; varints are zigzag. The format is that of Kafka 0.11 and every later one.
 */
import { crc32c } from '@node-rs/crc32';
import type { Parts } from './parts.ts';

export const HEADER_BYTES = 61;
export const CRC_FROM = 21;
export const MAGIC = 2;
export const CONTROL = 0x20;
const COMPRESSION = 0x07;
/** Attributes, timestamp, no key, no headers: a byte each. */
const RECORD_FIXED_BYTES = 4;

/** Who sends a batch and as which of its own, so that Kafka stores it once however often it is sent. */
export interface BatchSender {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  /** Of the first record in its partition. */
  readonly sequence: number;
}

/** Numbers begin at 0 again behind the greatest. */
const SEQUENCE_MAX = 2 ** 31;

/** Of the record that comes `records` later. */
export function laterSequence(sequence: number, records: number): number {
  return (sequence + records) % SEQUENCE_MAX;
}

/** One whose batches Kafka does not tell from others. */
export const ANYBODY: BatchSender = { producerId: -1n, producerEpoch: -1, sequence: -1 };

/** Bytes of the batch with these values. */
export function batchBytes(values: readonly Uint8Array[]): number {
  let bytes = HEADER_BYTES;
  for (const [index, { length }] of values.entries()) {
    const record = recordBytes(index, length);
    bytes += varintBytes(record) + record;
  }
  return bytes;
}

/** Adds the batch to what is sent. Large values are not copied. */
export function addBatch(parts: Parts, batch: { values: readonly Uint8Array[]; sender: BatchSender; nowMs: number }): void {
  const { values, sender, nowMs } = batch;
  const bytes = batchBytes(values);
  const header = parts.take(HEADER_BYTES);
  header.writeBigInt64BE(0n, 0);
  header.writeInt32BE(bytes - 12, 8);
  header.writeInt32BE(-1, 12);
  header[16] = MAGIC;
  header.writeInt16BE(0, 21);
  header.writeInt32BE(values.length - 1, 23);
  header.writeBigInt64BE(BigInt(nowMs), 27);
  header.writeBigInt64BE(BigInt(nowMs), 35);
  header.writeBigInt64BE(sender.producerId, 43);
  header.writeInt16BE(sender.producerEpoch, 51);
  header.writeInt32BE(sender.sequence, 53);
  header.writeInt32BE(values.length, 57);
  let crc = crc32c(header.subarray(CRC_FROM));
  for (const [index, value] of values.entries()) {
    const start = parts.take(recordStartBytes(index, value.length));
    writeRecordStart(start, index, value.length);
    parts.add(value);
    const end = parts.take(1);
    end[0] = 0;
    crc = crc32c(end, crc32c(asBuffer(value), crc32c(start, crc)));
  }
  header.writeUInt32BE(crc, 17);
}

/** A batch as it was found, with its records still packed. */
export interface FoundBatch {
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly isControl: boolean;
  readonly isCompressed: boolean;
  readonly count: number;
  readonly records: Buffer;
}

/** The whole batches at the front of `bytes`: Kafka may cut the last one off. Undefined in place of one that is in no known format. */
export function* batchesOf(bytes: Buffer): Generator<FoundBatch | undefined> {
  let at = 0;
  while (at + HEADER_BYTES <= bytes.length) {
    const end = at + 12 + bytes.readInt32BE(at + 8);
    if (end > bytes.length) return;
    if (bytes[at + 16] !== MAGIC || end < at + HEADER_BYTES) {
      yield undefined;
      return;
    }
    const firstOffset = Number(bytes.readBigInt64BE(at));
    const attributes = bytes.readInt16BE(at + 21);
    yield {
      firstOffset,
      lastOffset: firstOffset + bytes.readInt32BE(at + 23),
      isControl: (attributes & CONTROL) !== 0,
      isCompressed: (attributes & COMPRESSION) !== 0,
      count: bytes.readInt32BE(at + 57),
      records: bytes.subarray(at + HEADER_BYTES, end),
    };
    at = end;
  }
}

export interface FoundRecord {
  readonly offset: number;
  readonly value: Buffer;
}

/** The records of a batch that is not compressed, with their values as views. Throws a RangeError where they are not what they should be. */
export function* recordsOf(batch: FoundBatch): Generator<FoundRecord> {
  const { records, firstOffset } = batch;
  const cursor = { at: 0 };
  for (let i = 0; i < batch.count; i += 1) {
    const length = readVarint(records, cursor);
    const end = cursor.at + length;
    cursor.at += 1;
    readVarint(records, cursor);
    const offset = firstOffset + readVarint(records, cursor);
    const keyBytes = readVarint(records, cursor);
    cursor.at += Math.max(0, keyBytes);
    const valueBytes = readVarint(records, cursor);
    if (valueBytes < 0 || cursor.at + valueBytes > end || end > records.length) throw new RangeError('a record is longer than its batch');
    yield { offset, value: records.subarray(cursor.at, cursor.at + valueBytes) };
    cursor.at = end;
  }
}

/** All of a record but its value and the count of its headers, which is 0. */
function writeRecordStart(target: Buffer, index: number, valueBytes: number): void {
  const end = writeVarint(target, 0, recordBytes(index, valueBytes));
  target[end] = 0;
  target[end + 1] = 0;
  writeVarint(target, writeVarint(target, writeVarint(target, end + 2, index), -1), valueBytes);
}

function recordStartBytes(index: number, valueBytes: number): number {
  const record = recordBytes(index, valueBytes);
  return varintBytes(record) + record - valueBytes - 1;
}

function recordBytes(index: number, valueBytes: number): number {
  return RECORD_FIXED_BYTES + varintBytes(index) + varintBytes(valueBytes) + valueBytes;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = zigzag(value); rest > 0x7f; rest >>>= 7) bytes += 1;
  return bytes;
}

function writeVarint(target: Buffer, at: number, value: number): number {
  let rest = zigzag(value);
  let end = at;
  while (rest > 0x7f) {
    target[end] = (rest & 0x7f) | 0x80;
    end += 1;
    rest >>>= 7;
  }
  target[end] = rest;
  return end + 1;
}

/** Up to 64 bits, for timestamps may be anything; what is over 53 is of no use to anybody here. */
export function readVarint(source: Buffer, cursor: { at: number }): number {
  let value = 0;
  for (let factor = 1; factor <= 2 ** 63; factor *= 128) {
    const byte = source[cursor.at];
    if (byte === undefined) break;
    cursor.at += 1;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
  throw new RangeError('a number in a record is out of range');
}
