/** Applications' topics on a real Kafka: every record gets its place in the log once, whatever happens to the members; and what is wrong is said with its remedy. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { crc32c } from '@node-rs/crc32';
import { WmbError } from '../../../core/errors.ts';
import { init, openLog, placeAt, temporaryDirectory } from '../../../log/kafka/kafka-kit.ts';
import type { Log } from '../../../log/log.ts';
import { containersAvailable, NO_ENGINE } from '../../../test/containers/engine.ts';
import { type KafkaServer, startKafka } from '../../../test/containers/kafka.ts';
import { standstill } from '../../../test/harness/standstill.ts';
import { LOG_PARTITIONS, memoryLogs, numbered, TopicScene, until } from './topic-kit.ts';

async function assertOnceInOrder(scene: TopicScene, count: number): Promise<void> {
  const writes = await scene.writes();
  const byKey = Map.groupBy(writes, ({ key }) => key);
  for (const [key, some] of byKey) {
    const numbers = some.map(({ payload }) => Number(Buffer.from(payload)));
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
      `the order of ${key}`,
    );
  }
  const all = writes.map(({ payload }) => Number(Buffer.from(payload))).sort((a, b) => a - b);
  assert.deepEqual(
    all,
    Array.from({ length: count }, (_, i) => i),
  );
}

/** A room's log in Kafka, as one more instance has it. */
async function kafkaLog(kafka: KafkaServer): Promise<() => Promise<Log>> {
  const place = placeAt(kafka.address, { origin: 'beijing', partitions: LOG_PARTITIONS });
  await init(place);
  return () => openLog(place, { directory: temporaryDirectory() });
}

const [CRC_AT, ATTRIBUTES_AT, LENGTH_AT, HEAD_BYTES] = [17, 21, 8, 12] as const;

/** In the broker's file, as a program could not write it through the broker. `codec`: the batch says that it is compressed so, with the right checksum. */
async function harmFirstBatch(kafka: KafkaServer, partition: string, harm: { readonly codec?: number }): Promise<void> {
  const file = `/var/lib/kafka/data/${partition}/${'0'.repeat(20)}.log`;
  const segment = await kafka.container.readFile(file);
  const batch = segment.subarray(0, HEAD_BYTES + segment.readUInt32BE(LENGTH_AT));
  if (harm.codec !== undefined) {
    batch.writeUInt16BE(harm.codec, ATTRIBUTES_AT);
    batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES_AT)), CRC_AT);
  } else batch.writeUInt8(batch.readUInt8(batch.length - 1) ^ 1, batch.length - 1);
  const bytes = [...batch].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  await kafka.container.exec('bash', '-c', `printf '${bytes}' | dd of=${file} conv=notrunc status=none`);
}

async function membersComeAndGo(kafka: KafkaServer, scene: TopicScene): Promise<void> {
  await scene.create(6);
  const load = scene.load();
  const taken = async (more: number) => {
    const before = await scene.count();
    await until(`${more} more are taken`, async () => (await scene.count()) >= before + more);
  };
  const [a, b] = [await scene.started(), await scene.started()];
  await until('both have partitions', () => a.partitions.length === 3 && b.partitions.length === 3);
  await taken(500);
  const c = await scene.started();
  await until('all three have partitions', () => [a, b, c].every(({ partitions }) => partitions.length === 2));
  await taken(500);
  // Its connections break and it says nothing more: what it has in flight may still come into the log, what it has taken is not committed.
  await b.stop();
  await until('two have all', () => a.partitions.length === 3 && c.partitions.length === 3);
  await taken(500);
  await kafka.container.kill();
  await kafka.container.start();
  await taken(500);
  await scene.end(a);
  await until('one has all', () => c.partitions.length === 6);
  await taken(500);
  const produced = await load.stop();
  await until('nothing is left to take', () => c.partitions.length === 6 && c.partitions.every(({ lag }) => lag === 0));
  await assertOnceInOrder(scene, produced);
  await scene.end(c);
}

const codeIs = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof WmbError && error.code === code && message.test(error.message);

