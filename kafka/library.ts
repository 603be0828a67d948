/**
 * What of kafkajs is used, with types of our own: the only file that imports it. It is asked for less than it offers: one connection to one broker, with
 * TLS, SASL and the choice of versions, and the requests of administration. Its producer and consumer are of no use for a log:
 *
 * - its consumer cannot be told what to read; it joins a group and has one position in it. A log is read by many at once, each from where it wants;
 * - its producer answers a request for several partitions with one error for all of them, and after a failure gives the sequence numbers of what
 *   may be stored already to the next batch, which the broker then takes for a repetition and does not store.
 *
 * What is used lies in its `src/`: the version is pinned in package.json, and the project is in maintenance, so it does not move.
 */
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import type { Exchange } from './exchange.ts';
import { type MissingRight, rightBehind, TOPIC_AUTHORIZATION_FAILED } from './rights.ts';

const library = createRequire(import.meta.url);

interface LibraryQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests(): void;
  maybeThrottle(ms: number): void;
  push(request: object): void;
}

interface LibraryConnection {
  readonly requestQueue: LibraryQueue;
  readonly clientId: string;
  readonly socket: Socket;
  /** Does nothing where there is no SASL, or where it is done. */
  authenticate(): Promise<void>;
  nextCorrelationId(): number;
}

interface LibraryPool {
  readonly pool: readonly LibraryConnection[];
  getConnection(index: number): Promise<LibraryConnection>;
  send(exchange: object): Promise<unknown>;
}

export interface SocketPlace {
  readonly host: string;
  readonly port: number;
  readonly ssl: object | null;
  readonly onConnect: () => void;
}

export interface PoolOptions {
  readonly host: string;
  readonly port: number;
  readonly rack: null;
  readonly ssl: object | undefined;
  readonly sasl: object | undefined;
  readonly clientId: string;
  readonly connectionTimeout: number;
  readonly requestTimeout: number;
  readonly enforceRequestTimeout: boolean;
  readonly socketFactory: (place: SocketPlace) => unknown;
  readonly logger: unknown;
}

export interface MetadataAnswer {
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[];
  readonly controllerId: number;
  readonly topicMetadata: readonly {
    readonly topicErrorCode: number;
    readonly topic: string;
    readonly partitionMetadata: readonly {
      readonly partitionId: number;
      readonly leader: number;
      readonly replicas: readonly number[];
      readonly isr: readonly number[];
    }[];
  }[];
}

export interface NewTopic {
  readonly topic: string;
  readonly numPartitions: number;
  readonly replicationFactor: number;
  readonly configEntries: readonly { readonly name: string; readonly value: string }[];
}

interface OffsetPlace {
  readonly topic: string;
  readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
}

/** One broker. Its methods throw errors of the library, see trouble.ts. */
export interface LibraryBroker {
  readonly connectionPool: LibraryPool;
  /** By request: what the broker knows. Known when it is connected. */
  readonly versions: Readonly<Record<number, { readonly maxVersion: number }>>;
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  lookupRequest(apiKey: number, definition: unknown): (options: object) => { readonly request: object; readonly response: Decoder };
  initProducerId(options: {
    readonly transactionTimeout: number;
  }): Promise<{ readonly producerId: string; readonly producerEpoch: number }>;
  listOffsets(options: {
    readonly replicaId: number;
    readonly isolationLevel: number;
    readonly topics: readonly { readonly topic: string; readonly partitions: readonly { partition: number; timestamp: number }[] }[];
  }): Promise<{ readonly responses: readonly OffsetPlace[] }>;
  deleteRecords(options: { readonly topics: readonly OffsetPlace[] }): Promise<unknown>;
  createTopics(options: {
    readonly topics: readonly NewTopic[];
    readonly validateOnly: boolean;
    readonly timeout: number;
  }): Promise<unknown>;
  deleteTopics(options: { readonly topics: readonly string[]; readonly timeout: number }): Promise<unknown>;
  describeConfigs(options: { readonly resources: readonly object[] }): Promise<{
    readonly resources: readonly { readonly configEntries: readonly { readonly configName: string; readonly configValue: string }[] }[];
  }>;
}

interface Decoder {
  readonly decode: (answer: Buffer) => Promise<unknown>;
}

const Broker = library('kafkajs/src/broker') as new (options: object) => LibraryBroker;
const ConnectionPool = library('kafkajs/src/network/connectionPool') as new (options: PoolOptions) => LibraryPool;
const loggers = library('kafkajs/src/loggers') as {
  readonly LEVELS: { readonly NOTHING: number };
  createLogger(options: object): unknown;
};
const { requests } = library('kafkajs/src/protocol/requests') as { readonly requests: { readonly Metadata: unknown } };
const apiKeys = library('kafkajs/src/protocol/requests/apiKeys') as { readonly Metadata: number; readonly Fetch: number };
const errors = library('kafkajs/src/protocol/error') as { createErrorFromCode(code: number): Error & { readonly type: string } };

