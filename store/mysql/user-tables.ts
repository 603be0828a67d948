/** The user's tables as the server describes them: checked for what replication by rows and versioned upserts need. */
import { WmbError } from '../../core/errors.ts';
import { STAMP_COLUMN, type UpsertTable } from '../statement-checks.ts';
import { text } from './literals.ts';
import type { CellRow, Session } from './session.ts';

export interface Table extends UpsertTable {
  /** Beside the primary key there is another unique one: an insert may meet another row than the one that it means. */
  readonly hasOtherUnique: boolean;
  /** Writing it touches nothing but itself: no triggers, and no foreign keys from or to it. */
  readonly isAlone: boolean;
}

/** By lower-case name. */
export type Tables = ReadonlyMap<string, Table>;

export const OWN_TABLE = /^wmb_/i;

/** SCHEMA_INVALID names the table that rows cannot be replicated of, or whose stamps cannot be compared. */
export async function readTables(session: Session, schema: string): Promise<Tables> {
  const name = text(schema);
  const of = (what: string, from: string, where: string, order = '') =>
    session.rows(`SELECT ${what} FROM information_schema.${from} WHERE ${where} = ${name} ${order}`);
  const tables = await of('TABLE_NAME AS t, ENGINE AS engine', 'TABLES', `TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA`);
  const columns = await of(
    'TABLE_NAME AS t, COLUMN_NAME AS c, DATA_TYPE AS type, CHARACTER_MAXIMUM_LENGTH AS size',
    'COLUMNS',
    'TABLE_SCHEMA',
    // Rows are hashed in this order, which has to be the same on every server.
    'ORDER BY TABLE_NAME, ORDINAL_POSITION',
  );
  const keys = await of(
    'TABLE_NAME AS t, INDEX_NAME AS k, COLUMN_NAME AS c, SEQ_IN_INDEX AS place',
    'STATISTICS',
    'NON_UNIQUE = 0 AND TABLE_SCHEMA',
  );
  const triggers = await of('EVENT_OBJECT_TABLE AS t', 'TRIGGERS', 'EVENT_OBJECT_SCHEMA');
  const references = await of('TABLE_NAME AS t, REFERENCED_TABLE_NAME AS r', 'REFERENTIAL_CONSTRAINTS', 'CONSTRAINT_SCHEMA');
  const seesTriggers = await hasTriggerPrivilege(session, name);
  const tied = new Set([...triggers, ...references].flatMap((row) => [String(row.t), String(row.r)]));
  const found = new Map<string, Table>();
  for (const row of tables) {
    const table = String(row.t);
    if (OWN_TABLE.test(table)) continue;
    const mine = (all: readonly CellRow[]) => all.filter((it) => it.t === row.t);
    found.set(
      table.toLowerCase(),
      tableOf({
        schema,
        table,
        engine: String(row.engine),
        columns: mine(columns),
        keys: mine(keys),
        isAlone: seesTriggers && !tied.has(table),
      }),
    );
  }
  return found;
}

/** Who lacks it is told of no triggers. A privilege that comes by way of a role is not looked for. */
async function hasTriggerPrivilege(session: Session, schema: string): Promise<boolean> {
  const mine = `PRIVILEGE_TYPE = 'TRIGGER' AND REPLACE(GRANTEE, '''', '') = CURRENT_USER()`;
  const rows = await session.rows(
    `SELECT 1 FROM information_schema.USER_PRIVILEGES WHERE ${mine} UNION ALL ` +
      `SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES WHERE ${mine} AND ${schema} LIKE TABLE_SCHEMA`,
  );
  return rows.length > 0;
}

interface Described {
  readonly schema: string;
  readonly table: string;
  readonly engine: string;
  readonly columns: readonly CellRow[];
  readonly keys: readonly CellRow[];
  readonly isAlone: boolean;
}

function tableOf({ schema, table, engine, columns, keys, isAlone }: Described): Table {
  const primary = keys.filter((key) => key.k === 'PRIMARY').sort((a, b) => Number(a.place) - Number(b.place));
  const unfit = unfitness(engine, primary, columns);
  if (unfit !== undefined) throw new WmbError('SCHEMA_INVALID', `${schema}: table ${table} ${unfit}`);
  return {
    name: table,
    columns: new Map(columns.map((column) => [String(column.c).toLowerCase(), String(column.c)])),
    key: primary.map((key) => String(key.c)),
    hasOtherUnique: keys.some((key) => key.k !== 'PRIMARY'),
    isAlone,
  };
}

function unfitness(engine: string, primary: readonly CellRow[], columns: readonly CellRow[]): string | undefined {
  if (engine.toLowerCase() !== 'innodb') return `has the engine ${engine}, which knows no transactions: ALTER TABLE … ENGINE = InnoDB`;
  if (primary.length === 0) return 'has no PRIMARY KEY: a slave would look through all of it for each changed row';
  const stamp = columns.find((column) => String(column.c).toLowerCase() === STAMP_COLUMN);
  if (stamp === undefined || (/char|binary/.test(String(stamp.type)) && Number(stamp.size) >= 24)) return undefined;
  return `has a column ${STAMP_COLUMN} of type ${stamp.type}(${stamp.size}); it must hold 24 characters: CHAR(24) CHARACTER SET ascii COLLATE ascii_bin`;
}
