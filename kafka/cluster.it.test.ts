/** The cluster as a real Kafka shows it. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { systemRuntime } from '../core/runtime.ts';
import { containersAvailable, NO_ENGINE } from '../test/containers/engine.ts';
import { startKafka } from '../test/containers/kafka.ts';
import { KafkaCluster } from './cluster.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;

test('topics that are watched at once are all known', { skip }, async () => {
  const kafka = await startKafka();
  after(() => kafka.remove());
  const servers = { brokers: [kafka.address], sasl: undefined, tls: undefined };
  const cluster = new KafkaCluster({ servers, clientId: 'wmb-test', runtime: systemRuntime });
  after(() => cluster.close());
  await cluster.refresh();
  const topics = ['one', 'two', 'three'];
  for (const topic of topics) await cluster.createTopic({ topic, numPartitions: 1, replicationFactor: 1, configEntries: [] });
  await Promise.all(topics.map((topic) => cluster.watch(topic)));
  assert.deepEqual(
    topics.map((topic) => cluster.partitions(topic)?.length),
    [1, 1, 1],
  );
});
