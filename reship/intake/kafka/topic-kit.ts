/** For the tests of this folder on a real Kafka: topics of it, and members that take them in and share one write log. */
import { after } from 'node:test';
import { Kafka, type Message } from 'kafkajs';
import { CANARY_KIND } from '../../../core/canary.ts';
import { HybridClock } from '../../../core/clock.ts';
import type { TopicConfig } from '../../../core/config/types.ts';
import { silentLogger } from '../../../core/logger.ts';
import { noMetrics } from '../../../core/metrics.ts';
import { systemRuntime } from '../../../core/runtime.ts';
import { NO_STAMP } from '../../../core/stamp.ts';
import type { StampedWrite } from '../../../core/words.ts';
import { KafkaCluster } from '../../../kafka/cluster.ts';
import { decodeFrame } from '../../../link/frame.ts';
import type { Log } from '../../../log/log.ts';
import { MemoryLog, MemoryLogDisk } from '../../../log/memory/memory.ts';
import type { KafkaServer } from '../../../test/containers/kafka.ts';
import { Intake } from '../intake.ts';
import { LIMITS, topology } from '../testing.ts';
import { writeRules } from '../validate.ts';
import { topicsMetrics } from './metrics.ts';
import { TopicIntake } from './topic.ts';

process.env['KAFKAJS_NO_PARTITIONER_WARNING'] = '1';
export const LOG_PARTITIONS = 4;
const READ_BYTES = 16 * 1024 * 1024;

let topics = 0;

/** A topic that no other test has, and the log of a room that takes it in. */
export class TopicScene {
  readonly topic: string;
  readonly #kafka: KafkaServer;
  readonly #openLog: () => Promise<Log>;
  readonly #logs: Log[] = [];
  readonly #members = new Set<TopicIntake>();
  #reading: Promise<Log> | undefined;
  #leases = 0;

