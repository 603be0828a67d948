/** What a broker of the tests is told, by the names of Kafka's own settings. */
import type { ContainerFile } from './server.ts';

export interface KafkaSasl {
  readonly mechanism: 'plain';
  readonly username: string;
  readonly password: string;
}

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
}

type Settings = Readonly<Record<string, string>>;

/** Nothing that a test did not ask for, and nothing that makes it wait. */
export const USUAL: Settings = {
  'auto.create.topics.enable': 'false',
  // A broker that died is missed after so long, and may come back no sooner.
  'broker.heartbeat.interval.ms': '250',
  'broker.session.timeout.ms': '2000',
  'group.initial.rebalance.delay.ms': '0',
  'log.dirs': '/var/lib/kafka/data',
  'offsets.topic.num.partitions': '3',
};

export function placeSettings(place: BrokerPlace, all: readonly BrokerPlace[], hostNetwork = false): Settings {
  // In a network of the container's own, Docker's proxy comes from outside.
  const clients = hostNetwork ? '127.0.0.1' : '0.0.0.0';
  const replicas = `${Math.min(3, all.length)}`;
  const inSync = `${Math.min(2, all.length)}`;
  return {
    'process.roles': 'broker,controller',
    'node.id': `${place.nodeId}`,
    'controller.quorum.voters': all.map(({ nodeId, controller }) => `${nodeId}@127.0.0.1:${controller}`).join(),
    listeners: `CLIENT://${clients}:${place.client},INTERNAL://127.0.0.1:${place.internal},CONTROLLER://127.0.0.1:${place.controller}`,
    'advertised.listeners': `CLIENT://127.0.0.1:${place.published},INTERNAL://127.0.0.1:${place.internal}`,
    'inter.broker.listener.name': 'INTERNAL',
    'controller.listener.names': 'CONTROLLER',
    'offsets.topic.replication.factor': replicas,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
  };
}

/** What clients have to speak and to prove. */
export function clientSettings({ sasl, tls }: { readonly sasl?: KafkaSasl; readonly tls?: KafkaTls }): Settings {
  const protocol = `${sasl ? 'SASL_' : ''}${tls ? 'SSL' : 'PLAINTEXT'}`;
  return {
    'listener.security.protocol.map': `CLIENT:${protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT`,
    ...(sasl && saslSettings(sasl)),
    ...(tls && tlsSettings(tls)),
  };
}

function saslSettings({ username, password }: KafkaSasl): Settings {
  const module = 'org.apache.kafka.common.security.plain.PlainLoginModule';
  return {
    'listener.name.client.sasl.enabled.mechanisms': 'PLAIN',
    'listener.name.client.plain.sasl.jaas.config': `${module} required user_${username}="${password}";`,
  };
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
    'listener.name.client.ssl.keystore.type': 'PEM',
    'listener.name.client.ssl.keystore.location': SERVER,
    'listener.name.client.ssl.truststore.type': 'PEM',
    'listener.name.client.ssl.truststore.location': CA,
    'listener.name.client.ssl.client.auth': client ? 'required' : 'none',
  };
}

/** As the image takes settings: `a.b-c_d` is `KAFKA_A_B___C__D`. */
export function variables(settings: Settings): readonly string[] {
  const name = (setting: string) => setting.replaceAll('_', '__').replaceAll('-', '___').replaceAll('.', '_').toUpperCase();
  return Object.entries(settings).map(([setting, value]) => `KAFKA_${name(setting)}=${value}`);
}
