import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Kafka, Partitioners } from 'kafkajs';
import { containersAvailable, NO_ENGINE } from './engine.ts';
import { type KafkaServer, startKafka } from './kafka.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;

describe('one broker', { skip }, async () => {
  const kafka = skip ? undefined : await startKafka();
  after(() => kafka?.remove());

  test('keeps its records, its offsets and its address through SIGKILL', async () => {
    assert.ok(kafka);
    const { admin, producer, disconnect } = await connect(kafka);
    await admin.createTopics({ topics: [{ topic: 'kept', numPartitions: 3, replicationFactor: 1 }] });
    const [sent] = await producer.send({ topic: 'kept', acks: -1, messages: [{ partition: 2, value: 'one' }] });
    assert.equal(sent?.baseOffset, '0');

    await kafka.container.kill();
    await kafka.container.start();

    const offsets = await admin.fetchTopicOffsets('kept');
    assert.deepEqual(new Map(offsets.map(({ partition, low, high }) => [partition, `${low} to ${high}`])).get(2), '0 to 1');
    assert.equal(offsets.length, 3);
    assert.equal((await kafka.tool('kafka-topics.sh', '--list')).trim(), 'kept');
    await disconnect();
  });

  test('makes no topic by itself', async () => {
    assert.ok(kafka);
    const { producer, disconnect } = await connect(kafka, 0);
    await assert.rejects(producer.send({ topic: 'unasked', messages: [{ value: 'one' }] }), /does not host this topic/);
    await disconnect();
  });
});

async function connect({ client }: Pick<KafkaServer, 'client'>, retries = 8) {
  const kafka = new Kafka({ ...client, retry: { retries, initialRetryTime: 100 } });
  const admin = kafka.admin();
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await Promise.all([admin.connect(), producer.connect()]);
  const disconnect = async () => void (await Promise.all([admin.disconnect(), producer.disconnect()]));
  return { admin, producer, disconnect };
}
