/** A server's database as one side of a comparison of rows, and the repair of a slave through the master. */
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Row } from '../database.ts';
import type { ComparableDatabase, DifferingRow, RowHash, RowKey, RowRange, RowRepair } from '../row-comparison.ts';
import { type Parameter, STAMP_COLUMN } from '../statement-checks.ts';
import { type Dialect, dialectOf } from './dialect.ts';
import { storeError } from './errors.ts';
import { literal, quoted, text } from './literals.ts';
import { readIds } from './replica.ts';
import { behind } from './rows.ts';
import { type CellRow, placeOf, type ServerAddress, Session } from './session.ts';
import { readTables, type Table, type Tables } from './user-tables.ts';

export class MysqlComparable implements ComparableDatabase, RowRepair {
  readonly #server: ServerAddress & { readonly schema: string };
  readonly #session: Session;
  readonly #dialect: Dialect;
  readonly #tables: Tables;

  static async open(server: ServerAddress & { readonly schema: string }, runtime: Runtime): Promise<MysqlComparable> {
    const session = await Session.open(server, runtime);
    try {
      const version = (await session.rows('SELECT VERSION() AS version'))[0]?.version;
      return new MysqlComparable(server, session, dialectOf(String(version)), await readTables(session, server.schema));
    } catch (cause) {
      await session.close();
      throw storeError(cause, placeOf(server));
    }
  }

  private constructor(server: ServerAddress & { readonly schema: string }, session: Session, dialect: Dialect, tables: Tables) {
    this.#server = server;
    this.#session = session;
    this.#dialect = dialect;
    this.#tables = tables;
  }

  async tables(): Promise<readonly string[]> {
    return [...this.#tables.values()].map((table) => table.name).sort();
  }

  async shape(name: string): Promise<string> {
    const { columns, key } = this.#table(name);
    return `${[...columns.values()].join(', ')}; primary key ${key.join(', ')}`;
  }

  async boundary(name: string, after: RowKey | undefined, rows: number): Promise<RowKey | undefined> {
    const table = this.#table(name);
    const order = table.key.map(quoted).join(', ');
    const where = whereOf(table, { table: name, after, upTo: undefined });
    const row = (
      await this.#rows(`SELECT ${order} FROM ${quoted(table.name)} WHERE ${where} ORDER BY ${order} LIMIT 1 OFFSET ${rows - 1}`)
    )[0];
    return row && keyOf(table, row);
  }

  async digest(range: RowRange): Promise<string> {
    const table = this.#table(range.table);
    const row = (
      await this.#rows(
        `SELECT COUNT(*) AS n, HEX(BIT_XOR(${hashOf(this.#dialect, table)})) AS h FROM ${quoted(table.name)} WHERE ${whereOf(table, range)}`,
      )
    )[0];
    return `${row?.n} ${row?.h}`;
  }

  hashes(range: RowRange): Promise<readonly RowHash[]> {
    const table = this.#table(range.table);
    return this.#hashes(table, whereOf(table, range));
  }

  async hashesOf(name: string, keys: readonly RowKey[]): Promise<readonly RowHash[]> {
    const table = this.#table(name);
    return keys.length === 0 ? [] : this.#hashes(table, keys.map((key) => `(${isRow(table, key)})`).join(' OR '));
  }

