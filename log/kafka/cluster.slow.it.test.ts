/** A log in a Kafka of three brokers, of which one or two die. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { KafkaCluster } from '../../kafka/cluster.ts';
import { makeTopic } from '../../kafka/topics.ts';
import { MqDialer } from '../../link/mq/dialer.ts';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import { startKafkaCluster } from '../../test/containers/kafka.ts';
import { MqRig, PEER } from '../../test/links/mq-rig.ts';
import { keepingLogger, type LogLine } from '../../test/links/rig.ts';
import { assertSame, draftOf, readAll } from '../log.contract.ts';
import type { FrameDraft } from '../log.ts';
import { init, kafkaAt, refused, succeeds, testRoom, until } from './kafka-kit.ts';
import { framesTopic, needsOf, registryTopic } from './topics.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const cluster = skip ? undefined : await startKafkaCluster(3);
after(() => cluster?.remove());
/** A broker takes its time to start on a busy machine. */
const PATIENT_MS = 120_000;

/** Where the log of a room in the cluster is. */
const place = () => {
  const brokers = cluster?.brokers.map(({ address }) => address) ?? [];
  return { kafka: kafkaAt('', { brokers, replicas: 3, minInSyncReplicas: 2 }), partitions: 6 };
};

/** As if somebody had lowered it by hand. */
async function lower(topic: string): Promise<void> {
  const which = ['--entity-type', 'topics', '--entity-name', topic];
  await cluster?.brokers[0]?.tool('kafka-configs.sh', '--alter', ...which, '--add-config', 'min.insync.replicas=1');
}

/** Of a partition with one replica; it is dead when the others know that nobody leads it. */
async function killLeader(topic: string, partition: number) {
  const leader = await cluster?.leaderOf(topic, partition);
  await leader?.container.kill();
  const others = new KafkaCluster({ servers: place().kafka, clientId: 'test', runtime: systemRuntime });
  await others.watch(topic);
  await until('nobody leads it', async () => {
    await others.refresh();
    return others.partitions(topic)?.[partition]?.leader === undefined;
  });
  others.close();
  return leader;
}

