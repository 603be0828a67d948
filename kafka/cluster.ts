/**
 * The brokers of one Kafka, each with connections of its own, and who leads which partition. A connection that fails is thrown away and made anew at the next
 * request; whether what was asked on it was done is not known. Nothing is tried again here: the callers know what may be repeated.
 */
import { readFileSync } from 'node:fs';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { parseAddress } from '../core/config/address.ts';
import type { KafkaServersConfig } from '../core/config/types.ts';
import type { Runtime } from '../core/runtime.ts';
import type { Exchange } from './exchange.ts';
import {
  exchangeWith,
  isTooOld,
  LEADER_NOT_AVAILABLE,
  type LibraryBroker,
  libraryBroker,
  type MetadataAnswer,
  metadataOf,
  type NewTopic,
  protocolError,
  type SocketPlace,
  TOPIC_RESOURCE,
  UNSUPPORTED_VERSION,
} from './library.ts';
import { type MissingRight, needing, TOPIC_AUTHORIZATION_FAILED } from './rights.ts';
import { type Node, Turns } from './turns.ts';

const CONNECT_MS_MAX = 5_000;
/** A broker that says nothing for so long is connected anew; it may have stopped, or its machine may be gone. */
const ANSWER_MS_MAX = 10_000;
const ADMINISTRATION_MS_MAX = 8_000;
const KEEP_ALIVE_MS = 30_000;

export interface KafkaClusterOptions {
  readonly servers: KafkaServersConfig;
  /** Shown in the brokers' logs and quotas. */
  readonly clientId: string;
  readonly runtime: Runtime;
  readonly answerMsMax?: number;
}

export interface TopicPartition {
  readonly partition: number;
  /** Undefined while there is none. */
  readonly leader: number | undefined;
  readonly replicas: number;
  readonly inSync: number;
}

/** Answers on one connection come in the order of the requests: each that waits for records has a connection of its own. */
export type ConnectionUse = 'ask' | 'wait' | `wait for ${string}`;

interface Connected {
  readonly broker: LibraryBroker;
  readonly ready: Promise<void>;
  readonly sockets: Set<Socket>;
}

