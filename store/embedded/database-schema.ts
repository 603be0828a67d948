/** The user's tables: made by the schema file, checked for what replication by row changes needs, and listed for the statements. */
import { readFileSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import { splitSql } from '../sql-text.ts';
import { refusalReason } from './database-errors.ts';
import type { SqlGuard } from './database-guard.ts';
import { quoted } from './database-quote.ts';

export interface Table {
  readonly name: string;
  /** By lower-case name, as SQL compares names. */
  readonly columns: ReadonlyMap<string, string>;
  /** Names of the primary key's columns, in its order. */
  readonly key: readonly string[];
  /** Number of columns in a changeset: generated ones are not in it. */
  readonly storedColumns: number;
  /** For each stored column, its place in the primary key from 1, or 0. */
  readonly keyPlaces: readonly number[];
}

/** By lower-case name. */
export type Tables = ReadonlyMap<string, Table>;

/** Runs the statements of `file`. SCHEMA_INVALID names file, line and statement; CONFIG_UNREADABLE where it cannot be read. */
export function runSchemaFile(db: DatabaseSync, guard: SqlGuard, file: string): void {
  for (const part of splitSql(readSchema(file), 'sqlite')) {
    try {
      guard.under('schema', () => db.exec(part.text));
    } catch (cause) {
      const reason = refusalReason(cause);
      if (reason === undefined) throw cause;
      throw new WmbError('SCHEMA_INVALID', `${file}:${part.line}: ${reason}, in “${excerpt(part.text)}”`, { cause });
    }
  }
}

function readSchema(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new WmbError('CONFIG_UNREADABLE', `the schema file ${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function excerpt(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
}

/** The user's tables, each fit for replication; SCHEMA_INVALID, naming the table, otherwise. `source` is the schema file, for messages. */
export function readTables(db: DatabaseSync, source: string): Tables {
  const tables = new Map<string, Table>();
  const rows = db.prepare(`SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name`).all();
  for (const row of rows) {
    const name = String(row.name);
    if (/^(sqlite|wmb)_/i.test(name)) continue;
    tables.set(name.toLowerCase(), readTable(db, name, String(row.sql), source));
  }
  return tables;
}

interface Column {
  readonly name: string;
  readonly type: string;
  readonly notnull: number;
  readonly pk: number;
  /** 0 for a plain column, 2 and 3 for generated ones. */
  readonly hidden: number;
}

function readTable(db: DatabaseSync, name: string, sql: string, source: string): Table {
  const columns = db.prepare('SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)').all(name) as unknown as Column[];
  const stored = columns.filter((column) => column.hidden === 0);
  const key = stored.filter((column) => column.pk > 0).sort((a, b) => a.pk - b.pk);
  const unfit = unfitness(key, sql);
  if (unfit !== undefined) throw new WmbError('SCHEMA_INVALID', `${source}: table ${name} ${unfit}`);
  return {
    name,
    columns: new Map(columns.map((column) => [column.name.toLowerCase(), column.name])),
    key: key.map((column) => column.name),
    storedColumns: stored.length,
    keyPlaces: stored.map((column) => column.pk),
  };
}

/** Why row changes of such a table cannot reach the slaves, or cannot be blamed on one write request. */
function unfitness(key: readonly Column[], sql: string): string | undefined {
  const [first] = key;
  if (first === undefined) return 'has no PRIMARY KEY: its row changes could not be named to the slave rooms';
  const isRowid = key.length === 1 && first.type.toUpperCase() === 'INTEGER';
  const nullable = key.find((column) => column.notnull === 0);
  if (nullable !== undefined && !isRowid) {
    return `has a primary key column ${nullable.name} that may be NULL: rows without a key would not reach the slave rooms; declare it NOT NULL`;
  }
  if (/\binitially\s+deferred\b/i.test(sql))
    return 'has a deferred foreign key: it would fail at the commit, where no write request can be blamed';
  return undefined;
}

/**
 * Triggers fire in the master only: what they did arrives as row changes, and firing them again here would do it twice. (MySQL's
 * row-based replication does the same.)
 */
export function dropTriggers(db: DatabaseSync): void {
  for (const row of db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'trigger'`).all()) {
    db.exec(`DROP TRIGGER ${quoted(String(row.name))}`);
  }
}
