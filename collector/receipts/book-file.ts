/** The file of the embedded receipt book: prepared statements, transactions, and the numbers of its lanes. */
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import { NO_STAMP } from '../../core/stamp.ts';
import { type LogName, NOTHING_SEEN, type RoomId } from '../../core/words.ts';
import { Checkpoints } from '../../log/embedded/checkpoints.ts';
import type { BookJournal, WatchedChanges } from './book-journal.ts';
import type { EpochLane } from './receipts.ts';
import { bookError, type OpenedBook, openBookFile } from './schema.ts';

/** Every batch writes the last page of each lane again, so a checkpoint has few pages to write, and two fsyncs: not on the thread that applies. */
const CHECKPOINT_PAGES = 4_096;

export type Row = Record<string, SQLOutputValue>;

export interface BookFileOptions {
  readonly file: string;
  readonly room: RoomId;
  /** Who must have the book's lease (lease.ts), where several collectors work in the room that share its files. */
  readonly owner?: string | undefined;
  /** Where what changes in the file is kept for whoever has the book next, on whichever machine. */
  readonly journal?: BookJournal | undefined;
}

export class BookFile {
  readonly #file: string;
  readonly #room: RoomId;
  readonly #owner: string | undefined;
  readonly #journal: BookJournal | undefined;
  readonly #statements = new Map<string, StatementSync>();
  readonly #laneIds = new Map<string, number>();
  #opened: (OpenedBook & { readonly checkpoints: Checkpoints }) | undefined;

  constructor(options: BookFileOptions) {
    this.#file = options.file;
    this.#room = options.room;
    this.#owner = options.owner;
    this.#journal = options.journal;
  }

  async open(): Promise<void> {
    await this.#journal?.restore();
    const { db, lock } = openBookFile(this.#file, this.#room, this.#owner !== undefined);
    // Of a copy nothing needs to be there after a power cut.
    if (this.#journal !== undefined) db.exec('PRAGMA synchronous = OFF');
    this.#opened = { db, lock, checkpoints: new Checkpoints({ db, file: this.#file, pages: CHECKPOINT_PAGES }) };
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.checkpoints.close();
    opened?.db.close();
    opened?.lock?.release();
    await this.#journal?.close();
    this.#statements.clear();
    this.#laneIds.clear();
  }

  /** Runs `task` on the file. Failures come as the book's own. A copy that is over has receipts that were never written: nobody is to hear of them, least of all an origin. */
  guarded<T>(task: (db: DatabaseSync) => T): T {
    if (this.#journal?.over !== undefined) throw this.#journal.over;
    try {
      return task(this.#open().db);
    } catch (cause) {
      throw bookError(cause, this.#file);
    }
  }

  transaction<T>(task: () => T): T {
    const { db, checkpoints } = this.#open();
    let watched: WatchedChanges | undefined;
    try {
      db.exec('BEGIN IMMEDIATE');
      this.#demandLease();
      watched = this.#journal?.watch(db);
      const result = task();
      const changes = watched?.read();
      db.exec('COMMIT');
      if (changes !== undefined) this.#journal?.committed(changes);
      checkpoints.committed();
      return result;
    } catch (cause) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw bookError(cause, this.#file);
    } finally {
      watched?.close();
    }
  }

  /** Resolves when what was committed until now survives this machine, where it has to. STORE_LOCKED, LOG_UNAVAILABLE. */
  async durable(): Promise<void> {
    await this.#journal?.durable();
  }

  /** A collector that was away for a while finds its lease in other hands. */
  #demandLease(): void {
    if (this.#owner === undefined) return;
    const row = this.sql('SELECT owner FROM lease').get();
    if (row?.['owner'] === this.#owner) return;
    throw new WmbError(
      'STORE_LOCKED',
      `the receipt book ${this.#file} is with another collector of the room now: ${String(row?.['owner'])}`,
    );
  }

  sql(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#open().db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  read(sql: string, ...params: (string | number)[]): Row[] {
    return this.guarded(() => this.sql(sql).all(...params));
  }

  /** The number that `sql` names n; -1 where it is NULL. */
  number(sql: string, ...params: (string | number)[]): number {
    return Number(this.read(sql, ...params)[0]?.['n'] ?? NOTHING_SEEN);
  }

  /** Made where it is new. */
  laneId(lane: EpochLane): number {
    const found = this.findLane(lane);
    if (found !== undefined) return found;
    if (!this.#open().db.isTransaction) return this.transaction(() => this.laneId(lane));
    this.sql('INSERT INTO lanes (log, origin, partition, epoch, seq, writes, stamp_last) VALUES (?, ?, ?, ?, -1, 0, ?)').run(
      lane.log,
      lane.origin,
      lane.partition,
      lane.epoch,
      NO_STAMP,
    );
    return this.findLane(lane) ?? 0;
  }

  findLane(lane: EpochLane): number | undefined {
    const name = `${lane.log}/${lane.origin}/${lane.partition}@${lane.epoch}`;
    const known = this.#laneIds.get(name);
    if (known !== undefined) return known;
    const sql = 'SELECT id FROM lanes WHERE log = ? AND origin = ? AND partition = ? AND epoch = ?';
    const row = this.read(sql, lane.log, lane.origin, lane.partition, lane.epoch)[0];
    if (row === undefined) return undefined;
    // Not within a transaction: a lane that is rolled back would be remembered.
    if (!this.#open().db.isTransaction) this.#laneIds.set(name, Number(row['id']));
    return Number(row['id']);
  }

  #open(): OpenedBook & { readonly checkpoints: Checkpoints } {
    if (this.#opened === undefined) throw new WmbError('STORE_UNAVAILABLE', `the receipt book ${this.#file} is not open`);
    return this.#opened;
  }
}

/** The lane of a row that carries the columns of `lanes`. */
export function laneOf(row: Row): EpochLane {
  return { log: row['log'] as LogName, origin: String(row['origin']), partition: Number(row['partition']), epoch: String(row['epoch']) };
}
