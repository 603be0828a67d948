/** Links over mq, on a real Kafka: what holds for every link, and what only an inbox can. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Kafka } from 'kafkajs';
import { systemRuntime } from '../../core/runtime.ts';
import { KafkaCluster } from '../../kafka/cluster.ts';
import { CHECKPOINT_WRITES } from '../../link/mq/runs.ts';
import type { MemoryLog } from '../../log/memory/memory.ts';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { type KafkaServer, startKafka } from '../containers/kafka.ts';
import { MqRig, PARTITIONS } from './mq-rig.ts';
import { append, type RigConfig, until } from './rig.ts';

const NOW_MS = 1_700_000_000_000;
const skip = !(await containersAvailable()) && NO_ENGINE;
const kafka: KafkaServer | undefined = skip ? undefined : await startKafka();
after(() => kafka?.remove());

const upTo = (count: number) => Array.from({ length: count }, (_, seq) => seq);

async function rigOf(more: Partial<RigConfig> = {}): Promise<MqRig> {
  const rig = new MqRig(kafka?.address ?? '', more);
  after(() => rig.close());
  await rig.init();
  return rig;
}

async function appendAll(log: MemoryLog, rounds: number, bytes = 500): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    for (let partition = 0; partition < PARTITIONS; partition += 1) await append(log, partition, { ms: NOW_MS + round, bytes });
  }
}

async function applied(rig: MqRig, count: number): Promise<void> {
  const each = upTo(PARTITIONS);
  await until(() => each.every((partition) => rig.consumer(partition).mark === count - 1));
  for (const partition of each) assert.deepEqual(rig.consumer(partition).seqs, upTo(count));
}

test('frames go through the inbox once and in order, and acks come back', { skip, timeout: 60_000 }, async () => {
  const rig = await rigOf();
  const { log, shipper } = await rig.startOrigin();
  await appendAll(log, 20);
  await rig.startPeer();
  await applied(rig, 20);
  await appendAll(log, 50);
  await applied(rig, 70);
  rig.board.set(rig.origin, { log: 'writes', partition: 1, epoch: log.epoch, seq: 41, parkedSeq: -1 });
  await until(() => shipper.ackedSeq('guangzhou', 'writes', 1) === 41);
});

/** Of the writes' inbox, by partition. */
async function offsets(rig: MqRig, which: 'low' | 'high'): Promise<number[]> {
  const admin = new Kafka(kafka?.client ?? { brokers: [] }).admin();
  try {
    const found = await admin.fetchTopicOffsets(`wmb.inbox.${rig.origin}.writes`);
    return found.sort((a, b) => a.partition - b.partition).map((each) => Number(each[which]));
  } finally {
    await admin.disconnect();
  }
}

/** As if the inbox had been emptied. */
async function emptyInbox(rig: MqRig): Promise<void> {
  const ends = await offsets(rig, 'high');
  const topic = `wmb.inbox.${rig.origin}.writes`;
  const cluster = new KafkaCluster({ servers: rig.servers, clientId: 'test', runtime: systemRuntime });
  await cluster.watch(topic);
  await cluster.deleteBefore(topic, new Map(ends.entries()));
  cluster.close();
}

/** One record more begins the run. */
async function inInbox(rig: MqRig, frames: number): Promise<void> {
  while ((await offsets(rig, 'high')).some((end) => end < frames + 1)) await new Promise((resolve) => setTimeout(resolve, 50));
}

const lineOf = (rig: MqRig, text: RegExp) => rig.lines.find((line) => text.test(`${line['code']} ${line['reason']} ${line.message}`));

test('a reship that was started anew goes on after what the inbox has, and is told all acks again', { skip, timeout: 60_000 }, async () => {
  const rig = await rigOf();
  const first = await rig.startOrigin('b-1');
  await rig.startPeer();
  await appendAll(first.log, 10);
  await applied(rig, 10);
  rig.board.set(rig.origin, { log: 'writes', partition: 2, epoch: first.log.epoch, seq: 9, parkedSeq: -1 });
  await until(() => first.shipper.ackedSeq('guangzhou', 'writes', 2) === 9);
  await rig.stopOrigin();
  const second = await rig.startOrigin('b-2');
  await appendAll(second.log, 10);
  await applied(rig, 20);
  assert.deepEqual(await offsets(rig, 'high'), [21, 21, 21, 21], 'nothing was put there twice, and one record begins the run');
  await until(() => second.shipper.ackedSeq('guangzhou', 'writes', 2) === 9);
});

