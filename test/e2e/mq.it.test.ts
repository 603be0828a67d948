/** Two rooms of real daemons, the link from beijing to guangzhou over mq, through guangzhou's Kafka, and the other one over rpc. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Kafka } from 'kafkajs';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { type KafkaServer, startKafka } from '../containers/kafka.ts';
import { cacheWrite, QUICK_LINK, Scene, until } from './scene.ts';
import { Traffic } from './traffic.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;

interface Places {
  readonly kafka: KafkaServer;
  readonly scene: Scene;
}

const places: Places | undefined = skip ? undefined : await open();

async function open(): Promise<Places> {
  const kafka = await startKafka();
  after(() => kafka.remove());
  const brokers = [kafka.address];
  const roomSettings = (room: string) => ({
    link: QUICK_LINK,
    ...(room === 'beijing' ? { peers: { guangzhou: { kafka: { brokers } } } } : { inbox: { brokers, replicas: 1 } }),
  });
  const topologySettings = { links: [{ origin: 'beijing', peer: 'guangzhou', transport: 'mq' }], limits: { duplicateWindowWrites: 500 } };
  const scene = await Scene.prepare({ count: 2, mode: 'independent', partitions: 4, roomSettings, topologySettings });
  const { code, stdout, stderr } = await scene.wmb(1, 'link', 'init');
  assert.equal(code, 0, stderr);
  assert.match(stdout, /topic wmb\.inbox\.beijing\.writes: made, 4 partitions with 1 replicas each/);
  await scene.rooms.startAll();
  return { kafka, scene };
}

function here(): Places {
  assert.ok(places !== undefined);
  return places;
}

/** Waits until frames in the inbox hold a `SET` of each of these keys. Small frames are not compressed. */
async function untilInInbox({ client }: KafkaServer, keys: readonly string[]): Promise<void> {
  const consumer = new Kafka(client).consumer({ groupId: 'whoever-looks-into-the-inbox' });
  let found = '';
  try {
    await consumer.subscribe({ topic: 'wmb.inbox.beijing.writes', fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ message }) => {
        found += message.value?.toString('latin1') ?? '';
      },
    });
    await until('the inbox has them', async () => keys.every((key) => found.includes(`["SET","${key}"`)));
  } finally {
    await consumer.disconnect();
  }
}

async function transports(scene: Scene): Promise<readonly string[]> {
  const { links } = await scene.collector(1);
  return links.filter(({ origin }) => origin === 'beijing').map(({ transport }) => transport);
}

test('two rooms are equal whose links run over rpc and over mq', { skip }, async () => {
  const { scene } = here();
  assert.deepEqual(await transports(scene), ['mq']);
  const traffic = new Traffic(scene, 'both');
  await traffic.flows(200);
  await traffic.proves(scene);
});

test('every daemon is killed in the middle of traffic: both rooms hold what was acked, counters exact', { skip }, async () => {
  const { scene } = here();
  const traffic = new Traffic(scene, 'kill');
  for (const step of [
    ['reship', 'collector'],
    ['collector', 'reship'],
  ] as const) {
    await traffic.flows(60);
    await Promise.all(step.map((daemon, index) => scene.restart(index, daemon, 'SIGKILL')));
  }
  await traffic.flows(60);
  await traffic.proves(scene);
});

test('a link is switched to rpc and back again and again under load, over a restart: nothing is lost, doubled or reordered', {
  skip,
}, async () => {
  const { scene } = here();
  const traffic = new Traffic(scene, 'switch');
  const switchTo = async (transport: string) => {
    const { code, stderr } = await scene.wmb(0, 'link', 'transport', 'beijing', 'guangzhou', transport);
    assert.equal(code, 0, stderr);
    await traffic.flows(60);
    assert.deepEqual(await transports(scene), [transport]);
  };
  for (let round = 0; round < 2; round += 1) {
    await switchTo('rpc');
    await switchTo('mq');
  }
  await switchTo('rpc');
  await scene.restart(1, 'collector', 'SIGKILL');
  assert.deepEqual(await transports(scene), ['rpc'], 'the choice is remembered');
  await switchTo('mq');
  await traffic.proves(scene);
});

test('the broker is killed and started again: the other link goes on meanwhile, and afterwards both rooms are equal', {
  skip,
}, async () => {
  const { scene, kafka } = here();
  const traffic = new Traffic(scene, 'broker');
  await traffic.flows(60);
  await kafka.container.kill();
  await traffic.flows(60);
  await scene.submit(1, [cacheWrite('meanwhile', [['SET', 'meanwhile', 'yes']])]);
  await until('the link over rpc goes on', async () => (await scene.value(0, 'meanwhile')) === 'yes');
  await kafka.container.start();
  await traffic.flows(60);
  await traffic.proves(scene);
});

test('the origin is gone for good: its peer applies all that the inbox has, also after a restart', { skip }, async () => {
  const { scene, kafka } = here();
  await scene.wmb(1, 'link', 'pause', 'beijing', 'guangzhou');
  const names = Array.from({ length: 50 }, (_, index) => `last:${index}`);
  for (const name of names) await scene.submit(0, [cacheWrite(name, [['SET', name, 'kept']])]);
  await untilInInbox(kafka, names);
  await scene.rooms.end(scene.room(0), 'collector', 'SIGKILL');
  await scene.rooms.end(scene.room(0), 'reship', 'SIGKILL');
  await scene.restart(1, 'collector', 'SIGKILL');
  await scene.wmb(1, 'link', 'resume', 'beijing', 'guangzhou');
  await until('the peer has applied everything', async () =>
    (await Promise.all(names.map((name) => scene.value(1, name)))).every((value) => value === 'kept'),
  );
});
