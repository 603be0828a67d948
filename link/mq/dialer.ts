/**
 * Dials over mq: tells the origin, by way of this room's own Kafka, that frames are wanted, and goes on with what the inbox has. What the origin said last is enough: it
 * may be away.
 */
import type { Config } from '../../core/config/types.ts';
import { WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime } from '../../core/runtime.ts';
import { partitionsOf, WHOLE } from '../../core/share.ts';
import { logsTaken } from '../../core/topology.ts';
import type { RoomId } from '../../core/words.ts';
import { KafkaCluster } from '../../kafka/cluster.ts';
import { protocolError, UNKNOWN_TOPIC_OR_PARTITION } from '../../kafka/library.ts';
import type { FoundRecord } from '../../kafka/records.ts';
import { followTopic, lastRecords } from '../../kafka/topic-calls.ts';
import type { Hello, InboxDialer, LinkSession, Welcome } from '../link.ts';
import { downwardFromWire } from '../wire.ts';
import { inboxError } from './errors.ts';
import { InboxLane } from './inbox-lane.ts';
import { readOffer } from './offer.ts';
import { MqSession } from './session.ts';
import { checkTopic, downTopic, inboxTopic, topicsOf } from './topics.ts';
import { UpWriter } from './up-writer.ts';

const ANSWER_MS_MAX = 10_000;
const DOWN_WAIT_MS = 250;

export interface MqDialerOptions {
  readonly config: Config;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

interface Dialling extends MqDialerOptions {
  readonly cluster: KafkaCluster;
  readonly hello: Hello;
  readonly signal: AbortSignal;
}

interface Welcomed {
  readonly welcome: Welcome;
  readonly from: number;
}

export class MqDialer implements InboxDialer {
  readonly #options: MqDialerOptions;

  constructor(options: MqDialerOptions) {
    this.#options = options;
  }

