/**
 * From files to `Config`. Both documents are read and checked completely before anything is said, so that an operator corrects a
 * configuration once and not once per mistake. Nothing but WmbError is thrown, whatever the files hold.
 */
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, join, normalize, resolve } from 'node:path';
import { WmbError } from '../errors.ts';
import { roomEntry } from '../topology.ts';
import { checkCacheAdapter } from './check-cache.ts';
import { checkDatabaseAdapter } from './check-database.ts';
import { checkInboxes } from './check-inbox.ts';
import { checkLogAdapter } from './check-log.ts';
import { checkRoom, type Environment, type PartialRoom } from './check-room.ts';
import { checkShares } from './check-shares.ts';
import { checkTopics } from './check-topics.ts';
import { BUILT_IN_KIND, checkTopology, type PartialTopology } from './check-topology.ts';
import { type ConfigDocument, parseConfigDocument } from './document.ts';
import { type ConfigProblem, type Path, problemsError, quote, sortProblems } from './problem.ts';
import { PROCESSOR_CONCURRENT_DEFAULT, type RoomDocument, roomFileSchema, type TopologyDocument, topologySchema } from './schema.ts';
import { REPLICAS_DEFAULT } from './schema-log.ts';
import type {
  CacheConfig,
  Config,
  DatabaseConfig,
  InboxConfig,
  KafkaServersConfig,
  LogConfig,
  ProcessorConfig,
  RoomConfig,
  ServerTlsFiles,
  TopicConfig,
  Topology,
} from './types.ts';
import { validate } from './validate.ts';

/** The text of a file; throws where it cannot be read. */
export type ReadFile = (path: string) => string;

/** What came of reading a configuration: `value` where there are no problems, otherwise every problem. */
export interface Checked<T> {
  readonly value: T | undefined;
  readonly problems: readonly ConfigProblem[];
}

/**
 * The configuration that the room's file and the topology which it names describe. CONFIG_INVALID, or CONFIG_UNREADABLE where a file
 * that cannot be read is all that is wrong; the message has one line for every problem. {@link checkConfig} gives them as data.
 */
export function loadConfig(roomFile: string, env: Environment = process.env, read: ReadFile = readText): Config {
  return valueOrThrow(checkConfig(roomFile, env, read));
}

/** The topology by itself, as `wmb topology show` needs it. Throws as {@link loadConfig}. */
export function loadTopology(topologyFile: string, read: ReadFile = readText): Topology {
  return valueOrThrow(checkTopologyFile(topologyFile, read));
}

/** As {@link loadConfig}, with the problems as data. `env` is the environment that secrets are taken from. */
export function checkConfig(roomFile: string, env: Environment = process.env, read: ReadFile = readText): Checked<Config> {
  const opened = openDocument(roomFile, read);
  if ('problem' in opened) return { value: undefined, problems: [opened.problem] };
  const { document } = opened;
  const { partial: room, complete } = validate(document, roomFileSchema, { schema: topologySchema, name: 'the topology' });
  const problems: ConfigProblem[] = [];
  const files = [roomFile];
  let topology: OpenedTopology = { partial: {}, complete: undefined, problems: [] };
  if (room.topology !== undefined) {
    const file = pathBeside(roomFile, room.topology);
    files.push(file);
    topology = openTopology(file, read);
    // A topology that cannot be read is the fault of the line that names it.
    const unread = topology.problems.find((problem) => problem.code === 'CONFIG_UNREADABLE');
    if (unread === undefined) problems.push(...topology.problems);
    else document.reportUnreadable(['topology'], `names ${quote(file)}, which ${unread.message}`);
  }
  const check = { room, topology: topology.partial, env, has: document.has, report: document.report };
  checkRoom(check);
  checkDatabaseAdapter(check);
  checkCacheAdapter(check);
  checkLogAdapter(check);
  checkTopics(check);
  checkInboxes(check);
  checkShares(check);
  checkFiles({ document, room, read });
  problems.push(...document.problems);
  if (problems.length > 0 || complete === undefined || topology.complete === undefined)
    return { value: undefined, problems: sortProblems(problems, files) };
  return { value: toConfig({ roomFile, room: complete, topology: toTopology(topology.complete), env }), problems: [] };
}

/** As {@link loadTopology}, with the problems as data. */
export function checkTopologyFile(topologyFile: string, read: ReadFile = readText): Checked<Topology> {
  const { complete, problems } = openTopology(topologyFile, read);
  if (complete === undefined || problems.length > 0) return { value: undefined, problems: sortProblems(problems, [topologyFile]) };
  return { value: toTopology(complete), problems: [] };
}

function readText(path: string): string {
  return readFileSync(path, 'utf8');
}

function valueOrThrow<T>({ value, problems }: Checked<T>): T {
  if (value === undefined) throw problemsError(problems);
  return value;
}

