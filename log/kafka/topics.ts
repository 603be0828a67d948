/**
 * The topics of a log, and how they must be set.
 *
 *     wmb.log.ROOM.LOG            the registry (registry.ts): which epoch counts, leases, promises
 *     wmb.log.ROOM.LOG.EPOCH      the frames of one epoch: one record is one frame, its offset is its seq
 *
 * An epoch has a topic of its own: whoever still appends under an older epoch cannot reach the newer one's frames, and offsets begin at 0.
 */
import { WmbError } from '../../core/errors.ts';
import type { LogEpoch, LogName, RoomId } from '../../core/words.ts';
import type { KafkaCluster, TopicPartition } from '../../kafka/cluster.ts';
import { FRAME_BYTES_MAX } from '../../link/frame.ts';

/** A record takes some more than its frame. */
const RECORD_BYTES_MAX = FRAME_BYTES_MAX + 1024;
/** What retention has removed gives its space back when a whole segment is gone. */
const SEGMENT_BYTES = 64 * 1024 * 1024;

export const REGISTRY_PARTITIONS = 2;

export function registryTopic(room: RoomId, log: LogName): string {
  return `wmb.log.${room}.${log}`;
}

export function framesTopic(room: RoomId, log: LogName, epoch: LogEpoch): string {
  return `${registryTopic(room, log)}.${epoch}`;
}

export interface TopicWish {
  readonly topic: string;
  readonly partitions: number;
  readonly replicas: number;
  readonly minInSyncReplicas: number;
}

/** What `wmb log init` sets. */
export function settingsOf({ minInSyncReplicas }: Pick<TopicWish, 'minInSyncReplicas'>): Readonly<Record<string, string>> {
  return {
    'cleanup.policy': 'delete',
    'retention.ms': '-1',
    'retention.bytes': '-1',
    'compression.type': 'producer',
    'max.message.bytes': String(RECORD_BYTES_MAX),
    'min.insync.replicas': String(minInSyncReplicas),
    'segment.bytes': String(SEGMENT_BYTES),
    'unclean.leader.election.enable': 'false',
  };
}

export async function createTopic(cluster: KafkaCluster, wish: TopicWish): Promise<void> {
  const configEntries = Object.entries(settingsOf(wish)).map(([name, value]) => ({ name, value }));
  await cluster.createTopic({ topic: wish.topic, numPartitions: wish.partitions, replicationFactor: wish.replicas, configEntries });
}

interface Rule {
  readonly isRight: (value: string, wish: TopicWish) => boolean;
  readonly why: string;
}

/** By setting: with which values a log cannot keep its promises. */
const RULES: Readonly<Record<string, Rule>> = {
  'cleanup.policy': { isRight: (value) => value === 'delete', why: 'compaction would remove frames that peers need' },
  'retention.ms': { isRight: (value) => value === '-1', why: 'frames go when every peer has applied them, not by their age' },
  'retention.bytes': { isRight: (value) => value === '-1', why: 'frames go when every peer has applied them, not by their size' },
  'compression.type': {
    isRight: (value) => value === 'producer' || value === 'uncompressed',
    why: 'frames are compressed already, and are read as they were written',
  },
  'max.message.bytes': { isRight: (value) => Number(value) >= RECORD_BYTES_MAX, why: 'a larger frame could not be appended' },
  'min.insync.replicas': {
    isRight: (value, { minInSyncReplicas }) => Number(value) >= minInSyncReplicas,
    why: 'what was acked could be lost with fewer brokers than log.minInSyncReplicas says',
  },
  'unclean.leader.election.enable': {
    isRight: (value) => value === 'false',
    why: 'a replica that lacks acked frames could become the leader',
  },
};

/** LOG_UNFIT with every setting that is wrong, and the command that corrects it. */
export function checkSettings(wish: TopicWish, settings: ReadonlyMap<string, string>, place: string): void {
  const wanted = settingsOf(wish);
  const wrong = Object.entries(RULES).filter(([name, { isRight }]) => !isRight(settings.get(name) ?? '', wish));
  if (wrong.length === 0) return;
  const told = wrong.map(([name, { why }]) => `${name} is ${settings.get(name)} and must be ${wanted[name]}: ${why}`);
  const changes = wrong.map(([name]) => `${name}=${wanted[name]}`);
  throw new WmbError(
    'LOG_UNFIT',
    `the topic ${wish.topic} of ${place} is set wrongly: ${told.join('; ')}. Correct it: kafka-configs.sh --alter --entity-type topics --entity-name ${wish.topic} --add-config ${changes.join(',')}`,
  );
}

/** LOG_UNFIT where the topic has another number of partitions, or fewer replicas than acks need. */
export function checkPartitions(wish: TopicWish, partitions: readonly TopicPartition[], place: string): void {
  const { topic, minInSyncReplicas } = wish;
  if (partitions.length !== wish.partitions) {
    throw new WmbError(
      'LOG_UNFIT',
      `the topic ${topic} of ${place} has ${partitions.length} partitions and must have ${wish.partitions}; somebody has changed it: begin a new log epoch with \`wmb log init --new-epoch\``,
    );
  }
  const few = partitions.find(({ replicas }) => replicas < minInSyncReplicas);
  if (few === undefined) return;
  throw new WmbError(
    'LOG_UNFIT',
    `partition ${few.partition} of the topic ${topic} of ${place} has ${few.replicas} replicas, and log.minInSyncReplicas asks for ${minInSyncReplicas}; give it more with kafka-reassign-partitions.sh, or lower log.minInSyncReplicas`,
  );
}

/** What must be asked of Kafka to check the settings. */
export const CHECKED_SETTINGS: readonly string[] = Object.keys(RULES);
