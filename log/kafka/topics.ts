/**
 * The topics of a log, and how they must be set.
 *
 *     wmb.log.ROOM.LOG            the registry (registry.ts): which epoch counts, leases, promises
 *     wmb.log.ROOM.LOG.talk       what the processes that append say to each other (log/talk.ts); of the write log only
 *     wmb.log.ROOM.LOG.EPOCH      the frames of one epoch: one record is one frame, its offset is its seq
 *     wmb.receipts.ROOM           what changes in the receipt books of the room's shares (journal.ts): a partition each
 *     wmb.receipts.ROOM.talk      what the room's collectors say to each other (log/talk.ts)
 *
 * An epoch has a topic of its own: whoever still appends under an older epoch cannot reach the newer one's frames, and offsets begin at 0.
 */
import { WmbError } from '../../core/errors.ts';
import type { LogEpoch, LogName, RoomId } from '../../core/words.ts';
import type { TopicPartition } from '../../kafka/cluster.ts';
import { fewReplicas, type TopicNeeds, type TopicSize } from '../../kafka/topics.ts';
import { FRAME_BYTES_MAX } from '../../link/frame.ts';

/** A record takes some more than its frame. */
const RECORD_BYTES_MAX = FRAME_BYTES_MAX + 1024;

export const REGISTRY_PARTITIONS = 2;

export function registryTopic(room: RoomId, log: LogName): string {
  return `wmb.log.${room}.${log}`;
}

export function framesTopic(room: RoomId, log: LogName, epoch: LogEpoch): string {
  return `${registryTopic(room, log)}.${epoch}`;
}

/** The effect log's partitions each have one process that appends. */
export function hasTalk(log: LogName): boolean {
  return log === 'writes';
}

export function talkTopic(room: RoomId, log: LogName): string {
  return `${registryTopic(room, log)}.talk`;
}

export function receiptsTopic(room: RoomId): string {
  return `wmb.receipts.${room}`;
}

export function receiptsTalkTopic(room: RoomId): string {
  return `${receiptsTopic(room)}.talk`;
}

export interface TopicWish extends TopicSize {
  readonly minInSyncReplicas: number;
}

/** With which settings a log cannot keep its promises. */
export function needsOf({ minInSyncReplicas }: Pick<TopicWish, 'minInSyncReplicas'>): TopicNeeds {
  return {
    recordBytesMax: RECORD_BYTES_MAX,
    minInSyncReplicas,
    why: {
      'cleanup.policy': 'compaction would remove frames that peers need',
      'retention.ms': 'frames go when every peer has applied them, not by their age',
      'retention.bytes': 'frames go when every peer has applied them, not by their size',
      'max.message.bytes': 'a larger frame could not be appended',
      'min.insync.replicas': 'what was acked could be lost with fewer brokers than log.minInSyncReplicas says',
    },
  };
}

/** LOG_UNFIT where the topic has another number of partitions, or fewer replicas than the room asks for. */
export function checkPartitions(wish: TopicWish, partitions: readonly TopicPartition[], place: string): void {
  const { topic, minInSyncReplicas } = wish;
  if (partitions.length !== wish.partitions) {
    throw new WmbError(
      'LOG_UNFIT',
      `the topic ${topic} of ${place} has ${partitions.length} partitions and must have ${wish.partitions}; somebody has changed it: begin a new log epoch with \`wmb log init --new-epoch\``,
    );
  }
  const asked = { 'log.minInSyncReplicas': minInSyncReplicas, 'log.replicas': wish.replicas };
  const few = fewReplicas(partitions, asked);
  if (few !== undefined) throw new WmbError('LOG_UNFIT', `the topic ${topic} of ${place} ${few}`);
}
