/**
 * Puts the checker together: the only file of it that names concrete adapters. It reads this room's cache from its file or servers, its write log from its file or Kafka, everything else through this room's
 * collector, and the peers through their checkers.
 */
import { join } from 'node:path';
import { isWildcard, parseAddress } from '../core/config/address.ts';
import type { Config, DaemonAddresses } from '../core/config/types.ts';
import { WmbError } from '../core/errors.ts';
import { instanceName } from '../core/runtime.ts';
import { masterRoom, roomEntry } from '../core/topology.ts';
import type { RoomId } from '../core/words.ts';
import { GrpcServer } from '../daemon/grpc-server.ts';
import { OpsHttp } from '../daemon/ops-http.ts';
import type { DaemonParts } from '../daemon/process.ts';
import type { Service } from '../daemon/service.ts';
import { readTls } from '../daemon/tls.ts';
import { logFile } from '../log/embedded/embedded.ts';
import { EmbeddedLogReader } from '../log/embedded/reader.ts';
import { KafkaLog } from '../log/kafka/kafka.ts';
import { Onlooker } from '../log/kafka/onlooker.ts';
import { KafkaLogReader } from '../log/kafka/reader.ts';
import type { LogReader } from '../log/log.ts';
import { CheckerService, PeerService } from '../proto/gen/wmb/v1/checker.ts';
import { EmbeddedCacheInspector } from '../store/embedded/cache-inspector.ts';
import type { CacheInspector } from '../store/inspection.ts';
import { openBoth } from '../store/mysql/comparable.ts';
import { MysqlReplication } from '../store/mysql/replication.ts';
import { RedisCacheInspector } from '../store/redis/cache-inspector.ts';
import { serversOf } from '../store/redis/connection.ts';
import { KeyComparison } from './cache/comparison.ts';
import { LeafKeeper } from './cache/keeper.ts';
import type { CallTarget } from './calls-grpc.ts';
import { Checker } from './checker.ts';
import { CollectorGrpc, IntakeGrpc } from './collector-grpc.ts';
import { compareRooms } from './compare.ts';
import { DatabaseRounds } from './database/rounds.ts';
import { LocalRoom } from './local-room.ts';
import { Canaries } from './messages/canaries.ts';
import { ReceiptComparison } from './messages/comparison.ts';
import { LaneWatch } from './messages/lanes.ts';
import { databaseMeters, declareGauges, type RoundMeters, roundMeters } from './meters.ts';
import { peerService } from './peer-grpc.ts';
import { PeerGate } from './peer-hello.ts';
import { PeerRounds } from './peer-rounds.ts';
import { checkerService } from './people-grpc.ts';
import { RemoteRoom } from './remote-room.ts';
import { CacheCopy } from './repair/copy.ts';
import { Repairer } from './repair/repairer.ts';
import { RepairRuns } from './repair/runs.ts';
import { EmbeddedDriftBook } from './report/embedded-book.ts';
import { Explainer } from './report/explain.ts';
import { WatchedBook } from './report/watched-book.ts';
import { addReportRoutes } from './report-http.ts';
import type { RoomView } from './room.ts';
import type { StatusSource } from './status.ts';
import { traceWrite } from './trace.ts';

const HTTP_BODY_BYTES_MAX = 64 * 1024;

