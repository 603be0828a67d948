/**
 * Which statements go to the server for a run of write requests. Upserts into one table with the same columns become one statement of many rows: the
 * server takes its rows one after the other, so a key that comes twice is no exception. Upserts into different tables may pass each other only
 * where a table is by itself (no triggers, no foreign keys); nothing passes plain SQL.
 */
import type { Row, Statement } from '../database.ts';
import { checkUpsert, type Parameter, parameter, Refusal, STAMP_COLUMN } from '../statement-checks.ts';
import type { Dialect } from './dialect.ts';
import { checkStatement } from './guard.ts';
import { literal, quoted, text } from './literals.ts';
import type { Session } from './session.ts';
import type { Table, Tables } from './user-tables.ts';

/** An upsert or a plain statement that has passed all checks that need no server. */
export type Checked =
  | { readonly op: 'upsert'; readonly shape: Shape; readonly cells: readonly string[]; readonly stamp: string; readonly bytes: number }
  | { readonly op: 'sql'; readonly text: string; readonly params: readonly Parameter[] };

/** An upsert into these columns of a table. */
interface Shape {
  readonly table: Table;
  readonly keys: readonly string[];
  readonly values: readonly string[];
  readonly head: string;
  readonly tail: string;
}

const SHAPES_MAX = 1_024;
/** A statement of many rows is cut here, in bytes of its text. */
const ROWS_BYTES_MAX = 512 * 1024;
/** Beside the values: names, quotes, the protocol. */
const PACKET_SPARE_BYTES = 4_096;

export interface CheckerOptions {
  readonly tables: Tables;
  readonly dialect: Dialect;
  /** max_allowed_packet of the server. */
  readonly packetBytesMax: number;
}

/** Checks statements without the server, and remembers what it has seen. */
export class Checker {
  readonly #options: CheckerOptions;
  readonly #shapes = new Map<string, Shape>();
  readonly #texts = new Map<string, ReturnType<typeof checkStatement>>();

  constructor(options: CheckerOptions) {
    this.#options = options;
  }

  /** Refusal. */
  check(statement: Statement, stamp: string): Checked {
    if (statement.op === 'upsert') return this.#upsert(statement.table, statement.key, statement.values, stamp);
    if (statement.op === 'sql') return this.#plain(statement.text, statement.params);
    throw new Refusal(`${String((statement as { op: unknown }).op)} is no database effect; there are upsert and sql`);
  }

  #upsert(table: string, key: Row, values: Row, stamp: string): Checked {
    const keys = Object.keys(key);
    const columns = Object.keys(values);
    const name = `${table}(${keys.join()})(${columns.join()})`;
    const shape = this.#shapes.get(name) ?? remember(this.#shapes, name, this.#shape(table, keys, columns));
    const cells: string[] = [];
    let bytes = 64;
    for (const column of keys) bytes += push(cells, literal(parameter(key[column], column)));
    for (const column of columns) bytes += push(cells, literal(parameter(values[column], column)));
    this.#checkSize(bytes);
    return { op: 'upsert', shape, cells, stamp, bytes };
  }

  #shape(name: string, keys: readonly string[], values: readonly string[]): Shape {
    const { tables, dialect } = this.#options;
    const table = checkUpsert(tables, name, keys, values);
    const columns = [...keys, ...values, STAMP_COLUMN].map(quoted);
    const own = (column: string) => `${quoted(table.name)}.${quoted(column)}`;
    // Compared as bytes, whatever the column's collation is. A row that plain SQL wrote without a stamp is older than every stamped write.
    const isNewer = `CAST(${dialect.incoming(quoted(STAMP_COLUMN))} AS BINARY) > IFNULL(${own(STAMP_COLUMN)}, '')`;
    // Assignments take effect from left to right: the stamp, which all of them look at, comes last.
    const sets = [...values, STAMP_COLUMN].map(
      (column) => `${quoted(column)} = IF(${isNewer}, ${dialect.incoming(quoted(column))}, ${own(column)})`,
    );
    return {
      table,
      keys,
      values,
      head: `INSERT INTO ${quoted(table.name)} (${columns.join(', ')}) VALUES `,
      tail: `${dialect.newRowAlias} ON DUPLICATE KEY UPDATE ${sets.join(', ')}`,
    };
  }

  #plain(given: string, params: readonly unknown[]): Checked {
    const plain = this.#texts.get(given) ?? remember(this.#texts, given, checkStatement(given));
    if (params.length !== plain.placeholders) {
      throw new Refusal(`the statement has ${plain.placeholders} placeholders (?) and ${params.length} parameters`);
    }
    const values = params.map((value, at) => parameter(value as Parameter, `parameter ${at + 1}`));
    this.#checkSize(values.reduce((sum: number, value) => sum + sizeOf(value), plain.text.length));
    return { op: 'sql', text: plain.text, params: values };
  }

  #checkSize(bytes: number): void {
    const { packetBytesMax } = this.#options;
    if (bytes + PACKET_SPARE_BYTES <= packetBytesMax) return;
    throw new Refusal(`it takes ${bytes} bytes, and the server takes ${packetBytesMax} at once (max_allowed_packet)`);
  }
}