export class KafkaCluster {
  readonly #options: KafkaClusterOptions;
  readonly #topics = new Set<string>();
  readonly #connected = new Map<string, Connected>();
  readonly #configured: readonly Node[];
  readonly #turns: Turns;
  #nodes: ReadonlyMap<number, Node> = new Map();
  #partitions: ReadonlyMap<string, readonly TopicPartition[]> = new Map();
  #hidden: ReadonlySet<string> = new Set();
  #controller = -1;
  #refreshing: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: KafkaClusterOptions) {
    this.#options = options;
    this.#configured = options.servers.brokers.map(parseAddress).filter((place) => place !== undefined);
    this.#turns = new Turns(options.runtime);
  }

  /** In messages. */
  get place(): string {
    return `Kafka at ${this.#options.servers.brokers.join(', ')}`;
  }

  /** The topic's partitions are known from now on, where it exists. Rejects where the user may not know of it. */
  async watch(topic: string): Promise<void> {
    if (!this.#topics.has(topic)) {
      this.#topics.add(topic);
      // Who asks at this moment has not asked about it.
      await this.#refreshing?.catch(() => {});
    }
    await this.refresh();
    this.requireSeen(topic);
  }

  /** Throws where Kafka says of the topic only that the user may not know of it: whether it is there cannot be told then. */
  requireSeen(topic: string): void {
    if (!this.#hidden.has(topic)) return;
    const missing: MissingRight = { right: 'DESCRIBE', topic };
    throw Object.assign(protocolError(TOPIC_AUTHORIZATION_FAILED), { missing });
  }

  /** Asks again who leads what. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  /** In their order; undefined where there is no such topic. */
  partitions(topic: string): readonly TopicPartition[] | undefined {
    return this.#partitions.get(topic);
  }

  /** Whether each broker that answers knows who leads the topic's partitions: the others hear of a new one later than the one that said that it is made. */
  async isKnownEverywhere(topic: string): Promise<boolean> {
    const knowing = [...this.#nodes.values()].map(async (place) => {
      const { topicMetadata } = await this.#at(place, 'ask', (broker) => metadataOf(broker, [topic]));
      const partitions = topicMetadata.flatMap(({ topicErrorCode, partitionMetadata }) => (topicErrorCode === 0 ? partitionMetadata : []));
      return partitions.length > 0 && partitions.every(({ leader }) => leader >= 0);
    });
    return (await Promise.all(knowing.map((known) => known.catch(() => true)))).every((known) => known);
  }

  /** Sends it to one broker. What it rejects with is the library's, see trouble.ts. */
  send<T>(node: number, exchange: Exchange<T>, use: ConnectionUse = 'ask'): Promise<T> {
    return this.#with(node, use, (broker) => exchangeWith(broker, exchange));
  }

  /** A name for one sender of batches. */
  async producerId(): Promise<{ readonly producerId: bigint; readonly producerEpoch: number }> {
    // It is for transactions, and must be within the broker's limits all the same.
    const { producerId, producerEpoch } = await this.#askAny((broker) =>
      needing('WRITE', [...this.#topics].join(', '), broker.initProducerId({ transactionTimeout: 60_000 })),
    );
    return { producerId: BigInt(producerId), producerEpoch };
  }

  /** By partition: the offset of the first record that is kept, or the one after the last. */
  async offsets(topic: string, which: 'first' | 'end'): Promise<readonly number[]> {
    const found: number[] = [];
    await this.#eachLeader(topic, async (broker, partitions) => {
      const timestamp = which === 'first' ? -2 : -1;
      const topics = [{ topic, partitions: partitions.map((partition) => ({ partition, timestamp })) }];
      const { responses } = await needing('DESCRIBE', topic, broker.listOffsets({ replicaId: -1, isolationLevel: 0, topics }));
      for (const { partition, offset } of responses[0]?.partitions ?? []) found[partition] = Number(offset);
    });
    return found;
  }

  /** Removes the records before these offsets. */
  async deleteBefore(topic: string, offsets: ReadonlyMap<number, number>): Promise<void> {
    await this.#eachLeader(topic, async (broker, all) => {
      const partitions = all.filter((partition) => offsets.has(partition));
      if (partitions.length === 0) return;
      const places = partitions.map((partition) => ({ partition, offset: String(offsets.get(partition)) }));
      await needing('DELETE', topic, broker.deleteRecords({ topics: [{ topic, partitions: places }] }));
    });
  }

  async createTopic(topic: NewTopic): Promise<void> {
    await this.#with(this.#controller, 'ask', (broker) =>
      needing('CREATE', topic.topic, broker.createTopics({ topics: [topic], validateOnly: false, timeout: ADMINISTRATION_MS_MAX })),
    );
  }

  async deleteTopic(topic: string): Promise<void> {
    await this.#with(this.#controller, 'ask', (broker) =>
      needing('DELETE', topic, broker.deleteTopics({ topics: [topic], timeout: ADMINISTRATION_MS_MAX })),
    );
  }

  /** The settings of a topic, with the broker's where it has none of its own. */
  async settings(topic: string, names: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const resources = [{ type: TOPIC_RESOURCE, name: topic, configNames: names }];
    const answer = await this.#with(this.#controller, 'ask', (broker) =>
      needing('DESCRIBE_CONFIGS', topic, broker.describeConfigs({ resources })),
    );
    return new Map(answer.resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]));
  }

  /** Nothing that is asked of it succeeds any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What is on its way is rejected. */
  close(): void {
    this.#isClosed = true;
    for (const key of [...this.#connected.keys()]) this.#drop(key);
  }

  async #eachLeader(topic: string, ask: (broker: LibraryBroker, partitions: readonly number[]) => Promise<void>): Promise<void> {
    const byLeader = Map.groupBy(this.partitions(topic) ?? [], ({ leader }) => leader);
    await Promise.all(
      [...byLeader].map(async ([leader, partitions]) => {
        if (leader === undefined) throw protocolError(LEADER_NOT_AVAILABLE);
        await this.#with(leader, 'ask', (broker) =>
          ask(
            broker,
            partitions.map(({ partition }) => partition),
          ),
        );
      }),
    );
  }

  async #with<T>(node: number, use: ConnectionUse, ask: (broker: LibraryBroker) => Promise<T>): Promise<T> {
    const place = this.#nodes.get(node);
    if (place === undefined) throw protocolError(LEADER_NOT_AVAILABLE);
    return this.#at(place, use, ask);
  }

  async #at<T>(place: Node, use: ConnectionUse, ask: (broker: LibraryBroker) => Promise<T>): Promise<T> {
    const key = `${place.host}:${place.port}/${use}`;
    const connected = this.#connected.get(key) ?? this.#connect(key, place);
    try {
      await connected.ready;
    } catch (cause) {
      this.#dropIf(key, connected);
      throw cause;
    }
    try {
      return await ask(connected.broker);
    } catch (cause) {
      // A broker that answers with an error answers; anything else is said by a connection that may be of no further use.
      if (!(cause instanceof Error && 'type' in cause)) this.#dropIf(key, connected);
      throw cause;
    }
  }

  /** Another may stand in its place already. */
  #dropIf(key: string, connected: Connected): void {
    if (this.#connected.get(key) === connected) this.#drop(key);
  }

  #connect(key: string, { host, port }: Node): Connected {
    const { servers, clientId, answerMsMax = ANSWER_MS_MAX } = this.#options;
    if (this.#isClosed) throw new Error('the connection to Kafka is closed');
    const sockets = new Set<Socket>();
    const broker = libraryBroker({
      host,
      port,
      clientId,
      ssl: servers.tls && readTls(servers.tls),
      sasl: servers.sasl && { mechanism: servers.sasl.mechanism, username: servers.sasl.user, password: servers.sasl.password },
      connectionTimeout: CONNECT_MS_MAX,
      requestTimeout: answerMsMax,
      socketFactory: (place) => openSocket(place, sockets),
    });
    const connected = { broker, ready: connect(broker), sockets };
    this.#connected.set(key, connected);
    return connected;
  }

  /** The library would wait for the answers that are on their way, and not hear of a socket that is closed here without an error. */
  #drop(key: string): void {
    const connected = this.#connected.get(key);
    this.#connected.delete(key);
    for (const socket of connected?.sockets ?? []) socket.destroy(new Error('the connection was given up'));
    connected?.ready.catch(() => {});
  }

  async #refresh(): Promise<void> {
    const topics = [...this.#topics];
    this.#learn(await this.#askAny((broker) => metadataOf(broker, topics)));
  }

  /** The first that answers. */
  async #askAny<T>(ask: (broker: LibraryBroker) => Promise<T>): Promise<T> {
    let failure: unknown;
    for (const place of this.#turns.inOrder([...this.#configured, ...this.#nodes.values()])) {
      try {
        return await this.#at(place, 'ask', ask);
      } catch (cause) {
        this.#turns.failed(place);
        failure = cause;
      }
    }
    throw failure;
  }

  #learn({ brokers, controllerId, topicMetadata }: MetadataAnswer): void {
    this.#nodes = new Map(brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]));
    this.#controller = controllerId;
    this.#hidden = new Set(
      topicMetadata.filter(({ topicErrorCode }) => topicErrorCode === TOPIC_AUTHORIZATION_FAILED).map(({ topic }) => topic),
    );
    this.#partitions = new Map(
      topicMetadata
        .filter(({ topicErrorCode }) => topicErrorCode === 0)
        .map(({ topic, partitionMetadata }) => [
          topic,
          partitionMetadata
            .map(({ partitionId, leader, replicas, isr }) => ({
              partition: partitionId,
              leader: leader < 0 ? undefined : leader,
              replicas: replicas.length,
              inSync: isr.length,
            }))
            .sort((a, b) => a.partition - b.partition),
        ]),
    );
  }
}

async function connect(broker: LibraryBroker): Promise<void> {
  await broker.connect();
  if (isTooOld(broker)) throw protocolError(UNSUPPORTED_VERSION);
}

function readTls({ caFile, certFile, keyFile }: NonNullable<KafkaServersConfig['tls']>): object {
  return { ca: readFileSync(caFile), cert: certFile && readFileSync(certFile), key: keyFile && readFileSync(keyFile) };
}

function openSocket({ host, port, ssl, onConnect }: SocketPlace, sockets: Set<Socket>): Socket {
  const name = isIP(host) === 0 ? { servername: host } : {};
  const socket = ssl === null ? connectTcp({ host, port }, onConnect) : connectTls({ host, port, ...name, ...ssl }, onConnect);
  socket.setKeepAlive(true, KEEP_ALIVE_MS);
  socket.setNoDelay(true);
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket));
  return socket;
}