// ── files ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function openDocument(file: string, read: ReadFile): { readonly document: ConfigDocument } | { readonly problem: ConfigProblem } {
  try {
    return { document: parseConfigDocument(file, read(file)) };
  } catch (cause) {
    return { problem: { code: 'CONFIG_UNREADABLE', file, line: 0, column: 0, path: '', message: `cannot be read: ${reasonOf(cause)}` } };
  }
}

interface OpenedTopology {
  readonly partial: PartialTopology;
  readonly complete: TopologyDocument | undefined;
  readonly problems: readonly ConfigProblem[];
}

function openTopology(file: string, read: ReadFile): OpenedTopology {
  const opened = openDocument(file, read);
  if ('problem' in opened) return { partial: {}, complete: undefined, problems: [opened.problem] };
  const { document } = opened;
  const { partial, complete } = validate(document, topologySchema, { schema: roomFileSchema, name: 'the room’s file' });
  checkTopology(partial, document.report);
  return { partial, complete, problems: document.problems };
}

interface NamedFile {
  readonly path: Path;
  readonly file: string;
}

/** Files that the daemons open later: better named now than when traffic has begun. */
function checkFiles({
  document,
  room,
  read,
}: {
  readonly document: ConfigDocument;
  readonly room: PartialRoom;
  readonly read: ReadFile;
}): void {
  for (const { path, file } of namedFiles(room)) {
    const beside = pathBeside(document.file, file);
    try {
      read(beside);
    } catch (cause) {
      document.reportUnreadable(path, `names ${quote(beside)}, which cannot be read: ${reasonOf(cause)}`);
    }
  }
}

function namedFiles({ tls, log, inbox, peers, cache, database, processors, intake }: PartialRoom): readonly NamedFile[] {
  const named = [
    ...tlsFiles(['tls'], tls),
    ...tlsFiles(['log', 'tls'], log?.tls),
    ...tlsFiles(['inbox', 'tls'], inbox?.tls),
    ...Object.entries(peers ?? {}).flatMap(([peer, entry]) => tlsFiles(['peers', peer, 'kafka', 'tls'], entry?.kafka?.tls)),
    ...tlsFiles(['cache', 'tls'], cache?.tls),
    { path: ['database', 'schemaFile'], file: database?.schemaFile },
    ...tlsFiles(['database', 'tls'], database?.tls),
    ...Object.entries(processors ?? {}).map(([kind, processor]) => ({ path: ['processors', kind, 'module'], file: processor?.module })),
    ...(intake?.topics ?? []).flatMap((topic, index) => tlsFiles(['intake', 'topics', index, 'tls'], topic?.tls)),
  ];
  return named.flatMap(({ path, file }) => (file === undefined ? [] : [{ path, file }]));
}

function tlsFiles(path: Path, tls: Partial<Record<'caFile' | 'certFile' | 'keyFile', string | undefined>> | undefined) {
  return (['caFile', 'certFile', 'keyFile'] as const).map((name) => ({ path: [...path, name], file: tls?.[name] }));
}

/** A path as it stands in `file`, seen from where `file` is seen from. */
function pathBeside(file: string, path: string): string {
  return isAbsolute(path) ? path : normalize(join(dirname(file), path));
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is no directory',
};

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const reason = 'code' in cause && typeof cause.code === 'string' ? REASONS[cause.code] : undefined;
  return reason ?? cause.message;
}

// ── from documents to Config ───────────────────────────────────────────────────────────────────────────────────────

function toTopology(document: TopologyDocument): Topology {
  const everywhere = document.rooms.map((room) => room.id);
  const kinds = Object.entries(document.kinds).map(
    ([kind, { rooms, onFailure }]) => [kind, { rooms: rooms ?? everywhere, onFailure }] as const,
  );
  return { ...document, kinds: { ...Object.fromEntries(kinds), [BUILT_IN_KIND]: { rooms: everywhere, onFailure: 'park' } } };
}

interface Complete {
  readonly roomFile: string;
  readonly room: RoomDocument;
  readonly topology: Topology;
  readonly env: Environment;
}

