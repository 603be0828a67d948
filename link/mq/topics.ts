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
import type { InboxConfig } from '../../core/config/types.ts';
import { WmbError } from '../../core/errors.ts';
import type { LogName, RoomId } from '../../core/words.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { fewReplicas, type TopicNeeds, wrongSettings } from '../../kafka/topics.ts';
import { FRAME_BYTES_MAX } from '../frame.ts';

/** A record takes some more than its frame. */
const RECORD_BYTES_MAX = FRAME_BYTES_MAX + 1024;

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

/** By the room that takes the frames. */
type AskedReplicas = Pick<InboxConfig, 'replicas' | 'minInSyncReplicas'>;

/** All topics of the link. */
export function topicsOf(link: { readonly origin: RoomId; readonly logs: readonly LogName[]; readonly partitions: number }): TopicWish[] {
  const { origin, logs, partitions } = link;
  return [
    { topic: upTopic(origin), partitions: 1 },
    { topic: downTopic(origin), partitions: 1 },
    ...logs.map((log) => ({ topic: inboxTopic(origin, log), partitions: log === 'changes' ? 1 : partitions })),
  ];
}

/** With which settings a link cannot keep its promises. */
export function needsOf(minInSyncReplicas?: number): TopicNeeds {
  return {
    recordBytesMax: RECORD_BYTES_MAX,
    minInSyncReplicas,
    why: {
      'cleanup.policy': 'compaction would remove frames that were not applied',
      'retention.ms': 'frames go when they have been applied, not by their age',
      'retention.bytes': 'frames go when they have been applied, not by their size',
      'max.message.bytes': 'a larger frame could not be taken',
      'min.insync.replicas': 'what was acked could be lost with fewer brokers than inbox.minInSyncReplicas says',
    },
  };
}

/**
 * The topic is watched afterwards. INBOX_UNPREPARED where it is missing; INBOX_UNFIT with every setting that is wrong, and the command that corrects it. How many brokers
 * must have a frame the origin does not know: it asks for none.
 */
export async function checkTopic(cluster: KafkaCluster, { topic, partitions }: TopicWish, asked?: AskedReplicas): Promise<void> {
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
  const few = asked && fewReplicas(found, { 'inbox.minInSyncReplicas': asked.minInSyncReplicas, 'inbox.replicas': asked.replicas });
  const wrong = few ?? (await wrongSettings(cluster, topic, needsOf(asked?.minInSyncReplicas)));
  if (wrong !== undefined) throw new WmbError('INBOX_UNFIT', `the topic ${topic} of ${cluster.place} ${wrong}`);
}
