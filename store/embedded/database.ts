/**
 * The database of a room on the SQLite that ships with Node: one file, `database.db`.
 *
 * In the master room every batch is one transaction: the statements of its write requests, what became of each, the marks, and, as one frame of
 * the `changes` log, the rows that changed. Slaves apply those frames and are not written otherwise.
 *
 * Durability: the master fsyncs every commit (synchronous FULL). Its frames reach the slaves right after the commit; a commit that a power
 * cut took back would give their seqs to other changes, and the slaves would have rows that the master never had. A slave fsyncs at
 * checkpoints only (NORMAL): what a power cut takes from it is fetched again from the mark that went with it.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Lane, LogEpoch, Mark, RoomId, Seq } from '../../core/words.ts';
import { createFrameTables } from '../../log/embedded/schema.ts';
import type { MarkMove } from '../cache.ts';
import type { DatabaseBatch, DatabaseResult, DatabaseStore, Row } from '../database.ts';
import { applyChangeset } from './database-changes.ts';
import { storeError } from './database-errors.ts';
import { BatchRunner } from './database-execute.ts';
import { SqlGuard } from './database-guard.ts';
import { type DatabaseLock, lockDatabase } from './database-lock.ts';
import { readRows } from './database-rows.ts';
import { dropTriggers, readTables, runSchemaFile, type Tables } from './database-schema.ts';
import { inTransaction, MarkTable, openOwnTables, RequestTable } from './database-tables.ts';

/** How long a commit waits for another process' short write transaction (the trimming of the changes log). */
const BUSY_MS_MAX = 10_000;
/** The WAL file is cut back to this after a burst. */
const WAL_BYTES_KEPT = 64 * 1024 * 1024;

export interface EmbeddedDatabaseOptions {
  /** Absolute; made where missing. */
  readonly directory: string;
  readonly room: RoomId;
  readonly role: 'master' | 'slave';
  /** The room whose changes a slave applies; in the master room, itself. */
  readonly master: RoomId;
  /** SQL that makes the user's tables; run at every open. */
  readonly schemaFile: string | undefined;
  readonly runtime: Runtime;
  /** Called after every commit that appended to the `changes` log (partition 0). */
  readonly onChanges: (() => void) | undefined;
}

export const DATABASE_FILE = 'database.db';

interface Group {
  readonly batches: DatabaseBatch[];
  readonly results: Promise<readonly DatabaseResult[]>;
}

interface Opened {
  readonly db: DatabaseSync;
  readonly lock: DatabaseLock;
  readonly tables: Tables;
  readonly marks: MarkTable;
  readonly changesMarks: MarkTable;
  readonly requests: RequestTable;
  /** In the master only. */
  readonly runner: BatchRunner | undefined;
}

export class EmbeddedDatabase implements DatabaseStore {
  readonly #options: EmbeddedDatabaseOptions;
  readonly #file: string;
  #opened: Opened | undefined;
  /** Batches that wait for the next commit. */
  #next: Group | undefined;

  constructor(options: EmbeddedDatabaseOptions) {
    this.#options = options;
    this.#file = join(options.directory, DATABASE_FILE);
  }

