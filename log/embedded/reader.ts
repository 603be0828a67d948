/**
 * A log that another process of the room writes: the effect log and the changes log, which the collector appends to and reship ships.
 * It may also be trimmed from here, in short write transactions of a thread of its own.
 */
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../../core/words.ts';
import { Listeners } from '../listeners.ts';
import type { Extent, RetentionFloor, RetentionPolicy, ServedLog, StampBounds, StoredFrame } from '../log.ts';
import type { TrimRequest } from '../retention.ts';
import { FrameTable } from './frames.ts';
import { type LogIdentity, readIdentity, requireSame } from './schema.ts';
import { logError, openForReading } from './sqlite.ts';
import { nextStep } from './trim.ts';
import { LogWriter } from './writer.ts';

/** How often it looks for appends that nobody told it of. */
const POLL_MS = 250;

export interface EmbeddedLogReaderOptions {
  /** The SQLite file with the frame tables: a log's own, or the database that they live in. */
  readonly file: string;
  readonly log: LogName;
  readonly origin: RoomId;
  readonly runtime: Runtime;
}

interface OpenReader {
  readonly db: DatabaseSync;
  readonly identity: LogIdentity;
  readonly table: FrameTable;
  readonly inode: number;
  /** Next seq by partition, as the listeners know it. */
  readonly told: Seq[];
}

export class EmbeddedLogReader implements ServedLog {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly #options: EmbeddedLogReaderOptions;
  readonly #listeners = new Listeners();
  #state: OpenReader | undefined;
  #version = 0;
  #timer: Timer | undefined;
  #trimmer: LogWriter | undefined;

  constructor(options: EmbeddedLogReaderOptions) {
    this.log = options.log;
    this.origin = options.origin;
    this.#options = options;
  }

  get epoch(): LogEpoch {
    return this.#open.identity.epoch;
  }

  get partitions(): number {
    return this.#open.identity.partitions;
  }

  /** LOG_UNAVAILABLE while the process that writes the log has not made it yet: try again later. LOG_FOREIGN. */
  async open(): Promise<void> {
    const { file, runtime } = this.#options;
    try {
      this.#state = openReader(this.#options);
    } catch (cause) {
      throw logError(cause, file);
    }
    this.#version = this.#state.table.version();
    const poll = () => {
      this.#poll();
      this.#timer = runtime.after(POLL_MS, poll, true);
    };
    this.#timer = runtime.after(POLL_MS, poll, true);
  }

  extent(partition: number): Extent {
    return this.#ask((table) => table.extent(partition));
  }

  async read(partition: number, from: Seq, bytesMax: number): Promise<readonly StoredFrame[]> {
    return this.#ask((table) => {
      this.#requireSameFile();
      return table.read(partition, from, bytesMax);
    });
  }

  async seqBack(partition: number, before: Seq, writes: number): Promise<Seq> {
    return this.#ask((table) => table.seqBack(partition, before, writes));
  }

  async writesUpTo(partition: number, seq: Seq): Promise<number> {
    return this.#ask((table) => table.writesUpTo(partition, seq));
  }

  async stampsAt(partition: number, seq: Seq): Promise<StampBounds | undefined> {
    return this.#ask((table) => table.stampsAt(partition, seq));
  }

  /** The file shows every append that was answered. */
  async catchUp(): Promise<void> {}

  onAppend(listener: (partition: number) => void): () => void {
    return this.#listeners.add(listener);
  }

  /** The writing process said that it appended to the partition: looks at once instead of at the next poll. */
  notify(partition: number): void {
    const { told } = this.#open;
    const next = this.extent(partition).next;
    if (next === told[partition]) return;
    told[partition] = next;
    this.#listeners.call(partition);
  }

  /** As Log.trim. */
  async trim(
    policy: RetentionPolicy,
    floors: readonly RetentionFloor[],
    nowMs: number,
  ): Promise<{ readonly frames: number; readonly bytes: number }> {
    const request = { policy, floors, nowMs };
    // A thread takes some 15 MiB: there is none before there is something to remove.
    if (this.#trimmer === undefined && !this.#hasStep(request)) return { frames: 0, bytes: 0 };
    this.#trimmer ??= new LogWriter(this.#options.file, () => {});
    return this.#trimmer.trim(request, () => {});
  }

  /** As Log.bytes. */
  bytes(): number {
    return this.#ask((table) => table.bytes());
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#state?.table.close();
    this.#state = undefined;
    const trimmer = this.#trimmer;
    this.#trimmer = undefined;
    await trimmer?.close();
  }

  get #open(): OpenReader {
    if (this.#state === undefined) throw new WmbError('LOG_UNAVAILABLE', `log ${this.#options.file}: it is not open`);
    return this.#state;
  }

  #hasStep(request: TrimRequest): boolean {
    const { db, identity } = this.#open;
    return this.#ask(() => nextStep(db, identity, request) !== undefined);
  }

  #poll(): void {
    try {
      this.#requireSameFile();
      const version = this.#open.table.version();
      if (version === this.#version) return;
      for (let partition = 0; partition < this.partitions; partition += 1) this.notify(partition);
      this.#version = version;
    } catch {
      // Whoever listens reads, and meets the same failure where it can be told.
      for (let partition = 0; partition < this.partitions; partition += 1) this.#listeners.call(partition);
    }
  }

  #requireSameFile(): void {
    if (inodeOf(this.#options.file) === this.#open.inode) return;
    throw new WmbError('LOG_GAP', `log ${this.#options.file} was removed or made anew; restart this daemon to ship its new epoch`);
  }

  #ask<T>(question: (table: FrameTable) => T): T {
    const { table } = this.#open;
    try {
      return question(table);
    } catch (cause) {
      throw logError(cause, this.#options.file);
    }
  }
}

function openReader({ file, log, origin }: EmbeddedLogReaderOptions): OpenReader {
  const inode = inodeOf(file);
  if (inode === undefined)
    throw new WmbError('LOG_UNAVAILABLE', `log ${file} does not exist yet; the room’s collector makes it when it starts`);
  const db = openForReading(file);
  try {
    const stored = readIdentity(db, file);
    if (stored === undefined)
      throw new WmbError('LOG_UNAVAILABLE', `${file} holds no log yet; the room’s collector makes it when it starts`);
    const identity = requireSame(stored, { log, origin }, file);
    const table = new FrameTable(db, identity);
    const told = Array.from({ length: identity.partitions }, (_, partition) => table.extent(partition).next);
    return { db, identity, table, inode, told };
  } catch (cause) {
    db.close();
    throw cause;
  }
}

function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino;
}
