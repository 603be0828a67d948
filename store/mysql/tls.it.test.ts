/** Databases over TLS: whom WMB trusts, and what it says of a server that it does not. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { Authority, type Certificate } from '../../test/containers/certificates.ts';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import { type SqlServer, startMariadb, startMysql } from '../../test/containers/mysql.ts';
import { replicateDatabase } from './replicate.ts';
import { type ServerAddress, Session } from './session.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const [ours, another] = [new Authority(), new Authority('another authority')];
after(() => {
  ours.remove();
  another.remove();
});
const here = ours.sign('here', ['IP:127.0.0.1', 'DNS:localhost']);
const there = ours.sign('there', ['DNS:localhost']);
const client = ours.sign('wmb', ['DNS:wmb']);

const KINDS = { MySQL: startMysql, MariaDB: startMariadb } as const;

function startWith(kind: keyof typeof KINDS, certificate: Certificate, serverId: number): Promise<SqlServer> {
  const [ca, cert, key] = ['/tls/ca.pem', '/tls/server.pem', '/tls/server.key'] as const;
  return KINDS[kind]({
    hostNetwork: true,
    serverId,
    files: [
      { content: ours.ca, target: ca },
      { content: certificate.cert, target: cert },
      { content: certificate.key, target: key },
    ],
    flags: [`--ssl-ca=${ca}`, `--ssl-cert=${cert}`, `--ssl-key=${key}`],
  });
}

type Tls = NonNullable<ServerAddress['tls']>;

/** The cipher of the connection; '' without TLS. */
async function cipherOf(
  { address, user, password }: Pick<SqlServer, 'address' | 'user' | 'password'>,
  tls?: Partial<Tls>,
): Promise<string> {
  const files = tls && { caFile: ours.caFile, ...tls };
  const session = await Session.open({ address, user, password, schema: undefined, tls: files }, systemRuntime);
  const [row] = await session.rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'");
  await session.close();
  return String(row?.Value);
}

const unfit = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof WmbError, String(error));
  assert.equal(error.code, 'STORE_UNFIT', error.message);
  assert.match(error.message, message);
  return true;
};

const servers = skip
  ? []
  : await Promise.all(
      (['MySQL', 'MariaDB'] as const).map(async (kind) => {
        const pair = await Promise.all([startWith(kind, here, 1), startWith(kind, there, 2)]);
        for (const server of pair) after(() => server.remove());
        return { kind, server: pair[0], elsewhere: pair[1] };
      }),
    );

if (skip) test('databases over TLS', { skip }, () => {});
for (const { kind, server, elsewhere } of servers) {
  describe(kind, () => {
    const tls = { caFile: ours.caFile };
    const asRoot = async (...statements: string[]) => {
      const session = await Session.open({ ...server, schema: undefined, tls }, systemRuntime);
      for (const sql of statements) await session.query(sql);
      await session.close();
    };

    test('a server whose certificate is signed for its address is used, by address and by name', async () => {
      assert.equal(await cipherOf(server), '', 'what is not asked for is not there');
      assert.match(await cipherOf(server, {}), /^TLS_/);
      assert.match(await cipherOf({ ...server, address: server.address.replace('127.0.0.1', 'localhost') }, {}), /^TLS_/);
    });

    test('a certificate of another authority, or for another name, is refused, each with what to do', async () => {
      await assert.rejects(cipherOf(server, { caFile: another.caFile }), unfit(/not signed by an authority of tls\.caFile; put/));
      await assert.rejects(cipherOf(elsewhere, {}), unfit(/is for other names.*connect by a name.*127\.0\.0\.1 is not in/));
    });

    test('a server that wants TLS says so where there is none', async () => {
      await asRoot('SET GLOBAL require_secure_transport = ON');
      await assert.rejects(cipherOf(server), unfit(/wants TLS: set `tls` of the database/));
      await asRoot('SET GLOBAL require_secure_transport = OFF');
    });

    test('where the daemons use TLS, a slave follows its master over TLS', async () => {
      const slave = { ...elsewhere, address: elsewhere.address.replace('127.0.0.1', 'localhost'), schema: 'wmb_test', tls };
      const forget = kind === 'MySQL' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER';
      const there = await Session.open({ ...slave, schema: undefined }, systemRuntime);
      await there.query(forget);
      const user = { user: 'wmb_replica', password: 'Replica-1' };
      await asRoot(
        forget,
        `CREATE USER '${user.user}'@'%' IDENTIFIED BY '${user.password}' REQUIRE SSL`,
        `GRANT REPLICATION SLAVE ON *.* TO '${user.user}'@'%'`,
      );
      const lines: string[] = [];
      const order = { server: slave, source: { source: server.address, ...user }, dryRun: false, runtime: systemRuntime };
      for await (const line of replicateDatabase(order)) lines.push(line);
      assert.match(lines.join('\n'), new RegExp(`_SSL = 1[\\s\\S]*it follows ${server.address}`));
      await there.close();
    });

    test('a user who has to show a certificate shows ours', async () => {
      await asRoot("CREATE USER 'shown'@'%' IDENTIFIED BY 'Shown-1' REQUIRE X509");
      const user = { address: server.address, user: 'shown', password: 'Shown-1' };
      await assert.rejects(cipherOf(user, {}), { code: 'STORE_DENIED' });
      assert.match(await cipherOf(user, client), /^TLS_/);
    });
  });
}
