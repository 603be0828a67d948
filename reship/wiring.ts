/**
 * Puts reship together: the only file of it that names concrete adapters. Intake and ship share the write log; what the collector of a
 * master room writes (effect log, changes log) is read from where it is as soon as it is there.
 */
import { join } from 'node:path';
import { HybridClock } from '../core/clock.ts';
import type { KafkaLogConfig } from '../core/config/types.ts';
import { WmbError } from '../core/errors.ts';
import { instanceName } from '../core/runtime.ts';
import type { Share } from '../core/share.ts';
import { type Stamp, writerId } from '../core/stamp.ts';
import { logsKept, roomEntry } from '../core/topology.ts';
import type { LogName } from '../core/words.ts';
import { GrpcServer } from '../daemon/grpc-server.ts';
import { publishedAddress } from '../daemon/listen.ts';
import { OpsHttp } from '../daemon/ops-http.ts';
import type { DaemonParts } from '../daemon/process.ts';
import type { Service } from '../daemon/service.ts';
import type { LinkHost } from '../link/link.ts';
import { InboxFeeder } from '../link/mq/feeder.ts';
import { addLinkService } from '../link/rpc/service.ts';
import { EmbeddedLog, logFile } from '../log/embedded/embedded.ts';
import { EmbeddedLogReader } from '../log/embedded/reader.ts';
import { KafkaLog } from '../log/kafka/kafka.ts';
import type { Log, ServedLog } from '../log/log.ts';
import { addReshipAdmin } from './admin.ts';
import { Fellows } from './fellows/fellows.ts';
import { addWritesService } from './intake/grpc.ts';
import { writesRoute } from './intake/http.ts';
import { Intake } from './intake/intake.ts';
import { topicsMetrics } from './intake/kafka/metrics.ts';
import { TopicIntake } from './intake/kafka/topic.ts';
import { Topics } from './intake/kafka/topics.ts';
import { writeRules } from './intake/validate.ts';
import { LateLogs } from './late-logs.ts';
import { Retention } from './retention.ts';
import { PromiseCeiling } from './ship/promise-ceiling.ts';
import { Shipper } from './ship/shipper.ts';

/** Newest frames kept in memory for links that follow closely, over all partitions. */
const TAIL_BYTES_MAX = 8 * 1024 * 1024;
const HTTP_BODY_BYTES_MAX = 16 * 1024 * 1024;
const HTTP_BODIES_BYTES_MAX = 64 * 1024 * 1024;

/** Opens the write log, takes a writer lease and joins the others that append (all may fail for reasons the user can mend), then makes the services. */
export async function wireReship(parts: DaemonParts): Promise<readonly Service[]> {
  const { config, runtime, logger, metrics } = parts;
  const { topology, room } = config;
  const taking = await wireTaking(parts);
  const { log, intake, fellows, instance } = taking;
  const ofTopics = topicsMetrics(metrics);
  const topics = new Topics(
    room.topics.map(
      (topic) => new TopicIntake({ config: topic, rules: writeRules(topology), instance, intake, log, runtime, logger, metrics: ofTopics }),
    ),
  );
  const readers: ServedLog[] = [log];
  const shipper = wireShipper(parts, taking, topics);
  const late = logsKept(topology, room.id)
    .filter((name) => name !== 'writes')
    .map((name) => otherLog(name, parts));
  return [
    { name: 'write log', start: async () => {}, stop: () => log.close(), unready: () => troubleText(log) },
    ...(fellows === undefined ? [] : [fellows]),
    { name: 'intake', start: async () => {}, drain: () => intake.drain(), stop: async () => intake.stop() },
    shipper,
    ...feeders(parts, shipper, fellows),
    new LateLogs({
      logs: late,
      offer: (reader) => {
        readers.push(reader);
        shipper.offer(reader);
      },
      runtime,
      logger,
    }),
    new Retention({
      ...{ config, runtime, logger, metrics },
      logs: () => readers,
      floors: (name) => shipper.retentionFloors(name),
      isMine: () => fellows?.isFirst ?? true,
    }),
    ...(await faces(parts, { ...taking, shipper, topics, readers })),
    topics,
  ];
}

/** What takes write requests into the log. */
interface Taking {
  readonly instance: string;
  readonly log: Log;
  readonly intake: Intake;
  readonly clock: HybridClock;
  /** Undefined where no other process may append to the log. */
  readonly fellows: Fellows | undefined;
  /** A stamp that every write request of this process which is not in the log yet will exceed, also over a restart. */
  readonly settled: () => Stamp;
}

async function wireTaking(parts: DaemonParts): Promise<Taking> {
  const { config, runtime, logger, metrics } = parts;
  const { topology, room } = config;
  const instance = instanceName(room.id, runtime);
  const log = writeLog(parts);
  await log.open();
  const { lease, stampLast } = await log.leaseWriter(instance);
  const number = roomEntry(topology, room.id)?.number ?? 0;
  const aheadMsMax = topology.limits.clockAheadMsMax;
  const clock = new HybridClock({ runtime, writer: writerId(number, lease), stampLast, aheadMsMax });
  const ceiling = new PromiseCeiling({ log, stampLast, aheadMsMax, runtime, logger });
  const fellows = log instanceof KafkaLog ? await joinFellows({ log, clock, instance, parts }) : undefined;
  const intake = new Intake({
    ...{ room: room.id, topology, limits: room.intake, log, clock, runtime, metrics },
    through: fellows && ((stamp) => fellows.through(stamp)),
    onWaiting: () => fellows?.changed(),
  });
  return { instance, log, intake, clock, fellows, settled: () => ceiling.cap(intake.settledStamp()) };
}

