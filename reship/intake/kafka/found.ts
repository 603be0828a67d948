/** Which of some write requests are in the write log already: looked up in its frames from known places on. */
import { asWmbError } from '../../../core/errors.ts';
import { partitionOf } from '../../../core/partition.ts';
import type { Runtime } from '../../../core/runtime.ts';
import type { Seq } from '../../../core/words.ts';
import { decodeFrame } from '../../../link/frame.ts';
import type { LogReader } from '../../../log/log.ts';
import type { IncomingWrite } from '../call.ts';
import type { LogPlaces } from './note.ts';

const READ_BYTES = 1024 * 1024;

/** How often each write request occurs; an application may well have sent one twice. */
export class WriteCounts {
  readonly #counts = new Map<string, number>();
  readonly #logPartitions: number;

  constructor(logPartitions: number) {
    this.#logPartitions = logPartitions;
  }

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  add(write: Pick<IncomingWrite, 'key' | 'requestId'>): void {
    this.#change(this.#nameOf(write), 1);
  }

  has(write: Pick<IncomingWrite, 'key' | 'requestId'>): boolean {
    return this.#counts.has(this.#nameOf(write));
  }

  /** False where there is none of it. */
  take(write: Pick<IncomingWrite, 'key' | 'requestId'>): boolean {
    const name = this.#nameOf(write);
    if (!this.#counts.has(name)) return false;
    this.#change(name, -1);
    return true;
  }

  /** Partitions of the log in which they are. */
  get partitions(): ReadonlySet<number> {
    return new Set([...this.#counts.keys()].map((name) => Number(name.slice(0, name.indexOf('/')))));
  }

  #nameOf({ key, requestId }: Pick<IncomingWrite, 'key' | 'requestId'>): string {
    return `${partitionOf(key, this.#logPartitions)}/${requestId}`;
  }

  #change(name: string, by: number): void {
    const count = (this.#counts.get(name) ?? 0) + by;
    if (count === 0) this.#counts.delete(name);
    else this.#counts.set(name, count);
  }
}

export interface Found {
  readonly writes: WriteCounts;
  /** What could not be looked through, because the log no longer has it. */
  readonly missing: readonly string[];
}

/** Those of `wanted` that are in the log, from `places` up to its present end. */
export async function findInLog(log: LogReader, runtime: Runtime, wanted: WriteCounts, places: LogPlaces): Promise<Found> {
  const writes = new WriteCounts(log.partitions);
  if (wanted.isEmpty) return { writes, missing: [] };
  if (places.epoch !== log.epoch) return { writes, missing: [`all frames of the log epoch ${places.epoch}`] };
  const missing: string[] = [];
  for (const partition of wanted.partitions) {
    const from = places.seqs[partition] ?? 0;
    const { first, next } = log.extent(partition);
    if (first > from) missing.push(`frames ${from} to ${first - 1} of partition ${partition}`);
    await search(log, runtime, { partition, from: Math.max(from, first), next, wanted, writes });
  }
  return { writes, missing };
}

interface Search {
  readonly partition: number;
  readonly from: Seq;
  readonly next: Seq;
  readonly wanted: WriteCounts;
  readonly writes: WriteCounts;
}

async function search(log: LogReader, runtime: Runtime, { partition, from, next, wanted, writes }: Search): Promise<void> {
  for (let seq = from; seq < next; ) {
    const frames = await readFrames(log, partition, seq);
    for (const { bytes } of frames) for (const write of decodeFrame(bytes).writes) if (wanted.has(write)) writes.add(write);
    seq = (frames[frames.length - 1]?.seq ?? next) + 1;
    await runtime.turn();
  }
}

/** From the first that is kept, where retention has been faster. */
async function readFrames(log: LogReader, partition: number, from: Seq) {
  try {
    return await log.read(partition, from, READ_BYTES);
  } catch (cause) {
    if (asWmbError(cause).code !== 'LOG_GAP') throw cause;
    return log.read(partition, Math.max(from, log.extent(partition).first), READ_BYTES);
  }
}
