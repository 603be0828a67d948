/** What a broker of the tests is told, by the names of Kafka's own settings. */
import type { SASLOptions } from 'kafkajs';
import type { ContainerFile } from './server.ts';

export type KafkaSasl = Extract<SASLOptions, { mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512' }>;

export interface KafkaTls {
  readonly ca: Buffer;
  /** The broker's. */
  readonly cert: Buffer;
  readonly key: Buffer;
  /** A certificate of the same authority, if clients have to show one. */
  readonly client?: { readonly cert: Buffer; readonly key: Buffer };
}

/** Where a broker listens, all on one address. */
export interface BrokerPlace {
  readonly nodeId: number;
  /** For clients. */
  readonly client: number;
  /** For other brokers and the tools in the container, who need not prove anything. */
  readonly internal: number;
  readonly controller: number;
  /** The port on 127.0.0.1 by which clients reach `client`. */
  readonly published: number;
  /** More listeners for clients, each on its `target`, who are told that the broker is at its `port`: there a proxy of the test can stand. */
  readonly proxied?: Readonly<Record<ProxiedFrom, { readonly target: number; readonly port: number }>>;
}

/** Clients that come through a proxy: those of the broker's own room, and those of another. */
export type ProxiedFrom = 'near' | 'far';
const PROXIED_FROM: readonly ProxiedFrom[] = ['near', 'far'];

type Settings = Readonly<Record<string, string>>;

/** Nothing that a test did not ask for, nothing that makes it wait, and little memory. */
export const USUAL: Settings = {
  'auto.create.topics.enable': 'false',
  // A broker that died is missed after so long, and may come back no sooner.
  'broker.heartbeat.interval.ms': '250',
  'broker.session.timeout.ms': '2000',
  'group.initial.rebalance.delay.ms': '0',
  // Otherwise half of the heap, at the start, for the compaction of topics that hardly are: sometimes more than there was.
  'log.cleaner.dedupe.buffer.size': '4194304',
  'log.dirs': '/var/lib/kafka/data',
  'offsets.topic.num.partitions': '3',
};

export function placeSettings(place: BrokerPlace, all: readonly BrokerPlace[], hostNetwork = false): Settings {
  const { proxied } = place;
  // In a network of the container's own, Docker's proxy comes from outside.
  const listeners = [`CLIENT://${hostNetwork ? '127.0.0.1' : '0.0.0.0'}:${place.client}`, `INTERNAL://127.0.0.1:${place.internal}`];
  const advertised = [`CLIENT://127.0.0.1:${place.published}`, `INTERNAL://127.0.0.1:${place.internal}`];
  for (const from of proxied === undefined ? [] : PROXIED_FROM) {
    listeners.push(`${from.toUpperCase()}://127.0.0.1:${proxied?.[from].target}`);
    advertised.push(`${from.toUpperCase()}://127.0.0.1:${proxied?.[from].port}`);
  }
  return {
    'process.roles': 'broker,controller',
    'node.id': `${place.nodeId}`,
    'controller.quorum.voters': all.map(({ nodeId, controller }) => `${nodeId}@127.0.0.1:${controller}`).join(),
    listeners: [...listeners, `CONTROLLER://127.0.0.1:${place.controller}`].join(),
    'advertised.listeners': advertised.join(),
    'inter.broker.listener.name': 'INTERNAL',
    'controller.listener.names': 'CONTROLLER',
    ...replicaSettings(all.length),
  };
}

function replicaSettings(brokers: number): Settings {
  const replicas = `${Math.min(3, brokers)}`;
  const inSync = `${Math.min(2, brokers)}`;
  return {
    'offsets.topic.replication.factor': replicas,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
  };
}

/** What clients have to speak and to prove. */
export function clientSettings({ sasl, tls }: { readonly sasl?: KafkaSasl; readonly tls?: KafkaTls }): Settings {
  const protocol = `${sasl ? 'SASL_' : ''}${tls ? 'SSL' : 'PLAINTEXT'}`;
  return {
    'listener.security.protocol.map': `CLIENT:${protocol},NEAR:${protocol},FAR:${protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT`,
    ...(sasl && saslSettings(sasl)),
    ...(tls && tlsSettings(tls)),
  };
}

/** Users of PLAIN are written here; those of SCRAM are Kafka's to keep, and made once it runs. */
function saslSettings({ mechanism, username, password }: KafkaSasl): Settings {
  const login =
    mechanism === 'plain'
      ? `org.apache.kafka.common.security.plain.PlainLoginModule required user_${username}="${password}";`
      : 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
  return { 'sasl.enabled.mechanisms': mechanism.toUpperCase(), ...forClients(`${mechanism}.sasl.jaas.config`, login) };
}

/** A setting of the listeners for clients, where Kafka takes no common one. */
function forClients(setting: string, value: string): Settings {
  return Object.fromEntries(['client', ...PROXIED_FROM].map((listener) => [`listener.name.${listener}.${setting}`, value]));
}

const [CA, SERVER] = ['/tls/ca.pem', '/tls/server.pem'] as const;

export function tlsFiles(tls: KafkaTls | undefined): readonly ContainerFile[] {
  if (tls === undefined) return [];
  return [
    { content: tls.ca, target: CA },
    { content: Buffer.concat([tls.key, tls.cert]), target: SERVER },
  ];
}

function tlsSettings({ client }: KafkaTls): Settings {
  return {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': SERVER,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': CA,
    ...forClients('ssl.client.auth', client ? 'required' : 'none'),
  };
}

/** As the image takes settings: `a.b-c_d` is `KAFKA_A_B___C__D`. */
export function variables(settings: Settings): readonly string[] {
  const name = (setting: string) => setting.replaceAll('_', '__').replaceAll('-', '___').replaceAll('.', '_').toUpperCase();
  return Object.entries(settings).map(([setting, value]) => `KAFKA_${name(setting)}=${value}`);
}
