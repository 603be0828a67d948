/** An application that writes a topic of Kafka and knows nothing of WMB: what it writes is in both rooms' caches, and what is no write request is seen and held up by nobody. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CompressionTypes, Kafka, type Message } from 'kafkajs';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { type KafkaServer, startKafka } from '../containers/kafka.ts';
import { QUICK_LINK, Scene, until } from './scene.ts';

process.env['KAFKAJS_NO_PARTITIONER_WARNING'] = '1';
const TOPIC = 'app.writes';
const skip = !(await containersAvailable()) && NO_ENGINE;

async function produce(kafka: KafkaServer, messages: readonly Message[]): Promise<void> {
  const producer = new Kafka(kafka.client).producer();
  await producer.connect();
  try {
    await producer.send({ topic: TOPIC, messages: [...messages], compression: CompressionTypes.GZIP });
  } finally {
    await producer.disconnect();
  }
}

const counted = (user: number) => ({ key: `user:${user}`, value: JSON.stringify({ payload: [['INCR', `user:${user}:logins`]] }) });

test('an application’s topic fills both rooms’ caches', { skip }, async () => {
  const kafka = await startKafka();
  after(() => kafka.remove());
  await kafka.tool('kafka-topics.sh', '--create', '--topic', TOPIC, '--partitions', '3', '--replication-factor', '1');
  const topics = [{ topic: TOPIC, brokers: [kafka.address], format: 'json', kind: 'cache' }];
  const scene = await Scene.open({
    count: 2,
    mode: 'independent',
    roomSettings: (room) => ({ link: QUICK_LINK, ...(room === 'beijing' ? { intake: { topics } } : {}) }),
  });
  await produce(
    kafka,
    Array.from({ length: 300 }, (_, index) => counted(index % 10)),
  );
  await produce(kafka, [{ key: 'user:3', value: '{"payload":' }, counted(3), counted(4)]);
  for (const room of [0, 1]) {
    await until('user 4 is counted', async () => (await scene.value(room, 'user:4:logins')) === '31');
    assert.equal(await scene.value(room, 'user:9:logins'), '30');
  }
  const lines = await scene.wmb(1, 'parked', 'list');
  assert.match(lines.stdout, /RECORD_REFUSED/);
  assert.equal(await scene.value(0, 'user:3:logins'), '30');
});
