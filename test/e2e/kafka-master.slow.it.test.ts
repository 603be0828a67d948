/** examples/kafka-master: a master room with its logs in Kafka, a slave room and a cache-only room, with 32 partitions. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { startKafka } from '../containers/kafka.ts';
import { ExampleScene } from './example-scene.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;

test('the rooms of examples/kafka-master are equal after the master’s daemons and the cloud’s were killed under messages', {
  skip,
}, async () => {
  const kafka = await startKafka();
  after(() => kafka.remove());
  const example = await ExampleScene.open({
    name: 'kafka-master',
    watched: true,
    servers: { '127.0.0.1:9092': kafka.address },
    prepare: [
      [0, 'log', 'init'],
      [0, 'link', 'init'],
    ],
  });
  const { scene } = example;
  const { links } = await scene.collector(0);
  assert.deepEqual(
    links.map(({ origin, transport }) => `${origin} ${transport}`),
    ['beijing rpc', 'guangzhou rpc', 'cloud mq'],
  );
  for (const room of [1, 2]) assert.equal((await scene.lanes(room, 0, 'effects')).length, 32);
  await example.killed([0, 'collector'], [2, 'reship'], [0, 'reship'], [2, 'collector']);
  await example.proves();
});
