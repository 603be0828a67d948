/**
 * Rows of a table in primary key order, a page at a time: a statement that stayed open between two rows would see half of what other
 * work on this connection does meanwhile.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { Row, SqlValue } from '../database.ts';
import { quoted } from './database-quote.ts';
import type { Table } from './database-schema.ts';

const PAGE_ROWS = 512;

export function* readRows(db: DatabaseSync, table: Table): Iterable<Row> {
  const key = table.key.map(quoted).join(', ');
  const marks = table.key.map(() => '?').join(', ');
  const page = (where: string) => bigInts(db.prepare(`SELECT * FROM ${quoted(table.name)} ${where} ORDER BY ${key} LIMIT ${PAGE_ROWS}`));
  const next = page(`WHERE (${key}) > (${marks})`);
  let rows = page('').all();
  for (;;) {
    for (const row of rows) yield toRow(row);
    const last = rows[rows.length - 1];
    if (last === undefined || rows.length < PAGE_ROWS) return;
    rows = next.all(...table.key.map((column) => last[column] as SQLInputValue));
  }
}

/** 64-bit integers do not fit a number: without this, reading one throws. */
function bigInts(statement: StatementSync): StatementSync {
  statement.setReadBigInts(true);
  return statement;
}

function toRow(row: Readonly<Record<string, unknown>>): Row {
  const out: Record<string, SqlValue> = {};
  for (const [column, value] of Object.entries(row)) {
    out[column] = typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : (value as SqlValue);
  }
  return out;
}
