/** WMB's own tables in the database file: identity, marks, and the record of requests. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import { type Lane, type LogEpoch, type LogName, laneKey, type Mark, NOTHING_SEEN, type RoomId, type Seq } from '../../core/words.ts';
import type { MarkMove } from '../cache.ts';
import { isRecorded, mergedRecord, type RequestRecord, refusedIn } from '../request-record.ts';

/** Grows when a table below changes its shape. */
const SCHEMA_VERSION = 1;

/**
 * Only wmb_marks has a primary key: sessions record tables with one, and of WMB's own only the marks go to the slaves. The
 * changes mark is kept apart because no changeset may touch it.
 */
const TABLES = `
  CREATE TABLE IF NOT EXISTS wmb_identity (room TEXT NOT NULL, role TEXT NOT NULL, version INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS wmb_marks (log TEXT NOT NULL, origin TEXT NOT NULL, partition INTEGER NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (log, origin, partition)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS wmb_changes_mark (log TEXT NOT NULL, origin TEXT NOT NULL, partition INTEGER NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    UNIQUE (log, origin, partition));
  CREATE TABLE IF NOT EXISTS wmb_requests (lane TEXT NOT NULL, seq INTEGER NOT NULL, committed TEXT NOT NULL, refused TEXT, UNIQUE (lane, seq));
`;

export interface Identity {
  readonly room: RoomId;
  readonly role: 'master' | 'slave';
}