/** CHECKER_ABSENT where the topology has no checker for this room. */
export async function wireChecker(parts: DaemonParts): Promise<readonly Service[]> {
  const { config, runtime, logger, metrics } = parts;
  const { room } = config;
  const listen = listenOf(config);
  const own = ownRoom(parts);
  const peers = peerRooms(parts, own.instance);
  const views = new Map<RoomId, RoomView>([[room.id, own.view], ...peers]);
  const rooms = (id: RoomId) => views.get(id);
  const book = new WatchedBook(new EmbeddedDriftBook({ file: join(room.directory, 'checker.db'), room: room.id }));
  const explainer = new Explainer({ own: room.id, topology: config.topology, rooms, runtime });
  const meters = roundMeters(metrics);
  const rounds = roundsOf({ parts, own: own.view, peers, explainer, book, meters });
  const copy = new CacheCopy({ own: own.view, peers: [...peers.values()], mender: own.collector, runtime, logger });
  const checker: Checker = new Checker({
    own: own.view,
    copy,
    topology: config.topology,
    settings: room.checker,
    lanes: new LaneWatch({ silenceMsMax: room.checker.silenceMsMax, runtime }),
    background: own.background,
    rounds,
    alarmOf: (alarm, about) => explainer.alarm(alarm, about),
    book,
    meters,
    runtime,
    logger,
  });
  const database = databaseOf({ parts, explainer, book, meters });
  const rows = () => {
    if (database?.rounds !== undefined) return database.rounds;
    throw new WmbError('NOT_FOUND', `room ${room.id} has no database that is compared with the master’s`);
  };
  const repairer = new Repairer({
    own: own.view,
    rooms,
    mender: own.collector,
    book,
    explainer,
    differs: (drift) => (drift.subject.type === 'row' ? rows().differs(drift) : checker.differs(drift)),
    rewrite: (row) => rows().rewrite(row),
    limits: room.checker.repair,
    runtime,
    logger,
  });
  const repairs = new RepairRuns({ repairer, meters });
  const of = { config, instance: own.instance, checker, book, leaves: own.leaves, copy, database };
  const status = { ...of, startedMs: runtime.monotonicMs(), runtime };
  watchGauges(parts, status, { checker, rounds });
  const face = { parts, listen, own: own.view, rooms, rounds, explainer, repairs, status };
  return [
    { name: 'drift book', start: () => book.open(), stop: () => book.close() },
    { name: 'rooms', start: async () => {}, stop: () => closeRooms(own, peers) },
    repairs,
    checker,
    ...(database?.services ?? []),
    grpcOf(face),
    httpOf(face),
  ];
}

/** What the faces to peers and people stand on. */
interface Face {
  readonly parts: DaemonParts;
  readonly listen: DaemonAddresses;
  readonly own: LocalRoom;
  readonly rooms: (room: RoomId) => RoomView | undefined;
  readonly rounds: ReadonlyMap<RoomId, PeerRounds>;
  readonly explainer: Explainer;
  readonly repairs: RepairRuns;
  readonly status: StatusSource;
}

function grpcOf({ parts, listen, own, rooms, rounds, explainer, repairs, status }: Face): GrpcServer {
  const { config, runtime, logger, readiness } = parts;
  const { tls, checker } = config.room;
  const grpc = new GrpcServer({ address: listen.grpc, tls, readiness, runtime, logger });
  grpc.server.addService(PeerService, peerService({ own, gate: new PeerGate({ config, runtime }), runtime, logger }));
  grpc.server.addService(
    CheckerService,
    checkerService({
      status,
      book: status.book,
      repair: (request, signal) => repairs.run(request, signal),
      compare: ({ peer, prefix }, signal) => {
        const [other, pair] = [rooms(peer), rounds.get(peer)];
        if (other === undefined || pair === undefined) throw noPeer(config, peer);
        const differs = (key: string) => pair.differsKey(key);
        return compareRooms({ own, peer: other, differs, prefix, graceMs: checker.graceMs, runtime, signal });
      },
      trace: (write) =>
        traceWrite(write, { own, logEnd: (partition) => own.logEnd(partition), timeline: (found) => explainer.timeline(found) }),
    }),
  );
  return grpc;
}

function httpOf({ parts, listen, status }: Face): OpsHttp {
  const { readiness, metrics, logger } = parts;
  const http = new OpsHttp({ address: listen.http, bodyBytesMax: HTTP_BODY_BYTES_MAX, readiness, metrics, logger });
  addReportRoutes(http.app, status);
  return http;
}

function listenOf({ room }: Config): DaemonAddresses {
  if (room.listen.checker !== undefined) return room.listen.checker;
  throw new WmbError('CHECKER_ABSENT', `room ${room.id} has no checker in the topology`);
}

