/** examples/five-rooms: five independent rooms, one of them with its log in Kafka, one without a database, with four of the twenty links over mq, through two rooms' inboxes. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { startKafka } from '../containers/kafka.ts';
import { startRedis } from '../containers/redis.ts';
import { ExampleScene } from './example-scene.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const OVER_MQ = ['beijing ⇐ guangzhou', 'beijing ⇐ xian', 'guangzhou ⇐ beijing', 'guangzhou ⇐ shanghai'];

test('the rooms of examples/five-rooms are equal after two of their daemons were killed under messages', { skip }, async () => {
  const [kafka, redis] = await Promise.all([startKafka(), startRedis()]);
  after(() => Promise.all([kafka.remove(), redis.remove()]));
  const example = await ExampleScene.open({
    name: 'five-rooms',
    servers: { '127.0.0.1:9092': kafka.address, '127.0.0.1:6379': redis.address },
    prepare: [
      [0, 'log', 'init'],
      [0, 'link', 'init'],
      [1, 'link', 'init'],
    ],
  });
  const { scene } = example;
  const statuses = await Promise.all(scene.clients.map((client) => client.collectorStatus()));
  const links = statuses.flatMap(({ room, links: into }) =>
    into.map(({ origin, transport }) => ({ link: `${room} ⇐ ${origin}`, transport })),
  );
  assert.equal(links.length, 25);
  assert.deepEqual(
    links
      .filter(({ transport }) => transport === 'mq')
      .map(({ link }) => link)
      .sort(),
    OVER_MQ,
  );
  await example.killed([1, 'collector'], [0, 'reship']);
  await example.proves();
});
