/** Single calls to the leader of a partition. Each is made once; what it rejects with is Kafka's or the library's, see trouble.ts. */
import type { KafkaCluster } from './cluster.ts';
import { LEADER_NOT_AVAILABLE, protocolError, UNKNOWN_TOPIC_OR_PARTITION } from './library.ts';
import { ANYBODY, type BatchSender } from './records.ts';
import { type FetchAnswer, type FetchPartition, fetchExchange, produceExchange } from './requests.ts';

/** A broker answers with its own error when its replicas take longer. */
export const REPLICAS_MS_MAX = 5_000;

/** The broker that leads the partition. */
export function leaderOf(cluster: KafkaCluster, topic: string, partition: number): number {
  const found = cluster.partitions(topic)?.[partition];
  if (found === undefined) cluster.requireSeen(topic);
  if (found === undefined) throw protocolError(UNKNOWN_TOPIC_OR_PARTITION);
  if (found.leader === undefined) throw protocolError(LEADER_NOT_AVAILABLE);
  return found.leader;
}

/** Appends one record, durably, and returns its offset. */
export function appendOnce(cluster: KafkaCluster, place: PartitionPlace, value: Uint8Array, nowMs: number): Promise<number> {
  return appendBatch(cluster, place, { values: [value], sender: ANYBODY, nowMs });
}

export interface PartitionPlace {
  readonly topic: string;
  readonly partition: number;
}

/** Appends records side by side, durably, and returns the first one's offset. */
export async function appendBatch(
  cluster: KafkaCluster,
  { topic, partition }: PartitionPlace,
  { values, sender, nowMs }: { readonly values: readonly Uint8Array[]; readonly sender: BatchSender; readonly nowMs: number },
): Promise<number> {
  const batches = [{ partition, values, sender }];
  const exchange = produceExchange({ topic, batches, timeoutMs: REPLICAS_MS_MAX, nowMs: Math.floor(nowMs) });
  const [answer] = await cluster.send(leaderOf(cluster, topic, partition), exchange);
  if (answer === undefined || answer.error !== 0) throw protocolError(answer?.error ?? -1, topic);
  return answer.firstOffset;
}

/** What there is from an offset on, without waiting for more. */
export async function fetchOnce(
  cluster: KafkaCluster,
  topic: string,
  place: FetchPartition,
  isolation: 'uncommitted' | 'committed' = 'uncommitted',
): Promise<FetchAnswer> {
  const exchange = fetchExchange({ topic, partitions: [place], waitMs: 0, bytesMax: place.bytesMax, isolation });
  const [answer] = await cluster.send(leaderOf(cluster, topic, place.partition), exchange);
  if (answer === undefined || answer.error !== 0) throw protocolError(answer?.error ?? -1, topic);
  return answer;
}
