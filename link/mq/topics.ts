/**
 * The topics of a link over mq, all in the peer's Kafka, and how they must be set.
 *
 *     wmb.inbox.ORIGIN.LOG     frames of one of the origin's logs, a partition for each of the log's (record.ts)
 *     wmb.inbox.ORIGIN.down    what the origin says: what it offers, pulses, gaps (control.ts)
 *     wmb.inbox.ORIGIN.up      what the peer says: that it wants frames, from where on, acks
 *
 * Each log has a topic of its own, so that the seqs of a partition are those of one lane. Nothing goes by its age: the reader of each topic removes what nobody
 * needs any more.
 */
import { WmbError } from '../../core/errors.ts';
import type { LogName, RoomId } from '../../core/words.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { FRAME_BYTES_MAX } from '../frame.ts';

/** A record takes some more than its frame. */
const RECORD_BYTES_MAX = FRAME_BYTES_MAX + 1024;
/** What was removed gives its space back when a whole segment is gone. */
const SEGMENT_BYTES = 64 * 1024 * 1024;

export function inboxTopic(origin: RoomId, log: LogName): string {
  return `wmb.inbox.${origin}.${log}`;
}

export function downTopic(origin: RoomId): string {
  return `wmb.inbox.${origin}.down`;
}

export function upTopic(origin: RoomId): string {
  return `wmb.inbox.${origin}.up`;
}

export interface TopicWish {
  readonly topic: string;
  readonly partitions: number;
}

/** All topics of the link. */
export function topicsOf(link: { readonly origin: RoomId; readonly logs: readonly LogName[]; readonly partitions: number }): TopicWish[] {
  const { origin, logs, partitions } = link;
  return [
    { topic: upTopic(origin), partitions: 1 },
    { topic: downTopic(origin), partitions: 1 },
    ...logs.map((log) => ({ topic: inboxTopic(origin, log), partitions: log === 'changes' ? 1 : partitions })),
  ];
}

interface Rule {
  readonly wanted: string;
  readonly isRight: (value: string) => boolean;
  readonly why: string;
}

const is = (wanted: string) => (value: string) => value === wanted;

/** By setting: with which values a link cannot keep its promises. */
const RULES: Readonly<Record<string, Rule>> = {
  'cleanup.policy': { wanted: 'delete', isRight: is('delete'), why: 'compaction would remove frames that were not applied' },
  'retention.ms': { wanted: '-1', isRight: is('-1'), why: 'frames go when they have been applied, not by their age' },
  'retention.bytes': { wanted: '-1', isRight: is('-1'), why: 'frames go when they have been applied, not by their size' },
  'compression.type': {
    wanted: 'producer',
    isRight: (value) => value === 'producer' || value === 'uncompressed',
    why: 'frames are compressed already, and are read as they were written',
  },
  'max.message.bytes': {
    wanted: String(RECORD_BYTES_MAX),
    isRight: (value) => Number(value) >= RECORD_BYTES_MAX,
    why: 'a larger frame could not be taken',
  },
  'unclean.leader.election.enable': {
    wanted: 'false',
    isRight: is('false'),
    why: 'a replica that lacks acked frames could become the leader',
  },
};

export async function createTopic(
  cluster: KafkaCluster,
  { topic, partitions }: TopicWish,
  { replicas, minInSyncReplicas }: { readonly replicas: number; readonly minInSyncReplicas: number },
): Promise<void> {
  const settings: Record<string, string> = { 'segment.bytes': String(SEGMENT_BYTES), 'min.insync.replicas': String(minInSyncReplicas) };
  for (const [name, { wanted }] of Object.entries(RULES)) settings[name] = wanted;
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
  await cluster.createTopic({ topic, numPartitions: partitions, replicationFactor: replicas, configEntries });
}

/** The topic is watched afterwards. INBOX_UNPREPARED where it is missing; INBOX_UNFIT with every setting that is wrong, and the command that corrects it. */
export async function checkTopic(cluster: KafkaCluster, { topic, partitions }: TopicWish): Promise<void> {
  await cluster.watch(topic);
  const found = cluster.partitions(topic);
  if (found === undefined) {
    const remedy = 'run `wmb link init` in the room that takes the frames';
    throw new WmbError('INBOX_UNPREPARED', `${cluster.place} has no topic ${topic}; ${remedy}`);
  }
  if (found.length !== partitions) {
    const remedy = 'switch the link to rpc, delete the topic, and run `wmb link init`';
    throw new WmbError(
      'INBOX_UNFIT',
      `the topic ${topic} of ${cluster.place} has ${found.length} partitions and must have ${partitions}; ${remedy}`,
    );
  }
  checkSettings(topic, await cluster.settings(topic, Object.keys(RULES)), cluster.place);
}

function checkSettings(topic: string, settings: ReadonlyMap<string, string>, place: string): void {
  const wrong = Object.entries(RULES).filter(([name, { isRight }]) => !isRight(settings.get(name) ?? ''));
  if (wrong.length === 0) return;
  const told = wrong.map(([name, { wanted, why }]) => `${name} is ${settings.get(name)} and must be ${wanted}: ${why}`);
  const changes = wrong.map(([name, { wanted }]) => `${name}=${wanted}`).join(',');
  throw new WmbError(
    'INBOX_UNFIT',
    `the topic ${topic} of ${place} is set wrongly: ${told.join('; ')}. Correct it: kafka-configs.sh --alter --entity-type topics --entity-name ${topic} --add-config ${changes}`,
  );
}