  async row(name: string, key: RowKey): Promise<Row | undefined> {
    const table = this.#table(name);
    return (await this.#rows(`SELECT * FROM ${quoted(table.name)} WHERE ${isRow(table, key)}`))[0];
  }

  async position(): Promise<string> {
    if (this.#dialect.flavour === 'mysql') return (await readIds(this.#session, this.#dialect)).executed;
    return String((await this.#rows('SELECT @@GLOBAL.gtid_current_pos AS position'))[0]?.position);
  }

  async overwrites(): Promise<boolean> {
    const name = this.#dialect.flavour === 'mysql' ? 'replica_exec_mode' : 'slave_exec_mode';
    return (await this.#rows(`SELECT @@GLOBAL.${name} AS mode`))[0]?.mode === 'IDEMPOTENT';
  }

  /** Never without a limit: on a replica that stands still it would wait for ever. */
  async reaches(position: string, msMax: number): Promise<boolean> {
    const seconds = Math.max(1, Math.ceil(msMax / 1_000));
    if (position === '') return true;
    const call =
      this.#dialect.flavour === 'mysql'
        ? `WAIT_FOR_EXECUTED_GTID_SET(${text(position)}, ${seconds})`
        : `MASTER_GTID_WAIT(${text(position)}, ${seconds})`;
    return Number((await this.#rows(`SELECT ${call} AS late`))[0]?.late) === 0;
  }

  async repair({ table: name, key, kind }: DifferingRow, slaveRow: Row | undefined, dryRun: boolean): Promise<readonly string[]> {
    const table = this.#table(name);
    if (!table.isAlone)
      throw new WmbError('NOT_FOUND', `${name} has triggers or foreign keys, which writing a row anew would set off: repair it by hand`);
    await this.#run('START TRANSACTION');
    try {
      const row = (await this.#rows(`SELECT * FROM ${quoted(table.name)} WHERE ${isRow(table, key)} FOR UPDATE`))[0];
      const statements = repairStatements(table, { key, kind, row, slaveRow });
      for (const statement of dryRun ? [] : statements) await this.#run(statement);
      await this.#run(dryRun ? 'ROLLBACK' : 'COMMIT');
      return statements;
    } catch (cause) {
      if (this.#session.isOpen) await this.#run('ROLLBACK');
      throw cause;
    }
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  #table(name: string): Table {
    const table = this.#tables.get(name.toLowerCase());
    if (table === undefined) throw new WmbError('NOT_FOUND', `${placeOf(this.#server)} has no table ${name}`);
    return table;
  }

  async #hashes(table: Table, where: string): Promise<readonly RowHash[]> {
    const keys = table.key.map(quoted).join(', ');
    const rows = await this.#rows(
      `SELECT ${keys}, HEX(${hashOf(this.#dialect, table)}) AS wmb_hash FROM ${quoted(table.name)} WHERE ${where} ORDER BY ${keys}`,
    );
    return rows.map((row) => ({ key: keyOf(table, row), hash: String(row.wmb_hash) }));
  }

  async #rows(sql: string): Promise<readonly CellRow[]> {
    try {
      return await this.#session.rows(sql);
    } catch (cause) {
      throw storeError(cause, placeOf(this.#server));
    }
  }

  async #run(sql: string): Promise<void> {
    try {
      await this.#session.query(sql);
    } catch (cause) {
      throw storeError(cause, placeOf(this.#server));
    }
  }
}

/** A slave room's database and the one that it follows, at another address with the same users. */
export async function openBoth(
  server: ServerAddress & { readonly schema: string },
  source: string,
  runtime: Runtime,
): Promise<{ readonly master: MysqlComparable; readonly slave: MysqlComparable }> {
  const slave = await MysqlComparable.open(server, runtime);
  try {
    return { slave, master: await MysqlComparable.open({ ...server, address: source }, runtime) };
  } catch (cause) {
    await slave.close();
    throw cause;
  }
}

/** Each value with its length before it, so that none can pass for two. */
function hashOf({ hash }: Dialect, { columns }: Table): string {
  const cells = [...columns.values()].map(
    (column) => `IFNULL(CONCAT(LENGTH(${quoted(column)}), ':', CAST(${quoted(column)} AS BINARY)), 'N')`,
  );
  return `CAST(CONV(LEFT(${hash(`CONCAT(${cells.join(', ')})`)}, 16), 16, 10) AS UNSIGNED)`;
}

function whereOf(table: Table, { after, upTo }: RowRange): string {
  const parts = [];
  if (after !== undefined) parts.push(`(${behind(table.key, named(table, after))})`);
  if (upTo !== undefined) parts.push(`(${isUpTo(table.key, named(table, upTo))})`);
  return parts.join(' AND ') || '1 = 1';
}

/** `(a, b) <= (?, ?)`, told in such a way that the server finds the place in its index. */
function isUpTo(key: readonly string[], row: CellRow): string {
  const [first = '', ...rest] = key;
  const column = quoted(first);
  const value = literal(row[first] as Parameter);
  if (rest.length === 0) return `${column} <= ${value}`;
  return `${column} <= ${value} AND (${column} < ${value} OR (${isUpTo(rest, row)}))`;
}

function isRow(table: Table, key: RowKey): string {
  return table.key.map((column, at) => `${quoted(column)} = ${literal(key[at] as Parameter)}`).join(' AND ');
}

function named(table: Table, key: RowKey): CellRow {
  return Object.fromEntries(table.key.map((column, at) => [column, key[at] ?? null]));
}

function keyOf(table: Table, row: CellRow): RowKey {
  return table.key.map((column) => row[column] ?? null);
}

interface Broken {
  readonly key: RowKey;
  readonly kind: DifferingRow['kind'];
  readonly row: Row | undefined;
  readonly slaveRow: Row | undefined;
}

/**
 * A row event carries the whole row. Of a row that is there on both sides the stamp is changed and changed back; the others are deleted and inserted, which a slave takes only
 * in the mode IDEMPOTENT, since it lacks the row that is deleted or has the one that is inserted.
 */
function repairStatements(table: Table, { key, kind, row, slaveRow }: Broken): readonly string[] {
  const name = quoted(table.name);
  const where = isRow(table, key);
  const insert = (values: Row) => {
    const columns = Object.keys(values);
    return `INSERT INTO ${name} (${columns.map(quoted).join(', ')}) VALUES (${columns.map((column) => literal(values[column] as Parameter)).join(', ')})`;
  };
  const remove = `DELETE FROM ${name} WHERE ${where}`;
  if (kind === 'extra') return row === undefined && slaveRow !== undefined ? [insert(slaveRow), remove] : [];
  if (row === undefined) return [];
  const stamp = row[STAMP_COLUMN];
  if (kind === 'missing' || typeof stamp !== 'string') return [remove, insert(row)];
  const set = (value: string) => `UPDATE ${name} SET ${STAMP_COLUMN} = ${text(value)} WHERE ${where}`;
  return [set(stamp === '' ? '0' : ''), set(stamp)];
}
