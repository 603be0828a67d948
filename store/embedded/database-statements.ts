/**
 * Database effects as prepared statements, compiled once per shape: an upsert per table and columns, plain SQL per text. Everything about
 * a statement that can be wrong is a Refusal with a reason that its author understands.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Row, SqlValue, Statement } from '../database.ts';
import { Refusal } from './database-errors.ts';
import type { SqlGuard } from './database-guard.ts';
import type { Table, Tables } from './database-schema.ts';
import { quoted, splitSql } from './database-sql.ts';

/** Shapes are few unless a processor pastes values into its SQL; then forgetting all now and then costs less than keeping count. */
const SHAPES_MAX = 1_024;
const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
const STAMP_COLUMN = 'wmb_stamp';

type Parameter = string | number | bigint | null | Uint8Array;

interface PlainSql {
  readonly statement: StatementSync;
  readonly placeholders: number;
}

export class Statements {
  readonly #db: DatabaseSync;
  readonly #guard: SqlGuard;
  readonly #tables: Tables;
  readonly #upserts = new Map<string, StatementSync>();
  readonly #texts = new Map<string, PlainSql>();

  constructor(db: DatabaseSync, guard: SqlGuard, tables: Tables) {
    this.#db = db;
    this.#guard = guard;
    this.#tables = tables;
  }

  /** Runs one statement of a write request with this stamp. Throws a Refusal, or what SQLite threw. */
  run(statement: Statement, stamp: string): void {
    if (statement.op === 'sql') this.#runText(statement.text, statement.params);
    else if (statement.op === 'upsert') this.#runUpsert(statement.table, statement.key, statement.values, stamp);
    else throw new Refusal(`${String((statement as { op: unknown }).op)} is no database effect; there are upsert and sql`);
  }

  #runUpsert(table: string, key: Row, values: Row, stamp: string): void {
    const keyColumns = Object.keys(key);
    const valueColumns = Object.keys(values);
    const shape = `${table}(${keyColumns.join()})(${valueColumns.join()})`;
    const upsert = this.#upserts.get(shape) ?? this.#compileUpsert(shape, table, keyColumns, valueColumns);
    const params: Parameter[] = [];
    for (const column of keyColumns) params.push(parameter(key[column], column));
    for (const column of valueColumns) params.push(parameter(values[column], column));
    params.push(stamp);
    upsert.run(...params);
  }

  #compileUpsert(shape: string, name: string, keyColumns: readonly string[], valueColumns: readonly string[]): StatementSync {
    const table = checkUpsert(this.#tables, name, keyColumns, valueColumns);
    const columns = [...keyColumns, ...valueColumns, STAMP_COLUMN].map(quoted);
    const updates = [...valueColumns, STAMP_COLUMN].map((column) => `${quoted(column)} = excluded.${quoted(column)}`);
    // A row that plain SQL wrote without a stamp is older than every stamped write.
    const text =
      `INSERT INTO ${quoted(table.name)} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')}) ` +
      `ON CONFLICT (${keyColumns.map(quoted).join(', ')}) DO UPDATE SET ${updates.join(', ')} ` +
      `WHERE excluded.${STAMP_COLUMN} > ifnull(${quoted(table.name)}.${STAMP_COLUMN}, '')`;
    // Guarded because a trigger of the user's may fire.
    const prepared = this.#guard.under('statement', () => this.#db.prepare(text));
    remember(this.#upserts, shape, prepared);
    return prepared;
  }

  #runText(text: string, params: readonly SqlValue[]): void {
    const plain = this.#texts.get(text) ?? this.#compileText(text);
    if (params.length !== plain.placeholders) {
      throw new Refusal(`the statement has ${plain.placeholders} placeholders (?) and ${params.length} parameters`);
    }
    plain.statement.run(...params.map((value, at) => parameter(value, `parameter ${at + 1}`)));
  }

  #compileText(text: string): PlainSql {
    const parts = splitSql(text);
    const [part] = parts;
    if (part === undefined || parts.length > 1)
      throw new Refusal(`one SQL statement is expected in a database effect, not ${parts.length}`);
    const plain = { statement: this.#guard.under('statement', () => this.#db.prepare(part.text)), placeholders: part.placeholders };
    remember(this.#texts, text, plain);
    return plain;
  }
}

function checkUpsert(tables: Tables, name: string, keyColumns: readonly string[], valueColumns: readonly string[]): Table {
  for (const identifier of [name, ...keyColumns, ...valueColumns]) {
    if (!IDENTIFIER.test(identifier))
      throw new Refusal(`“${identifier}” is no name for a table or column: letters, digits and _ are allowed`);
  }
  if (/^wmb_/i.test(name)) throw new Refusal(`${name}: names that begin with wmb_ are WMB’s own`);
  const table = tables.get(name.toLowerCase());
  if (table === undefined) throw new Refusal(`no such table: ${name}`);
  checkColumns(table, keyColumns, valueColumns);
  return table;
}

function checkColumns(table: Table, keyColumns: readonly string[], valueColumns: readonly string[]): void {
  const seen = new Set<string>();
  for (const column of [...keyColumns, ...valueColumns].map((given) => given.toLowerCase())) {
    if (column === STAMP_COLUMN) throw new Refusal(`${STAMP_COLUMN} is set by WMB, not by the processor`);
    if (!table.columns.has(column)) throw new Refusal(`table ${table.name} has no column ${column}`);
    if (seen.has(column)) throw new Refusal(`column ${column} of table ${table.name} is given twice`);
    seen.add(column);
  }
  if (!table.columns.has(STAMP_COLUMN))
    throw new Refusal(`table ${table.name} has no column ${STAMP_COLUMN} (24 characters), which a versioned upsert needs`);
  const given = keyColumns.map((column) => column.toLowerCase());
  if (given.length !== table.key.length || !table.key.every((column) => given.includes(column.toLowerCase()))) {
    throw new Refusal(`the primary key of table ${table.name} is (${table.key.join(', ')}), not (${keyColumns.join(', ')})`);
  }
}

/** A value as SQLite must get it: whole numbers as integers, or a TEXT column would store `5.0`. */
function parameter(value: SqlValue | undefined, name: string): Parameter {
  if (typeof value === 'string' || value === null || value instanceof Uint8Array) return value;
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return BigInt(value);
    if (Number.isFinite(value)) return value;
  }
  if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return value;
  throw new Refusal(`${name}: ${describe(value)} is no SQL value (string, finite number, 64-bit bigint, null or bytes)`);
}

function describe(value: unknown): string {
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : `a value of type ${typeof value}`;
}

function remember<V>(cache: Map<string, V>, key: string, value: V): void {
  if (cache.size >= SHAPES_MAX) cache.clear();
  cache.set(key, value);
}