describe('three brokers', { skip }, () => {
  test('a topic that was made is known to every broker', async () => {
    const { brokers, replicas, minInSyncReplicas } = place().kafka;
    const servers = brokers.map((address) => ({ brokers: [address], sasl: undefined, tls: undefined }));
    const all = servers.map((each) => new KafkaCluster({ servers: each, clientId: 'test', runtime: systemRuntime }));
    const [first] = all;
    assert.ok(first);
    for (let count = 0; count < 20; count += 1) {
      const topic = `made-${process.pid}-${count}`;
      await Promise.all(all.map((each) => each.watch(topic)));
      await makeTopic(first, { topic, partitions: 3, replicas }, needsOf({ minInSyncReplicas }), systemRuntime);
      await Promise.all(all.map((each) => each.refresh()));
      assert.deepEqual(
        all.map((each) => each.partitions(topic)?.map(({ leader }) => leader !== undefined)),
        all.map(() => [true, true, true]),
      );
    }
    for (const each of all) each.close();
  });

  test('a topic for which one broker is enough is refused where the room asks for two, of a log and of an inbox', async (t) => {
    const told = (topic: string) =>
      new RegExp(`${topic} .*min\\.insync\\.replicas is 1 and must be 2: .*--entity-name ${topic} --add-config min\\.insync\\.replicas=2$`);
    const { open, place: of } = await testRoom(t, '', place());
    const frames = framesTopic(of.origin, 'writes', (await open()).epoch);
    await lower(frames);
    await refused(open, { code: 'LOG_UNFIT', message: told(frames) });
    await refused(() => init(of), { code: 'LOG_UNFIT', message: told(frames) });

    const { brokers } = place().kafka;
    const servers = { brokers, sasl: undefined, tls: undefined };
    const rig = new MqRig('', { inbox: { ...servers, replicas: 3, minInSyncReplicas: 2 } }, servers);
    await rig.init();
    const dialer = new MqDialer({ config: rig.config(PEER), runtime: systemRuntime, logger: silentLogger });
    await dialer.check(rig.origin);
    const inbox = `wmb.inbox.${rig.origin}.writes`;
    await lower(inbox);
    await refused(() => dialer.check(rig.origin), { code: 'INBOX_UNFIT', message: told(inbox) });
    await refused(() => rig.init(), { code: 'INBOX_UNFIT', message: told(inbox) });
  });

  test('a log of which a partition has no leader is opened when it has one again, and meanwhile that is said', async (t) => {
    const { open, place: of } = await testRoom(t, '', { ...place(), kafka: { ...place().kafka, replicas: 1, minInSyncReplicas: 1 } });
    const leader = await killLeader(registryTopic(of.origin, of.log), 0);
    const lines: LogLine[] = [];
    const opening = open({ logger: keepingLogger(lines) });
    opening.catch(() => {});
    await until('it is said', () => lines.some(({ message }) => message === 'a log cannot be opened yet; it is tried again'));
    await leader?.container.start();
    await opening;
    assert.match(lines.map(({ reason }) => reason).join('\n'), /has no leader for the partition at the moment/);
  });

  test('a log of which the partition of the leases has no leader gives a lease when it has one again', async (t) => {
    const { open, place: of } = await testRoom(t, '', { ...place(), kafka: { ...place().kafka, replicas: 1, minInSyncReplicas: 1 } });
    const lines: LogLine[] = [];
    const log = await open({ logger: keepingLogger(lines) });
    const leader = await killLeader(registryTopic(of.origin, of.log), 1);
    const leasing = log.leaseWriter('a test');
    leasing.catch(() => {});
    await until('it is said', () => lines.some(({ message }) => message === 'a log cannot be opened yet; it is tried again'));
    await leader?.container.start();
    assert.ok((await leasing).lease >= 1);
  });

  test('one after the other is killed under appends: they go on with the others, and everything acked is stored once, in order', async (t) => {
    const { open } = await testRoom(t, '', place());
    const [log, other] = [await open({ appendMsMax: PATIENT_MS }), await open()];
    const acked: { readonly draft: FrameDraft; readonly seq: number }[][] = Array.from({ length: 6 }, () => []);
    let stopping = false;
    let slowestMs = 0;
    const appending = acked.map(async (mine, partition) => {
      for (let i = 0; !stopping; i += 1) {
        const draft = draftOf(log, { partition, ms: 1_000 + i, payloadBytes: 500 });
        const startedMs = performance.now();
        const [seq = -1] = await log.append([draft]);
        slowestMs = Math.max(slowestMs, performance.now() - startedMs);
        mine.push({ draft, seq });
      }
    });
    const flows = async () => {
      const from = acked.map((mine) => mine.length);
      await until('every partition goes on', () => acked.every((mine, partition) => mine.length > (from[partition] ?? 0) + 20));
    };
    await flows();
    for (const broker of cluster?.brokers ?? []) {
      await broker.container.kill();
      await flows();
      await broker.container.start();
      await flows();
    }
    stopping = true;
    await Promise.all(appending);
    t.diagnostic(`the slowest append took ${Math.round(slowestMs)} ms`);
    for (const [partition, mine] of acked.entries()) {
      await until('the other has heard of all', () => other.extent(partition).next === mine.length);
      for (const each of [log, other]) {
        assertSame(
          await readAll(each, partition),
          mine.map(({ draft }) => draft),
        );
      }
      assert.deepEqual(
        mine.map(({ seq }) => seq),
        mine.map((_, at) => at),
      );
    }
  });

  test('with two of three gone nothing is acked, and it says why; with one more it goes on', async (t) => {
    const { open } = await testRoom(t, '', place());
    const log = await open({ appendMsMax: 4_000 });
    const drafts = Array.from({ length: 6 }, (_, partition) => draftOf(log, { partition }));
    const goesOn = () => succeeds(log.append(drafts));
    await until('it is appended', goesOn);
    const [first, second] = cluster?.brokers ?? [];
    // Two at once would leave the controllers without a majority.
    await first?.container.freeze();
    await second?.container.freeze();
    await assert.rejects(log.append(drafts), { code: 'LOG_UNAVAILABLE', message: /may come into the log later/ });
    await second?.container.thaw();
    await until('it goes on', goesOn);
    await first?.container.thaw();
    const lengths = await Promise.all(drafts.map(async ({ partition }) => (await readAll(log, partition)).length));
    assert.ok(lengths.every((length) => length >= 2));
  });
});