function noPeer({ topology, room }: Config, peer: RoomId): WmbError {
  if (peer === room.id) return new WmbError('USAGE', `a room is compared with another one, not with itself (${peer})`);
  const entry = roomEntry(topology, peer);
  return entry === undefined
    ? new WmbError('ROOM_UNKNOWN', `there is no room “${peer}” in the topology of ${room.id}`)
    : new WmbError('CHECKER_ABSENT', `room ${peer} has no checker in the topology`);
}

function inspectorOf({ config, runtime }: DaemonParts): CacheInspector {
  const { id, cache, directory } = config.room;
  if (cache.adapter === 'embedded') return new EmbeddedCacheInspector({ directory: join(directory, 'cache'), runtime });
  return new RedisCacheInspector({ nodes: serversOf(cache), room: id, runtime });
}

interface OwnRoom {
  readonly instance: string;
  readonly view: LocalRoom;
  readonly leaves: LeafKeeper;
  readonly collector: CollectorGrpc;
  readonly intake: IntakeGrpc;
  readonly background: readonly { start(): void; stop(): void | Promise<void> }[];
}

function ownRoom(parts: DaemonParts): OwnRoom {
  const { config, runtime, logger } = parts;
  const { room, topology } = config;
  const collector = new CollectorGrpc(listening(parts, 'collector'));
  const intake = new IntakeGrpc([listening(parts, 'reship'), published(parts, 'reship')]);
  const inspector = inspectorOf(parts);
  const takeDirty = (max: number) => collector.takeDirty(max);
  const { sweepMs, workPercentMax } = room.checker;
  const leaves = new LeafKeeper({ inspector, takeDirty, runtime, sweepMs, workPercentMax, logger });
  const log = writeLogOf(parts);
  const { duplicateWindowWrites } = topology.limits;
  const view = new LocalRoom({ room: room.id, inspector, leaves, collector, log, duplicateWindowWrites, runtime });
  const submit = (writes: readonly { readonly key: string }[]) => intake.submitCanaries(writes);
  const canaries = new Canaries({ partitions: topology.partitions, submit, canaryMs: room.checker.canaryMs, runtime, logger });
  return { instance: instanceName(room.id, runtime), view, leaves, collector, intake, background: [leaves, canaries] };
}

function writeLogOf({ config, runtime, logger }: DaemonParts): LogReader {
  const { topology, room } = config;
  const directory = join(room.directory, 'writes');
  const place = { log: 'writes', origin: room.id, runtime } as const;
  if (room.log.adapter === 'embedded') return new EmbeddedLogReader({ ...place, file: logFile(directory) });
  const kept = { ...place, kafka: room.log, partitions: topology.partitions };
  return new Onlooker({
    shared: new KafkaLogReader({ ...kept, directory }),
    own: () => new KafkaLog({ ...kept, directory: join(directory, 'checker'), logger, tailBytesMax: 0 }),
    ...{ runtime, logger },
  });
}

type OwnDaemon = 'reship' | 'collector';

/** Where the daemon listens; where that is every interface, as others reach it. */
function listening(parts: DaemonParts, daemon: OwnDaemon): CallTarget {
  const target = published(parts, daemon);
  const listens = parts.config.room.listen[daemon].grpc;
  const host = parseAddress(listens)?.host;
  return host === undefined || isWildcard(host) ? target : { ...target, address: listens };
}

/** As others reach it, or another one of the room. */
function published({ config, runtime }: DaemonParts, daemon: OwnDaemon): CallTarget {
  const { topology, room } = config;
  const address = roomEntry(topology, room.id)?.[daemon].grpc ?? room.listen[daemon].grpc;
  return { who: `${daemon} of ${room.id}`, room: room.id, address, tls: room.tls && readTls(room.tls), runtime, silence: 'UNREACHABLE' };
}