test('of several reships only the one whose turn it is feeds the inbox, and it goes on where it was when its turn comes again', {
  skip,
  timeout: 60_000,
}, async () => {
  const rig = await rigOf();
  rig.feeds = false;
  const { log } = await rig.startOrigin();
  const told = (text: string) => rig.lines.some(({ message }) => message === text);
  await appendAll(log, 5);
  await rig.startPeer();
  await until(() => told('the link is down'));
  assert.ok(!told('a peer’s session begins'));
  rig.feeds = true;
  await applied(rig, 5);
  rig.feeds = false;
  await until(() => told('a peer’s session ends'));
  await appendAll(log, 5);
  rig.feeds = true;
  await applied(rig, 10);
  assert.deepEqual(await offsets(rig, 'high'), [11, 11, 11, 11], 'nothing was put there twice, and one record begins the run');
});

test('frames go on into the inbox while the collector is away, also from a reship that was started anew', {
  skip,
  timeout: 60_000,
}, async () => {
  const rig = await rigOf();
  const first = await rig.startOrigin('b-1');
  await rig.startPeer();
  await appendAll(first.log, 5);
  await applied(rig, 5);
  await rig.stopPeer();
  await appendAll(first.log, 5);
  await inInbox(rig, 10);
  await rig.stopOrigin();
  const second = await rig.startOrigin('b-2');
  await appendAll(second.log, 5);
  await inInbox(rig, 15);
  await rig.stopOrigin();
  await rig.startPeer();
  await applied(rig, 15);
});

test('what the inbox lacks is fetched from the origin’s log, with the history that a later start needs', {
  skip,
  timeout: 60_000,
}, async () => {
  const rig = await rigOf();
  const { log } = await rig.startOrigin();
  await rig.startPeer();
  await appendAll(log, 1_500, 100);
  await applied(rig, 1_500);
  await rig.stopPeer();
  await appendAll(log, 10, 100);
  await inInbox(rig, 1_510);
  await emptyInbox(rig);
  await rig.startPeer();
  await applied(rig, 1_510);
  const [low, high] = [await offsets(rig, 'low'), await offsets(rig, 'high')];
  const put = 100 + CHECKPOINT_WRITES + 10 + 1;
  for (const [partition, end] of high.entries())
    assert.equal(end - (low[partition] ?? 0), put, 'the window and somewhat more, what was missing, and the beginning of a run');
});

test('a lane stops on the gap, with the range named, where neither the inbox nor the log has what is missing', {
  skip,
  timeout: 60_000,
}, async () => {
  const rig = await rigOf();
  const { log } = await rig.startOrigin();
  await rig.startPeer();
  await appendAll(log, 5);
  await applied(rig, 5);
  await rig.stopPeer();
  await appendAll(log, 10);
  await inInbox(rig, 15);
  await emptyInbox(rig);
  await log.trim({ ageMsMin: 0, bytesMax: 0, overflow: 'drop', writesMin: 0 }, [], NOW_MS);
  const { first } = log.extent(1);
  assert.ok(first > 5);
  await rig.startPeer();
  await until(() => rig.lane(1)?.state === 'stopped-on-gap');
  assert.match(rig.lane(1)?.reason ?? '', new RegExp(`LOG_GAP: .* frames 5 to ${first - 1} are no longer in the log`));
  assert.equal(rig.consumer(1).mark, 4);
});

