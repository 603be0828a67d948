/** The Kafka that a room keeps its write log in: one broker, or three of which two must have what is acked; a proxy stands before each. */
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type KafkaCluster, type KafkaServer, startKafkaCluster } from '../containers/kafka.ts';
import { until } from '../e2e/scene.ts';
import { TcpProxy } from '../harness/proxy.ts';

const DATA = '/var/lib/kafka/data';
/** A batch begins with its offset and the length of what follows. */
const [BATCH_LENGTH_AT, BATCH_HEAD_BYTES] = [8, 12] as const;

/** How many brokers each room has. */
export type Brokers = 1 | 3;

export class RoomKafka {
  readonly #cluster: KafkaCluster;
  readonly #dataDirectory: string | undefined;
  readonly proxies: readonly TcpProxy[];
  /** The setting `log` of the room’s file: through the proxies. */
  readonly settings: Readonly<Record<string, unknown>>;

  private constructor(cluster: KafkaCluster, proxies: readonly TcpProxy[], dataDirectory: string | undefined) {
    this.#cluster = cluster;
    this.#dataDirectory = dataDirectory;
    this.proxies = proxies;
    const brokers = cluster.brokers.map((broker) => `127.0.0.1:${placeOf(broker).port}`);
    this.settings = { adapter: 'kafka', brokers, replicas: brokers.length };
  }

  /** `dataDirectory`: where on this machine a single broker has its data, instead of in its container. */
  static async start(brokers: Brokers, dataDirectory: string | undefined): Promise<RoomKafka> {
    const mounts = dataDirectory === undefined ? [] : [{ source: dataDirectory, target: DATA }];
    const cluster = await startKafkaCluster(brokers, { mounts });
    const proxies = await Promise.all(
      cluster.brokers.map(async (broker) => {
        const { target, port } = placeOf(broker);
        const proxy = new TcpProxy(target);
        await proxy.listen(port);
        return proxy;
      }),
    );
    return new RoomKafka(cluster, proxies, dataDirectory);
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

  async remove(): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
    await this.#cluster.remove();
  }
}

function placeOf({ proxied }: KafkaServer) {
  if (proxied === undefined) throw new Error('this broker has no place for a proxy');
  return proxied;
}
