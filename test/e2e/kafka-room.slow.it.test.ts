/** examples/kafka-room: a room on Kafka, Redis and MySQL with a peer that needs none of them, in both modes. One link is over mq, the other over rpc. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import mysql from 'mysql2/promise';
import type { Row } from '../../store/database.ts';
import { makeUsers } from '../../store/mysql/database-kit.ts';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { startKafka } from '../containers/kafka.ts';
import { type SqlServer, startMysql } from '../containers/mysql.ts';
import { startRedis } from '../containers/redis.ts';
import { ExampleScene } from './example-scene.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const PASSWORD = 'Kafka-room-7';

async function servers() {
  const [kafka, redis, database] = await Promise.all([startKafka(), startRedis(), startMysql()]);
  after(() => Promise.all([kafka, redis, database].map((server) => server.remove())));
  await makeUsers(database, 'mysql', 'messages', PASSWORD);
  Object.assign(process.env, { WMB_DB_PASSWORD: PASSWORD, ROOT_PASSWORD: database.password });
  return {
    database,
    addresses: { '127.0.0.1:9092': kafka.address, '127.0.0.1:6379': redis.address, '127.0.0.1:3306': database.address },
  };
}

async function rowsOf({ host, port, user, password }: SqlServer): Promise<readonly Row[]> {
  const connection = await mysql.createConnection({ host, port, user, password, database: 'messages' });
  const [rows] = await connection.query('SELECT * FROM messages ORDER BY id');
  await connection.end();
  return rows as Row[];
}

for (const mode of ['independent', 'master-slave'] as const) {
  test(`the rooms of examples/kafka-room are equal after every daemon of both was killed under messages, ${mode}`, { skip }, async () => {
    const { database, addresses } = await servers();
    const example = await ExampleScene.open({
      name: 'kafka-room',
      watched: true,
      servers: addresses,
      mode,
      prepare: [
        [0, 'log', 'init'],
        [0, 'link', 'init'],
        [0, 'db', 'init', '--user', 'root', '--password-env', 'ROOT_PASSWORD'],
      ],
      rowsOf: { beijing: () => rowsOf(database) },
    });
    const { links } = await example.scene.collector(0);
    assert.deepEqual(
      links.map(({ origin, transport }) => `${origin} ${transport}`),
      ['beijing rpc', 'guangzhou mq'],
    );
    await example.killed([0, 'collector'], [1, 'reship'], [0, 'reship'], [1, 'collector']);
    await example.proves();
  });
}
