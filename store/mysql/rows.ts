/** Rows of a table in primary key order, a page at a time: a result that stayed open would hold the connection. */
import type { Row } from '../database.ts';
import type { Parameter } from '../statement-checks.ts';
import { literal, quoted } from './literals.ts';
import type { CellRow, Session } from './session.ts';
import type { Table } from './user-tables.ts';

const PAGE_ROWS = 512;

export async function* readRows(session: () => Promise<Session>, table: Table): AsyncIterable<Row> {
  const order = table.key.map(quoted).join(', ');
  const page = async (where: string) =>
    (await session()).rows(`SELECT * FROM ${quoted(table.name)} ${where} ORDER BY ${order} LIMIT ${PAGE_ROWS}`);
  let rows = await page('');
  for (;;) {
    for (const row of rows) yield { ...row };
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE_ROWS) return;
    rows = await page(`WHERE ${behind(table.key, last)}`);
  }
}

/** `(a, b) > (?, ?)`, told in such a way that the server finds the place in its index. */
export function behind(key: readonly string[], row: CellRow): string {
  const [first = '', ...rest] = key;
  const column = quoted(first);
  const value = literal(row[first] as Parameter);
  if (rest.length === 0) return `${column} > ${value}`;
  return `${column} >= ${value} AND (${column} > ${value} OR (${behind(rest, row)}))`;
}
