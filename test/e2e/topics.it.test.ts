/** An application that writes a topic of Kafka and knows nothing of WMB: what it writes is in both rooms' caches, once, whatever is killed; and what is no write request is seen. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { CompressionTypes, Kafka, type Message, type Producer } from 'kafkajs';
import type { TopologyStatus } from '../../cli/status/read.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { decodeFrame } from '../../link/frame.ts';
import { logFile } from '../../log/embedded/embedded.ts';
import { EmbeddedLogReader } from '../../log/embedded/reader.ts';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { startKafka } from '../containers/kafka.ts';
import { QUICK_LINK, Scene, until } from './scene.ts';

process.env['KAFKAJS_NO_PARTITIONER_WARNING'] = '1';
const TOPIC = 'app.writes';
const KILLS = 3;
const skip = !(await containersAvailable()) && NO_ENGINE;

const counted = (user: string): Message => ({ key: `user:${user}`, value: JSON.stringify({ payload: [['INCR', `user:${user}:logins`]] }) });

/** How often each request id of the users' is in the room's write log. */
async function requestCounts(scene: Scene): Promise<ReadonlyMap<string, number>> {
  const { directory, id } = scene.room(0);
  const log = new EmbeddedLogReader({ file: logFile(join(directory, 'writes')), log: 'writes', origin: id, runtime: systemRuntime });
  await log.open();
  const counts = new Map<string, number>();
  for (let partition = 0; partition < log.partitions; partition += 1) {
    for (const { bytes } of await log.read(partition, 0, Number.MAX_SAFE_INTEGER)) {
      for (const { requestId, kind } of decodeFrame(bytes).writes)
        if (kind === 'cache') counts.set(requestId, (counts.get(requestId) ?? 0) + 1);
    }
  }
  await log.close();
  return counts;
}

describe('an application’s topic', { skip }, async () => {
  const kafka = skip ? undefined : await startKafka();
  let producer: Producer | undefined;
  after(async () => {
    await producer?.disconnect();
    await kafka?.remove();
  });
  const topics = [{ topic: TOPIC, brokers: [kafka?.address ?? ''], format: 'json', kind: 'cache' }];
  const scene = await Scene.prepare({
    count: 2,
    mode: 'independent',
    partitions: 4,
    roomSettings: (room) => ({ link: QUICK_LINK, ...(room === 'beijing' ? { intake: { topics } } : {}) }),
  });
  const produce = (messages: Message[]) => producer?.send({ topic: TOPIC, messages, compression: CompressionTypes.GZIP });
  let produced = 0;

  test('that is not there ends the reship at its start, with what to do', async () => {
    const { code, stderr } = await scene.wmb(0, 'reship');
    assert.equal(code, 3);
    assert.match(stderr, /TOPIC_MISSING: the intake topic app\.writes .* knows no such topic/);
  });

  test('fills both rooms’ caches', async () => {
    await kafka?.tool('kafka-topics.sh', '--create', '--topic', TOPIC, '--partitions', '3', '--replication-factor', '1');
    producer = new Kafka(kafka?.client ?? { brokers: [] }).producer();
    await producer.connect();
    await scene.rooms.startAll();
    await produce(Array.from({ length: 300 }, (_, index) => counted(`a${index % 10}`)));
    produced += 300;
    for (const room of [0, 1])
      for (const user of [4, 9]) await until('a user is counted', async () => (await scene.value(room, `user:a${user}:logins`)) === '30');
  });

  test('has a record that is no write request: both rooms park it with its place, and with it only what follows of its key', async () => {
    await produce([{ key: 'user:b', value: '{"payload":' }, counted('b'), counted('c')]);
    produced += 2;
    for (const room of [0, 1]) {
      await until('the next key goes on', async () => (await scene.value(room, 'user:c:logins')) === '1');
      // Of another key, and perhaps on another lane.
      const writes = await until('both are parked', async () => {
        const parked = await scene.wmbJson<{ writes: { requestId: string; code: string }[] }>(room, 'parked', 'list');
        return parked.writes.length === 2 && parked.writes;
      });
      assert.deepEqual(
        writes.map(({ code }) => code),
        ['RECORD_REFUSED', 'BEHIND_PARKED'],
      );
      assert.equal(await scene.value(room, 'user:b:logins'), undefined);
      const refused = writes[0]?.requestId ?? '';
      assert.match(refused, /^kafka\/app\.writes\/\d\/\d+\//);
      const shown = (await scene.wmb(room, 'parked', 'show', refused)).stdout.replaceAll(/\s+/g, ' ');
      assert.match(
        shown,
        /the record at offset \d+ of partition \d of the topic app\.writes is no write request \(WRITE_INVALID: is not JSON/,
      );
      assert.equal((await scene.wmb(room, 'parked', 'discard', refused)).code, 0);
      await until('what waited follows', async () => (await scene.value(room, 'user:b:logins')) === '1');
    }
  });

  test('is taken in once although the reship is killed again and again in the middle of it', async () => {
    let isProducing = true;
    const total = async () => Number((await scene.value(1, 'user:k:logins')) ?? 0);
    const producing = (async () => {
      while (isProducing) {
        await produce(Array.from({ length: 200 }, (_, i) => counted(i % 4 === 0 ? 'k' : `k${i % 50}`)));
        produced += 200;
        await new Promise((resolve) => setTimeout(resolve, 30));
      }
    })();
    for (let kill = 0; kill < KILLS; kill += 1) {
      const before = await total();
      await until('it flows', async () => (await total()) > before + 200);
      await scene.restart(0, 'reship', 'SIGKILL');
    }
    isProducing = false;
    await producing;
    await until('nothing is left to take', async () => {
      const { rooms } = await scene.wmbJson<TopologyStatus>(0, 'status');
      const reship = rooms[0]?.reship;
      const partitions = reship === undefined || 'error' in reship ? [] : (reship.topics[0]?.partitions ?? []);
      return partitions.length === 3 && partitions.every(({ lagWrites }) => lagWrites === 0);
    });
    const held = await scene.equalRooms();
    const logins = [...held].filter(([key]) => key.endsWith(':logins')).map(([, entry]) => Number((entry as { value: string }).value));
    assert.equal(
      logins.reduce((sum, one) => sum + one, 0),
      produced,
    );
    const counts = await requestCounts(scene);
    assert.deepEqual(
      [...counts].filter(([, count]) => count !== 1),
      [],
    );
    assert.equal(counts.size, produced);
    await until('status says so', async () => /beijing +app\.writes +3 +taking +0/.test((await scene.wmb(0, 'status')).stdout));
  });
});
