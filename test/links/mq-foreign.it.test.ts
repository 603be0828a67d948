/** An inbox that is not as it should be: settings, too few brokers, other rooms, and records that nobody of WMB wrote. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Kafka, Partitioners } from 'kafkajs';
import type { Config } from '../../core/config/types.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { encodeFrame } from '../../link/frame.ts';
import { signHello } from '../../link/identity.ts';
import { MqAdministration } from '../../link/mq/administration.ts';
import { MqDialer } from '../../link/mq/dialer.ts';
import { InboxFeeder } from '../../link/mq/feeder.ts';
import { encodeRecord } from '../../link/mq/record.ts';
import type { MemoryLog } from '../../log/memory/memory.ts';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { alterTopic, startKafka } from '../containers/kafka.ts';
import { MqRig, PARTITIONS, PEER } from './mq-rig.ts';
import { append, keepingLogger, type LogLine, type RigConfig, until } from './rig.ts';

const NOW_MS = 1_700_000_000_000;
const skip = !(await containersAvailable()) && NO_ENGINE;
const options = { skip, timeout: 60_000 };
const kafka = skip ? undefined : await startKafka();
const client = new Kafka(kafka?.client ?? { brokers: ['nowhere:1'] });
const admin = client.admin();
const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
if (!skip) await Promise.all([admin.connect(), producer.connect()]);
after(async () => {
  await Promise.all([admin.disconnect(), producer.disconnect()]);
  await kafka?.remove();
});

async function rigOf(more: Partial<RigConfig> = {}): Promise<MqRig> {
  const rig = new MqRig(kafka?.address ?? '', more);
  after(() => rig.close());
  await rig.init();
  return rig;
}

/** One frame into each partition, and so often. */
async function appendAll(log: MemoryLog, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round += 1)
    for (let partition = 0; partition < PARTITIONS; partition += 1) await append(log, partition, { ms: NOW_MS + round });
}

const applied = (rig: MqRig, count: number) => until(() => [0, 1, 2, 3].every((partition) => rig.consumer(partition).mark === count - 1));
const told = (lines: readonly LogLine[], text: RegExp) =>
  lines.some((line) => text.test(`${line.level} ${line['code']} ${line['reason']} ${line.message}`));

test(
  'topics whose settings break what an inbox promises are refused, each setting named with the command that corrects it',
  options,
  async () => {
    const rig = await rigOf();
    const dialer = new MqDialer({ config: rig.config(PEER), runtime: systemRuntime, logger: keepingLogger([]) });
    await dialer.check(rig.origin);
    for (const [suffix, name, value] of [
      ['writes', 'cleanup.policy', 'compact'],
      ['up', 'cleanup.policy', 'compact'],
      ['writes', 'retention.ms', '1000'],
      ['down', 'retention.bytes', '1000000'],
      ['writes', 'compression.type', 'gzip'],
      ['writes', 'max.message.bytes', '1000000'],
      ['writes', 'unclean.leader.election.enable', 'true'],
    ] as const) {
      const topic = `wmb.inbox.${rig.origin}.${suffix}`;
      const right = await alterTopic(admin, topic, name, value);
      const message = new RegExp(
        `${topic} .*${name.replaceAll('.', '\\.')} is ${value} and must be ${right}: .*--entity-name ${topic} --add-config ${name}=${right}$`,
      );
      await assert.rejects(dialer.check(rig.origin), { code: 'INBOX_UNFIT', message });
      await assert.rejects(rig.init(), { code: 'INBOX_UNFIT', message });
      await alterTopic(admin, topic, name, right);
    }
    await dialer.check(rig.origin);
  },
);

test('topics on fewer brokers than the room asks for are refused, where frames are taken and by the command', options, async () => {
  const rig = await rigOf();
  const config = rig.config(PEER);
  for (const [minInSyncReplicas, told] of [
    [2, /topic .* has 1 replicas of partition 0, and inbox\.minInSyncReplicas asks for 2/],
    [1, /topic .* has 1 replicas of partition 0, and inbox\.replicas asks for 3/],
  ] as const) {
    const inbox = { ...rig.servers, replicas: 3, minInSyncReplicas };
    const safer: Config = { ...config, room: { ...config.room, inbox } };
    const error = { code: 'INBOX_UNFIT', message: told };
    await assert.rejects(new MqDialer({ config: safer, runtime: systemRuntime, logger: keepingLogger([]) }).check(rig.origin), error);
    const topics = new MqAdministration({ config: safer, inbox, runtime: systemRuntime }).init({ dryRun: false });
    await assert.rejects(topics.next(), error);
  }
});

