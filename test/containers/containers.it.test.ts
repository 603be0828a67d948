import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { hostname } from 'node:os';
import { after, describe, test } from 'node:test';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { containersAvailable, isOrphan, NO_ENGINE } from './engine.ts';
import { startMariadb, startMysql } from './mysql.ts';
import { startRedis } from './redis.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;

test('a container whose process has ended is an orphan; others are none, nor those of other machines', () => {
  const ended = spawnSync(process.execPath, ['-e', '']).pid;
  assert.equal(isOrphan(`${hostname()}/${ended}`), true);
  assert.equal(isOrphan(`${hostname()}/${process.pid}`), false);
  assert.equal(isOrphan(`elsewhere-${hostname()}/${ended}`), false);
  assert.equal(isOrphan(''), false);
});

for (const image of ['redis:8', 'redis:7', 'valkey/valkey:8']) {
  describe(`a container of ${image}`, { skip }, async () => {
    const server = skip ? undefined : await startRedis({ image, password: 'hush' });
    after(() => server?.remove());
    const cli = async (...command: string[]) => server?.cli(...command);

    test('begins anew with an older snapshot, at the same address', async () => {
      assert.equal(await cli('SET', 'a', 'old'), 'OK');
      const older = await server?.snapshot();
      await cli('SET', 'a', 'new');
      assert.ok(older);
      await server?.restore(older);
      assert.equal(await cli('GET', 'a'), 'old');
      const other = await startRedis({ image, snapshot: older });
      assert.equal(await other.cli('GET', 'a'), 'old');
      await other.remove();
    });

    test('stands still while it is frozen, and goes on afterwards', async () => {
      await server?.container.freeze();
      await server?.container.thaw();
      assert.equal(await cli('PING'), 'PONG');
    });
  });
}

for (const [name, start] of [
  ['MySQL', startMysql],
  ['MariaDB', startMariadb],
] as const) {
  describe(`a container of ${name}`, { skip }, async () => {
    const server = skip ? undefined : await start({ serverId: 7, flags: ['--max-connections=31'], hostNetwork: true });
    after(() => server?.remove());
    const query = async (sql: string) => {
      assert.ok(server);
      const connection = await createConnection({ host: server.host, port: server.port, user: server.user, password: server.password });
      const [rows] = await connection.query<RowDataPacket[]>(sql);
      await connection.end();
      return rows;
    };

    test('takes its flags, and keeps its data and its address through SIGKILL', async () => {
      assert.deepEqual(
        { ...(await query('SELECT @@server_id AS id, @@max_connections AS most, @@log_bin AS logs'))[0] },
        { id: 7, most: 31, logs: 1 },
      );
      await query('CREATE DATABASE kept');
      await server?.container.kill();
      await assert.rejects(query('SELECT 1'));
      await server?.container.start();
      assert.equal((await query("SHOW DATABASES LIKE 'kept'")).length, 1);
    });
  });
}

test('a server that cannot start says why, and leaves no container behind', { skip }, async () => {
  await assert.rejects(startRedis({ flags: ['--no-such-flag', '1'] }), /redis:8 did not start: .*no-such-flag/s);
});

test('an image that is neither here nor to be had is told as that', { skip }, async () => {
  await assert.rejects(startRedis({ image: 'wmb.invalid/none:1' }), /wmb\.invalid\/none:1 did not start: .*\.ci\/images\/ensure/s);
});
