/** `wmb db init`: makes WMB's own tables and those of the schema file, as often as it is called. */
import { readFileSync } from 'node:fs';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import { splitSql } from '../sql-text.ts';
import { refusalReason, storeError } from './errors.ts';
import { checkSchemaStatement } from './guard.ts';
import { quoted, text } from './literals.ts';
import { checkIdentity, OWN_TABLES, readIdentity, SCHEMA_VERSION } from './own-tables.ts';
import { checkServer } from './server.ts';
import { placeOf, type ServerAddress, Session } from './session.ts';
import { readTables } from './user-tables.ts';

export interface InitOptions {
  readonly server: ServerAddress & { readonly schema: string };
  readonly master: RoomId;
  readonly replicates: boolean;
  readonly schemaFile: string | undefined;
  /** Says what would be done, and does nothing. */
  readonly dryRun: boolean;
  readonly runtime: Runtime;
}

/** One line for each thing that is done, as it is done. */
export async function* initDatabase({ server, master, replicates, schemaFile, dryRun, runtime }: InitOptions): AsyncGenerator<string> {
  const place = placeOf(server);
  const statements = schemaFile === undefined ? [] : schemaStatements(schemaFile);
  const session = await Session.open({ ...server, schema: undefined }, runtime);
  try {
    const { dialect, isReadOnly } = await checkServer(session, place, replicates);
    if (isReadOnly)
      throw new WmbError('STORE_READONLY', `${place} is read-only: tables are made in the master room, and replicated to the slaves`);
    yield `${place} is ${dialect.product}`;
    yield* makeSchema(session, server.schema, dryRun);
    yield* makeOwnTables(session, { place, master, dryRun });
    for (const { line, text: sql } of statements) {
      yield `${schemaFile}:${line}: ${excerpt(sql)}`;
      if (!dryRun) await runSchemaStatement(session, `${schemaFile}:${line}`, sql);
    }
    if (!dryRun) await readTables(session, server.schema);
  } catch (cause) {
    throw storeError(cause, place);
  } finally {
    await session.close();
  }
}

async function* makeSchema(session: Session, schema: string, dryRun: boolean): AsyncGenerator<string> {
  const found = await session.rows(`SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ${text(schema)}`);
  if (found.length === 0) {
    yield `CREATE DATABASE ${quoted(schema)} CHARACTER SET utf8mb4`;
    if (dryRun) return;
    await session.query(`CREATE DATABASE ${quoted(schema)} CHARACTER SET utf8mb4`);
  }
  await session.query(`USE ${quoted(schema)}`);
}

interface OwnTables {
  readonly place: string;
  readonly master: RoomId;
  readonly dryRun: boolean;
}

async function* makeOwnTables(session: Session, { place, master, dryRun }: OwnTables): AsyncGenerator<string> {
  const found = new Set(
    (await session.rows('SELECT TABLE_NAME AS t FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()')).map((row) =>
      String(row.t),
    ),
  );
  if (found.has('wmb_identity') && (await readIdentity(session)) !== undefined) await checkIdentity(session, master, place, '');
  for (const [table, definition] of Object.entries(OWN_TABLES)) {
    if (found.has(table)) {
      yield `${table} is there`;
      continue;
    }
    yield `CREATE TABLE ${table}`;
    if (!dryRun) await session.query(`CREATE TABLE IF NOT EXISTS ${table} ${definition}`);
  }
  if (!dryRun) await session.query(`INSERT IGNORE INTO wmb_identity VALUES (1, ${text(master)}, ${SCHEMA_VERSION})`);
}

function schemaStatements(file: string) {
  try {
    return splitSql(readFileSync(file, 'utf8'), 'mysql');
  } catch (cause) {
    throw new WmbError('CONFIG_UNREADABLE', `the schema file ${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

async function runSchemaStatement(session: Session, where: string, sql: string): Promise<void> {
  try {
    checkSchemaStatement(sql);
    await session.query(sql);
  } catch (cause) {
    const reason = refusalReason(cause);
    if (reason === undefined) throw cause;
    throw new WmbError('SCHEMA_INVALID', `${where}: ${reason}, in “${excerpt(sql)}”`, { cause });
  }
}

function excerpt(sql: string): string {
  const line = sql.replace(/\s+/g, ' ');
  return line.length > 80 ? `${line.slice(0, 79)}…` : line;
}