test(
  'a second room that would take frames of the same origin from the same Kafka is refused, and the first notices nothing of it',
  options,
  async () => {
    const rig = await rigOf();
    const { log } = await rig.startOrigin();
    await rig.startPeer();
    await appendAll(log, 5);
    await applied(rig, 5);
    const { topology, room } = rig.config(PEER);
    const config = { topology, room: { ...room, id: 'shanghai' } };
    const second = new MqDialer({ config, runtime: systemRuntime, logger: keepingLogger([]) });
    const hello = () =>
      signHello({ from: 'shanghai', to: rig.origin, topologyEpoch: topology.epoch, instance: 's-1' }, room.secret, systemRuntime);
    const error = { code: 'INBOX_FOREIGN', message: /says to room guangzhou, and this is room shanghai.*a Kafka of its own/ };
    for (let round = 0; round < 3; round += 1) await assert.rejects(second.dial('', hello(), new AbortController().signal), error);
    await assert.rejects(second.check(rig.origin), error);
    await assert.rejects(second.leave(hello()), error);
    const lines: LogLine[] = [];
    const host = { welcome: () => assert.fail('nobody dials'), serve: () => {} };
    const common = { secret: room.secret, host, runtime: systemRuntime, logger: keepingLogger(lines) };
    const feeder = new InboxFeeder({ room: rig.origin, peer: 'shanghai', kafka: rig.servers, isMine: () => true, ...common });
    await feeder.start();
    await until(() => told(lines, /INBOX_FOREIGN .*what room guangzhou says to room .*looks for room shanghai/));
    await feeder.stop();
    await appendAll(log, 5);
    await applied(rig, 10);
    assert.ok(!told(rig.lines, /INBOX_FOREIGN|backing-off/), JSON.stringify(rig.lines));
  },
);

/** Into every partition of the frames, what is no frame, and what is a frame of another room. */
async function intrude(rig: MqRig): Promise<void> {
  const epoch = rig.disk.epoch ?? '';
  const write = { stamp: '018bcfe568000001010000ab', requestId: 'r', kind: 'cache', key: 'k', trace: '', payload: Buffer.alloc(20) };
  const foreign = encodeFrame({ log: 'writes', origin: 'chengdu', partition: 0, epoch }, [write]);
  const values = [encodeRecord({ log: 'writes', run: 1, epoch, seq: 5, bytes: foreign }), Buffer.from('what is this?')];
  const messages = [0, 1, 2, 3].flatMap((partition) => values.map((value) => ({ partition, value })));
  await producer.send({ topic: `wmb.inbox.${rig.origin}.writes`, messages });
}

test(
  'strangers’ records are passed over and told, also where they are the last that a reship finds when it is started anew',
  options,
  async () => {
    const rig = await rigOf();
    const first = await rig.startOrigin('b-1');
    await rig.startPeer();
    await appendAll(first.log, 5);
    await applied(rig, 5);
    await intrude(rig);
    await appendAll(first.log, 5);
    await applied(rig, 10);
    assert.ok(told(rig.lines, /error INBOX_FOREIGN .*is no frame; it is passed over: find out who writes/));
    assert.ok(told(rig.lines, /error INBOX_FOREIGN .*is a frame of room chengdu; it is passed over/));
    await rig.stopOrigin();
    await intrude(rig);
    const second = await rig.startOrigin('b-2');
    await appendAll(second.log, 5);
    await applied(rig, 15);
  },
);

test('strangers’ records among what the rooms say to each other do not end the link for good', options, async () => {
  const rig = await rigOf();
  const { log } = await rig.startOrigin();
  await rig.startPeer();
  await appendAll(log, 5);
  await applied(rig, 5);
  for (const suffix of ['up', 'down']) {
    await producer.send({ topic: `wmb.inbox.${rig.origin}.${suffix}`, messages: [{ partition: 0, value: 'what is this?' }] });
    await until(() => told(rig.lines, new RegExp(`PEER_GARBAGE .*topic ${suffix} is not WMB’s`)));
  }
  await appendAll(log, 5);
  await applied(rig, 10);
});
