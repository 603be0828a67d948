/**
 * The log on the SQLite that ships with Node: one file in a directory of its own, one writing process.
 *
 * Appends run on a worker thread, so that an fsync never holds up links and heartbeats. Reads come from the tail in memory or, further
 * back, from SQLite on the calling thread. See docs/write-log.md.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../../core/words.ts';
import { Listeners } from '../listeners.ts';
import type { Extent, FrameDraft, Log, RetentionFloor, RetentionPolicy, StampBounds, StoredFrame } from '../log.ts';
import { Tail } from '../tail.ts';
import { FrameTable } from './frames.ts';
import { type DirectoryLock, lockDirectory } from './lock.ts';
import { createFrameTables } from './schema.ts';
import { inTransaction, logError, openForReading, openForWriting } from './sqlite.ts';
import { LogWriter } from './writer.ts';

const REMEMBERED_MS = 10_000;

export interface EmbeddedLogOptions {
  /** The log's own; made where it is missing. */
  readonly directory: string;
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partitions: number;
  readonly runtime: Runtime;
  /** Newest frames kept in memory, over all partitions. */
  readonly tailBytesMax: number;
}

/** Where the frames are within a log's directory: what another process opens with EmbeddedLogReader. */
export function logFile(directory: string): string {
  return join(directory, 'log.db');
}

interface OpenLog {
  readonly lock: DirectoryLock;
  readonly epoch: LogEpoch;
  readonly table: FrameTable;
  readonly tail: Tail;
  readonly writer: LogWriter;
}

export class EmbeddedLog implements Log {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partitions: number;
  readonly #options: EmbeddedLogOptions;
  readonly #file: string;
  readonly #listeners = new Listeners();
  #state: OpenLog | undefined;
  #failure: { readonly error: WmbError; readonly ms: number } | undefined;

  constructor(options: EmbeddedLogOptions) {
    this.log = options.log;
    this.origin = options.origin;
    this.partitions = options.partitions;
    this.#options = options;
    this.#file = logFile(options.directory);
  }

  get epoch(): LogEpoch {
    return this.#open.epoch;
  }

