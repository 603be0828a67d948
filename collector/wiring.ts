/**
 * Puts the collector together: the only file of it that names concrete adapters. Frames come in through `receive`, are admitted, processed and
 * applied by the applier, and land in this room's cache, database and receipt book.
 */
import { join } from 'node:path';
import type { Config } from '../core/config/types.ts';
import type { Metrics } from '../core/metrics.ts';
import { instanceName } from '../core/runtime.ts';
import { WHOLE } from '../core/share.ts';
import { logsKept, masterRoom, roomEntry } from '../core/topology.ts';
import { GrpcServer } from '../daemon/grpc-server.ts';
import { OpsHttp } from '../daemon/ops-http.ts';
import type { DaemonParts } from '../daemon/process.ts';
import type { Service } from '../daemon/service.ts';
import { readTls } from '../daemon/tls.ts';
import { MqDialer } from '../link/mq/dialer.ts';
import { rpcDialer } from '../link/rpc/dialer.ts';
import { EmbeddedLog } from '../log/embedded/embedded.ts';
import { KafkaLog } from '../log/kafka/kafka.ts';
import type { Log } from '../log/log.ts';
import { type CollectorServer, CollectorService } from '../proto/gen/wmb/v1/admin.ts';
import { type InspectionServer, InspectionService } from '../proto/gen/wmb/v1/inspection.ts';
import type { CacheStore } from '../store/cache.ts';
import type { DatabaseStore } from '../store/database.ts';
import { EmbeddedCache } from '../store/embedded/cache.ts';
import { EmbeddedDatabase } from '../store/embedded/database.ts';
import { MysqlDatabase } from '../store/mysql/database.ts';
import { MysqlReplication } from '../store/mysql/replication.ts';
import { RedisCache } from '../store/redis/cache.ts';
import { serversOf } from '../store/redis/connection.ts';
import { collectorAdmin, type LinkAdmin } from './admin-grpc.ts';
import { Applier, type SharedRoom } from './admit/admit.ts';
import { Inspection } from './inspection.ts';
import { inspectionService } from './inspection-grpc.ts';
import { addKeysRoute } from './keys-http.ts';
import { Processors } from './process/processors.ts';
import { bookFile, ensureDivision } from './receipts/division.ts';
import { EmbeddedBook } from './receipts/embedded.ts';
import { EmbeddedLinkStates } from './receipts/link-states.ts';
import { Receiver } from './receive/receiver.ts';
import { ReplicationWatch, type ReplicationWatchOptions } from './replication.ts';

export const HTTP_BODY_BYTES_MAX = 64 * 1024;
/** The effect log is only read by the reship, from its file or from Kafka; what was just appended is in the page cache. */
const EFFECTS_TAIL_BYTES_MAX = 1024 * 1024;

/**
 * Opens the stores in this order and closes them in reverse; what fails to open ends the start with its code. `around` stands between the cache and
 * whoever applies to it: that is how tests and the demo bring a faulty adapter.
 */
export async function wireCollector(
  parts: DaemonParts,
  around: (cache: CacheStore) => CacheStore = (cache) => cache,
): Promise<readonly Service[]> {
  const { config, runtime, logger, metrics, readiness } = parts;
  const { room } = config;
  const instance = instanceName(room.id, runtime);
  const cache = around(cacheOf(parts));
  ensureDivision({ directory: room.directory, room: room.id, count: WHOLE.count, runtime, logger });
  const book = new EmbeddedBook({ file: bookFile(room.directory, WHOLE), room: room.id });
  const effectLog = effectLogOf(parts);
  // The database tells of its changes before there is an applier only if nobody listens yet.
  let tellChanges = () => {};
  const database = databaseOf(parts, () => tellChanges());
  const watch = replicationWatch(parts, {
    marks: async () => (await database?.marks()) ?? [],
    arrived: (marks) => applier.acks.arrived(marks),
  });
  const processors = new Processors({ config, runtime });
  const { applier, receiver } = takerOf(parts, { cache, database, book, processors, effectLog, instance });
  tellChanges = () => applier.hints.appended('changes', 0);
  const grpc = serve(parts, { cache, book, processors, applier, receiver, watch, instance });
  const http = new OpsHttp({ address: room.listen.collector.http, bodyBytesMax: HTTP_BODY_BYTES_MAX, readiness, metrics, logger });
  addKeysRoute(http.app, { cache, runtime });
  const stores = [cache, database, effectLog, book].filter((store) => store !== undefined);
  return [
    ...stores.map((store): Service => ({ name: store.constructor.name, start: () => store.open(), stop: () => store.close() })),
    { name: 'processors', start: () => processors.open(), stop: async () => processors.close() },
    { name: 'applier', start: () => applier.start(), stop: () => applier.stop(), unready: () => applier.unready() },
    ...(watch === undefined ? [] : [watch]),
    receiver,
    grpc,
    http,
  ];
}

export interface TakerParts {
  readonly cache: CacheStore;
  readonly database: DatabaseStore | undefined;
  readonly book: EmbeddedBook;
  readonly processors: Processors;
  readonly effectLog: Log | undefined;
  readonly instance: string;
  /** Of a collector beside others. */
  readonly beside?: SharedRoom;
}