function testsOn(kafka: KafkaServer): void {
  test('records in every compression and from a transaction come in, those of an aborted one do not, and a group that goes on begins where it was', async () => {
    const scene = new TopicScene(kafka);
    await scene.create(1);
    const lines = (from: number) => Array.from({ length: 20 }, (_, i) => `k${(from + i) % 50}\t{"payload":${from + i}}`).join('\\n');
    for (const [index, codec] of ['none', 'gzip', 'snappy', 'lz4', 'zstd'].entries()) {
      await kafka.container.exec(
        'bash',
        '-c',
        `printf '${lines(index * 20)}\\n' | /opt/kafka/bin/kafka-console-producer.sh --bootstrap-server 127.0.0.1:19092 --topic ${scene.topic} --compression-codec ${codec} --property parse.key=true`,
      );
    }
    await scene.transaction([numbered(1_000)], 'abort');
    await scene.transaction([numbered(100), numbered(101)], 'commit');
    const first = await scene.started();
    await until('all of it is taken', async () => (await scene.writes()).length >= 102);
    await assertOnceInOrder(scene, 102);
    await scene.end(first);
    const second = await scene.started();
    await scene.produce([numbered(102)]);
    await until('the next record is taken', async () => (await scene.writes()).length > 102);
    await assertOnceInOrder(scene, 103);
    await scene.end(second);
  });

  for (const [name, openLog] of [
    ['in memory', undefined],
    ['in the same Kafka', () => kafkaLog(kafka)],
  ] as const) {
    test(`members come, go and die under load, and so does the broker: each record has one place in the log ${name}, in the order of its key`, async () => {
      await membersComeAndGo(kafka, new TopicScene(kafka, await openLog?.()));
    });
  }

  test('a member whose append takes longer than its session keeps its partitions until that is done', async (t) => {
    let append = Promise.resolve();
    const scene = new TopicScene(
      kafka,
      memoryLogs(() => append),
    );
    await scene.create(2);
    const a = await scene.started();
    await scene.produce(Array.from({ length: 20 }, (_, i) => numbered(i)));
    await until('they are taken', async () => (await scene.writes()).length === 20);
    const { promise, resolve } = Promise.withResolvers<void>();
    append = promise;
    await scene.produce(Array.from({ length: 20 }, (_, i) => numbered(20 + i)));
    await until('it has them', () => a.partitions.every(({ lag }) => lag !== 0));
    const watched = standstill();
    const b = await scene.started();
    await new Promise((done) => setTimeout(done, 8_000));
    const given = b.partitions.length;
    resolve();
    // The group has not heard of it either, and that is another story.
    if (watched().longestMs > 3_000) return t.skip('this machine stood still for seconds');
    assert.equal(given, 0);
    await until('both have one', () => a.partitions.length === 1 && b.partitions.length === 1);
    await until('all of it is taken', async () => (await scene.writes()).length >= 40);
    await assertOnceInOrder(scene, 40);
    await scene.end(a);
    await scene.end(b);
  });

  test('a topic that gets more partitions is taken in with them', async () => {
    const scene = new TopicScene(kafka);
    await scene.create(1);
    const member = await scene.started();
    await until('it has the partition', () => member.partitions.length === 1);
    await kafka.tool('kafka-topics.sh', '--alter', '--topic', scene.topic, '--partitions', '3');
    await until('it has all', () => member.partitions.length === 3);
    await scene.end(member);
  });

  test('records that are gone stop their partition with their range', async () => {
    const scene = new TopicScene(kafka);
    await scene.create(1);
    await scene.produce(Array.from({ length: 10 }, (_, i) => numbered(i)));
    const first = await scene.started();
    await until('they are taken', async () => (await scene.writes()).length === 10);
    await scene.end(first);
    await scene.produce(Array.from({ length: 10 }, (_, i) => numbered(10 + i)));
    await scene.deleteBefore(15);
    const second = await scene.started();
    await until('it stops', () => second.partitions[0]?.stopped !== undefined);
    assert.match(second.status.partitions[0]?.stopped ?? '', /^TOPIC_GAP: .*offsets 10 to 14 are gone/);
    assert.equal((await scene.writes()).length, 10);
    await scene.end(second);
  });

  for (const [what, harm, told] of [
    ['compressed in a way that nobody knows', { codec: 7 }, /compressed in a way that is not known here; set compression\.type/],
    ['damaged', {}, /there is a batch whose checksum does not match; repair the topic/],
  ] as const) {
    test(`records that are ${what} stop their partition with their place and what to do; the other partition goes on`, async () => {
      const scene = new TopicScene(kafka);
      await scene.create(2);
      await scene.produce([{ ...numbered(0), partition: 0 }]);
      await harmFirstBatch(kafka, `${scene.topic}-0`, harm);
      const member = await scene.started();
      await until('it stops', () => member.partitions.some(({ stopped }) => stopped !== undefined));
      const [first, second] = member.status.partitions;
      assert.match(first?.stopped ?? '', /^TOPIC_UNFIT: .*at offset 0/);
      assert.match(first?.stopped ?? '', told);
      assert.equal(second?.stopped, '');
      await scene.produce([{ ...numbered(1), partition: 1 }]);
      await until('the other is taken', async () => (await scene.writes()).length === 1);
      await scene.end(member);
    });
  }

  describe('what is wrong is said at start', () => {
    test('a topic that is not there', async () => {
      const member = await new TopicScene(kafka).member();
      await assert.rejects(member.start(), codeIs('TOPIC_MISSING', /app\..* knows no such topic/));
      await member.stop();
    });

    test('a topic that is compacted: what goes before it is taken would leave no trace', async () => {
      for (const policy of ['compact', '[compact,delete]']) {
        const scene = new TopicScene(kafka);
        await scene.create(1);
        const which = ['--entity-type', 'topics', '--entity-name', scene.topic];
        await kafka.tool('kafka-configs.sh', '--alter', ...which, '--add-config', `cleanup.policy=${policy}`);
        const member = await scene.member();
        const told = /app\..* cleanup\.policy is compact.* must be delete: .*--add-config cleanup\.policy=delete/;
        await assert.rejects(member.start(), codeIs('TOPIC_UNFIT', told));
        await member.stop();
      }
    });

    test('a Kafka that is away is waited for, and said to be so', async () => {
      const scene = new TopicScene(kafka);
      const member = await scene.started({ kafka: { brokers: ['127.0.0.1:1'], sasl: undefined, tls: undefined } });
      assert.match(member.unready() ?? '', /^TOPIC_UNAVAILABLE: .*127\.0\.0\.1:1 cannot be reached/);
      await scene.end(member);
    });

    test('a user where none is expected', async () => {
      const scene = new TopicScene(kafka);
      const sasl = { mechanism: 'plain', user: 'wmb', password: 'x' } as const;
      const member = await scene.member({ kafka: { brokers: [kafka.address], sasl, tls: undefined } });
      await assert.rejects(member.start(), codeIs('TOPIC_DENIED', /does not expect SASL here/));
      await member.stop();
    });
  });
}

test('a wrong password is said at start; with the right one the topic is taken in', {
  skip: !(await containersAvailable()) && NO_ENGINE,
}, async () => {
  const sasl = { mechanism: 'scram-sha-256', username: 'wmb', password: 'right' } as const;
  const kafka = await startKafka({ sasl });
  after(() => kafka.remove());
  const scene = new TopicScene(kafka);
  await scene.create(1);
  const as = (password: string) => ({
    kafka: { brokers: [kafka.address], sasl: { mechanism: sasl.mechanism, user: sasl.username, password }, tls: undefined },
  });
  const wrong = await scene.member(as('wrong'));
  await assert.rejects(wrong.start(), codeIs('TOPIC_DENIED', /refuses the user or its password/));
  await wrong.stop();
  await scene.produce([numbered(0)]);
  const member = await scene.started(as('right'));
  await until('it is taken', async () => (await scene.writes()).length === 1);
  await scene.end(member);
});

const available = await containersAvailable();
if (!available) test('topics of a real Kafka', { skip: NO_ENGINE }, () => {});
else {
  const kafka = await startKafka();
  after(() => kafka.remove());
  testsOn(kafka);
}
