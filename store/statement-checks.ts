/**
 * What is wrong with a database effect whatever the database is: names, columns, the key of an upsert, values. Everything is a Refusal with a
 * reason that its author understands.
 */
import type { SqlValue } from './database.ts';

/** A statement, and with it its write request, is refused. The message is the reason that goes into the receipt. */
export class Refusal extends Error {}

/** Of a user's table, what the checks need. */
export interface UpsertTable {
  readonly name: string;
  /** By lower-case name, as SQL compares names. */
  readonly columns: ReadonlyMap<string, string>;
  /** Names of the primary key's columns, in its order. */
  readonly key: readonly string[];
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;
export const STAMP_COLUMN = 'wmb_stamp';

/** What a client library takes. */
export type Parameter = string | number | bigint | null | Uint8Array;

/** The table that the upsert means; its columns and key are there. Refusal. */
export function checkUpsert<T extends UpsertTable>(
  tables: ReadonlyMap<string, T>,
  name: string,
  keyColumns: readonly string[],
  valueColumns: readonly string[],
): T {
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

function checkColumns(table: UpsertTable, keyColumns: readonly string[], valueColumns: readonly string[]): void {
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

/** A value as a database must get it: whole numbers as integers, or a column of text would store `5.0`. */
export function parameter(value: SqlValue | undefined, name: string): Parameter {
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
