/**
 * Row changes: recorded in the master as an SQLite changeset per transaction, applied in the slaves, in the binlog's place.
 *
 * SQLite skips without a word what does not fit the slave's schema: a table that is missing, with too few columns, or with another
 * primary key. So a changeset is walked first, and what would be skipped is a conflict (invariant I4: never skip). Format
 * (https://sqlite.org/sessionintro.html, sqlite3session.c):
 *
 *     per table   'T', number of columns (varint), a byte per column: its place in the primary key or 0, the name, 0
 *     per row     op (18 insert, 9 delete, 23 update), an indirect flag, the values: old ones, then new ones for an update
 *     per value   type: 0 unchanged, 5 NULL; 1 integer, 2 real: 8 bytes; 3 text, 4 blob: length (varint), bytes
 *
 * A varint is big-endian base 128, the top bit set in all bytes but the last, at most 9 bytes (the ninth whole).
 */
import { constants, type DatabaseSync, type Session } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import type { Tables } from './database-schema.ts';

/** The replicated table of WMB's own: by it a slave knows how far the master's database had come. */
export const MARKS_TABLE = 'wmb_marks';
const MARKS_COLUMNS = 5;
const MARKS_KEY_PLACES: readonly number[] = [1, 2, 3, 0, 0];

const ROW_DELETE = 9;
const ROW_INSERT = 18;
const ROW_UPDATE = 23;

/** Records what a transaction does to all tables with a primary key; WMB's own tables have none, except the marks. */
export class ChangeRecorder {
  readonly #db: DatabaseSync;
  #session: Session | undefined;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#session = db.createSession();
  }

  /** The changes so far, without those taken before. Empty where there are none. */
  peek(): Uint8Array {
    return this.#session?.changeset() ?? new Uint8Array();
  }

  /** Like peek, and begins anew. */
  take(): Uint8Array {
    const changes = this.peek();
    this.close();
    this.#session = this.#db.createSession();
    return changes;
  }

  close(): void {
    this.#session?.close();
    this.#session = undefined;
  }
}

/** Applies one changeset inside the caller's transaction. CHANGES_CONFLICT, naming the table, where anything does not fit. */
export function applyChangeset(db: DatabaseSync, tables: Tables, changes: Uint8Array): void {
  for (const table of changedTables(changes)) checkFits(tables, table);
  let table = '';
  let conflict = '';
  const applied = db.applyChangeset(changes, {
    // Called when a table's changes begin: so the conflict callback, which is told only the kind, knows the table.
    filter: (name) => {
      table = name;
      return true;
    },
    onConflict: (kind) => {
      conflict = CONFLICTS.get(kind) ?? `conflict ${kind}`;
      return constants.SQLITE_CHANGESET_ABORT;
    },
  });
  if (!applied) throw new WmbError('CHANGES_CONFLICT', `table ${table}: ${conflict}; nothing of the change was applied`);
}

/** By SQLite's number of the kind (SQLITE_CHANGESET_DATA and so on). */
const CONFLICTS = new Map<number, string>([
  [1, 'a row to change or delete has other values here (data)'],
  [2, 'a row to change or delete is missing here (notfound)'],
  [3, 'a row to insert is already here (conflict)'],
  [4, 'a row would break a UNIQUE, CHECK or NOT NULL constraint here (constraint)'],
  [5, 'a foreign key would be broken here (foreign key)'],
]);

interface ChangedTable {
  readonly name: string;
  readonly columns: number;
  readonly keyPlaces: readonly number[];
}

function checkFits(tables: Tables, changed: ChangedTable): void {
  const isMarks = changed.name === MARKS_TABLE;
  const table = tables.get(changed.name.toLowerCase());
  if (!isMarks && table === undefined)
    throw new WmbError('CHANGES_CONFLICT', `table ${changed.name} is missing here: run the master’s schema file in this room`);
  const columns = isMarks ? MARKS_COLUMNS : (table?.storedColumns ?? 0);
  const keyPlaces = isMarks ? MARKS_KEY_PLACES : (table?.keyPlaces ?? []);
  // A slave may have more columns at the end: a table grows in the slaves first.
  const fits = columns >= changed.columns && keyPlaces.every((place, at) => place === (changed.keyPlaces[at] ?? 0));
  if (!fits) {
    throw new WmbError(
      'CHANGES_CONFLICT',
      `table ${changed.name} has fewer columns or another primary key here than in the master room: run the master’s schema file in this room`,
    );
  }
}

/** The tables of a changeset; CHANGES_CONFLICT where it is none. */
export function changedTables(changes: Uint8Array): readonly ChangedTable[] {
  const tables: ChangedTable[] = [];
  const cursor = { at: 0 };
  let columns = 0;
  while (cursor.at < changes.length) {
    const mark = changes[cursor.at];
    cursor.at += 1;
    if (mark === 0x54) {
      const table = takeTable(changes, cursor);
      columns = table.columns;
      tables.push(table);
    } else if (columns > 0 && (mark === ROW_INSERT || mark === ROW_DELETE || mark === ROW_UPDATE)) {
      cursor.at += 1;
      skipValues(changes, cursor, mark === ROW_UPDATE ? 2 * columns : columns);
    } else throw malformed(cursor.at - 1);
  }
  if (cursor.at > changes.length) throw malformed(changes.length);
  return tables;
}

interface Cursor {
  at: number;
}

function takeTable(bytes: Uint8Array, cursor: Cursor): ChangedTable {
  const columns = takeVarint(bytes, cursor);
  const keyPlaces = [...bytes.subarray(cursor.at, cursor.at + columns)];
  cursor.at += columns;
  const end = bytes.indexOf(0, cursor.at);
  if (end < 0 || columns === 0) throw malformed(cursor.at);
  const name = Buffer.from(bytes.buffer, bytes.byteOffset + cursor.at, end - cursor.at).toString('utf8');
  cursor.at = end + 1;
  return { name, columns, keyPlaces };
}

function skipValues(bytes: Uint8Array, cursor: Cursor, count: number): void {
  for (let i = 0; i < count; i += 1) {
    const type = bytes[cursor.at];
    cursor.at += 1;
    if (type === 1 || type === 2) cursor.at += 8;
    else if (type === 3 || type === 4) {
      const length = takeVarint(bytes, cursor);
      cursor.at += length;
    } else if (type !== 0 && type !== 5) throw malformed(cursor.at - 1);
  }
}

function takeVarint(bytes: Uint8Array, cursor: Cursor): number {
  let value = 0;
  for (let i = 0; i < 8; i += 1) {
    const byte = bytes[cursor.at];
    if (byte === undefined) break;
    cursor.at += 1;
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return value;
  }
  throw malformed(cursor.at);
}

function malformed(at: number): WmbError {
  return new WmbError('CHANGES_CONFLICT', `the change is no SQLite changeset (byte ${at}); nothing of it was applied`);
}
