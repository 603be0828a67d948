/**
 * The Kafka of a room, with its write log, or the frames that the other room puts there, or both: one broker, or three of which two must have what is acked. Before each
 * stands a proxy for the room's own daemons, and one for those of the other room.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Admin, Kafka } from 'kafkajs';
import { type KafkaCluster, type KafkaServer, startKafkaCluster } from '../containers/kafka.ts';
import type { ProxiedFrom } from '../containers/kafka-settings.ts';
import { until } from '../e2e/scene.ts';
import { type Packet, TcpProxy } from '../harness/proxy.ts';

const DATA = '/var/lib/kafka/data';
/** A batch begins with its offset and the length of what follows. */
const [BATCH_LENGTH_AT, BATCH_HEAD_BYTES] = [8, 12] as const;

/** A request begins with its length, and the number of what is asked for. */
const [API_KEY_AT, PRODUCE] = [4, 0] as const;

/** How many brokers a room has. */
export type Brokers = 1 | 3;

interface Parts {
  readonly cluster: KafkaCluster;
  readonly proxies: readonly TcpProxy[];
  readonly lines: readonly TcpProxy[];
  readonly dataDirectory: string | undefined;
}

export class RoomKafka {
  readonly #cluster: KafkaCluster;
  readonly #dataDirectory: string | undefined;
  /** Before the brokers, for the room's own daemons. */
  readonly proxies: readonly TcpProxy[];
  /** Before the brokers, for those of the other room: the line between the rooms. */
  readonly lines: readonly TcpProxy[];

  private constructor({ cluster, proxies, lines, dataDirectory }: Parts) {
    this.#cluster = cluster;
    this.#dataDirectory = dataDirectory;
    this.proxies = proxies;
    this.lines = lines;
  }

  /** What the room's file says of it as `log`, or as `inbox`: through the proxies. */
  get settings(): { readonly brokers: readonly string[]; readonly replicas: number } {
    return { brokers: addressesOf(this.#cluster, 'near'), replicas: this.brokers.length };
  }

  /** What the other room's file says of it, in `peers`. */
  get settingsFar(): { readonly brokers: readonly string[] } {
    return { brokers: addressesOf(this.#cluster, 'far') };
  }

  /** `dataDirectory`: where on this machine a single broker has its data, instead of in its container. */
  static async start(brokers: Brokers, dataDirectory: string | undefined): Promise<RoomKafka> {
    const mounts = dataDirectory === undefined ? [] : [{ source: dataDirectory, target: DATA }];
    const cluster = await startKafkaCluster(brokers, { mounts });
    const [proxies, lines] = await Promise.all([proxiesBefore(cluster, 'near'), proxiesBefore(cluster, 'far')]);
    return new RoomKafka({ cluster, proxies, lines, dataDirectory });
  }

  get brokers(): readonly KafkaServer[] {
    return this.#cluster.brokers;
  }

  /** One of them. */
  broker(place = 0): KafkaServer {
    const broker = this.brokers[place];
    if (broker === undefined) throw new Error(`this Kafka has no broker ${place}`);
    return broker;
  }

  /** Deletes the topic and makes one of the same name. */
  async remake(topic: string, partitions: number): Promise<void> {
    await this.broker().tool('kafka-topics.sh', '--delete', '--topic', topic);
    await until('the topic is made anew', () =>
      this.broker().tool('kafka-topics.sh', '--create', '--topic', topic, '--partitions', `${partitions}`),
    );
  }

  /** Resolves when there are none of these topics any more. */
  async deleteTopics(topics: readonly string[]): Promise<void> {
    await this.#ask(async (admin) => {
      await admin.deleteTopics({ topics: [...topics] });
      await until('the topics are gone', async () => !(await admin.listTopics()).some((topic) => topics.includes(topic)));
    });
  }

  /** How many records the topic has ever had. */
  async records(topic: string): Promise<number> {
    const partitions = await this.#ask((admin) => admin.fetchTopicOffsets(topic));
    return partitions.reduce((sum, { high }) => sum + Number(high), 0);
  }

  /** Resolves when every replica has everything again. */
  async inSync(): Promise<void> {
    await until('all replicas are in sync', async () => {
      const behind = await this.broker().tool('kafka-topics.sh', '--describe', '--under-replicated-partitions');
      return behind.trim() === '';
    });
  }

  /** Power is lost. */
  async kill(): Promise<void> {
    await Promise.all(this.brokers.map(({ container }) => container.kill()));
  }

  /** While a broker with a `dataDirectory` is down: every partition ends with the first half of a record batch, as where power is lost in the middle of a write. */
  tear(topic: string, partitions: number): void {
    for (let partition = 0; partition < partitions; partition += 1) {
      const segment = join(this.#dataDirectory ?? '', `${topic}-${partition}`, `${'0'.repeat(20)}.log`);
      const records = readFileSync(segment);
      appendFileSync(segment, records.subarray(0, (BATCH_HEAD_BYTES + records.readUInt32BE(BATCH_LENGTH_AT)) / 2));
    }
  }

  async start(): Promise<void> {
    await Promise.all(this.brokers.map(({ container }) => container.start()));
  }

  async #ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = new Kafka(this.#cluster.client).admin();
    await admin.connect();
    try {
      return await question(admin);
    } finally {
      await admin.disconnect();
    }
  }

  async remove(): Promise<void> {
    await Promise.all([...this.proxies, ...this.lines].map((proxy) => proxy.close()));
    await this.#cluster.remove();
  }
}

/** A packet of a client of Kafka that begins with a request to append to the topic. */
export function isAppendTo(topic: string): Packet {
  return (chunk) => chunk.length > API_KEY_AT + 2 && chunk.readUInt16BE(API_KEY_AT) === PRODUCE && chunk.includes(topic);
}

function proxiesBefore({ brokers }: KafkaCluster, from: ProxiedFrom): Promise<TcpProxy[]> {
  return Promise.all(
    brokers.map(async (broker) => {
      const { target, port } = placeOf(broker, from);
      const proxy = new TcpProxy(target);
      await proxy.listen(port);
      return proxy;
    }),
  );
}

function addressesOf({ brokers }: KafkaCluster, from: ProxiedFrom): string[] {
  return brokers.map((broker) => `127.0.0.1:${placeOf(broker, from).port}`);
}

function placeOf({ proxied }: KafkaServer, from: ProxiedFrom) {
  if (proxied === undefined) throw new Error('this broker has no place for a proxy');
  return proxied[from];
}
