/** For tests of replication: a server and a second one that may be made to follow it, whose data may be thrown away. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { type TestServer, testServer } from './database-kit.ts';
import { Session } from './session.ts';

export interface ServerPair {
  readonly kind: 'mysql' | 'mariadb';
  readonly master: TestServer;
  readonly slave: TestServer;
  /** A master of the other product. */
  readonly stranger: TestServer | undefined;
}

/** The slave follows nobody, and has forgotten what it ever committed. */
export async function forget({ kind, master, slave }: ServerPair): Promise<void> {
  const session = await Session.open({ ...slave, schema: undefined, tls: undefined }, systemRuntime);
  const source = await Session.open({ ...master, schema: undefined, tls: undefined }, systemRuntime);
  const [thread, readOnly, reset] =
    kind === 'mysql' ? ['REPLICA', 'super_read_only', 'RESET BINARY LOGS AND GTIDS'] : ['SLAVE', 'read_only', 'RESET MASTER'];
  for (const sql of [`STOP ${thread}`, `RESET ${thread} ALL`, `SET GLOBAL ${readOnly} = OFF`]) await session.query(sql);
  const mine = await session.rows(
    "SELECT SCHEMA_NAME AS s FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'wmb\\_test%' OR SCHEMA_NAME = 'strange'",
  );
  for (const { s } of mine) await session.query(`DROP DATABASE ${s}`);
  for (const user of ['wmb', 'wmb_replica']) await session.query(`DROP USER IF EXISTS '${user}'@'%'`);
  await session.query(reset);
  // Both begin anew: old binlogs speak of tables that are gone.
  await source.query(reset);
  if (kind === 'mariadb') await session.query("SET GLOBAL gtid_slave_pos = ''");
  await session.close();
  await source.close();
}

export async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let look = 0; look < 3_000; look += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail('it did not come about within a minute');
}

/** The suite on each product; without a Docker engine it is skipped. All servers are up before the first suite begins: a suite that is done before the next one is known takes them down. */
export async function forEachPair(what: string, suite: (pair: ServerPair) => void): Promise<void> {
  const products = [
    ['MySQL', 'mysql', 'WMB_TEST_MYSQL', 'WMB_TEST_MYSQL_SLAVE'],
    ['MariaDB', 'mariadb', 'WMB_TEST_MARIADB', 'WMB_TEST_MARIADB_SLAVE'],
  ] as const;
  const servers = await Promise.all(products.map(([, , ...pair]) => Promise.all(pair.map((name) => testServer(name)))));
  for (const [index, [name, kind]] of products.entries()) {
    const [master, slave] = servers[index] ?? [];
    if (master === undefined || slave === undefined) test(`${what} on ${name}`, { skip: NO_ENGINE }, () => {});
    else describe(`${what} on ${name}`, () => suite({ kind, master, slave, stranger: servers[1 - index]?.[0] }));
  }
}
