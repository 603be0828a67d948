/** Kafka in containers: one broker, or a cluster of them, each its own controller (KRaft). */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Admin, Kafka, type KafkaConfig, logLevel } from 'kafkajs';
import { freePorts } from '../harness/proxy.ts';
import {
  type BrokerPlace,
  clientSettings,
  type KafkaSasl,
  type KafkaTls,
  type ProxiedFrom,
  placeSettings,
  tlsFiles,
  USUAL,
  variables,
} from './kafka-settings.ts';
import { ServerContainer, type ServerKind, type ServerOptions } from './server.ts';

const IMAGE = 'apache/kafka:4.1.0';
const ANSWER_MS_MAX = 1_000;
const USER_POLL_MS = 50;
const SETTING_POLL_MS = 20;
/** Numbers of Kafka’s protocol. */
const TOPIC_RESOURCE = 2;
const TOPIC_CONFIG = 1;
const PORTS_EACH = 7;
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

export interface ProxyPlace {
  readonly target: { readonly host: string; readonly port: number };
  readonly port: number;
}

export interface KafkaServer {
  readonly container: ServerContainer;
  readonly host: string;
  readonly port: number;
  readonly address: string;
  /** How kafkajs reaches it, with what it has to prove. */
  readonly client: KafkaConfig;
  /** In the network of this machine: clients that come by a `target` are told that the broker is at its `port` of 127.0.0.1, where a proxy of the test can stand. */
  readonly proxied: Readonly<Record<ProxiedFrom, ProxyPlace>> | undefined;
  /** Runs one of Kafka's tools in the container, and returns what it printed: `tool('kafka-topics.sh', '--list')`. */
  tool(name: string, ...options: string[]): Promise<string>;
  remove(): Promise<void>;
}

export interface KafkaCluster {
  /** Node ids are 1, 2, … */
  readonly brokers: readonly KafkaServer[];
  /** How kafkajs reaches all of them. */
  readonly client: KafkaConfig;
  /** Who leads the partition now, as a living broker says; undefined while nobody does. */
  leaderOf(topic: string, partition: number): Promise<KafkaServer | undefined>;
  remove(): Promise<void>;
}

/** It makes no topic that nobody asked it to make. The options' `environment` can give it more memory, or a compiler for benches. */
export async function startKafka(options: KafkaOptions = {}): Promise<KafkaServer> {
  const [placeHere] = await placesHere(1);
  const place = options.hostNetwork ? placeHere : { ...INSIDE, nodeId: 1, published: placeHere.published };
  return (await startAll([place], options))[0];
}

/** In the network of this machine (Linux only). */
export async function startKafkaCluster(count: number, options: Omit<KafkaOptions, 'hostNetwork'> = {}): Promise<KafkaCluster> {
  const places = await placesHere(count);
  const brokers = await startAll(places, { ...options, hostNetwork: true });
  return {
    brokers,
    get client() {
      return clientConfig(places, options);
    },
    leaderOf: async (topic, partition) => brokers[(await leaderOf(clientConfig(places, options), topic, partition)) - 1],
    remove: async () => void (await Promise.all(brokers.map((broker) => broker.remove()))),
  };
}

/** All at once: none is ready without most of the others. */
async function startAll(places: readonly BrokerPlace[], options: KafkaOptions): Promise<[KafkaServer, ...KafkaServer[]]> {
  const starts = places.map((place) => startBroker(place, places, options));
  try {
    const brokers = (await Promise.all(starts)) as [KafkaServer, ...KafkaServer[]];
    if (options.sasl?.mechanism.startsWith('scram')) await addUser(brokers, options.sasl);
    return brokers;
  } catch (error) {
    for (const start of await Promise.allSettled(starts)) if (start.status === 'fulfilled') await start.value.remove();
    throw error;
  }
}

async function placesHere(count: number): Promise<[BrokerPlace, ...BrokerPlace[]]> {
  const ports = await freePorts(PORTS_EACH * count);
  const places = Array.from({ length: count }, (_, index): BrokerPlace => {
    const [client = 0, internal = 0, controller = 0, ...rest] = ports.slice(PORTS_EACH * index);
    const [near = 0, nearPort = 0, far = 0, farPort = 0] = rest;
    const proxied = { near: { target: near, port: nearPort }, far: { target: far, port: farPort } };
    return { nodeId: index + 1, client, internal, controller, published: client, proxied };
  });
  return places as [BrokerPlace, ...BrokerPlace[]];
}