  /** LOG_LOCKED, LOG_FOREIGN, LOG_READONLY, LOG_FULL, LOG_CORRUPT, LOG_UNAVAILABLE; the directory is let go of in each case. */
  async open(): Promise<void> {
    makeDirectory(this.#options.directory);
    const lock = lockDirectory(this.#options.directory);
    try {
      this.#state = await this.#openLocked(lock);
    } catch (cause) {
      lock.release();
      throw logError(cause, this.#file);
    }
  }

  extent(partition: number): Extent {
    return this.#ask(() => this.#open.table.extent(partition));
  }

  async read(partition: number, from: Seq, bytesMax: number): Promise<readonly StoredFrame[]> {
    return this.#ask(() => this.#open.tail.read(partition, from, bytesMax) ?? this.#open.table.read(partition, from, bytesMax));
  }

  async seqBack(partition: number, before: Seq, writes: number): Promise<Seq> {
    return this.#ask(() => this.#open.table.seqBack(partition, before, writes));
  }

  async writesUpTo(partition: number, seq: Seq): Promise<number> {
    return this.#ask(() => this.#open.table.writesUpTo(partition, seq));
  }

  async stampsAt(partition: number, seq: Seq): Promise<StampBounds | undefined> {
    return this.#ask(() => this.#open.table.stampsAt(partition, seq));
  }

  /** The file shows every append that was answered. */
  async catchUp(): Promise<void> {}

  onAppend(listener: (partition: number) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** The bytes of the drafts are kept in the tail: nobody may change them afterwards. OVERLOADED when the disk does not keep up. */
  async append(drafts: readonly FrameDraft[]): Promise<readonly Seq[]> {
    for (const { partition } of drafts) {
      if (!(partition >= 0 && partition < this.partitions))
        throw new WmbError('INTERNAL', `log ${this.#file} has no partition ${partition}`);
    }
    const seqs = await this.#written(this.#open.writer.append(drafts));
    this.#failure = undefined;
    return seqs;
  }

  /** A failure is told for a while: only another append or promise finds out that it is over. */
  get trouble(): WmbError | undefined {
    const { runtime } = this.#options;
    const isRecent = this.#failure !== undefined && runtime.monotonicMs() - this.#failure.ms < REMEMBERED_MS;
    return this.#state?.writer.refusal ?? (isRecent ? this.#failure?.error : undefined);
  }

  async leaseWriter(holder: string): Promise<{ readonly lease: number; readonly stampLast: Stamp }> {
    return this.#open.writer.call({ type: 'lease', holder, nowMs: this.#options.runtime.nowMs() });
  }

  async promise(stamp: Stamp): Promise<void> {
    return this.#written(this.#open.writer.call({ type: 'promise', stamp }));
  }

  async trim(
    policy: RetentionPolicy,
    floors: readonly RetentionFloor[],
    nowMs: number,
  ): Promise<{ readonly frames: number; readonly bytes: number }> {
    const { writer, tail } = this.#open;
    return writer.trim({ policy, floors, nowMs }, (step) => tail.forget(step.partition, step.through + 1));
  }

  bytes(): number {
    return this.#ask(() => this.#open.table.bytes());
  }

  /** Waits for the appends that were made. */
  async close(): Promise<void> {
    const state = this.#state;
    this.#state = undefined;
    if (state === undefined) return;
    try {
      state.table.close();
      await state.writer.close();
    } finally {
      state.lock.release();
    }
  }

  async #written<T>(writing: Promise<T>): Promise<T> {
    try {
      return await writing;
    } catch (cause) {
      const error = asWmbError(cause);
      // Where only too much waits, what waits is being written.
      if (error.code !== 'OVERLOADED') this.#failure = { error, ms: this.#options.runtime.monotonicMs() };
      throw error;
    }
  }

  get #open(): OpenLog {
    if (this.#state === undefined) throw new WmbError('LOG_UNAVAILABLE', `log ${this.#file}: it is not open`);
    return this.#state;
  }

  async #openLocked(lock: DirectoryLock): Promise<OpenLog> {
    const { tailBytesMax } = this.#options;
    const identity = this.#createOrCheck();
    const table = new FrameTable(openForReading(this.#file), identity);
    const next = Array.from({ length: this.partitions }, (_, partition) => table.extent(partition).next);
    const tail = new Tail(tailBytesMax, next);
    const writer = new LogWriter(this.#file, (drafts, seqs) => this.#committed(tail, drafts, seqs));
    try {
      await writer.call({ type: 'open' });
    } catch (cause) {
      table.close();
      await writer.close();
      throw cause;
    }
    return { lock, epoch: identity.epoch, table, tail, writer };
  }

  #createOrCheck() {
    const { log, origin, partitions, runtime } = this.#options;
    const db = openForWriting(this.#file);
    try {
      return inTransaction(db, () => createFrameTables(db, { wanted: { log, origin, partitions }, runtime, place: this.#file }));
    } finally {
      db.close();
    }
  }

  #committed(tail: Tail, drafts: readonly FrameDraft[], seqs: readonly Seq[]): void {
    const partitions = new Set<number>();
    drafts.forEach(({ partition, bytes, count }, i) => {
      tail.add({ partition, seq: seqs[i] as Seq, bytes, count });
      partitions.add(partition);
    });
    for (const partition of partitions) this.#listeners.call(partition);
  }

  #ask<T>(question: () => T): T {
    try {
      return question();
    } catch (cause) {
      throw logError(cause, this.#file);
    }
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (cause) {
    throw new WmbError('LOG_READONLY', `${directory} cannot be made; check the permissions and mount options above it`, { cause });
  }
}