  /** The address is of no use: whoever wants frames asks in his own Kafka. INBOX_UNAVAILABLE, INBOX_DENIED, INBOX_UNFIT, INBOX_UNPREPARED, INBOX_FOREIGN, and as LinkDialer says. */
  async dial(_address: string, hello: Hello, signal: AbortSignal): Promise<LinkSession> {
    const cluster = this.#cluster();
    const giveUp = () => cluster.close();
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      const session = await open({ ...this.#options, cluster, hello, signal });
      if (signal.aborted) throw new WmbError('PEER_UNREACHABLE', 'the dial was given up');
      session.start();
      return session;
    } catch (cause) {
      cluster.close();
      throw signal.aborted
        ? new WmbError('PEER_UNREACHABLE', 'the dial was given up', { cause })
        : inboxError(cause, cluster.place, `the inbox of frames from ${hello.to} cannot be used`);
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  async check(origin: RoomId): Promise<void> {
    const cluster = this.#cluster();
    try {
      const { config } = this.#options;
      await checkTopics(cluster, config, origin);
      await refuseAnothers(cluster, { from: config.room.id, to: origin }, config.room.secret);
    } catch (cause) {
      throw inboxError(cause, cluster.place, `the inbox of frames from ${origin} cannot be used`);
    } finally {
      cluster.close();
    }
  }

  async leave(hello: Hello): Promise<void> {
    const { config, runtime } = this.#options;
    const cluster = this.#cluster();
    try {
      await checkTopics(cluster, config, hello.to);
      await refuseAnothers(cluster, hello, config.room.secret);
      await new UpWriter({ cluster, hello, secret: config.room.secret, runtime }).write('rpc');
    } catch (cause) {
      throw inboxError(cause, cluster.place, `the inbox of frames from ${hello.to} cannot be used`);
    } finally {
      cluster.close();
    }
  }

  #cluster(): KafkaCluster {
    const { config, runtime } = this.#options;
    const { inbox, id } = config.room;
    if (inbox === undefined) {
      throw new WmbError(
        'INBOX_UNPREPARED',
        `room ${id} has no Kafka for inboxes; name it as \`inbox\` in the room’s file, and run \`wmb link init\``,
      );
    }
    return new KafkaCluster({ servers: inbox, clientId: `wmb-${id}`, runtime });
  }
}

async function checkTopics(cluster: KafkaCluster, { topology, room }: Config, origin: RoomId): Promise<void> {
  const logs = logsTaken(topology, origin, room.id);
  for (const wish of topicsOf({ origin, logs, partitions: topology.partitions })) await checkTopic(cluster, wish, room.inbox);
}

type Ends = Pick<Hello, 'from' | 'to'>;

async function refuseAnothers(cluster: KafkaCluster, ends: Ends, secret: string): Promise<void> {
  const [last] = await lastRecords(cluster, downTopic(ends.to));
  if (last !== undefined) refuseForeign(last, ends, secret);
}

/** Before this room says anything there: a word of its would end the session of the room whose inbox it is. What else is wrong with the record, the origin's next one may put right. */
function refuseForeign(last: FoundRecord, ends: Ends, secret: string): void {
  try {
    readOffer(last, { hello: ends, secret });
  } catch (cause) {
    if (cause instanceof WmbError && cause.code === 'INBOX_FOREIGN') throw cause;
  }
}

async function open(dialling: Dialling): Promise<MqSession> {
  const { cluster, hello, config, runtime, logger } = dialling;
  const { topology, room } = config;
  await checkTopics(cluster, config, hello.to);
  const up = new UpWriter({ cluster, hello, secret: room.secret, runtime });
  const [before] = await lastRecords(cluster, downTopic(hello.to));
  if (before !== undefined) refuseForeign(before, hello, room.secret);
  await up.write('mq');
  const welcomed = await welcomeOf(dialling, before);
  const lanes: InboxLane[] = [];
  for (const { log, partitions } of welcomed.welcome.logs) {
    const firsts = await cluster.offsets(inboxTopic(hello.to, log), 'first');
    if (cluster.partitions(inboxTopic(hello.to, log)) === undefined) throw protocolError(UNKNOWN_TOPIC_OR_PARTITION);
    for (const partition of partitionsOf(hello.share ?? WHOLE, Math.min(partitions, firsts.length)))
      lanes.push(new InboxLane({ origin: hello.to, log, partition, first: firsts[partition] ?? 0, logger }));
  }
  const historyWrites = topology.limits.duplicateWindowWrites;
  return new MqSession({ ...welcomed, cluster, hello, secret: room.secret, lanes, up, historyWrites, runtime, logger });
}

/** What the origin said last, where that is a welcome; otherwise what it says to the hello. */
async function welcomeOf(dialling: Dialling, before: FoundRecord | undefined): Promise<Welcomed> {
  const { cluster, hello, runtime, signal } = dialling;
  const last = before && welcomeIn(dialling, before);
  const stale = last === undefined || last instanceof WmbError ? undefined : last;
  if (stale?.welcome.topologyEpoch === hello.topologyEpoch) return stale;
  const deadlineMs = runtime.monotonicMs() + ANSWER_MS_MAX;
  const from = before === undefined ? ((await cluster.offsets(downTopic(hello.to), 'first'))[0] ?? 0) : before.offset + 1;
  for await (const records of followTopic(cluster, { topic: downTopic(hello.to), from, waitMs: DOWN_WAIT_MS })) {
    for (const record of records) {
      const said = welcomeIn(dialling, record);
      if (said instanceof WmbError) throw said;
      return said;
    }
    if (signal.aborted || runtime.monotonicMs() > deadlineMs) break;
  }
  // That it is of another topology is for the caller to say.
  if (stale !== undefined) return stale;
  throw new WmbError(
    'PEER_UNREACHABLE',
    `room ${hello.to} has put nothing into the inbox at ${cluster.place} within ${ANSWER_MS_MAX} ms; see whether its reship runs, and has this room’s Kafka in \`peers\``,
  );
}

/** The refusal where it is one. */
function welcomeIn({ hello, config }: Dialling, record: FoundRecord): Welcomed | WmbError {
  const { welcome, messages } = readOffer(record, { hello, secret: config.room.secret });
  if (welcome !== undefined) return { welcome, from: record.offset };
  try {
    messages.forEach(downwardFromWire);
  } catch (refusal) {
    if (refusal instanceof WmbError) return refusal;
  }
  return new WmbError('PEER_GARBAGE', `room ${hello.to} answered neither with a welcome nor with a refusal`);
}