function wireShipper(
  { config, runtime, logger, metrics }: DaemonParts,
  { instance, log, intake, clock, fellows, settled }: Taking,
  topics: Topics,
): Shipper {
  const shipper = new Shipper({
    ...{ config, readers: [log], runtime, logger, metrics, instance },
    settledStamp: () => (fellows === undefined ? settled() : fellows.settled(settled())),
    connectedElsewhere: () => fellows?.others.flatMap(({ sessions }) => sessions.map(({ peer }) => peer)) ?? [],
  });
  shipper.onAck((ack) => {
    intake.acknowledge(ack);
    fellows?.acked(ack);
  });
  shipper.onObserved((stamp) => clock.observe(stamp));
  shipper.onSession(() => fellows?.changed());
  fellows?.attach({
    settled,
    sessions: () => shipper.sessions(),
    acks: () => shipper.acks(),
    waits: () => intake.state.waiting > 0,
    topics: () => topics.taken,
    isIdle: () => intake.state.pendingWrites === 0,
    endSession: (id) => shipper.endSession(id),
    takeAck: (ack) => {
      shipper.takeAck(ack);
      intake.acknowledge(ack);
    },
  });
  return shipper;
}

interface Faced extends Taking {
  readonly shipper: Shipper;
  readonly topics: Topics;
  readonly readers: readonly ServedLog[];
}

/** gRPC and HTTP. */
async function faces(parts: DaemonParts, { instance, intake, fellows, shipper, topics, readers }: Faced): Promise<readonly Service[]> {
  const { config, runtime, logger, metrics, readiness } = parts;
  const { room } = config;
  const grpc = new GrpcServer({ address: room.listen.reship.grpc, tls: room.tls, readiness, runtime, logger });
  addWritesService(grpc.server, intake);
  addLinkService(grpc.server, shipper, { logger, runtime, certificates: room.tls !== undefined });
  addReshipAdmin(grpc.server, {
    ...{ config, instance, runtime, intake, topics },
    logs: () => readers,
    peers: () => shipper.peers(),
    members: () => fellows?.members() ?? [],
  });
  const http = new OpsHttp({ address: room.listen.reship.http, bodyBytesMax: HTTP_BODY_BYTES_MAX, readiness, metrics, logger });
  await http.app.register(writesRoute, { intake, bodyBytesMax: HTTP_BODY_BYTES_MAX, bodiesBytesMax: HTTP_BODIES_BYTES_MAX });
  return [grpc, http];
}

interface Joining {
  readonly log: KafkaLog;
  readonly clock: HybridClock;
  readonly instance: string;
  readonly parts: DaemonParts;
}

/** Others may append to a log in Kafka. */
async function joinFellows({ log, clock, instance, parts }: Joining): Promise<Fellows> {
  const { config, runtime, logger } = parts;
  const { talk, seat } = await log.company();
  const onOvertaken = () =>
    log.giveUp(
      new WmbError('LOG_UNAVAILABLE', 'this reship stood still, and another one joined meanwhile; submit again', { retryAfterMs: 100 }),
    );
  const address = publishedAddress(config.room.listen.reship.grpc);
  const fellows = new Fellows({ name: instance, seat, address, talk, log, clock, runtime, logger, onOvertaken });
  log.appendWhile(() => fellows.isHeld);
  void fellows.failed.then((reason) => log.refuse(reason));
  await fellows.join();
  return fellows;
}

function troubleText({ trouble }: Log): string | undefined {
  return trouble?.told;
}

function writeLog(parts: DaemonParts): Log {
  const { config, runtime } = parts;
  const { topology, room } = config;
  if (room.log.adapter === 'kafka') return kafkaLog('writes', room.log, parts);
  const directory = join(room.directory, 'writes');
  return new EmbeddedLog({
    directory,
    log: 'writes',
    origin: room.id,
    partitions: topology.partitions,
    runtime,
    tailBytesMax: TAIL_BYTES_MAX,
  });
}

function kafkaLog(log: LogName, kafka: KafkaLogConfig, { config, runtime, logger }: DaemonParts): KafkaLog {
  const { topology, room } = config;
  const place = { kafka, log, origin: room.id, partitions: topology.partitions, runtime };
  return new KafkaLog({ ...place, directory: join(room.directory, log), logger, tailBytesMax: TAIL_BYTES_MAX });
}

/** One for each peer whose Kafka is known: it puts frames there when the peer says so. */
function feeders({ config, runtime, logger }: DaemonParts, host: LinkHost, fellows: Fellows | undefined): readonly Service[] {
  const { room } = config;
  const isMine = ({ index }: Share) => fellows?.isMine(index) ?? true;
  return Object.entries(room.peers).map(
    ([peer, { kafka }]) =>
      new InboxFeeder({
        ...{ room: room.id, peer, kafka, secret: room.secret, silenceMsMax: room.link.silenceMsMax },
        ...{ host, isMine, runtime, logger },
      }),
  );
}

/** Where the collector of a master room keeps the effect log, and the embedded database its changes. */
function otherLog(log: Exclude<LogName, 'writes'>, parts: DaemonParts): ServedLog {
  const { config, runtime } = parts;
  const { directory, id, log: kept } = config.room;
  if (log === 'effects' && kept.adapter === 'kafka') return kafkaLog(log, kept, parts);
  const file = log === 'effects' ? logFile(join(directory, 'effects')) : join(directory, 'database', 'database.db');
  return new EmbeddedLogReader({ file, log, origin: id, runtime });
}
