/**
 * A log as SQLite tables. They know nothing but the database handle, so that they can live in a file of their own (the write log
 * and the effect log) or inside another database, where frames commit together with what they tell of (the changes log).
 *
 *     wmb_log_identity     one row: which log this is, and its epoch
 *     wmb_log_partitions   per partition: the first stored and the next seq, totals, the greatest stamp
 *     wmb_log_frames       the frames; `before` is the number of write requests in the partition before this frame
 *     wmb_log_leases       writer leases, never deleted
 *     wmb_log_promise      at most one row: a stamp that every later writer's stamps exceed
 *
 * A frame's id is its partition and its seq, so that the frames of a partition lie side by side and one lookup finds a seq. The
 * next seq is counted apart from the frames, in the same transaction: frames that vanish from the table leave a hole that a reader
 * sees (LOG_GAP); their seqs are never given again.
 *
 * Format history: 1 — the first.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../../core/words.ts';
import type { FrameDraft } from '../log.ts';

export const LOG_FORMAT = 1;
/** A stamp has 24 bits for the lease (core/stamp.ts). */
const LEASE_MAX = 2 ** 24 - 1;
/** Seqs of one partition: at a thousand frames a second they last for 34 years. */
const SEQS = 2 ** 40;

const TABLES = `
  CREATE TABLE IF NOT EXISTS wmb_log_identity (
    one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, log TEXT NOT NULL, origin TEXT NOT NULL,
    partitions INTEGER NOT NULL, epoch TEXT NOT NULL, made_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS wmb_log_partitions (
    partition INTEGER PRIMARY KEY, first INTEGER NOT NULL, next INTEGER NOT NULL, writes INTEGER NOT NULL,
    bytes INTEGER NOT NULL, stamp_last TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS wmb_log_frames (
    id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, before INTEGER NOT NULL, count INTEGER NOT NULL,
    stamp_last TEXT NOT NULL, frame BLOB NOT NULL
  ) STRICT;
  DROP INDEX IF EXISTS wmb_log_frames_before;
  CREATE TABLE IF NOT EXISTS wmb_log_leases (
    lease INTEGER PRIMARY KEY AUTOINCREMENT, holder TEXT NOT NULL, taken_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS wmb_log_promise (one INTEGER PRIMARY KEY CHECK (one = 1), stamp TEXT NOT NULL) STRICT;
`;

/** Which log it is. */
export interface LogIdentity {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partitions: number;
  /** Made with the tables. */
  readonly epoch: LogEpoch;
}

/**
 * Creates the tables where they are missing, with a new epoch, and returns whose log they hold. LOG_FOREIGN where they hold another
 * log than `wanted`. `place` names the file in messages. Call it outside a transaction, or in one of its own.
 */
export function createFrameTables(
  db: DatabaseSync,
  options: { readonly wanted: Omit<LogIdentity, 'epoch'>; readonly runtime: Runtime; readonly place: string },
): LogIdentity {
  const { wanted, runtime, place } = options;
  const stored = readIdentity(db, place);
  if (stored !== undefined) requireSame(stored, wanted, place);
  // A log that was made before one of the tables gets it now.
  db.exec(TABLES);
  if (stored !== undefined) return stored;
  const epoch = Buffer.from(runtime.bytes(8)).toString('hex');
  db.prepare('INSERT INTO wmb_log_identity VALUES (1, ?, ?, ?, ?, ?, ?)').run(
    LOG_FORMAT,
    wanted.log,
    wanted.origin,
    wanted.partitions,
    epoch,
    Math.floor(runtime.nowMs()),
  );
  const insert = db.prepare("INSERT INTO wmb_log_partitions VALUES (?, 0, 0, 0, 0, '')");
  for (let partition = 0; partition < wanted.partitions; partition += 1) insert.run(partition);
  return { ...wanted, epoch };
}

/** Whose log the database holds; undefined where it holds none. LOG_FOREIGN where a newer WMB made it. */
export function readIdentity(db: DatabaseSync, place: string): LogIdentity | undefined {
  const table = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'wmb_log_identity'").get();
  const row = table === undefined ? undefined : db.prepare('SELECT * FROM wmb_log_identity').get();
  if (row === undefined) return undefined;
  if (Number(row.format) > LOG_FORMAT) {
    throw new WmbError(
      'LOG_FOREIGN',
      `${place} has log format ${row.format}; this WMB knows formats up to ${LOG_FORMAT}. Start the newer WMB`,
    );
  }
  return { log: row.log as LogName, origin: String(row.origin), partitions: Number(row.partitions), epoch: String(row.epoch) };
}

