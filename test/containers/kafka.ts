/** Kafka in containers: one broker, or a cluster of them, each its own controller (KRaft). */
import { Kafka, type KafkaConfig, logLevel } from 'kafkajs';
import { freePorts } from '../harness/proxy.ts';
import {
  type BrokerPlace,
  clientSettings,
  type KafkaSasl,
  type KafkaTls,
  placeSettings,
  tlsFiles,
  USUAL,
  variables,
} from './kafka-settings.ts';
import { ServerContainer, type ServerKind, type ServerOptions } from './server.ts';

const IMAGE = 'apache/kafka:4.1.0';
const ANSWER_MS_MAX = 1_000;
const INSIDE = { client: 9092, internal: 19092, controller: 9093 } as const;
/** A broker of a test has little to hold, and lives too short for the compiler that optimises. */
const JAVA = { KAFKA_HEAP_OPTS: '-Xms128m -Xmx256m', KAFKA_JVM_PERFORMANCE_OPTS: '-XX:+UseSerialGC -XX:TieredStopAtLevel=1' };

export interface KafkaOptions extends Omit<ServerOptions, 'flags'> {
  /** By Kafka's own names: `{ 'log.retention.ms': '1000' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Clients have to give these credentials. */
  readonly sasl?: KafkaSasl;
  /** Clients have to speak TLS. */
  readonly tls?: KafkaTls;
}

export interface KafkaServer {
  readonly container: ServerContainer;
  readonly host: string;
  readonly port: number;
  readonly address: string;
  /** How kafkajs reaches it, with what it has to prove. */
  readonly client: KafkaConfig;
  /** Runs one of Kafka's tools in the container, and returns what it printed: `tool('kafka-topics.sh', '--list')`. */
  tool(name: string, ...options: string[]): Promise<string>;
  remove(): Promise<void>;
}

export interface KafkaCluster {
  /** Node ids are 1, 2, … */
  readonly brokers: readonly KafkaServer[];
  /** How kafkajs reaches all of them. */
  readonly client: KafkaConfig;
  remove(): Promise<void>;
}

/** It makes no topic that nobody asked it to make. The options' `environment` can give it more memory, or a compiler for benches. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaServer> {
  const [client = 0, internal = 0, controller = 0] = await freePorts(3);
  const place = options.hostNetwork
    ? { nodeId: 1, client, internal, controller, published: client }
    : { nodeId: 1, ...INSIDE, published: client };
  return startBroker(place, [place], options);
}

/** In the network of this machine (Linux only). */
export async function startKafkaCluster(count: number, options: Omit<KafkaOptions, 'hostNetwork'> = {}): Promise<KafkaCluster> {
  const ports = await freePorts(3 * count);
  const places = Array.from({ length: count }, (_, index) => {
    const [client = 0, internal = 0, controller = 0] = ports.slice(3 * index);
    return { nodeId: index + 1, client, internal, controller, published: client };
  });
  // None is ready without most of the others.
  const started = await Promise.allSettled(places.map((place) => startBroker(place, places, { ...options, hostNetwork: true })));
  const brokers = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const remove = async () => void (await Promise.all(brokers.map((broker) => broker.remove())));
  const failed = started.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await remove();
    throw failed.reason;
  }
  return { brokers, client: clientConfig(places, options), remove };
}

async function startBroker(place: BrokerPlace, all: readonly BrokerPlace[], options: KafkaOptions): Promise<KafkaServer> {
  const client = clientConfig([place], options);
  const files = [...(options.files ?? []), ...tlsFiles(options.tls)];
  const container = await ServerContainer.start(brokerKind(place, all, options), { ...options, files });
  const { host, port, address } = container;
  const tool = (name: string, ...rest: string[]) =>
    container.exec(`/opt/kafka/bin/${name}`, '--bootstrap-server', `127.0.0.1:${place.internal}`, ...rest);
  return { container, host, port, address, client, tool, remove: () => container.remove() };
}

function brokerKind(place: BrokerPlace, all: readonly BrokerPlace[], options: KafkaOptions): ServerKind {
  const settings = { ...USUAL, ...placeSettings(place, all, options.hostNetwork), ...clientSettings(options), ...options.settings };
  return {
    image: IMAGE,
    environment: JAVA,
    port: place.client,
    publishedPort: place.published,
    command: () => ['/etc/kafka/docker/run', ...variables(settings)],
    ready: () => answers(place, clientConfig([place], options)),
  };
}

function clientConfig(places: readonly BrokerPlace[], { sasl, tls }: KafkaOptions): KafkaConfig {
  return {
    brokers: places.map(({ published }) => `127.0.0.1:${published}`),
    logLevel: logLevel.NOTHING,
    ...(sasl && { sasl }),
    ...(tls && { ssl: { ca: [tls.ca], ...tls.client } }),
  };
}

/** A broker takes no requests before the active controller has admitted it; then it counts itself in. */
async function answers(place: BrokerPlace, config: KafkaConfig): Promise<boolean> {
  const admin = new Kafka({ ...config, connectionTimeout: ANSWER_MS_MAX, requestTimeout: ANSWER_MS_MAX, retry: { retries: 0 } }).admin();
  try {
    await admin.connect();
    const { brokers, controller } = await admin.describeCluster();
    return controller !== null && brokers.some(({ nodeId }) => nodeId === place.nodeId);
  } catch {
    return false;
  } finally {
    await admin.disconnect();
  }
}
