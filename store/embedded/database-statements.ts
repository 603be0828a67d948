/**
 * Database effects as prepared statements, compiled once per shape: an upsert per table and columns, plain SQL per text. Everything about
 * a statement that can be wrong is a Refusal with a reason that its author understands.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Row, SqlValue, Statement } from '../database.ts';
import { splitSql } from '../sql-text.ts';
import { checkUpsert, type Parameter, parameter, Refusal, STAMP_COLUMN } from '../statement-checks.ts';
import type { SqlGuard } from './database-guard.ts';
import { quoted } from './database-quote.ts';
import type { Tables } from './database-schema.ts';

/** Shapes are few unless a processor pastes values into its SQL; then forgetting all now and then costs less than keeping count. */
const SHAPES_MAX = 1_024;

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
    const parts = splitSql(text, 'sqlite');
    const [part] = parts;
    if (part === undefined || parts.length > 1)
      throw new Refusal(`one SQL statement is expected in a database effect, not ${parts.length}`);
    const plain = { statement: this.#guard.under('statement', () => this.#db.prepare(part.text)), placeholders: part.placeholders };
    remember(this.#texts, text, plain);
    return plain;
  }
}

function remember<V>(cache: Map<string, V>, key: string, value: V): void {
  if (cache.size >= SHAPES_MAX) cache.clear();
  cache.set(key, value);
}
