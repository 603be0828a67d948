/** For the tests of the MySQL adapter: schemas of their own on a server that the environment names. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRuntime } from '../../core/runtime.ts';
import { MysqlDatabase, type MysqlDatabaseOptions } from './database.ts';
import { initDatabase } from './init.ts';
import { Session } from './session.ts';

export interface TestServer {
  readonly address: string;
  readonly user: string;
  readonly password: string;
}

export interface TestSchema {
  readonly options: MysqlDatabaseOptions;
  /** As root, in the schema. */
  admin(): Promise<Session>;
  remove(): Promise<void>;
}

/** The server that WMB_TEST_MYSQL or WMB_TEST_MARIADB names, as `host:port user password`; undefined: tests that need it are skipped. */
export function testServer(name: 'WMB_TEST_MYSQL' | 'WMB_TEST_MARIADB'): TestServer | undefined {
  const [address, user = 'root', password = 'secret'] = (process.env[name] ?? '').split(' ');
  return address ? { address, user, password } : undefined;
}

/** A schema of its own in which `wmb db init` has been run. */
export async function makeSchema(server: TestServer, schemaText: string): Promise<TestSchema> {
  const schema = `wmb_test_${randomBytes(4).toString('hex')}`;
  const directory = mkdtempSync(join(tmpdir(), 'wmb-mysql-'));
  const schemaFile = join(directory, 'schema.sql');
  writeFileSync(schemaFile, schemaText);
  const address = { ...server, schema, tls: undefined };
  const options: MysqlDatabaseOptions = { ...address, role: 'master', master: 'beijing', replicates: true, runtime: systemRuntime };
  for await (const _ of initDatabase({ server: address, master: 'beijing', replicates: true, schemaFile, dryRun: false }));
  return {
    options,
    admin: () => Session.open(address),
    async remove() {
      const session = await Session.open(address);
      await session.query(`DROP DATABASE ${schema}`);
      await session.close();
      rmSync(directory, { recursive: true });
    },
  };
}

export async function opened(options: MysqlDatabaseOptions): Promise<MysqlDatabase> {
  const store = new MysqlDatabase(options);
  await store.open();
  return store;
}
