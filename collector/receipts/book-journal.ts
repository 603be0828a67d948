/**
 * A receipt book that survives its machine (docs/adr/0015). The file is a copy that its owner works with, made when a share is taken and thrown away when it is given up; what counts is a journal, which has every
 * transaction's changes as SQLite's own change sets, and from time to time a snapshot of the whole file, before which the journal forgets. Whoever waits for a receipt waits until its change set
 * is durable there; a receipt that was committed here and is not in the journal is one that was never written, and its frame is applied again.
 *
 *     offset  size
 *          0     1  1: changes, 2: a part of a snapshot
 *          1     1  version of the tables
 *          2     6  changes: the number of the transaction, from 1; a part: its place, from 0
 *          8     2  changes: which piece of the change set it is, from 0
 *         10     2  changes: how many pieces are to come
 *         12        changes: a change set, or a piece of one; a part: the file's bytes there, compressed with zstd; none: the snapshot is whole
 */
import { existsSync, rmSync } from 'node:fs';
import { mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { constants, type DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import { copyDatabase } from '../../log/embedded/database-copy.ts';
import type { Journal, JournalRecord } from '../../log/journal.ts';
import { ShareLease } from './lease.ts';
import { BOOK_VERSION, openBookFile } from './schema.ts';

const CHANGES = 1;
const PART = 2;
const HEADER_BYTES = 12;
/** Of a snapshot's part, and of a piece of a change set: one that parks many large write requests is larger than a record may be. */
const PART_BYTES = 1024 * 1024;
/** Change sets of so many bytes are applied in about two seconds. */
const SNAPSHOT_BYTES = 32 * 1024 * 1024;
/** Transactions that are applied in one. */
const APPLIED_AT_ONCE = 1_000;

const WHOLE = { piece: 0, more: 0 };

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

export interface BookJournalOptions {
  readonly journal: Journal;
  /** Of the copy: nothing else is in its directory. */
  readonly file: string;
  /** A book that was in files until now: an empty journal begins with it, and it goes. */
  readonly before?: string | undefined;
  readonly room: RoomId;
  /** Who takes it. */
  readonly owner: string;
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** See {@link SNAPSHOT_BYTES}; tests take fewer. */
  readonly snapshotBytes?: number;
}

export interface WatchedChanges {
  read(): Uint8Array;
  close(): void;
}

export class BookJournal {
  readonly #options: BookJournalOptions;
  /** Number of the last transaction. */
  #changes = 0;
  /** Of change sets since the last snapshot. */
  #bytes = 0;
  /** Of the last snapshot's file. */
  #snapshotSize = 0;
  #last: Promise<unknown> = Promise.resolve();
  #snapshot: Promise<void> | undefined;
  #over: WmbError | undefined;

  constructor(options: BookJournalOptions) {
    this.#options = options;
  }

  /** Takes the journal, and makes the file from it. Whoever had the book can write nothing more. */
  async restore(): Promise<void> {
    const { journal, file, runtime, logger } = this.#options;
    const startMs = runtime.monotonicMs();
    removeFile(file);
    await mkdir(dirname(file), { recursive: true });
    const { isWhole, records } = await journal.take();
    const restored = new Restored(this.#options, isWhole);
    try {
      for await (const record of records()) await restored.take(record);
      ({ changes: this.#changes, bytes: this.#bytes, snapshotSize: this.#snapshotSize } = restored.end());
    } finally {
      await restored.close();
    }
    if (this.#changes === 0) await this.#begin();
    logger.info({ transactions: this.#changes, tookMs: Math.round(runtime.monotonicMs() - startMs) }, 'the receipts of a share were read');
  }

  /** With the book that was in files, where there is one. STORE_LOCKED where another collector still works with it. */
  async #begin(): Promise<void> {
    const { before, file, room, owner, runtime } = this.#options;
    if (before === undefined || !existsSync(before)) return;
    const lease = new ShareLease({ file: before, room, owner, runtime });
    try {
      if (!lease.take()) throw new WmbError('STORE_LOCKED', `a collector without collector.receipts kafka works with ${before}; stop it`);
      removeFile(file);
      await copyDatabase(before, file);
      await this.#putSnapshot();
    } finally {
      lease.close();
    }
    removeFile(before);
  }

  /** Within a transaction: what is changed in it. */
  watch(db: DatabaseSync): WatchedChanges {
    if (this.#over !== undefined) throw this.#over;
    const session = db.createSession();
    db.exec('INSERT INTO journaled VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET changes = changes + 1');
    return { read: () => session.changeset(), close: () => session.close() };
  }

  /** They are committed. */
  committed(changes: Uint8Array): void {
    this.#changes += 1;
    this.#bytes += changes.length;
    const pieces = Math.ceil(changes.length / PART_BYTES);
    for (let piece = 0; piece < pieces; piece += 1)
      this.#append(CHANGES, this.#changes, changes.subarray(piece * PART_BYTES, (piece + 1) * PART_BYTES), {
        piece,
        more: pieces - piece - 1,
      });
    const { snapshotBytes = SNAPSHOT_BYTES } = this.#options;
    if (this.#bytes < Math.max(snapshotBytes, this.#snapshotSize / 2)) return;
    this.#snapshot ??= this.#takeSnapshot().finally(() => {
      this.#snapshot = undefined;
    });
  }

  /** Resolves when everything that was committed until now is in the journal. */
  async durable(): Promise<void> {
    await this.#last;
    if (this.#over !== undefined) throw this.#over;
  }

  /** Why nothing more can be written: the book must be opened anew, by whoever has the share then. */
  get over(): WmbError | undefined {
    return this.#over;
  }

  async close(): Promise<void> {
    this.#options.journal.close();
    await this.#snapshot;
    removeFile(this.#options.file);
  }

  #append(kind: number, number: number, bytes: Uint8Array, { piece, more } = WHOLE): void {
    const header = Buffer.alloc(HEADER_BYTES);
    header[0] = kind;
    header[1] = BOOK_VERSION;
    header.writeUIntBE(number, 2, 6);
    header.writeUInt16BE(piece, 8);
    header.writeUInt16BE(more, 10);
    this.#last = this.#options.journal.append(Buffer.concat([header, bytes])).catch((cause: unknown) => {
      this.#over ??= asWmbError(cause);
    });
  }

  /** A journal that lacks the end of a snapshot has what was before it; where none can be made, another is tried after as many changes. */
  async #takeSnapshot(): Promise<void> {
    const { logger } = this.#options;
    this.#bytes = 0;
    try {
      await this.#putSnapshot();
    } catch (cause) {
      if (this.#over === undefined) logger.warn({ reason: asWmbError(cause).told }, 'no snapshot of a share’s receipts could be made');
    }
  }

  async #putSnapshot(): Promise<void> {
    const { journal, file, logger } = this.#options;
    const copy = `${file}.snapshot`;
    try {
      // What is appended before it is committed in the file already.
      const at = await journal.turn();
      this.#snapshotSize = await copyDatabase(file, copy);
      await this.#appendParts(copy);
      await journal.forget(at);
      logger.debug({ bytes: this.#snapshotSize }, 'a snapshot of a share’s receipts is in the journal');
    } finally {
      rmSync(copy, { force: true });
    }
  }

  async #appendParts(copy: string): Promise<void> {
    const handle = await open(copy, 'r');
    try {
      for (let place = 0; ; place += 1) {
        const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(PART_BYTES), 0, PART_BYTES, place * PART_BYTES);
        const part = bytesRead === 0 ? new Uint8Array() : await compress(buffer.subarray(0, bytesRead));
        this.#append(PART, place, part);
        // Receipts that come meanwhile are not to wait behind the whole of it.
        await this.durable();
        if (bytesRead === 0) return;
      }
    } finally {
      await handle.close();
    }
  }
}

/** A book as the records of a journal make it, one after the other. */
class Restored {
  readonly #options: BookJournalOptions;
  readonly #isWhole: boolean;
  #db: DatabaseSync | undefined;
  #release: () => void = () => {};
  /** Change sets that stand before the end of the snapshot that they belong to. */
  #early: { readonly at: number; readonly number: number; readonly changes: Uint8Array }[] = [];
  #pieces: Uint8Array[] = [];
  #parts: Awaited<ReturnType<typeof open>> | undefined;
  #changes = 0;
  #bytes = 0;
  #snapshotSize = 0;
  #uncommitted = 0;

  constructor(options: BookJournalOptions, isWhole: boolean) {
    this.#options = options;
    this.#isWhole = isWhole;
  }

  async take({ at, value }: JournalRecord): Promise<void> {
    const { room } = this.#options;
    const header = Buffer.from(value.buffer, value.byteOffset, HEADER_BYTES);
    if ((header[1] ?? 0) > BOOK_VERSION)
      throw new WmbError(
        'STORE_FOREIGN',
        `the receipts of room ${room} were written by a newer WMB (version ${header[1]}); run the same in all collectors`,
      );
    const number = header.readUIntBE(2, 6);
    const bytes = value.subarray(HEADER_BYTES);
    if (header[0] === PART) return this.#takePart(number, bytes);
    const changes = this.#whole(header.readUInt16BE(8), header.readUInt16BE(10), bytes);
    if (changes === undefined) return;
    if (this.#isWhole) this.#openEmpty();
    if (this.#db !== undefined) this.#apply(at, number, changes);
    // A view of what was fetched would keep all of it.
    else this.#early.push({ at, number, changes: changes.slice() });
  }

  /** Undefined until its last piece is there. The pieces of an owner that did not get that far give way to another one's first. */
  #whole(piece: number, more: number, bytes: Uint8Array): Uint8Array | undefined {
    if (piece === 0 && more === 0) return bytes;
    if (piece === 0) this.#pieces = [];
    this.#pieces.push(bytes.slice());
    return more > 0 ? undefined : Buffer.concat(this.#pieces);
  }

  end(): { readonly changes: number; readonly bytes: number; readonly snapshotSize: number } {
    const { room } = this.#options;
    if (this.#isWhole) this.#openEmpty();
    if (this.#db === undefined)
      throw new WmbError(
        'LOG_GAP',
        `what is kept of the receipts of room ${room} has no snapshot to begin with: records were removed by somebody else than WMB`,
      );
    this.#commit();
    return { changes: this.#changes, bytes: this.#bytes, snapshotSize: this.#snapshotSize };
  }

  async close(): Promise<void> {
    await this.#parts?.close();
    if (this.#db?.isTransaction) this.#db.exec('ROLLBACK');
    this.#db?.close();
    this.#release();
    rmSync(`${this.#options.file}.parts`, { force: true });
  }

  /** A book that was in files stands before all changes, as a snapshot: the journal begins with that, also where nothing was forgotten yet. */
  #openEmpty(): void {
    if (this.#db === undefined) this.#open();
  }

  #open(): void {
    const { file, room } = this.#options;
    const { db, lock } = openBookFile(file, room);
    // What a power cut leaves of it is not looked at.
    db.exec('PRAGMA synchronous = OFF');
    this.#db = db;
    this.#release = () => lock?.release();
    const row = db.prepare('SELECT changes FROM journaled').get();
    this.#changes = Number(row?.['changes'] ?? 0);
  }

  #apply(at: number, number: number, changes: Uint8Array): void {
    // It was in the snapshot already.
    if (number <= this.#changes) return;
    const db = this.#db;
    if (this.#uncommitted === 0) db?.exec('BEGIN');
    const isApplied = number === this.#changes + 1 && db?.applyChangeset(changes, { onConflict: () => constants.SQLITE_CHANGESET_ABORT });
    if (isApplied !== true)
      throw new WmbError(
        'LOG_GAP',
        `transaction ${number} of a share's receipts, at ${at} in its journal, does not follow transaction ${this.#changes}`,
      );
    this.#changes = number;
    this.#bytes += changes.length;
    this.#uncommitted += 1;
    if (this.#uncommitted === APPLIED_AT_ONCE) this.#commit();
  }

  #commit(): void {
    if (this.#db?.isTransaction) this.#db.exec('COMMIT');
    this.#uncommitted = 0;
  }

  /** The first whole snapshot is where the book begins, and those behind it say nothing new. One that nobody finished gives way to the next. */
  async #takePart(place: number, bytes: Uint8Array): Promise<void> {
    if (this.#db !== undefined) return;
    const { file } = this.#options;
    if (place === 0) {
      await this.#parts?.close();
      this.#parts = await open(`${file}.parts`, 'w');
    }
    if (this.#parts === undefined) throw new WmbError('LOG_GAP', `a snapshot of a share's receipts begins with its part ${place}`);
    if (bytes.length > 0) return void (await this.#parts.write(await decompress(bytes)));
    await this.#parts.close();
    this.#parts = undefined;
    await rename(`${file}.parts`, file);
    this.#snapshotSize = (await stat(file)).size;
    this.#open();
    for (const { at, number, changes } of this.#early.splice(0)) this.#apply(at, number, changes);
  }
}

function removeFile(file: string): void {
  for (const suffix of ['', '-wal', '-shm', '.lock', '.pid', '.snapshot', '.parts']) rmSync(`${file}${suffix}`, { force: true });
}