function toConfig({ roomFile, room, topology, env }: Complete): Config {
  const entry = roomEntry(topology, room.room);
  if (entry === undefined) throw new WmbError('INTERNAL', `the room ${room.room} passed its checks and is not in the topology`);
  const absolute = (path: string) => resolve(pathBeside(roomFile, path));
  const { log: logged, inbox, cache, collector, link, checker, drainMsMax, logLevel, database, tls } = room;
  const { topics, ...intake } = room.intake;
  const processors = Object.entries(room.processors).map(([kind, processor]) => [kind, toProcessor(processor, absolute)] as const);
  const log = toLog(logged, absolute, env);
  const config: RoomConfig = {
    id: room.room,
    directory: absolute(room.directory),
    listen: {
      reship: { ...entry.reship, ...room.listen.reship },
      collector: { ...entry.collector, ...room.listen.collector },
      checker: entry.checker && { ...entry.checker, ...room.listen.checker },
    },
    secret: room.secret === undefined ? '' : (env[room.secret.env] ?? ''),
    tls: tls && { caFile: absolute(tls.caFile), certFile: absolute(tls.certFile), keyFile: absolute(tls.keyFile) },
    log,
    inbox: inbox ? toInbox(inbox, absolute, env) : log.adapter === 'kafka' ? log : undefined,
    peers: Object.fromEntries(Object.entries(room.peers).map(([peer, { kafka }]) => [peer, { kafka: toServers(kafka, absolute, env) }])),
    cache: toCache(cache, absolute, env),
    database: database && toDatabase(database, absolute, env),
    processors: Object.fromEntries(processors),
    intake,
    topics: topics.map((topic) => toTopic(topic, { room, absolute, env })),
    collector,
    link,
    checker,
    drainMsMax,
    logLevel,
  };
  return { topology, room: config };
}

function toProcessor(document: RoomDocument['processors'][string], absolute: (path: string) => string): ProcessorConfig {
  const { module, grpc = '', timeoutMs, concurrentMax = PROCESSOR_CONCURRENT_DEFAULT } = document;
  if (module !== undefined) return { type: 'module', file: absolute(module), timeoutMs };
  return { type: 'grpc', address: grpc, timeoutMs, concurrentMax };
}

function toCache(document: RoomDocument['cache'], absolute: (path: string) => string, env: Environment): CacheConfig {
  const { adapter, nodes = [], user, password, tls, database = 0 } = document;
  if (adapter === 'embedded') return { adapter };
  return { adapter, nodes, user, password: password && env[password.env], tls: tls && toServerTls(tls, absolute), database };
}

function toLog(document: RoomDocument['log'], absolute: (path: string) => string, env: Environment): LogConfig {
  const { adapter, brokers = [], replicas = REPLICAS_DEFAULT, retention } = document;
  if (adapter === 'embedded') return { adapter, retention };
  const { minInSyncReplicas = Math.max(1, replicas - 1) } = document;
  return { adapter, replicas, minInSyncReplicas, retention, ...toServers({ ...document, brokers }, absolute, env) };
}

function toInbox(document: NonNullable<RoomDocument['inbox']>, absolute: (path: string) => string, env: Environment): InboxConfig {
  const { replicas, minInSyncReplicas = Math.max(1, replicas - 1) } = document;
  return { ...toServers(document, absolute, env), replicas, minInSyncReplicas };
}

function toServers(
  document: Pick<RoomDocument['log'], 'sasl' | 'tls'> & { readonly brokers: readonly string[] },
  absolute: (path: string) => string,
  env: Environment,
): KafkaServersConfig {
  const { brokers, sasl, tls } = document;
  const user = sasl && { mechanism: sasl.mechanism, user: sasl.user, password: (sasl.password && env[sasl.password.env]) ?? '' };
  return { brokers, sasl: user, tls: tls && toServerTls(tls, absolute) };
}

/** A topic that names no brokers is in the Kafka of the room's log. */
function toTopic(
  document: RoomDocument['intake']['topics'][number],
  { room, absolute, env }: { readonly room: RoomDocument; readonly absolute: (path: string) => string; readonly env: Environment },
): TopicConfig {
  const { topic, brokers, format, kind = '', group = `wmb.${room.room}.${topic}`, from } = document;
  const own = brokers === undefined ? { ...room.log, brokers: room.log.brokers ?? [] } : { ...document, brokers };
  return { topic, kafka: toServers(own, absolute, env), format, kind, group, from };
}

function toServerTls(tls: NonNullable<RoomDocument['cache']['tls']>, absolute: (path: string) => string): ServerTlsFiles {
  const { caFile, certFile, keyFile } = tls;
  return { caFile: absolute(caFile), certFile: certFile && absolute(certFile), keyFile: keyFile && absolute(keyFile) };
}

function toDatabase(document: NonNullable<RoomDocument['database']>, absolute: (path: string) => string, env: Environment): DatabaseConfig {
  const schemaFile = document.schemaFile && absolute(document.schemaFile);
  const { adapter, address = '', name = '', user = '', password, tls, replication } = document;
  if (adapter === 'embedded') return { adapter, schemaFile };
  const secret = (from: typeof password) => (from === undefined ? '' : (env[from.env] ?? ''));
  return {
    adapter,
    address,
    name,
    user,
    password: secret(password),
    tls: tls && toServerTls(tls, absolute),
    schemaFile,
    replication: replication && { source: replication.source, user: replication.user, password: secret(replication.password) },
  };
}