function push(cells: string[], cell: string): number {
  cells.push(cell);
  // Characters, of up to three bytes each: only what is large is measured.
  return cell.length > 1_024 ? Buffer.byteLength(cell) : cell.length * 3;
}

function sizeOf(value: Parameter): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  return value instanceof Uint8Array ? value.byteLength : 8;
}

function remember<V>(known: Map<string, V>, key: string, value: V): V {
  if (known.size >= SHAPES_MAX) known.clear();
  known.set(key, value);
  return value;
}

interface RowsStep {
  readonly shape: Shape;
  readonly rows: string[];
  bytes: number;
}

type Step = RowsStep | Exclude<Checked, { op: 'upsert' }> | { readonly careful: Extract<Checked, { op: 'upsert' }> };

/** Sends the statements, in as few steps as keep their meaning. Throws what the server says of the first that fails. */
export async function runStatements(session: Session, statements: Iterable<Checked>, rowsBytesMax: number): Promise<void> {
  for (const step of stepsOf(statements, Math.min(rowsBytesMax, ROWS_BYTES_MAX))) {
    if ('rows' in step) await session.query(`${step.shape.head}${step.rows.join(',')}${step.shape.tail}`, true);
    else if ('careful' in step) await upsertCarefully(session, step.careful);
    else await session.execute(step.text, step.params);
  }
}

function stepsOf(statements: Iterable<Checked>, bytesMax: number): readonly Step[] {
  const steps: Step[] = [];
  /** Of each table that is by itself, the step that still takes rows. */
  const open = new Map<Table, RowsStep>();
  for (const statement of statements) {
    if (statement.op === 'sql' || statement.shape.table.hasOtherUnique) {
      open.clear();
      steps.push(statement.op === 'sql' ? statement : { careful: statement });
      continue;
    }
    const { shape } = statement;
    const last = steps.at(-1);
    let step = shape.table.isAlone ? open.get(shape.table) : last !== undefined && 'rows' in last ? last : undefined;
    if (step === undefined || step.shape !== shape || step.bytes + statement.bytes > bytesMax) {
      step = { shape, rows: [], bytes: 0 };
      steps.push(step);
      if (shape.table.isAlone) open.set(shape.table, step);
      else open.clear();
    }
    step.rows.push(`(${statement.cells.join(',')},${text(statement.stamp)})`);
    step.bytes += statement.bytes;
  }
  return steps;
}

/**
 * An upsert into a table with another unique key, where ON DUPLICATE KEY might update a row that it does not mean: a row that takes another one's unique
 * value is an error, as it is for an INSERT.
 */
async function upsertCarefully(session: Session, { shape, cells, stamp }: Extract<Checked, { op: 'upsert' }>): Promise<void> {
  const table = quoted(shape.table.name);
  const column = quoted(STAMP_COLUMN);
  const assign = (columns: readonly string[], from: number) => columns.map((name, at) => `${quoted(name)} = ${cells[from + at]}`);
  const where = assign(shape.keys, 0).join(' AND ');
  const sets = [...assign(shape.values, shape.keys.length), `${column} = ${text(stamp)}`].join(', ');
  const stored = await session.rows(`SELECT IFNULL(${column}, '') AS stamp FROM ${table} WHERE ${where} FOR UPDATE`);
  const found = stored[0];
  if (found === undefined) await session.query(`${shape.head}(${cells.join(',')},${text(stamp)})`, true);
  else if (String(found.stamp) < stamp) await session.query(`UPDATE ${table} SET ${sets} WHERE ${where}`, true);
}
