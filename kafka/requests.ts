/**
 * The two requests that carry records, for one topic each. kafkajs has them too, but answers a request for several partitions with the first
 * partition's error and nothing else, decodes every record into objects, and computes its checksums in JavaScript.
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
import { type BatchSender, batchBytes, writeBatch } from './records.ts';

/** What kafkajs sends and how it reads the answer. */
export interface Exchange<T> {
  readonly request: {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    readonly encode: () => Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>;
  };
  readonly response: { readonly decode: (answer: Buffer) => Promise<Decoded<T>>; readonly parse: (decoded: Decoded<T>) => Promise<T> };
  readonly requestTimeout?: number;
}

interface Decoded<T> {
  readonly value: T;
  /** Milliseconds that the broker asks this client to wait, because of its quota. */
  readonly clientSideThrottleTime: number;
}

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
  /** Record batches, for `batchesOf`. */
  readonly records: Buffer;
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
  const encode = () => encodeProduce(options);
  return { request: { apiKey: PRODUCE, apiVersion: 7, apiName: 'Produce', encode: encoded(encode) }, response: answered(decodeProduce) };
}

/** Reads from partitions of one broker; waits up to `waitMs` where there is nothing. */
export function fetchExchange(options: {
  readonly topic: string;
  readonly partitions: readonly FetchPartition[];
  readonly waitMs: number;
  readonly bytesMax: number;
}): Exchange<readonly FetchAnswer[]> {
  const encode = () => encodeFetch(options);
  return {
    request: { apiKey: FETCH, apiVersion: 11, apiName: 'Fetch', encode: encoded(encode) },
    response: answered(decodeFetch),
    requestTimeout: options.waitMs + WAIT_MARGIN_MS,
  };
}

const WAIT_MARGIN_MS = 5_000;

function encoded(encode: () => Buffer) {
  return async () => {
    const buffer = encode();
    return { buf: buffer, buffer };
  };
}

function answered<T>(decode: (reader: Reader) => Decoded<T>): Exchange<T>['response'] {
  return { decode: async (answer) => decode(new Reader(answer)), parse: async ({ value }) => value };
}

function encodeProduce({ topic, batches, timeoutMs, nowMs }: Parameters<typeof produceExchange>[0]): Buffer {
  const sizes = batches.map(({ values }) => batchBytes(values));
  const bytes = 22 + Buffer.byteLength(topic) + sizes.reduce((sum, size) => sum + 8 + size, 0);
  const target = Buffer.allocUnsafeSlow(bytes);
  target.writeInt16BE(-1, 0);
  target.writeInt16BE(ALL_REPLICAS, 2);
  target.writeInt32BE(timeoutMs, 4);
  let at = writeTopic(target, 8, topic);
  at = target.writeInt32BE(batches.length, at);
  for (const [index, { partition, values, sender }] of batches.entries()) {
    at = target.writeInt32BE(partition, at);
    at = target.writeInt32BE(sizes[index] ?? 0, at);
    at = writeBatch(target, at, { values, sender, nowMs });
  }
  return target.subarray(0, at);
}

function encodeFetch({ topic, partitions, waitMs, bytesMax }: Parameters<typeof fetchExchange>[0]): Buffer {
  const target = Buffer.allocUnsafeSlow(64 + Buffer.byteLength(topic) + 28 * partitions.length);
  let at = target.writeInt32BE(-1, 0);
  at = target.writeInt32BE(waitMs, at);
  at = target.writeInt32BE(1, at);
  at = target.writeInt32BE(bytesMax, at);
  at = target.writeInt8(0, at);
  at = target.writeInt32BE(0, at);
  at = target.writeInt32BE(-1, at);
  at = writeTopic(target, at, topic);
  at = target.writeInt32BE(partitions.length, at);
  for (const { partition, from, bytesMax: most } of partitions) {
    at = target.writeInt32BE(partition, at);
    at = target.writeInt32BE(-1, at);
    at = target.writeBigInt64BE(BigInt(from), at);
    at = target.writeBigInt64BE(-1n, at);
    at = target.writeInt32BE(most, at);
  }
  at = target.writeInt32BE(0, at);
  at = target.writeInt16BE(0, at);
  return target.subarray(0, at);
}

/** A list of one topic, up to the list of its partitions. */
function writeTopic(target: Buffer, at: number, topic: string): number {
  const name = Buffer.from(topic);
  const start = target.writeInt16BE(name.length, target.writeInt32BE(1, at));
  target.set(name, start);
  return start + name.length;
}

function decodeProduce(reader: Reader): Decoded<readonly ProduceAnswer[]> {
  const value = reader.topicPartitions((partition) => {
    const [error, firstOffset] = [reader.int16(), reader.int64()];
    reader.skip(16);
    return { partition, error, firstOffset };
  });
  return { value, clientSideThrottleTime: reader.int32() };
}

function decodeFetch(reader: Reader): Decoded<readonly FetchAnswer[]> {
  const clientSideThrottleTime = reader.int32();
  const error = reader.int16();
  reader.skip(4);
  const value = reader.topicPartitions((partition) => {
    const own = reader.int16();
    const end = reader.int64();
    reader.skip(8);
    const start = reader.int64();
    reader.skip(16 * Math.max(0, reader.int32()) + 4);
    return { partition, error: error || own, end, start, records: reader.bytes() };
  });
  return { value, clientSideThrottleTime };
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int16(): number {
    this.#at += 2;
    return this.#bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  int64(): number {
    this.#at += 8;
    return Number(this.#bytes.readBigInt64BE(this.#at - 8));
  }

  bytes(): Buffer {
    const length = Math.max(0, this.int32());
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  /** Over all topics of the answer: there is one. */
  topicPartitions<T>(read: (partition: number) => T): T[] {
    const found: T[] = [];
    for (let topics = this.int32(); topics > 0; topics -= 1) {
      this.skip(this.int16());
      for (let partitions = this.int32(); partitions > 0; partitions -= 1) found.push(read(this.int32()));
    }
    return found;
  }
}
