/** Servers whose settings do not do: each is refused with the setting and what to do, before anything is written. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import { type SqlServer, startMariadb, startMysql } from '../../test/containers/mysql.ts';
import { MysqlDatabase } from './database.ts';
import { initDatabase } from './init.ts';
import { Session } from './session.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;

async function prepared(start: Promise<SqlServer>): Promise<SqlServer> {
  const server = await start;
  after(() => server.remove());
  // Without slaves the server does.
  for await (const _ of init(server, false));
  return server;
}

function init(server: SqlServer, replicates: boolean): AsyncGenerator<string> {
  const { address, user, password } = server;
  const place = { address, user, password, schema: 'unfit', tls: undefined };
  return initDatabase({ server: place, master: 'beijing', replicates, schemaFile: undefined, dryRun: false, runtime: systemRuntime });
}

async function open({ address, user, password }: SqlServer, replicates = true): Promise<void> {
  const place = { address, user, password, schema: 'unfit', tls: undefined };
  const store = new MysqlDatabase({ ...place, role: 'master', master: 'beijing', replicates, runtime: systemRuntime });
  try {
    await store.open();
  } finally {
    await store.close();
  }
}

async function query(server: SqlServer, sql: string): Promise<void> {
  const session = await Session.open({ ...server, schema: undefined, tls: undefined }, systemRuntime);
  await session.query(sql);
  await session.close();
}

const servers = skip
  ? undefined
  : await Promise.all([
      prepared(startMysql({ flags: ['--gtid-mode=OFF', '--enforce-gtid-consistency=OFF'] })),
      prepared(startMariadb({ flags: ['--skip-log-bin'] })),
    ]);

if (servers === undefined) test('servers that do not do', { skip }, () => {});
else {
  const [mysql, mariadb] = servers;
  describe('a server that slaves could not follow is refused where there are slave rooms, and does where there are none', () => {
    test('MySQL without GTIDs', async () => {
      const unfit = {
        code: 'STORE_UNFIT',
        message: /has (gtid_mode|enforce_gtid_consistency) = OFF.*start it with .*--enforce-gtid-consistency=ON/,
      };
      await assert.rejects(open(mysql), unfit);
      await assert.rejects(init(mysql, true).next(), unfit);
      await open(mysql, false);
    });

    test('MariaDB without a binlog', async () => {
      const unfit = { code: 'STORE_UNFIT', message: /has log_bin = OFF.*start it with --log-bin/ };
      await assert.rejects(open(mariadb), unfit);
      await assert.rejects(init(mariadb, true).next(), unfit);
      await open(mariadb, false);
    });
  });

  for (const [name, server, remedy] of [
    ['MySQL', mysql, /has max_allowed_packet = 65536; SET PERSIST max_allowed_packet = 67108864/],
    ['MariaDB', mariadb, /has max_allowed_packet = 65536; SET GLOBAL \(and in its configuration\) max_allowed_packet = 67108864/],
  ] as const) {
    test(`${name} that takes no packet of a batch's size is refused`, async () => {
      await query(server, 'SET GLOBAL max_allowed_packet = 65536');
      await assert.rejects(open(server, false), {
        code: 'STORE_UNFIT',
        message: remedy,
      });
      await query(server, 'SET GLOBAL max_allowed_packet = 67108864');
      await open(server, false);
    });
  }
}