  /** `openLog`: the room's log, as one more instance has it; default: one in memory. */
  constructor(kafka: KafkaServer, openLog: () => Promise<Log> = memoryLogs()) {
    this.#openLog = openLog;
    topics += 1;
    this.topic = `app.${process.pid}.${topics}`;
    this.#kafka = kafka;
    after(async () => {
      for (const member of this.#members) await this.end(member);
      for (const log of this.#logs) await log.close();
    });
  }

  get #servers() {
    return { brokers: [this.#kafka.address], sasl: undefined, tls: undefined };
  }

  async create(partitions: number): Promise<void> {
    await this.#kafka.tool(
      'kafka-topics.sh',
      '--create',
      '--topic',
      this.topic,
      '--partitions',
      `${partitions}`,
      '--replication-factor',
      '1',
    );
  }

  /** Produces numbered records until it is stopped, also while the broker is away; `stop` says how many. */
  load(): { readonly stop: () => Promise<number> } {
    let produced = 0;
    let isOver = false;
    const producer = new Kafka({ ...this.#kafka.client, retry: { retries: 200, initialRetryTime: 50, maxRetryTime: 500 } }).producer({
      idempotent: true,
      maxInFlightRequests: 1,
    });
    const running = (async () => {
      await producer.connect();
      while (!isOver) {
        const messages = Array.from({ length: 200 }, (_, i) => numbered(produced + i));
        await producer.send({ topic: this.topic, messages });
        produced += messages.length;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await producer.disconnect();
    })();
    return {
      stop: async () => {
        isOver = true;
        await running;
        return produced;
      },
    };
  }

  async produce(messages: readonly Message[]): Promise<void> {
    const producer = new Kafka(this.#kafka.client).producer();
    await producer.connect();
    try {
      await producer.send({ topic: this.topic, messages: [...messages] });
    } finally {
      await producer.disconnect();
    }
  }

  /** As a program that produces in transactions. */
  async transaction(messages: readonly Message[], end: 'commit' | 'abort'): Promise<void> {
    const options = { transactionalId: `${this.topic}-${end}`, idempotent: true, maxInFlightRequests: 1 };
    const producer = new Kafka(this.#kafka.client).producer(options);
    await producer.connect();
    try {
      const transaction = await producer.transaction();
      await transaction.send({ topic: this.topic, messages: [...messages] });
      await transaction[end]();
    } finally {
      await producer.disconnect();
    }
  }

  /** As retention does, in the first partition. */
  async deleteBefore(offset: number): Promise<void> {
    const cluster = new KafkaCluster({ servers: this.#servers, clientId: 'test', runtime: systemRuntime });
    await cluster.watch(this.topic);
    await cluster.deleteBefore(this.topic, new Map([[0, offset]]));
    cluster.close();
  }

  /** One of an instance of its own; they see each other's appends. */
  async member(more: Partial<TopicConfig> = {}): Promise<TopicIntake> {
    this.#leases += 1;
    const log = await this.#openLog();
    this.#logs.push(log);
    const clock = new HybridClock({ runtime: systemRuntime, writer: 0x01000000 + this.#leases, stampLast: NO_STAMP, aheadMsMax: 5_000 });
    const limits = { ...LIMITS, pendingWritesMax: 10_000, pendingBytesMax: 10_000_000 };
    const config: TopicConfig = {
      topic: this.topic,
      kafka: this.#servers,
      format: 'json',
      kind: 'message',
      group: `wmb.${this.topic}`,
      from: 'earliest',
      ...more,
    };
    const member = new TopicIntake({
      config,
      rules: writeRules(topology),
      instance: `test-${this.#leases}`,
      intake: new Intake({ room: 'beijing', topology, limits, log, clock, runtime: systemRuntime }),
      log,
      runtime: systemRuntime,
      logger: silentLogger,
      metrics: topicsMetrics(noMetrics),
    });
    this.#members.add(member);
    return member;
  }

  async started(more: Partial<TopicConfig> = {}): Promise<TopicIntake> {
    const member = await this.member(more);
    await member.start();
    return member;
  }

  /** As a daemon that shuts down. */
  async end(member: TopicIntake): Promise<void> {
    if (!this.#members.delete(member)) return;
    await member.drain();
    await member.stop();
  }

  /** Everything in the log, by partition, in order. */
  async writes(): Promise<StampedWrite[]> {
    const log = await this.#reader();
    await log.catchUp();
    const found: StampedWrite[] = [];
    for (let partition = 0; partition < LOG_PARTITIONS; partition += 1) {
      for (let { first: seq, next } = log.extent(partition); seq < next; ) {
        const frames = await log.read(partition, seq, READ_BYTES);
        for (const { bytes } of frames) found.push(...decodeFrame(bytes).writes);
        seq += frames.length;
      }
    }
    return found.filter(({ kind }) => kind !== CANARY_KIND);
  }

  /** Write requests in the log, also those that mean nothing. */
  async count(): Promise<number> {
    const log = await this.#reader();
    return Array.from({ length: LOG_PARTITIONS }, (_, partition) => log.extent(partition).writes).reduce((sum, writes) => sum + writes, 0);
  }

  /** For the test itself; an instance like the others. */
  async #reader(): Promise<Log> {
    this.#reading ??= this.#openLog();
    const log = await this.#reading;
    if (!this.#logs.includes(log)) this.#logs.push(log);
    return log;
  }
}

/** Instances of one log. `beforeAppend` is waited for. */
export function memoryLogs(beforeAppend: () => Promise<void> = async () => {}): () => Promise<Log> {
  const disk = new MemoryLogDisk();
  return async () => {
    const log = new MemoryLog({ disk, log: 'writes', origin: 'beijing', partitions: LOG_PARTITIONS, runtime: systemRuntime });
    await log.open();
    const append = log.append.bind(log);
    log.append = async (drafts) => {
      await beforeAppend();
      return append(drafts);
    };
    return log;
  };
}

export const numbered = (i: number): Message => ({ key: `k${i % 50}`, value: JSON.stringify({ payload: i }) });

/** Waits until `probe` is true, a matter of seconds at most. */
export async function until(what: string, probe: () => boolean | Promise<boolean>, waitMsMax = 90_000): Promise<void> {
  const deadline = Date.now() + waitMsMax;
  while (!(await probe())) {
    if (Date.now() > deadline) throw new Error(`in vain waited ${waitMsMax} ms until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
