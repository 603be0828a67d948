/**
 * The tables of a log's index: what must be known of every frame without asking Kafka for it. It is a copy in a file of the room's directory, made from
 * the frames' headers. Nothing is lost with it: where it is missing, damaged, or of another log epoch it is made anew.
 *
 *     wmb_index_identity     one row: the log epoch
 *     wmb_index_partitions   per partition: the first kept and the next seq, totals, the greatest stamp, and what later ones exceed
 *     wmb_index_frames       `before` is the number of write requests in the partition before this frame; `greatest` and `through`, see StampBounds, are null where they are its last stamp
 *
 * Format history: 1 — the first. 2 — several processes may append.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { Stamp } from '../../core/stamp.ts';
import type { LogEpoch, Seq } from '../../core/words.ts';
import type { StampBounds } from '../log.ts';

const FORMAT = 2;
/** Seqs of one partition, as in log/embedded/schema.ts. */
const SEQS = 2 ** 40;
/** Rows removed at once, so that nothing waits for long. */
const GARBAGE_ROWS_MAX = 4_096;

const TABLES = `
  CREATE TABLE wmb_index_identity (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, epoch TEXT NOT NULL) STRICT;
  CREATE TABLE wmb_index_partitions (
    partition INTEGER PRIMARY KEY, first INTEGER NOT NULL, next INTEGER NOT NULL, writes INTEGER NOT NULL,
    bytes INTEGER NOT NULL, stamp_last TEXT NOT NULL, through TEXT NOT NULL
  ) STRICT;
  CREATE TABLE wmb_index_frames (
    id INTEGER PRIMARY KEY, before INTEGER NOT NULL, count INTEGER NOT NULL, bytes INTEGER NOT NULL, stamp_last BLOB NOT NULL,
    greatest BLOB, through BLOB
  ) STRICT;
`;

export interface IndexedPartition {
  readonly first: Seq;
  readonly next: Seq;
  /** Of the whole epoch, up to `next`. */
  readonly writes: number;
  /** Of the frames from `first` on. */
  readonly bytes: number;
  /** The greatest. */
  readonly stampLast: Stamp;
  readonly through: Stamp;
}

export interface IndexedFrame extends StampBounds {
  readonly before: number;
  readonly count: number;
  readonly bytes: number;
  readonly stampLast: Stamp;
}

export class IndexTables {
  readonly #db: DatabaseSync;
  readonly #partition: StatementSync;
  readonly #frame: StatementSync;

  /** The tables are there. */
  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#partition = db.prepare('SELECT * FROM wmb_index_partitions WHERE partition = ?');
    this.#frame = db.prepare('SELECT before, count, bytes, stamp_last, greatest, through FROM wmb_index_frames WHERE id = ?');
  }

  partition(partition: number): IndexedPartition | undefined {
    const row = this.#partition.get(partition);
    if (row === undefined) return undefined;
    const { first, next, writes, bytes, stamp_last: stampLast, through } = row;
    const seqs = { first: Number(first), next: Number(next) };
    return { ...seqs, writes: Number(writes), bytes: Number(bytes), stampLast: String(stampLast), through: String(through) };
  }

  frame(partition: number, seq: Seq): IndexedFrame | undefined {
    const row = this.#frame.get(idOf(partition, seq));
    return row && toFrame(row);
  }

  /** Bytes of the frames from seq `from` up to, not including, `to`. */
  bytesBetween(partition: number, from: Seq, to: Seq): number {
    const sql = 'SELECT sum(bytes) AS bytes FROM wmb_index_frames WHERE id >= ? AND id < ?';
    return Number(this.#db.prepare(sql).get(idOf(partition, from), idOf(partition, to))?.bytes ?? 0);
  }

  insert(partition: number, from: Seq, frames: readonly IndexedFrame[]): void {
    const sql = this.#db.prepare('INSERT OR REPLACE INTO wmb_index_frames VALUES (?, ?, ?, ?, ?, ?, ?)');
    for (const [at, { before, count, bytes, stampLast, ...bounds }] of frames.entries()) {
      const other = (stamp: Stamp) => (stamp === stampLast ? null : Buffer.from(stamp, 'hex'));
      const id = idOf(partition, from + at);
      sql.run(id, before, count, bytes, Buffer.from(stampLast, 'hex'), other(bounds.greatest), other(bounds.through));
    }
  }

  update(partition: number, { first, next, writes, bytes, stampLast, through }: IndexedPartition): void {
    this.#db
      .prepare('INSERT OR REPLACE INTO wmb_index_partitions VALUES (?, ?, ?, ?, ?, ?, ?)')
      .run(partition, first, next, writes, bytes, stampLast, through);
  }

  /** Removes some rows before `first`; false where there may be more. */
  removeBefore(partition: number, first: Seq): boolean {
    const sql = 'DELETE FROM wmb_index_frames WHERE id IN (SELECT id FROM wmb_index_frames WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)';
    const { changes } = this.#db.prepare(sql).run(idOf(partition, 0), idOf(partition, first), GARBAGE_ROWS_MAX);
    return Number(changes) < GARBAGE_ROWS_MAX;
  }

  /** Removes every row from `from` on. */
  removeFrom(partition: number, from: Seq): void {
    this.#db.prepare('DELETE FROM wmb_index_frames WHERE id >= ? AND id < ?').run(idOf(partition, from), idOf(partition + 1, 0));
  }
}

/** The epoch whose index it is; undefined where it holds none, or one of another format. Throws where the file is damaged. */
export function indexedEpoch(db: DatabaseSync): LogEpoch | undefined {
  const table = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'wmb_index_identity'").get();
  const row = table && db.prepare('SELECT format, epoch FROM wmb_index_identity').get();
  return row?.format === FORMAT ? String(row.epoch) : undefined;
}

/** Makes the tables anew, empty, within the caller's transaction. */
export function createIndex(db: DatabaseSync, epoch: LogEpoch, partitions: number): void {
  for (const table of ['identity', 'partitions', 'frames']) db.exec(`DROP TABLE IF EXISTS wmb_index_${table}`);
  db.exec(TABLES);
  db.prepare('INSERT INTO wmb_index_identity VALUES (1, ?, ?)').run(FORMAT, epoch);
  const insert = db.prepare("INSERT INTO wmb_index_partitions VALUES (?, 0, 0, 0, 0, '', '')");
  for (let partition = 0; partition < partitions; partition += 1) insert.run(partition);
}

function toFrame({ before, count, bytes, stamp_last: last, greatest, through }: Record<string, unknown>): IndexedFrame {
  const stamp = (stored: unknown) => Buffer.from((stored ?? last) as Uint8Array).toString('hex');
  const stamps = { stampLast: stamp(last), greatest: stamp(greatest), through: stamp(through) };
  return { before: Number(before), count: Number(count), bytes: Number(bytes), ...stamps };
}

function idOf(partition: number, seq: Seq): SQLInputValue {
  return partition * SEQS + seq;
}