/** `stored` where it is the log `wanted`, otherwise LOG_FOREIGN with both sides named. */
export function requireSame(stored: LogIdentity, wanted: Partial<LogIdentity>, place: string): LogIdentity {
  const same =
    stored.log === wanted.log && stored.origin === wanted.origin && stored.partitions === (wanted.partitions ?? stored.partitions);
  if (same) return stored;
  throw new WmbError('LOG_FOREIGN', `${place} holds ${describe(stored)}, but the configuration asks for ${describe(wanted)}`);
}

function describe(identity: Partial<LogIdentity>): string {
  const partitions = identity.partitions === undefined ? '' : ` with ${identity.partitions} partitions`;
  return `the ${identity.log} log of room ${identity.origin}${partitions}`;
}

/** The primary key of a frame. */
export function frameId(partition: number, seq: Seq): number {
  return partition * SEQS + seq;
}

export function seqOf(id: number): Seq {
  return id % SEQS;
}

/** Counters of one partition. */
export interface PartitionRow {
  readonly partition: number;
  readonly first: Seq;
  readonly next: Seq;
  readonly writes: number;
  readonly bytes: number;
  readonly stampLast: Stamp;
}

export function readPartition(db: DatabaseSync, partition: number): PartitionRow {
  const row = statementsOf(db).partition.get(partition);
  if (row === undefined) throw new WmbError('INTERNAL', `the log has no partition ${partition}`);
  return toPartitionRow(row);
}

export function toPartitionRow(row: Record<string, unknown>): PartitionRow {
  return {
    partition: Number(row.partition),
    first: Number(row.first),
    next: Number(row.next),
    writes: Number(row.writes),
    bytes: Number(row.bytes),
    stampLast: String(row.stamp_last),
  };
}

/** Appends within the caller's transaction, which makes them durable or undoes them. The seqs are in the order of the drafts. */
export function appendFrames(db: DatabaseSync, drafts: readonly Omit<FrameDraft, 'stampFirst'>[]): Seq[] {
  const sql = statementsOf(db);
  const rows = new Map<number, PartitionRow>();
  const seqs = drafts.map((draft) => {
    const row = rows.get(draft.partition) ?? readPartition(db, draft.partition);
    sql.insertFrame.run(frameId(draft.partition, row.next), draft.partition, row.writes, draft.count, draft.stampLast, draft.bytes);
    rows.set(draft.partition, {
      ...row,
      next: row.next + 1,
      writes: row.writes + draft.count,
      bytes: row.bytes + draft.bytes.length,
      stampLast: greaterStamp(draft.stampLast, row.stampLast),
    });
    return row.next;
  });
  for (const row of rows.values()) sql.updatePartition.run(row.next, row.writes, row.bytes, row.stampLast, row.partition);
  return seqs;
}

function greaterStamp(a: Stamp, b: Stamp): Stamp {
  if (a > b) return a;
  return b;
}

/** Takes the next writer lease within the caller's transaction. */
export function insertLease(db: DatabaseSync, holder: string, nowMs: number): { readonly lease: number; readonly stampLast: Stamp } {
  const lease = Number(
    db.prepare('INSERT INTO wmb_log_leases (holder, taken_ms) VALUES (?, ?)').run(holder, Math.floor(nowMs)).lastInsertRowid,
  );
  if (lease > LEASE_MAX) {
    throw new WmbError(
      'LOG_UNAVAILABLE',
      `all ${LEASE_MAX} writer leases of this log have been given; give the room a new room number and log`,
    );
  }
  const row = db
    .prepare(
      'SELECT max(stamp) AS stamp FROM (SELECT stamp_last AS stamp FROM wmb_log_partitions UNION ALL SELECT stamp FROM wmb_log_promise)',
    )
    .get();
  return { lease, stampLast: String(row?.stamp ?? '') };
}

/** Raises the promise to `stamp`, within the caller's transaction. */
export function raisePromise(db: DatabaseSync, stamp: Stamp): undefined {
  db.prepare(
    'INSERT INTO wmb_log_promise VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET stamp = excluded.stamp WHERE excluded.stamp > stamp',
  ).run(stamp);
}

interface Statements {
  readonly partition: StatementSync;
  readonly insertFrame: StatementSync;
  readonly updatePartition: StatementSync;
}

/** Prepared once per handle; they go with it. */
const prepared = new WeakMap<DatabaseSync, Statements>();

function statementsOf(db: DatabaseSync): Statements {
  const known = prepared.get(db);
  if (known !== undefined) return known;
  const made: Statements = {
    partition: db.prepare('SELECT * FROM wmb_log_partitions WHERE partition = ?'),
    insertFrame: db.prepare('INSERT INTO wmb_log_frames VALUES (?, ?, ?, ?, ?, ?)'),
    updatePartition: db.prepare('UPDATE wmb_log_partitions SET next = ?, writes = ?, bytes = ?, stamp_last = ? WHERE partition = ?'),
  };
  prepared.set(db, made);
  return made;
}