async function startBroker(place: BrokerPlace, all: readonly BrokerPlace[], options: KafkaOptions): Promise<KafkaServer> {
  const files = [...(options.files ?? []), ...tlsFiles(options.tls)];
  const container = await ServerContainer.start(brokerKind(place, all, options), { ...options, files });
  const { host, port, address } = container;
  const { proxied } = place;
  return {
    container,
    host,
    port,
    address,
    get client() {
      return clientConfig([place], options);
    },
    proxied: proxied && { near: proxyPlace(host, proxied.near), far: proxyPlace(host, proxied.far) },
    tool: (name, ...rest) => container.exec(`/opt/kafka/bin/${name}`, '--bootstrap-server', `127.0.0.1:${place.internal}`, ...rest),
    remove: () => container.remove(),
  };
}

function proxyPlace(host: string, { target, port }: { readonly target: number; readonly port: number }): ProxyPlace {
  return { target: { host, port: target }, port };
}

function brokerKind(place: BrokerPlace, all: readonly BrokerPlace[], options: KafkaOptions): ServerKind {
  const settings = { ...USUAL, ...placeSettings(place, all, options.hostNetwork), ...clientSettings(options), ...options.settings };
  return {
    image: IMAGE,
    environment: JAVA,
    port: place.client,
    publishedPort: place.published,
    command: () => ['/etc/kafka/docker/run', ...variables(settings)],
    ready: async () => (await answer(place.nodeId, clientConfig([place], options))) !== 'none',
  };
}

/** Made anew for each client: kafkajs keeps the credentials in the object that it is given, where others would not replace them. */
function clientConfig(places: readonly BrokerPlace[], { sasl, tls }: KafkaOptions): KafkaConfig {
  return {
    brokers: places.map(({ published }) => `127.0.0.1:${published}`),
    logLevel: logLevel.NOTHING,
    ...(sasl && { sasl: { ...sasl } }),
    ...(tls && { ssl: { ca: [tls.ca], ...tls.client } }),
  };
}

/**
 * A broker takes no requests before the active controller has admitted it; then it counts itself among the brokers. One that refuses the credentials takes
 * requests too.
 */
async function answer(nodeId: number, config: KafkaConfig): Promise<'none' | 'refused' | 'welcome'> {
  const timeouts = { connectionTimeout: ANSWER_MS_MAX, authenticationTimeout: ANSWER_MS_MAX, requestTimeout: ANSWER_MS_MAX };
  const admin = new Kafka({ ...config, ...timeouts, retry: { retries: 0 } }).admin();
  try {
    await admin.connect();
    const { brokers, controller } = await admin.describeCluster();
    return controller !== null && brokers.some((broker) => broker.nodeId === nodeId) ? 'welcome' : 'none';
  } catch (error) {
    return (error as Error).name === 'KafkaJSSASLAuthenticationError' ? 'refused' : 'none';
  } finally {
    await admin.disconnect();
  }
}

/** SCRAM's user is made by a tool, and known to each broker a moment later. */
async function addUser(brokers: readonly [KafkaServer, ...KafkaServer[]], sasl: KafkaSasl): Promise<void> {
  const { mechanism, username, password } = sasl;
  const credentials = `${mechanism.toUpperCase()}=[password=${password}]`;
  const user = ['--entity-type', 'users', '--entity-name', username];
  await brokers[0].tool('kafka-configs.sh', '--alter', ...user, '--add-config', credentials);
  for (const [index, { client }] of brokers.entries()) while ((await answer(index + 1, client)) !== 'welcome') await sleep(USER_POLL_MS);
}

/** Its node id. */
async function leaderOf(config: KafkaConfig, topic: string, partition: number): Promise<number> {
  const admin = new Kafka(config).admin();
  try {
    await admin.connect();
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    return topics[0]?.partitions.find(({ partitionId }) => partitionId === partition)?.leader ?? -1;
  } finally {
    await admin.disconnect();
  }
}

/** Those that are the topic's own. */
export async function topicSettings(admin: Admin, topic: string): Promise<ReadonlyMap<string, string>> {
  const resources = [{ type: TOPIC_RESOURCE, name: topic }];
  const answer = await admin.describeConfigs({ includeSynonyms: false, resources });
  const own = (answer.resources[0]?.configEntries ?? []).filter(({ configSource }) => Number(configSource) === TOPIC_CONFIG);
  return new Map(own.map(({ configName, configValue }) => [configName, configValue]));
}

/** As if somebody had set one setting of a topic of one broker, and left the others. Resolves, with what it was, when the broker goes by it. */
export async function alterTopic(admin: Admin, topic: string, name: string, value: string): Promise<string> {
  const before = await topicSettings(admin, topic);
  const configEntries = Array.from(new Map(before).set(name, value), ([one, its]) => ({ name: one, value: its }));
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: TOPIC_RESOURCE, name: topic, configEntries }] });
  while ((await topicSettings(admin, topic)).get(name) !== value) await sleep(SETTING_POLL_MS);
  return before.get(name) ?? '';
}
