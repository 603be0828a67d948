/**
 * What kafkajs does with the frames of a run and nothing else: it produces them, acked by all replicas, and consumes them in another process. Nothing is read, checked,
 * compared or applied, and nobody is told anything.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Admin, Kafka, logLevel, Partitioners } from 'kafkajs';
import { peekFrame } from '../../link/frame.ts';
import type { KafkaServer } from '../../test/containers/kafka.ts';

const PARTITIONS = 8;
/** Frames in one request: one for each partition, as in an append. */
const SEND_FRAMES = PARTITIONS;
const ON_THE_WAY = 4;
const LED_MS_MAX = 20_000;
const LED_POLL_MS = 50;
const ALL_REPLICAS = -1;
/** Beside it there is what the reships say to each other. */
const SOURCE = /^wmb\.log\.beijing\.writes\.[0-9a-f]{16}$/;

interface Frame {
  readonly partition: number;
  readonly value: Buffer;
}

/** The newest frames of the room's write log, with so many write requests or somewhat more, in the order of the log. */
export async function framesOf({ client }: KafkaServer, writes: number): Promise<readonly Frame[]> {
  const kafka = new Kafka(client);
  const admin = kafka.admin();
  await admin.connect();
  const topic = (await admin.listTopics()).find((name) => SOURCE.test(name)) ?? '';
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  let left = ends.reduce((sum, { high, low }) => sum + Number(high) - Number(low), 0);
  const frames: Frame[] = [];
  const consumer = kafka.consumer({ groupId: 'bench-frames' });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await new Promise<void>((resolve, reject) => {
    // A broker that is busy with other things has its groups not loaded yet, and is asked again.
    consumer.on('consumer.crash', ({ payload }) => payload.restart || reject(payload.error));
    const eachMessage = async ({ partition, message }: { partition: number; message: { value: Buffer | null } }) => {
      frames.push({ partition, value: Buffer.from(message.value ?? '') });
      left -= 1;
      if (left === 0) resolve();
    };
    consumer.run({ eachMessage }).catch(reject);
  });
  await consumer.disconnect();
  return newest(frames, writes);
}

/** They came by partition, many of one after the other; each partition gives one in turn, as it did in the log. */
function newest(frames: readonly Frame[], writes: number): readonly Frame[] {
  const byPartition = [...Map.groupBy(frames, ({ partition }) => partition).values()];
  const found: Frame[] = [];
  let left = writes;
  for (let back = 1; left > 0; back += 1) {
    const round = byPartition.map((ofOne) => ofOne.at(-back)).filter((frame) => frame !== undefined);
    if (round.length === 0) break;
    found.push(...round);
    left -= countOf(round);
  }
  return found.reverse();
}

export function countOf(frames: readonly Frame[]): number {
  return frames.reduce((sum, { value }) => sum + (peekFrame(value)?.count ?? 0), 0);
}

/** Write requests per second, from the first request until the consumer has everything. */
export async function kafkajsRate({ address, client }: KafkaServer, frames: readonly Frame[]): Promise<number> {
  const kafka = new Kafka(client);
  const topic = `bench-${performance.now()}`;
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }], waitForLeaders: false });
  await isLed(admin, topic);
  const consumer = spawn(process.execPath, ['--no-warnings', import.meta.filename, address, topic, `${frames.length}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  try {
    await producer.connect();
    await said(consumer, 'ready');
    const done = said(consumer, 'done');
    const startedMs = performance.now();
    const sends = sendsOf(frames).values();
    const sendOn = async () => {
      for (const messages of sends) await producer.send({ topic, acks: ALL_REPLICAS, messages: [...messages] });
    };
    await Promise.all([done, ...Array.from({ length: ON_THE_WAY }, sendOn)]);
    return (countOf(frames) / (performance.now() - startedMs)) * 1_000;
  } finally {
    consumer.kill();
    await producer.disconnect();
    await admin.deleteTopics({ topics: [topic] });
    await admin.disconnect();
  }
}

/** kafkajs waits for leaders itself, but gives up where the broker has not heard of the topic yet. */
async function isLed(admin: Admin, topic: string): Promise<void> {
  const deadlineMs = performance.now() + LED_MS_MAX;
  for (;;) {
    const found = await admin.fetchTopicMetadata({ topics: [topic] }).catch(() => undefined);
    const partitions = found?.topics[0]?.partitions ?? [];
    if (partitions.length === PARTITIONS && partitions.every(({ leader }) => leader >= 0)) return;
    if (performance.now() > deadlineMs) throw new Error(`the topic ${topic} has no leaders after ${LED_MS_MAX} ms`);
    await new Promise((resolve) => setTimeout(resolve, LED_POLL_MS));
  }
}

function sendsOf(frames: readonly Frame[]): readonly (readonly Frame[])[] {
  return Array.from({ length: Math.ceil(frames.length / SEND_FRAMES) }, (_, at) => frames.slice(at * SEND_FRAMES, (at + 1) * SEND_FRAMES));
}

async function said(child: ChildProcess, word: string): Promise<void> {
  for (;;) {
    const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`the consumer of the reference ended with ${code}`)));
    const [line] = (await Promise.race([once(child.stdout as NonNullable<ChildProcess['stdout']>, 'data'), ended])) as [Buffer];
    if (line.toString().includes(word)) return;
  }
}

/** The consuming process: says that it is ready, and when it has so many records. */
async function consume(address: string, topic: string, records: number): Promise<void> {
  const consumer = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).consumer({ groupId: topic });
  let left = records;
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  consumer.on('consumer.group_join', () => process.stdout.write('ready\n'));
  await consumer.run({
    eachBatch: async ({ batch, resolveOffset }) => {
      left -= batch.messages.length;
      resolveOffset(batch.lastOffset());
      if (left <= 0) process.stdout.write('done\n');
    },
  });
}

if (process.argv[1] === import.meta.filename) await consume(process.argv[2] ?? '', process.argv[3] ?? '', Number(process.argv[4]));
