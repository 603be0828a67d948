/**
 * The two requests that carry records, for one topic each. kafkajs has them too, but answers a request for several partitions with the first
 * partition's error and nothing else, decodes every record into objects, computes its checksums in JavaScript, and copies what it sends three times.
 *
 *     Produce (version 7)   transactional id, acks (2), timeout (4), [topic, [partition (4), batch with its length (4)]]
 *               answer      [topic, [partition (4), error (2), first offset (8), time (8), log start (8)]], throttled for (4)
 *     Fetch (version 11)    replica (4), wait (4), bytes min (4), bytes max (4), isolation (1), session (4), its epoch (4),
 *                           [topic, [partition (4), leader epoch (4), offset (8), log start (8), bytes max (4)]], [forgotten], rack
 *               answer      throttled for (4), error (2), session (4), [topic, [partition (4), error (2), high watermark (8),
 *                           last stable offset (8), log start (8), [aborted: producer (8), offset (8)], read replica (4), records with their length (4)]]
 *
 * A list begins with its length (4), a text with its length (2).
 */
import type { Decoded, Exchange } from './exchange.ts';
import { Parts } from './parts.ts';
import { addBatch, type BatchSender, batchBytes } from './records.ts';
import { errorWithout } from './rights.ts';
import { WireReader } from './wire.ts';

export interface ProduceBatch {
  readonly partition: number;
  readonly values: readonly Uint8Array[];
  readonly sender: BatchSender;
}

export interface ProduceAnswer {
  readonly partition: number;
  readonly error: number;
  readonly firstOffset: number;
}

export interface FetchPartition {
  readonly partition: number;
  readonly from: number;
  readonly bytesMax: number;
}

export interface FetchAnswer {
  readonly partition: number;
  readonly error: number;
  /** Offset after the last record that may be read. */
  readonly end: number;
  /** Offset of the first record that is kept. */
  readonly start: number;
  /** From which offset on a producer's transaction was aborted. Its records are there all the same. None where `uncommitted` was read. */
  readonly aborted: readonly AbortedTransaction[];
  /** Record batches, for `batchesOf` or `sourceBatches`. */
  readonly records: Buffer;
}

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

const PRODUCE = 0;
const FETCH = 1;
const ALL_REPLICAS = -1;

/** Sends one batch for each partition. They are answered when all replicas in sync have them. */
export function produceExchange(options: {
  readonly topic: string;
  readonly batches: readonly ProduceBatch[];
  readonly timeoutMs: number;
  readonly nowMs: number;
}): Exchange<readonly ProduceAnswer[]> {
  const { timeoutMs } = options;
  const coding = { encode: () => encodeProduce(options), decode: decodeProduce };
  return { apiKey: PRODUCE, apiVersion: 7, apiName: 'Produce', waitMs: timeoutMs, ...coding };
}

/** Reads from partitions of one broker; waits up to `waitMs` where there is nothing. `committed`: the answer ends before the first transaction that is still open. */
export function fetchExchange(options: {
  readonly topic: string;
  readonly partitions: readonly FetchPartition[];
  readonly waitMs: number;
  readonly bytesMax: number;
  readonly isolation?: 'uncommitted' | 'committed';
}): Exchange<readonly FetchAnswer[]> {
  const { waitMs } = options;
  const coding = { encode: () => encodeFetch(options), decode: decodeFetch };
  return { apiKey: FETCH, apiVersion: 11, apiName: 'Fetch', waitMs, ...coding };
}

function encodeProduce({ topic, batches, timeoutMs, nowMs }: Parameters<typeof produceExchange>[0]): Parts {
  let fixedBytes = 18 + Buffer.byteLength(topic);
  for (const { values } of batches) {
    const bytes = batchBytes(values);
    fixedBytes += 8 + bytes - values.reduce((sum, { length }) => sum + length, 0) + Parts.copied(values);
  }
  const parts = new Parts(fixedBytes);
  const head = parts.take(8);
  head.writeInt16BE(-1, 0);
  head.writeInt16BE(ALL_REPLICAS, 2);
  head.writeInt32BE(timeoutMs, 4);
  addTopic(parts, topic, batches.length);
  for (const { partition, values, sender } of batches) {
    const place = parts.take(8);
    place.writeInt32BE(partition, 0);
    place.writeInt32BE(batchBytes(values), 4);
    addBatch(parts, { values, sender, nowMs });
  }
  return parts;
}

function encodeFetch({ topic, partitions, waitMs, bytesMax, isolation }: Parameters<typeof fetchExchange>[0]): Parts {
  const parts = new Parts(41 + Buffer.byteLength(topic) + 28 * partitions.length);
  const head = parts.take(25);
  head.writeInt32BE(-1, 0);
  head.writeInt32BE(waitMs, 4);
  head.writeInt32BE(1, 8);
  head.writeInt32BE(bytesMax, 12);
  head.writeInt8(isolation === 'committed' ? 1 : 0, 16);
  head.writeInt32BE(0, 17);
  head.writeInt32BE(-1, 21);
  addTopic(parts, topic, partitions.length);
  for (const { partition, from, bytesMax: most } of partitions) {
    const place = parts.take(28);
    place.writeInt32BE(partition, 0);
    place.writeInt32BE(-1, 4);
    place.writeBigInt64BE(BigInt(from), 8);
    place.writeBigInt64BE(-1n, 16);
    place.writeInt32BE(most, 24);
  }
  // Nothing is forgotten, and no rack.
  parts.take(6).fill(0);
  return parts;
}

/** A list of one topic, up to the list of its partitions. */
function addTopic(parts: Parts, topic: string, partitions: number): void {
  const name = Buffer.from(topic);
  const place = parts.take(10 + name.length);
  place.writeInt32BE(1, 0);
  place.writeInt16BE(name.length, 4);
  place.set(name, 6);
  place.writeInt32BE(partitions, 6 + name.length);
}

function decodeProduce(answer: Buffer): Decoded<readonly ProduceAnswer[]> {
  const reader = new WireReader(answer);
  const value = partitionsOf(reader, (partition) => {
    const [error, firstOffset] = [errorWithout('WRITE', reader.int16()), reader.int64()];
    reader.skip(16);
    return { partition, error, firstOffset };
  });
  return { value, throttledMs: reader.int32() };
}

function decodeFetch(answer: Buffer): Decoded<readonly FetchAnswer[]> {
  const reader = new WireReader(answer);
  const throttledMs = reader.int32();
  const error = reader.int16();
  reader.skip(4);
  const value = partitionsOf(reader, (partition) => {
    const own = reader.int16();
    const end = reader.int64();
    reader.skip(8);
    const start = reader.int64();
    const aborted = reader.list(() => ({ producerId: reader.bigint64(), firstOffset: reader.int64() }));
    reader.skip(4);
    return { partition, error: errorWithout('READ', error || own), end, start, aborted, records: reader.blob() };
  });
  return { value, throttledMs };
}

/** Over all topics of the answer: there is one. */
function partitionsOf<T>(reader: WireReader, read: (partition: number) => T): readonly T[] {
  const topics = reader.list(() => {
    reader.text();
    return reader.list(() => read(reader.int32()));
  });
  return topics.flat();
}
