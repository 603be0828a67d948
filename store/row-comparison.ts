/**
 * A database as one side of a comparison of rows (L4). Hashes are made by the server, 64 bits of a cryptographic one over key and values of a row, so that two values that changed
 * places between rows show; a checksum that is added up would not tell.
 */
import type { Row } from './database.ts';

/** Key columns' values in the order of the primary key. */
export type RowKey = readonly (string | number | bigint | Uint8Array | null)[];

/** Rows with keys above `after` (undefined: from the first) up to and including `upTo` (undefined: to the last). */
export interface RowRange {
  readonly table: string;
  readonly after: RowKey | undefined;
  readonly upTo: RowKey | undefined;
}

export interface RowHash {
  readonly key: RowKey;
  readonly hash: string;
}

export interface ComparableDatabase {
  /** The user's tables, in order. */
  tables(): Promise<readonly string[]>;
  /** Columns and primary key of a table, in their order, for people. Rows can be compared where both sides say the same. */
  shape(table: string): Promise<string>;
  /** The key of the row that is `rows` rows behind `after`; undefined: there are fewer. */
  boundary(table: string, after: RowKey | undefined, rows: number): Promise<RowKey | undefined>;
  /** Number of rows and the sum of their hashes, as text; equal for equal rows. */
  digest(range: RowRange): Promise<string>;
  hashes(range: RowRange): Promise<readonly RowHash[]>;
  /** By key; those that are not there are left out. */
  hashesOf(table: string, keys: readonly RowKey[]): Promise<readonly RowHash[]>;
  row(table: string, key: RowKey): Promise<Row | undefined>;
  /** How far the server has come, in its own words. */
  position(): Promise<string>;
  /** Whether it has come as far within the time. */
  reaches(position: string, msMax: number): Promise<boolean>;
  /** Whether replication to this server overwrites rows that are there already, and passes over those that are to go and are not there. */
  overwrites(): Promise<boolean>;
  close(): Promise<void>;
}

export type RowDrift = 'value' | 'missing' | 'extra';

/** A row that the slave shows otherwise. */
export interface DifferingRow {
  readonly table: string;
  readonly key: RowKey;
  /** `missing`: the slave lacks it. `extra`: the master does. */
  readonly kind: RowDrift;
}

export interface RowRepair {
  /**
   * Writes the row anew in the master, unchanged, so that replication carries it to the slave; never to the slave. A line for each statement. In a dry run nothing is
   * done.
   */
  repair(row: DifferingRow, slaveRow: Row | undefined, dryRun: boolean): Promise<readonly string[]>;
}