/** An answer may take so much longer than the broker was told to wait. */
const WAIT_MARGIN_MS = 5_000;

/** The resource type of topics in describeConfigs. */
export const TOPIC_RESOURCE = 2;

/** Every failure is told to the caller, who knows what it means: the library's own lines would only repeat it. */
const logger = loggers.createLogger({ level: loggers.LEVELS.NOTHING, logCreator: () => () => {} });

export function libraryBroker(options: Omit<PoolOptions, 'logger' | 'rack' | 'enforceRequestTimeout'>): LibraryBroker {
  const connectionPool = new ConnectionPool({ ...options, logger, rack: null, enforceRequestTimeout: true });
  for (const { requestQueue } of connectionPool.pool) calm(requestQueue);
  return new Broker({ connectionPool, logger, nodeId: null, allowAutoTopicCreation: false });
}

/** The newest request that is sent here: every broker from 2.3 on knows it. */
const FETCH_VERSION = 11;

/** Whether the broker does not know what is sent here. Asked of one that is connected: others would close the connection without a word. */
export function isTooOld({ versions }: Pick<LibraryBroker, 'versions'>): boolean {
  return (versions[apiKeys.Fetch]?.maxVersion ?? 0) < FETCH_VERSION;
}

/** The library asks for a timer after every answer, of some negative duration, of which Node warns; it needs none unless something waits. */
function calm(queue: LibraryConnection['requestQueue']): void {
  const schedule = queue.scheduleCheckPendingRequests.bind(queue);
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) schedule();
  };
}

/** Sends a request of ours, and reads its answer. Fetches have a connection of their own, as in the library: answers come in the order of the requests. */
export async function exchangeWith<T>({ connectionPool }: LibraryBroker, exchange: Exchange<T>): Promise<T> {
  const { apiKey, apiName, apiVersion, waitMs } = exchange;
  const connection = await connectionPool.getConnection(apiKey === apiKeys.Fetch ? 1 : 0);
  await connection.authenticate();
  const { requestQueue, clientId } = connection;
  const parts = exchange.encode();
  const correlationId = connection.nextCorrelationId();
  const sendRequest = () => {
    const { socket } = connection;
    socket.cork();
    socket.write(headerOf({ apiKey, apiVersion, correlationId, clientId, bytes: parts.bytes }));
    for (const piece of parts.pieces()) socket.write(piece);
    socket.uncork();
  };
  const { payload } = await new Promise<{ readonly payload: Buffer }>((resolve, reject) => {
    const entry = { apiKey, apiName, apiVersion, correlationId, resolve, reject };
    requestQueue.push({ entry, expectResponse: true, requestTimeout: waitMs + WAIT_MARGIN_MS, sendRequest });
  });
  const { value, throttledMs } = exchange.decode(payload);
  requestQueue.maybeThrottle(throttledMs);
  return value;
}

interface RequestHeader {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId: string;
  /** Of what follows it. */
  readonly bytes: number;
}

function headerOf({ apiKey, apiVersion, correlationId, clientId, bytes }: RequestHeader): Buffer {
  const name = Buffer.from(clientId);
  const header = Buffer.allocUnsafe(14 + name.length);
  header.writeInt32BE(10 + name.length + bytes, 0);
  header.writeInt16BE(apiKey, 4);
  header.writeInt16BE(apiVersion, 6);
  header.writeInt32BE(correlationId, 8);
  header.writeInt16BE(name.length, 12);
  header.set(name, 14);
  return header;
}

/** What the cluster is made of. An error of one topic is in the answer; in the library's own method it would be the answer. */
export async function metadataOf(broker: LibraryBroker, topics: readonly string[]): Promise<MetadataAnswer> {
  const { request, response } = broker.lookupRequest(apiKeys.Metadata, requests.Metadata)({ topics, allowAutoTopicCreation: false });
  const answer = await broker.connectionPool.send({ request, response: { ...response, parse: async (decoded: unknown) => decoded } });
  return answer as MetadataAnswer;
}

/** Codes of Kafka's protocol, as far as something depends on which it is. */
export const OFFSET_OUT_OF_RANGE = 1;
export const UNKNOWN_TOPIC_OR_PARTITION = 3;
export const LEADER_NOT_AVAILABLE = 5;
export const UNSUPPORTED_VERSION = 35;

/** The error that a broker means by a code; its `type` has Kafka's name of it. `topic`: what was asked about. */
export function protocolError(code: number, topic?: string): Error & { readonly type: string } {
  const right = rightBehind(code);
  if (right === undefined) return errors.createErrorFromCode(code);
  const missing: MissingRight = { right, topic };
  return Object.assign(errors.createErrorFromCode(TOPIC_AUTHORIZATION_FAILED), { missing });
}