  /** STORE_FOREIGN, STORE_LOCKED, STORE_READONLY, SCHEMA_INVALID, CONFIG_UNREADABLE. */
  async open(): Promise<void> {
    makeDirectory(this.#options.directory);
    const lock = lockDatabase(this.#file);
    let db: DatabaseSync | undefined;
    try {
      db = this.#connect();
      this.#opened = this.#prepare(db, lock);
    } catch (cause) {
      db?.close();
      lock.release();
      throw storeError(cause, this.#file);
    }
  }

  #connect(): DatabaseSync {
    const isMaster = this.#options.role === 'master';
    // The master has enforced foreign keys and run their cascades already; doing it again in a slave would collide with its changes.
    const db = new DatabaseSync(this.#file, { timeout: BUSY_MS_MAX, enableForeignKeyConstraints: isMaster });
    db.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${isMaster ? 'FULL' : 'NORMAL'}; PRAGMA journal_size_limit = ${WAL_BYTES_KEPT}`,
    );
    return db;
  }

  #prepare(db: DatabaseSync, lock: DatabaseLock): Opened {
    const { room, role } = this.#options;
    const guard = new SqlGuard(db);
    const { tables, epoch } = inTransaction(db, () => this.#makeTables(db, guard));
    const marks = new MarkTable(db, 'wmb_marks');
    const requests = new RequestTable(db);
    const runner = role === 'master' ? new BatchRunner({ db, guard, tables, marks, requests, room, epoch }) : undefined;
    return { db, lock, tables, marks, requests, runner, changesMarks: new MarkTable(db, 'wmb_changes_mark') };
  }

  #makeTables(db: DatabaseSync, guard: SqlGuard): { readonly tables: Tables; readonly epoch: LogEpoch } {
    const { room, role, schemaFile, runtime } = this.#options;
    openOwnTables(db, { room, role }, this.#file);
    if (schemaFile !== undefined) runSchemaFile(db, guard, schemaFile);
    if (role === 'slave') dropTriggers(db);
    const tables = readTables(db, schemaFile ?? this.#file);
    if (role === 'slave') return { tables, epoch: '' };
    return {
      tables,
      epoch: createFrameTables(db, { wanted: { log: 'changes', origin: room, partitions: 1 }, runtime, place: this.#file }).epoch,
    };
  }

  /** In a slave: how far the master's database had come by the changes applied here, and the mark of the changes themselves. */
  async marks(): Promise<readonly Mark[]> {
    const { marks, changesMarks } = this.#open();
    return [...marks.all(), ...changesMarks.all()];
  }

  async execute(batch: DatabaseBatch): Promise<DatabaseResult> {
    const { runner } = this.#open();
    if (runner === undefined)
      throw new WmbError('INTERNAL', `room ${this.#options.room} has a slave database: statements run in the master room only`);
    this.#next ??= this.#openGroup(runner);
    const group = this.#next;
    const at = group.batches.push(batch) - 1;
    return (await group.results)[at] as DatabaseResult;
  }

  /** All batches of one turn of the event loop share one commit: the fsync is what costs, and the lanes wait for it together. */
  #openGroup(runner: BatchRunner): Group {
    const batches: DatabaseBatch[] = [];
    const results = this.#options.runtime.turn().then(() => {
      this.#next = undefined;
      this.#open();
      return this.#commit(runner, batches);
    });
    return { batches, results };
  }

  #commit(runner: BatchRunner, batches: readonly DatabaseBatch[]): readonly DatabaseResult[] {
    try {
      const { results, changed } = runner.runGroup(batches);
      if (changed) this.#options.onChanges?.();
      return results;
    } catch (cause) {
      throw storeError(cause, this.#file);
    }
  }

  async recorded(lane: Lane, seq: Seq): Promise<ReadonlyMap<number, string>> {
    return this.#open().requests.refused(lane, seq);
  }

  async applyChanges(
    move: MarkMove,
    changes: readonly Uint8Array[],
  ): Promise<{ readonly moved: boolean; readonly stored: Mark | undefined }> {
    const { db, tables, changesMarks } = this.#open();
    this.#checkChangesLane(move);
    try {
      return inTransaction(db, () => {
        const refused = changesMarks.refused([move]);
        if (refused !== undefined) return { moved: false, stored: refused.stored };
        for (const change of changes) applyChangeset(db, tables, change);
        changesMarks.move(move);
        return { moved: true, stored: changesMarks.get(move) };
      });
    } catch (cause) {
      throw located(storeError(cause, this.#file), move);
    }
  }

  #checkChangesLane(move: MarkMove): void {
    const { room, role, master } = this.#options;
    if (role === 'slave' && move.log === 'changes' && move.origin === master) return;
    throw new WmbError(
      'INTERNAL',
      `the ${role} database of room ${room} takes no changes from ${move.log}/${move.origin}; the master room is ${master}`,
    );
  }

  async tables(): Promise<readonly string[]> {
    return [...this.#open().tables.values()].map((table) => table.name).sort();
  }

  async *rows(table: string): AsyncIterable<Row> {
    const { db, tables } = this.#open();
    const known = tables.get(table.toLowerCase());
    if (known === undefined) throw new WmbError('NOT_FOUND', `${this.#file} has no table ${table}`);
    yield* readRows(db, known);
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    opened?.db.close();
    opened?.lock.release();
  }

  #open(): Opened {
    if (this.#opened === undefined) throw new WmbError('STORE_UNAVAILABLE', `${this.#file} is not open`);
    return this.#opened;
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (cause) {
    throw new WmbError('STORE_READONLY', `the directory ${directory} cannot be made: ${(cause as Error).message}`, { cause });
  }
}

/** Adds to a conflict the position of the frame that did not fit. */
function located(cause: unknown, move: MarkMove): unknown {
  if (!(cause instanceof WmbError) || cause.code !== 'CHANGES_CONFLICT') return cause;
  const seqs = move.expected + 1 === move.next ? `${move.next}` : `${move.expected + 1} to ${move.next}`;
  return new WmbError(cause.code, `${cause.message} (${move.origin}.changes/${move.partition}@${move.epoch}:${seqs})`, { cause });
}
