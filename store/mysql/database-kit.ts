/** For the tests of the MySQL adapter: schemas of their own on a real server. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { containersAvailable } from '../../test/containers/engine.ts';
import { startMariadb, startMysql } from '../../test/containers/mysql.ts';
import { TcpProxy } from '../../test/harness/proxy.ts';
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

type ServerName = 'WMB_TEST_MYSQL' | 'WMB_TEST_MARIADB' | 'WMB_TEST_MYSQL_SLAVE' | 'WMB_TEST_MARIADB_SLAVE';

/**
 * A server in a container of this file's own, removed after its tests; undefined without a Docker engine: tests that need it are skipped. Or the server that the
 * environment variable of this name names, as `host:port user password`. A _SLAVE is one that may be made to follow the other.
 */
export async function testServer(name: ServerName): Promise<TestServer | undefined> {
  const [address, user = 'root', password = 'secret'] = (process.env[name] ?? '').split(' ');
  if (address) return { address, user, password };
  if (!(await containersAvailable())) return undefined;
  const start = name.startsWith('WMB_TEST_MYSQL') ? startMysql : startMariadb;
  // In this machine's network, where a slave finds its master, and a proxy finds both.
  const server = await start({ hostNetwork: true, serverId: name.endsWith('_SLAVE') ? 2 : 1 });
  after(() => server.remove());
  return server;
}

/** A schema of its own in which `wmb db init` has been run. `user`: as whom the database is opened, where not as root. */
export async function makeSchema(
  server: TestServer,
  schemaText: string,
  user: Pick<TestServer, 'user' | 'password'> = server,
): Promise<TestSchema> {
  const schema = `wmb_test_${randomBytes(4).toString('hex')}`;
  const directory = mkdtempSync(join(tmpdir(), 'wmb-mysql-'));
  const schemaFile = join(directory, 'schema.sql');
  writeFileSync(schemaFile, schemaText);
  const address = { ...server, schema, tls: undefined };
  const options: MysqlDatabaseOptions = {
    ...address,
    ...user,
    role: 'master',
    master: 'beijing',
    replicates: true,
    runtime: systemRuntime,
  };
  const order = { server: address, master: 'beijing', replicates: true, schemaFile, dryRun: false, runtime: systemRuntime };
  for await (const _ of initDatabase(order));
  return {
    options,
    admin: () => Session.open(address, systemRuntime),
    async remove() {
      const session = await Session.open(address, systemRuntime);
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

/** The GRANT statements of docs/mysql.md, for `schema` and with this password; the users are made anew. */
export async function makeUsers(server: TestServer, product: 'mysql' | 'mariadb', schema: string, password: string): Promise<void> {
  const page = readFileSync(new URL('../../docs/mysql.md', import.meta.url), 'utf8');
  const block = (name: string) =>
    (new RegExp(`<!-- privileges: ${name} -->\\s*\`\`\`sql\\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? '').trim().split('\n');
  const lines = block('mysql');
  if (product === 'mariadb') lines[2] = block('mariadb')[0] ?? '';
  const session = await Session.open({ ...server, schema: undefined, tls: undefined }, systemRuntime);
  try {
    for (const user of ['wmb', 'wmb_replica']) await session.query(`DROP USER IF EXISTS '${user}'@'%'`);
    for (const line of lines)
      await session.query(line.replaceAll('`messages`', `\`${schema}\``).replaceAll('…', password).replace(/;$/, ''));
  } finally {
    await session.close();
  }
}

/** A way to the server that can be broken. */
export async function openProxy(server: TestServer): Promise<{ readonly address: string; readonly proxy: TcpProxy }> {
  const [host = '', port] = server.address.split(':');
  const proxy = new TcpProxy({ host, port: Number(port) });
  return { address: `127.0.0.1:${await proxy.listen()}`, proxy };
}
