/**
 * The database port. In the master room the statements of a batch of write requests, the record of each request and the
 * batch's mark commit in one transaction. A statement that the database refuses undoes its own write request only
 * (savepoint), and the refusal is recorded in the same transaction: after a crash between database and cache the collector
 * asks `recorded` what became of the write requests below the database's mark instead of running them again.
 *
 * An embedded master also turns every commit into a frame of the `changes` log (in the same transaction), which embedded
 * slaves apply with `applyChanges`; real databases replicate by themselves, and their adapters have no changes log.
 *
 * Adapters must pass store/database.contract.ts.
 */
import type { Stamp } from '../core/stamp.ts';
import type { Lane, Mark, Seq } from '../core/words.ts';
import type { MarkMove } from './cache.ts';

export type SqlValue = string | number | bigint | null | Uint8Array;
export type Row = Readonly<Record<string, SqlValue>>;

/** A database effect. Table and column names are identifiers, never user input. */
export type Statement =
  /**
   * Versioned upsert: inserts the row, or updates it where the stored `wmb_stamp` is smaller than the write request's
   * stamp. The table has a column `wmb_stamp` of 24 characters and a primary key of exactly the columns of `key`.
   */
  | { readonly op: 'upsert'; readonly table: string; readonly key: Row; readonly values: Row }
  /** Plain SQL with `?` placeholders. Its author answers for convergence. */
  | { readonly op: 'sql'; readonly text: string; readonly params: readonly SqlValue[] };

export interface DatabaseWrite {
  readonly requestId: string;
  readonly stamp: Stamp;
  /** Where the write request stands in its lane. */
  readonly seq: Seq;
  readonly index: number;
  readonly statements: readonly Statement[];
  /**
   * It does not run now, for this reason, and is recorded as refused: a collector that has lost its own record of it must not take it for
   * committed, because the mark has passed it.
   */
  readonly withheld?: string | undefined;
  /**
   * Write requests of one key run in order: where one is refused, those of its key behind it in the batch do not run and are refused too,
   * because they are going to run behind it. Undefined: in no order.
   */
  readonly key?: string | undefined;
  /** It is given up when it is refused, and its key goes on. */
  readonly passes?: boolean;
}

export interface DatabaseBatch {
  /** Empty: a retry from the parking lot. */
  readonly moves: readonly MarkMove[];
  readonly lane: Lane;
  readonly writes: readonly DatabaseWrite[];
}

/** `refused`: the database said no to this write request; the others of the batch are committed. */
export type DatabaseOutcome = { readonly status: 'committed' } | { readonly status: 'refused'; readonly reason: string };

export type DatabaseResult =
  | { readonly moved: true; readonly outcomes: readonly DatabaseOutcome[] }
  | { readonly moved: false; readonly stored: Mark | undefined };

export interface DatabaseStore {
  open(): Promise<void>;
  marks(): Promise<readonly Mark[]>;
  /** Master room only. */
  execute(batch: DatabaseBatch): Promise<DatabaseResult>;
  /** What became of the write requests of one frame that lies at or below the database's mark: refused ones by index. A mark that goes back takes them with it. */
  recorded(lane: Lane, seq: Seq): Promise<ReadonlyMap<number, string>>;
  /** Embedded slave only: applies one frame's change sets and moves its mark in one transaction. CHANGES_CONFLICT where a row differs. */
  applyChanges(move: MarkMove, changes: readonly Uint8Array[]): Promise<{ readonly moved: boolean; readonly stored: Mark | undefined }>;
  /** User tables (not WMB's own), for comparison: names in order. */
  tables(): Promise<readonly string[]>;
  /** All rows of a table in primary key order. */
  rows(table: string): AsyncIterable<Row>;
  close(): Promise<void>;
}
