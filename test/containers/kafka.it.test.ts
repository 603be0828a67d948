import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Kafka, type KafkaConfig, Partitioners } from 'kafkajs';
import { TcpProxy } from '../harness/proxy.ts';
import { Authority } from './certificates.ts';
import { containersAvailable, NO_ENGINE } from './engine.ts';
import { type KafkaOptions, startKafka, startKafkaCluster } from './kafka.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;

describe('one broker', { skip }, async () => {
  const kafka = skip ? undefined : await startKafka();
  after(() => kafka?.remove());

  test('keeps its records, its offsets and its address through SIGKILL', async () => {
    assert.ok(kafka);
    await using clients = await connect(kafka.client);
    await clients.createTopic({ topic: 'kept', numPartitions: 3, replicationFactor: 1 });
    assert.equal(await clients.send('kept', 2), '0');

    await kafka.container.kill();
    await kafka.container.start();

    const offsets = await clients.admin.fetchTopicOffsets('kept');
    assert.equal(offsets.length, 3);
    assert.deepEqual(
      offsets.find(({ partition }) => partition === 2),
      { partition: 2, offset: '1', low: '0', high: '1' },
    );
    assert.equal((await kafka.tool('kafka-topics.sh', '--list')).trim(), 'kept');
  });

  test('makes no topic by itself', async () => {
    assert.ok(kafka);
    // The first try would fail in any case.
    await using clients = await connect({ ...kafka.client, retry: { retries: 3 } });
    await assert.rejects(clients.send('unasked', 0), /does not host this topic/);
  });
});

describe('a cluster of three', { skip }, async () => {
  const cluster = skip ? undefined : await startKafkaCluster(3, { settings: { 'min.insync.replicas': '2' } });
  after(() => cluster?.remove());

  test('takes records while the one that led is dead, and has it back afterwards', async () => {
    assert.ok(cluster);
    await using clients = await connect(cluster.client);
    await clients.createTopic({ topic: 'led', numPartitions: 1, replicationFactor: 3 });
    assert.equal(await clients.send('led', 0), '0');
    const dead = await cluster.leaderOf('led', 0);
    assert.ok(dead);

    await dead.container.kill();
    assert.equal(await clients.send('led', 0), '1');
    // Not every broker has heard of it at once.
    const isLed = async () => ![undefined, dead].includes(await cluster.leaderOf('led', 0));
    while (!(await isLed()));

    await dead.container.start();
    const inSync = async () => (await clients.admin.fetchTopicMetadata({ topics: ['led'] })).topics[0]?.partitions[0]?.isr.length;
    while ((await inSync()) !== 3);
  });
});

const authority = new Authority();
after(() => authority.remove());
const mine = authority.sign('client', ['DNS:client']);
const tls = { ca: authority.ca, ...authority.sign('broker', ['IP:127.0.0.1']), client: { cert: mine.cert, key: mine.key } };
const user = { username: 'beijing', password: 'hush-1' } as const;

const guarded: readonly [string, KafkaOptions][] = [
  ['by a password', { sasl: { mechanism: 'plain', ...user } }],
  ['by SCRAM and certificates of both sides', { sasl: { mechanism: 'scram-sha-512', ...user }, tls }],
];
for (const [how, options] of guarded) {
  describe(`a broker that is guarded ${how}`, { skip }, async () => {
    const kafka = skip ? undefined : await startKafka({ ...options, hostNetwork: true });
    after(() => kafka?.remove());

    test('lets in who has them, and nobody else', async () => {
      assert.ok(kafka && options.sasl);
      await using clients = await connect(kafka.client);
      await clients.createTopic({ topic: 'guarded', numPartitions: 1, replicationFactor: 1 });
      assert.equal(await clients.send('guarded', 0), '0');
      const wrong = { ...kafka.client, retry: { retries: 0 }, sasl: { ...options.sasl, password: 'wrong' } };
      await assert.rejects(connect(wrong), { name: 'KafkaJSSASLAuthenticationError' });
      if (options.tls !== undefined)
        await assert.rejects(connect({ ...kafka.client, retry: { retries: 0 }, ssl: { ca: [options.tls.ca] } }), /certificate required/);
    });

    test('sends clients who come through a proxy back to the proxy', async (context) => {
      assert.ok(kafka?.proxied);
      const proxy = new TcpProxy(kafka.proxied.far.target);
      context.after(() => proxy.close());
      const port = await proxy.listen(kafka.proxied.far.port);
      await using clients = await connect({ ...kafka.client, brokers: [`127.0.0.1:${port}`], retry: { retries: 0 } });
      await clients.admin.listTopics();
      proxy.cut();
      await assert.rejects(clients.admin.listTopics());
    });
  });
}

async function connect(config: KafkaConfig) {
  const kafka = new Kafka({ connectionTimeout: 30_000, retry: { retries: 40, maxRetryTime: 500 }, ...config });
  const admin = kafka.admin();
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  const disconnect = async () => void (await Promise.all([admin.disconnect(), producer.disconnect()]));
  await Promise.all([admin.connect(), producer.connect()]).catch(async (error) => {
    await disconnect();
    throw error;
  });
  return {
    admin,
    createTopic: (topic: Parameters<typeof admin.createTopics>[0]['topics'][0]) => admin.createTopics({ topics: [topic] }),
    /** Sends one record, and resolves to its offset once every replica has it. */
    send: async (topic: string, partition: number) =>
      (await producer.send({ topic, acks: -1, messages: [{ partition, value: 'one' }] }))[0]?.baseOffset,
    [Symbol.asyncDispose]: disconnect,
  };
}