/** What takes frames from the origins, and what applies them. */
export function takerOf(
  { config, runtime, logger, metrics }: Pick<DaemonParts, 'config' | 'runtime' | 'logger'> & { readonly metrics: Metrics },
  { cache, database, book, processors, effectLog, instance, beside }: TakerParts,
): { readonly applier: Applier; readonly receiver: Receiver } {
  const common = { config, runtime, logger, metrics };
  const { tls, link } = config.room;
  const applier: Applier = new Applier({
    ...{ ...common, cache, database, book, processors, effectLog, share: beside },
    floors: { floor: () => receiver.floor() },
  });
  const receiver = new Receiver({
    ...{ ...common, instance, share: beside?.share },
    dialer: rpcDialer({ runtime, tls: tls === undefined ? undefined : readTls(tls), answerMsMax: link.silenceMsMax }),
    inbox: new MqDialer({ config, runtime, logger }),
    consumers: applier.consumers,
    acks: applier.acks,
    hints: applier.hints,
    states: new EmbeddedLinkStates(book),
  });
  return { applier, receiver };
}

interface Served {
  readonly cache: CacheStore;
  readonly book: EmbeddedBook;
  readonly processors: Processors;
  readonly applier: Applier;
  readonly receiver: Receiver;
  readonly watch: ReplicationWatch | undefined;
  readonly instance: string;
}

/** What people and the checker ask, over gRPC. */
function serve(parts: DaemonParts, served: Served): GrpcServer {
  const { config, runtime, logger, readiness } = parts;
  const { room } = config;
  const grpc = new GrpcServer({ address: room.listen.collector.grpc, tls: room.tls, readiness, runtime, logger });
  const { admin, inspection } = answersOf(parts, served);
  grpc.server.addService(CollectorService, admin);
  grpc.server.addService(InspectionService, inspection);
  return grpc;
}

/** What answers people and the checker. */
export function answersOf({ config, runtime }: DaemonParts, served: Served): { admin: CollectorServer; inspection: InspectionServer } {
  const { cache, book, processors, applier, receiver, watch, instance } = served;
  const { parking, copying } = applier;
  const database = watch && (() => watch.status());
  const floor = () => applier.floor();
  const horizon = () => applier.horizon();
  const inspected = { config, processors, horizon, links: () => receiver.status(), copying, gaps: receiver, book, cache, runtime };
  return {
    admin: collectorAdmin({ config, cache, parking, links: linkAdmin(receiver), floor, database, instance, runtime }),
    inspection: inspectionService(new Inspection(inspected)),
  };
}

function linkAdmin(receiver: Receiver): LinkAdmin {
  return {
    links: () => receiver.status(),
    setPaused: (origin, paused) => receiver.setPaused(origin, paused),
    setTransport: (origin, transport) => receiver.setTransport(origin, transport),
    skipGaps: (origin, confirmed) => receiver.skipGaps(origin, confirmed),
  };
}

/** In the master room of a master–slave topology. */
export function effectLogOf({ config, runtime, logger }: DaemonParts): Log | undefined {
  const { topology, room } = config;
  if (!logsKept(topology, room.id).includes('effects')) return undefined;
  const place = {
    log: 'effects',
    origin: room.id,
    partitions: topology.partitions,
    runtime,
    directory: join(room.directory, 'effects'),
  } as const;
  if (room.log.adapter === 'kafka') return new KafkaLog({ ...place, kafka: room.log, logger, tailBytesMax: 0 });
  return new EmbeddedLog({ ...place, tailBytesMax: EFFECTS_TAIL_BYTES_MAX });
}

/** `share`: of a collector beside others. */
export function cacheOf({ config, runtime }: DaemonParts, share?: number): CacheStore {
  const { id, cache, directory } = config.room;
  if (cache.adapter === 'embedded') return new EmbeddedCache({ directory: join(directory, 'cache'), room: id, runtime });
  return new RedisCache({ nodes: serversOf(cache), room: id, runtime, share });
}

export function databaseOf({ config, runtime }: DaemonParts, onChanges: () => void): DatabaseStore | undefined {
  const { topology, room } = config;
  const role = roomEntry(topology, room.id)?.database;
  const master = masterRoom(topology)?.id;
  if (room.database === undefined || role === undefined || role === 'none' || master === undefined) return undefined;
  if (room.database.adapter === 'mysql') {
    const { name: schema, address, user, password, tls } = room.database;
    return new MysqlDatabase({ address, schema, user, password, tls, role, master, replicates: hasSlaves(config), runtime });
  }
  const { schemaFile } = room.database;
  return new EmbeddedDatabase({ directory: join(room.directory, 'database'), room: room.id, role, master, schemaFile, runtime, onChanges });
}

/** Where the databases follow by the servers' own replication, and there are two that do. */
export function replicationWatch(
  { config, runtime, logger, metrics }: DaemonParts,
  told: Pick<ReplicationWatchOptions, 'marks' | 'arrived'>,
): ReplicationWatch | undefined {
  const { topology, room } = config;
  const role = roomEntry(topology, room.id)?.database;
  const { database } = room;
  if (database?.adapter !== 'mysql' || role === undefined || role === 'none' || !hasSlaves(config)) return undefined;
  const { name: schema, address, user, password, tls } = database;
  const source = role === 'slave' ? database.replication : undefined;
  const replication = new MysqlReplication({ server: { address, schema, user, password, tls }, source, runtime });
  return new ReplicationWatch({ role, replication, ...told, runtime, logger, metrics });
}

function hasSlaves({ topology }: Config): boolean {
  return topology.rooms.some((entry) => entry.database === 'slave');
}