test('the tail that a log has lost is not taken from the inbox', { skip, timeout: 60_000 }, async () => {
  const rig = await rigOf();
  const first = await rig.startOrigin('b-1');
  await rig.startPeer();
  await appendAll(first.log, 10);
  await applied(rig, 10);
  await rig.stopOrigin();
  for (const partition of rig.disk.partitions) partition.frames.splice(6);
  const second = await rig.startOrigin('b-2');
  await until(() => [0, 1, 2, 3].every((partition) => rig.lane(partition)?.state === 'stopped-on-gap'));
  assert.match(rig.lane(0)?.reason ?? '', /LOG_GAP: .* the log ends at 5: frames 6 to 9 were lost/);
  // As `wmb link skip` does it.
  for (const partition of [0, 1, 2, 3]) rig.consumer(partition).mark = 5;
  await appendAll(second.log, 3);
  await rig.receiver?.setPaused(rig.origin, false);
  const all = [...upTo(10), 6, 7, 8];
  await until(() => [0, 1, 2, 3].every((partition) => rig.consumer(partition).seqs.length === all.length));
  for (const partition of [0, 1, 2, 3]) assert.deepEqual(rig.consumer(partition).seqs, all);
});

test('what has been applied is removed from the inbox, but for the window of duplicates', { skip, timeout: 60_000 }, async () => {
  const rig = await rigOf();
  const { log } = await rig.startOrigin();
  await rig.startPeer();
  await appendAll(log, 4_000, 60);
  await until(() => rig.consumer(3).mark === 3_999);
  for (const partition of [0, 1, 2, 3])
    rig.board.set(rig.origin, { log: 'writes', partition, epoch: log.epoch, seq: 3_999, parkedSeq: -1 });
  while ((await offsets(rig, 'low')).some((low) => low === 0)) await new Promise((resolve) => setTimeout(resolve, 100));
  for (const low of await offsets(rig, 'low')) assert.ok(low <= 3_900, `${low}`);
  await rig.stopOrigin();
  await rig.stopPeer();
  for (const partition of [0, 1, 2, 3]) rig.consumer(partition).historyWrites = 100;
  await rig.startPeer();
  await until(() => [0, 1, 2, 3].every((partition) => rig.consumer(partition).history.length >= 100));
});

test('a lane takes no more than its credit, and frames larger than that come through', { skip, timeout: 60_000 }, async () => {
  const rig = await rigOf({ laneBytesMax: 50_000 });
  const { log } = await rig.startOrigin();
  await rig.startPeer();
  await appendAll(log, 40, 20_000);
  await append(log, 0, { ms: NOW_MS, bytes: 3_000_000 });
  await until(() => rig.consumer(0).mark === 40 && rig.consumer(3).mark === 39);
  assert.deepEqual(rig.consumer(0).seqs, upTo(41));
});

test('what is wrong with an inbox is said with its code and what to do', { skip, timeout: 60_000 }, async () => {
  const bare = new MqRig(kafka?.address ?? '');
  after(() => bare.close());
  await bare.startPeer();
  await until(() => /INBOX_UNPREPARED: .*wmb link init/.test(bare.lane(0)?.reason ?? ''));
  const topic = `wmb.inbox.${bare.origin}.writes`;
  await bare.init();
  await kafka?.tool(
    'kafka-configs.sh',
    '--alter',
    '--entity-type',
    'topics',
    '--entity-name',
    topic,
    '--add-config',
    'cleanup.policy=compact',
  );
  await until(() => /INBOX_UNFIT: .*cleanup\.policy is compact and must be delete/.test(bare.lane(0)?.reason ?? ''));
  await assert.rejects(bare.init(), { code: 'INBOX_UNFIT' });
});

test('a room without the secret is refused', { skip, timeout: 60_000 }, async () => {
  const rig = await rigOf();
  const stranger = new MqRig(kafka?.address ?? '', { secret: 'another' });
  after(() => stranger.close());
  Object.assign(stranger, { origin: rig.origin });
  await rig.startOrigin();
  await stranger.startPeer();
  await until(() => lineOf(rig, /IDENTITY_REFUSED .*the link secrets differ/) !== undefined);
  await stranger.stopPeer();
  await rig.startPeer();
  await until(() => rig.lane(0)?.state === 'streaming');
});
