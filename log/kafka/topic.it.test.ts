/** What somebody may do to the topics of a log in Kafka. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Partitioners } from 'kafkajs';
import { type LogFields, type Logger, silentLogger } from '../../core/logger.ts';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { alterTopic, topicSettings } from '../../test/containers/kafka.ts';
import { assertSame, draftOf, readAll } from '../log.contract.ts';
import {
  drafts,
  init,
  kafkaAt,
  openLog,
  refused,
  stopped,
  temporaryDirectory,
  testClient,
  testKafka,
  testRoom,
  until,
} from './kafka-kit.ts';
import { framesTopic, registryTopic } from './topics.ts';

const ALL_BYTES = 1_000_000;

const kafka = await testKafka();
const skip = kafka === undefined && NO_ENGINE;
const address = kafka?.address ?? '';
const { client, admin } = await testClient(kafka);

/** Collects what is logged as an error. */
function collected(): { readonly logger: Logger; readonly errors: LogFields[] } {
  const errors: LogFields[] = [];
  const logger: Logger = { ...silentLogger, error: (fields) => void errors.push(fields), child: () => logger };
  return { logger, errors };
}

describe('the topic', { skip }, () => {
  test('it is deleted: the log cannot be appended to; made again by hand it stops, and opens under a new epoch only', async (t) => {
    const { place, open } = await testRoom(t, address);
    const first = await open();
    await first.append(drafts(first, 5));
    await first.close();
    const log = await open({ appendMsMax: 500 });
    const topic = framesTopic(place.origin, 'writes', log.epoch);
    await admin.deleteTopics({ topics: [topic] });
    await until('the broker has forgotten it', async () => !(await admin.listTopics()).includes(topic));
    await refused(() => log.append(drafts(log, 1)), { code: 'LOG_UNAVAILABLE', message: /knows no such topic/ });
    await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }] });
    assert.equal(await stopped(log), 'LOG_GAP');
    await assert.rejects(log.append(drafts(log, 1)), { code: 'LOG_GAP', message: /frames [01] to 4 were acked.*wmb log init --new-epoch/ });
    const { epoch } = log;
    await log.close();
    await assert.rejects(open(), { code: 'LOG_UNFIT' });
    await admin.deleteTopics({ topics: [topic] });
    await until('the broker has forgotten it', async () => !(await admin.listTopics()).includes(topic));
    await assert.rejects(open(), { code: 'LOG_UNPREPARED', message: /--new-epoch/ });
    await assert.rejects(init(place), { code: 'LOG_UNPREPARED' });
    await init(place, true);
    const again = await open();
    assert.notEqual(again.epoch, epoch);
    assert.deepEqual(await again.append(drafts(again, 2)), [0, 1]);
  });

  test('it is made again by hand with the right settings while nobody looks: the log does not open', async (t) => {
    const { place, open, directory } = await testRoom(t, address);
    const log = await open();
    await log.append(drafts(log, 5));
    const topic = framesTopic(place.origin, 'writes', log.epoch);
    await log.close();
    const configEntries = Array.from(await topicSettings(admin, topic), ([name, value]) => ({ name, value }));
    await admin.deleteTopics({ topics: [topic] });
    await until('the broker has forgotten it', async () => !(await admin.listTopics()).includes(topic));
    await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1, configEntries }] });
    await assert.rejects(open(), { code: 'LOG_GAP', message: /frames 0 to 4 were acked/ });
    // Also where the index is gone: how far the log was is written down in Kafka too.
    await assert.rejects(open({ directory: join(directory, 'other') }), { code: 'LOG_GAP', message: /frames 0 to 4 were acked/ });
    await assert.rejects(init(place), { code: 'LOG_GAP' });
  });

  test('a new epoch is begun under an open log: it stops, and its later frames do not reach the new epoch', async (t) => {
    const { place, open } = await testRoom(t, address);
    const log = await open();
    await log.append(drafts(log, 2));
    await init(place, true);
    const next = await open();
    assert.deepEqual(await next.append(drafts(next, 1)), [0]);
    await log.promise('018bcfe568000000000000ff').catch(() => {});
    assert.equal(await stopped(log), 'LOG_GAP');
    await assert.rejects(log.append(drafts(log, 1)), { code: 'LOG_GAP', message: new RegExp(`epoch ${next.epoch}; restart`) });
    assert.equal((await readAll(next, 0)).length, 1);
    assert.notEqual(
      (await next.leaseWriter('next')).lease,
      (
        await openLog(place, { directory: temporaryDirectory() }).then(async (other) => {
          const lease = await other.leaseWriter('other');
          await other.close();
          return lease;
        })
      ).lease,
    );
  });

  test('records are deleted by somebody else: what went is a gap, and it is told', async (t) => {
    const { place, open } = await testRoom(t, address);
    const { logger, errors } = collected();
    const log = await open({ logger });
    const stored = drafts(log, 10);
    await log.append(stored);
    const topic = framesTopic(place.origin, 'writes', log.epoch);
    await deleteBefore(topic, 6);
    await log.append([draftOf(log, { ms: 9_000 })]);
    await until('it has heard of it', () => log.extent(0).first === 6);
    await assert.rejects(log.read(0, 3, ALL_BYTES), { code: 'LOG_GAP', message: /3 to 5/ });
    assertSame((await log.read(0, 6, ALL_BYTES)).slice(0, 4), stored.slice(6), 6);
    await until('it is told', () => errors.some(({ from, to }) => from === 0 && to === 5));
    await log.close();
    const again = await open();
    assert.equal(again.extent(0).first, 6);
    assert.equal(again.extent(0).writes, 11);
  });

  test('records are deleted that a process which was away had not seen: they are a gap for it, and it goes on after them', async (t) => {
    const { place, open, directory } = await testRoom(t, address);
    const log = await open();
    await log.append(drafts(log, 4));
    await log.close();
    const busy = await open({ directory: join(directory, 'busy') });
    await busy.append(drafts(busy, 16, { ms: 50_000 }));
    const topic = framesTopic(place.origin, 'writes', busy.epoch);
    await deleteBefore(topic, 12);
    const again = await open();
    assert.deepEqual([again.extent(0).first, again.extent(0).next], [12, 20]);
    await assert.rejects(again.read(0, 4, ALL_BYTES), { code: 'LOG_GAP', message: /4 to 11/ });
    assert.equal((await readAll(again, 0, 12)).length, 8);
    assert.deepEqual(await again.append(drafts(again, 1)), [20]);
  });

  test('a record of another program stands in it: its seq is damaged, the others are not', async (t) => {
    const { place, open, directory } = await testRoom(t, address);
    const log = await open();
    const stored = drafts(log, 3);
    await log.append(stored.slice(0, 2));
    const topic = framesTopic(place.origin, 'writes', log.epoch);
    const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    await producer.send({ topic, messages: [{ partition: 0, value: 'hello' }] });
    await producer.send({ topic, compression: 1, messages: [{ partition: 0, value: 'hello '.repeat(100) }] });
    await producer.disconnect();
    assert.deepEqual(await log.append(stored.slice(2)), [4]);
    for (const reader of [log, await open({ directory: join(directory, 'other') })]) {
      assert.equal((await reader.read(0, 0, ALL_BYTES)).length, 2);
      await assert.rejects(reader.read(0, 2, ALL_BYTES), { code: 'LOG_CORRUPT', message: new RegExp(`/0@${log.epoch}:2\\.0`) });
      await assert.rejects(reader.read(0, 3, ALL_BYTES), { code: 'LOG_CORRUPT', message: /compress/ });
      assertSame(await reader.read(0, 4, ALL_BYTES), stored.slice(2), 4);
      assert.equal(reader.extent(0).writes, 3);
    }
  });

  test('a transaction of another program stands in it: what ends it takes a seq too, which is damaged; the log goes on behind it', async (t) => {
    const { place, open, directory } = await testRoom(t, address);
    const log = await open();
    const stored = drafts(log, 2);
    await log.append(stored.slice(0, 1));
    const topic = framesTopic(place.origin, 'writes', log.epoch);
    const producer = client.producer({
      createPartitioner: Partitioners.DefaultPartitioner,
      transactionalId: topic,
      idempotent: true,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ partition: 0, value: 'hello' }] });
    await transaction.commit();
    await producer.disconnect();
    await until('its end stands in the topic', async () =>
      (await admin.fetchTopicOffsets(topic)).some(({ partition, high }) => partition === 0 && high === '3'),
    );
    assert.deepEqual(await log.append(stored.slice(1)), [3]);
    for (const reader of [log, await open({ directory: join(directory, 'other') })]) {
      await assert.rejects(reader.read(0, 1, ALL_BYTES), { code: 'LOG_CORRUPT', message: new RegExp(`/0@${log.epoch}:1\\.0`) });
      await assert.rejects(reader.read(0, 2, ALL_BYTES), { code: 'LOG_CORRUPT', message: /a transaction of another program/ });
      assertSame(await reader.read(0, 3, ALL_BYTES), stored.slice(1), 3);
    }
  });

  test('a log of another room, or with another partition count, is refused with both sides named', async (t) => {
    const { place, open } = await testRoom(t, address);
    await (await open()).close();
    const wider = { ...place, partitions: 8 };
    await assert.rejects(openLog(wider, { directory: temporaryDirectory() }), { code: 'LOG_FOREIGN', message: /2 partitions.*with 8/ });
    await assert.rejects(init(wider), { code: 'LOG_FOREIGN' });
    const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    const topic = registryTopic(place.origin, 'writes');
    const foreign = {
      format: 1,
      room: 'elsewhere',
      log: 'writes',
      partitions: 2,
      epoch: 'x',
      generation: 9,
      promised: '',
      stampLast: '',
      next: [],
      first: [],
    };
    await producer.send({ topic, messages: [{ partition: 0, value: JSON.stringify(foreign) }] });
    await assert.rejects(open(), { code: 'LOG_FOREIGN', message: /room elsewhere.*room room-/ });
    await producer.send({ topic, messages: [{ partition: 0, value: 'no json' }] });
    await producer.disconnect();
    await assert.rejects(open(), { code: 'LOG_FOREIGN', message: /newer WMB/ });
  });

  test('with settings that break its promises it is refused, each named with the command that corrects it', async (t) => {
    const { place, open } = await testRoom(t, address);
    const log = await open();
    const topic = framesTopic(place.origin, 'writes', log.epoch);
    await log.close();
    const wrong = [
      [topic, 'cleanup.policy', 'compact'],
      [topic, 'retention.ms', '1000'],
      [topic, 'retention.bytes', '1000000'],
      [topic, 'compression.type', 'gzip'],
      [topic, 'max.message.bytes', '1000000'],
      [registryTopic(place.origin, 'writes'), 'retention.ms', '86400000'],
    ] as const;
    for (const [which, name, value] of wrong) {
      const right = await alterTopic(admin, which, name, value);
      const remedy = `--entity-name ${which} --add-config ${name}=${right}`;
      const told = new RegExp(`${name.replaceAll('.', '\\.')} is ${value} and must be ${right}: .*${remedy}`);
      await assert.rejects(open(), { code: 'LOG_UNFIT', message: told });
      await assert.rejects(init(place), { code: 'LOG_UNFIT', message: told });
      await alterTopic(admin, which, name, right);
    }
    for (const [minInSyncReplicas, told] of [
      [2, /has 1 replicas of partition 0, and log\.minInSyncReplicas asks for 2/],
      [1, /has 1 replicas of partition 0, and log\.replicas asks for 3/],
    ] as const) {
      const safer = { ...place, kafka: kafkaAt(address, { replicas: 3, minInSyncReplicas }) };
      await assert.rejects(openLog(safer, { directory: temporaryDirectory() }), { code: 'LOG_UNFIT', message: told });
      await assert.rejects(init(safer), { code: 'LOG_UNFIT', message: told });
    }
    await open();
  });
});

async function deleteBefore(topic: string, offset: number): Promise<void> {
  // It looks for the leader among the topics that it has been asked of before.
  await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: `${offset}` }] });
}