/** Makes the tables, or checks whose they are: STORE_FOREIGN. */
export function openOwnTables(db: DatabaseSync, identity: Identity, file: string): void {
  const exists = db.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'wmb_identity'`).get() !== undefined;
  const found = exists ? db.prepare('SELECT room, role, version FROM wmb_identity').get() : undefined;
  if (found !== undefined) checkIdentity(found, identity, file);
  db.exec(TABLES);
  if (found === undefined) db.prepare('INSERT INTO wmb_identity VALUES (?, ?, ?)').run(identity.room, identity.role, SCHEMA_VERSION);
}

function checkIdentity(found: Readonly<Record<string, unknown>>, identity: Identity, file: string): void {
  if (Number(found.version) > SCHEMA_VERSION) {
    throw new WmbError(
      'STORE_FOREIGN',
      `${file} was written by a newer WMB (version ${found.version}; here ${SCHEMA_VERSION}): upgrade this room`,
    );
  }
  if (found.room === identity.room && found.role === identity.role) return;
  throw new WmbError(
    'STORE_FOREIGN',
    `${file} is the ${found.role} database of room ${found.room}, not the ${identity.role} database of room ${identity.room}: point the room at its own directory`,
  );
}

/** Runs `work` in one transaction that takes the write lock at once; whatever it throws undoes all of it. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (cause) {
    // A full disk, or a statement of the user's, may already have made SQLite roll back by itself.
    if (db.isTransaction) db.exec('ROLLBACK');
    throw cause;
  }
}

/** The marks in one of the two mark tables. */
export class MarkTable {
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #all: StatementSync;

  constructor(db: DatabaseSync, table: 'wmb_marks' | 'wmb_changes_mark') {
    this.#get = db.prepare(`SELECT epoch, seq FROM ${table} WHERE log = ? AND origin = ? AND partition = ?`);
    this.#put = db.prepare(
      `INSERT INTO ${table} VALUES (?, ?, ?, ?, ?) ON CONFLICT (log, origin, partition) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq`,
    );
    this.#all = db.prepare(`SELECT log, origin, partition, epoch, seq FROM ${table} ORDER BY log, origin, partition`);
  }

  get(lane: Lane): Mark | undefined {
    const row = this.#get.get(lane.log, lane.origin, lane.partition) as { epoch: LogEpoch; seq: Seq } | undefined;
    return row === undefined
      ? undefined
      : { log: lane.log, origin: lane.origin, partition: lane.partition, epoch: row.epoch, seq: row.seq };
  }

  /** The first move whose expectation does not hold, with what is stored instead. */
  refused(moves: readonly MarkMove[]): { readonly stored: Mark | undefined } | undefined {
    for (const move of moves) {
      const stored = this.get(move);
      const seq = stored?.epoch === move.epoch ? stored.seq : NOTHING_SEEN;
      if (seq !== move.expected) return { stored };
    }
    return undefined;
  }

  move(move: MarkMove): void {
    this.#put.run(move.log, move.origin, BigInt(move.partition), move.epoch, BigInt(move.next));
  }

  all(): readonly Mark[] {
    return this.#all.all().map((row) => ({
      log: row.log as LogName,
      origin: row.origin as RoomId,
      partition: Number(row.partition),
      epoch: row.epoch as LogEpoch,
      seq: Number(row.seq),
    }));
  }
}

/** Frames whose committed request ids are kept, and frames with refused requests that are kept, which a cache restored from a copy needs. */
const FRAMES_KEPT = 65_536;
const REFUSED_FRAMES_KEPT = 4_194_304;
const TRIM_EVERY = 1_024;

/**
 * What became of the write requests that had statements, one row per frame: a row per write request would cost a third more per write.
 * `committed` is a JSON object of request ids by index, `refused` one of `{ requestId, reason }` by index, or NULL.
 */
export class RequestTable {
  readonly #get: StatementSync;
  readonly #put: StatementSync;
  readonly #forget: StatementSync;
  readonly #newest: StatementSync;
  readonly #trim: StatementSync;
  readonly #trimRefused: StatementSync;
  #untilTrim = TRIM_EVERY;
  #trimmedTo = 0;

  constructor(db: DatabaseSync) {
    this.#get = db.prepare('SELECT committed, refused FROM wmb_requests WHERE lane = ? AND seq = ?');
    this.#put = db.prepare(
      'INSERT INTO wmb_requests VALUES (?, ?, ?, ?) ON CONFLICT (lane, seq) DO UPDATE SET committed = excluded.committed, refused = excluded.refused',
    );
    this.#forget = db.prepare('DELETE FROM wmb_requests WHERE lane = ?');
    this.#newest = db.prepare('SELECT max(rowid) AS newest FROM wmb_requests');
    this.#trim = db.prepare('DELETE FROM wmb_requests WHERE rowid > ? AND rowid <= ? AND refused IS NULL');
    this.#trimRefused = db.prepare('DELETE FROM wmb_requests WHERE rowid <= ?');
  }

  /**
   * Adds to (or, for a retried write request, corrects) the record of one frame. Where the record is of another request, the
   * retried one comes from an older epoch of the lane and has no record any more.
   */
  record(lane: Lane, seq: Seq, requests: readonly RequestRecord[]): void {
    const merged = mergedRecord(this.#get.get(laneKey(lane), BigInt(seq)), requests);
    this.#put.run(laneKey(lane), BigInt(seq), merged.committed, merged.refused);
    this.#untilTrim -= 1;
  }

  /** Whether exactly this write request is recorded as committed: a retry must not run its statements again. */
  isCommitted(lane: Lane, write: { readonly seq: Seq; readonly index: number; readonly requestId: string }): boolean {
    return isRecorded(this.#get.get(laneKey(lane), BigInt(write.seq)), write);
  }

  refused(lane: Lane, seq: Seq): ReadonlyMap<number, string> {
    return refusedIn(this.#get.get(laneKey(lane), BigInt(seq)));
  }

  /** A new epoch of a lane counts its seqs from 0 again: the old ones' records would be mistaken for theirs. */
  forget(lane: Lane): void {
    this.#forget.run(laneKey(lane));
  }

  /** Removes what is beyond retention, every so often. */
  trim(): void {
    if (this.#untilTrim > 0) return;
    this.#untilTrim = TRIM_EVERY;
    const newest = Number(this.#newest.get()?.newest ?? 0);
    if (newest > FRAMES_KEPT) this.#trim.run(this.#trimmedTo, newest - FRAMES_KEPT);
    this.#trimmedTo = Math.max(this.#trimmedTo, newest - FRAMES_KEPT);
    if (newest > REFUSED_FRAMES_KEPT) this.#trimRefused.run(newest - REFUSED_FRAMES_KEPT);
  }
}
