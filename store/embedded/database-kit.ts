/** For the tests of the embedded database: databases in directories of their own, and the way of changes from a master to a slave. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import { type Lane, NOTHING_SEEN } from '../../core/words.ts';
import { decodeFrame } from '../../link/frame.ts';
import { EmbeddedLogReader } from '../../log/embedded/reader.ts';
import type { MarkMove } from '../cache.ts';
import type { DatabaseStore, DatabaseWrite, Row, SqlValue, Statement } from '../database.ts';
import { DATABASE_FILE, EmbeddedDatabase } from './database.ts';

export const MASTER = 'beijing';
export const SLAVE = 'guangzhou';
export const LANE: Lane = { log: 'writes', origin: MASTER, partition: 0 };
export const EPOCH = '00000000000000aa';

export interface TestDatabase {
  readonly store: EmbeddedDatabase;
  readonly directory: string;
  readonly file: string;
}

const directories: string[] = [];

export function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-database-'));
  directories.push(directory);
  return directory;
}

/** Call after each test. */
export function removeDirectories(): void {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
}

export interface DatabaseChoice {
  readonly role: 'master' | 'slave';
  readonly schema?: string;
  readonly directory?: string;
  readonly room?: string;
  readonly onChanges?: () => void;
}

/** Not opened. */
export function database({
  role,
  schema,
  directory = makeDirectory(),
  room = role === 'master' ? MASTER : SLAVE,
  onChanges,
}: DatabaseChoice): TestDatabase {
  const schemaFile = schema === undefined ? undefined : join(directory, 'schema.sql');
  if (schemaFile !== undefined && schema !== undefined) writeFileSync(schemaFile, schema);
  const store = new EmbeddedDatabase({ directory, room, role, master: MASTER, schemaFile, runtime: systemRuntime, onChanges });
  return { store, directory, file: join(directory, DATABASE_FILE) };
}

export async function opened(choice: DatabaseChoice): Promise<TestDatabase> {
  const made = database(choice);
  await made.store.open();
  return made;
}

export const stamp = (n: number) => formatStamp({ ms: 1_700_000_000_000 + n, counter: 0, writer: 0x0100_0001 });

export function sql(text: string, ...params: SqlValue[]): Statement {
  return { op: 'sql', text, params };
}

let requests = 0;

/** A batch without marks; each list of statements is a write request of its own. */
export function run(store: DatabaseStore, ...writes: (readonly Statement[])[]) {
  const batch = writes.map((statements): DatabaseWrite => {
    requests += 1;
    return { requestId: `r${requests}`, stamp: stamp(requests), seq: requests, index: 0, statements };
  });
  return store.execute({ moves: [], lane: LANE, writes: batch });
}

export async function rowsOf(store: DatabaseStore, table: string): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of store.rows(table)) rows.push({ ...row });
  return rows;
}

/** All user tables with all rows. */
export async function dump(store: DatabaseStore): Promise<Record<string, Row[]>> {
  const tables: Record<string, Row[]> = {};
  for (const table of await store.tables()) tables[table] = await rowsOf(store, table);
  return tables;
}

export interface Change {
  readonly move: MarkMove;
  readonly payload: Uint8Array;
}

/** The changes log of a master, read as reship reads it, from `from` on. */
export async function changesOf(master: TestDatabase, from = 0): Promise<Change[]> {
  const reader = new EmbeddedLogReader({ file: master.file, log: 'changes', origin: MASTER, runtime: systemRuntime });
  await reader.open();
  try {
    const frames = await reader.read(0, from, Number.MAX_SAFE_INTEGER);
    return frames.map(({ seq, bytes }) => {
      const { header, writes } = decodeFrame(bytes);
      const move: MarkMove = { log: 'changes', origin: header.origin, partition: 0, epoch: header.epoch, expected: seq - 1, next: seq };
      return { move, payload: writes[0]?.payload ?? new Uint8Array() };
    });
  } finally {
    await reader.close();
  }
}

/** Applies what the slave has not applied yet. */
export async function ship(master: TestDatabase, slave: DatabaseStore): Promise<number> {
  const mark = (await slave.marks()).find((found) => found.log === 'changes');
  const changes = await changesOf(master, (mark?.seq ?? NOTHING_SEEN) + 1);
  for (const { move, payload } of changes) await slave.applyChanges(move, [payload]);
  return changes.length;
}