function peerRooms({ config, runtime }: DaemonParts, instance: string): ReadonlyMap<RoomId, RemoteRoom> {
  const { topology, room } = config;
  const tls = room.tls && readTls(room.tls);
  const peers = new Map<RoomId, RemoteRoom>();
  for (const { id, checker } of topology.rooms) {
    if (id === room.id || checker === undefined) continue;
    const target: CallTarget = { who: `checker of ${id}`, room: id, address: checker.grpc, tls, runtime, silence: 'PEER_UNREACHABLE' };
    peers.set(id, new RemoteRoom({ room: id, target, config, instance, runtime }));
  }
  return peers;
}

interface Rounding {
  readonly parts: DaemonParts;
  readonly own: RoomView;
  readonly peers: ReadonlyMap<RoomId, RoomView>;
  readonly explainer: Explainer;
  readonly book: WatchedBook;
  readonly meters: RoundMeters;
}

function roundsOf({ parts, own, peers, explainer, book, meters }: Rounding): ReadonlyMap<RoomId, PeerRounds> {
  const { config, runtime, logger } = parts;
  const { topology, room } = config;
  const { graceMs, roundMs } = room.checker;
  return new Map(
    [...peers].map(([peer, theirs]) => {
      const keys = new KeyComparison({ mine: own, theirs, topology, graceMs, runtime });
      const receipts = new ReceiptComparison({ mine: own, theirs, graceMs, runtime });
      return [peer, new PeerRounds({ own, peer, keys, receipts, explainer, book, meters, roundMs, runtime, logger })];
    }),
  );
}

interface ComparedDatabase {
  readonly text: string;
  /** Undefined: it is not known what it follows. */
  readonly rounds: DatabaseRounds | undefined;
  readonly services: readonly Service[];
}

/** Undefined where this is no slave room with a database on a server. */
function databaseOf({ parts, explainer, book, meters }: Omit<Rounding, 'own' | 'peers'>): ComparedDatabase | undefined {
  const { config, runtime, logger, metrics } = parts;
  const { topology, room } = config;
  const master = masterRoom(topology)?.id;
  if (room.database?.adapter !== 'mysql' || master === undefined || roomEntry(topology, room.id)?.database !== 'slave') return undefined;
  const { address, name: schema, user, password, tls, replication: source } = room.database;
  if (source === undefined)
    return { text: 'not compared with the master’s: the room’s file has no database.replication', rounds: undefined, services: [] };
  const server = { address, schema, user, password, tls };
  const replication = new MysqlReplication({ server, source, runtime });
  const { graceMs, database: settings } = room.checker;
  const rounds: DatabaseRounds = new DatabaseRounds({
    rooms: { master, slave: room.id },
    open: () => openBoth(server, source.source, runtime),
    replica: () => replication.status(),
    stamped: (stamp) => explainer.stamped(stamp),
    meters: { ...meters, ...databaseMeters(metrics, () => rounds.unverifiedMs) },
    ...{ book, settings, graceMs, runtime, logger },
  });
  const connection = { name: 'replication', start: async () => {}, stop: () => replication.close() };
  return {
    rounds,
    services: [connection, rounds],
    get text() {
      return rounds.text;
    },
  };
}

interface Gauged {
  readonly checker: Checker;
  readonly rounds: ReadonlyMap<RoomId, PeerRounds>;
}

function watchGauges({ metrics }: DaemonParts, { book, leaves }: StatusSource, { checker, rounds }: Gauged): void {
  declareGauges(metrics, {
    open: () => book.openDrifts.values(),
    peers: () => [...rounds].map(([room, { state, unverifiedMs }]) => ({ room, suspects: state.suspects, unverifiedMs })),
    canaryAges: () => checker.canaryAges(),
    keys: () => leaves.keys,
    built: () => leaves.built,
  });
}

async function closeRooms({ view, collector, intake }: OwnRoom, peers: ReadonlyMap<RoomId, RemoteRoom>): Promise<void> {
  for (const peer of peers.values()) peer.close();
  intake.close();
  collector.close();
  await view.close();
}
