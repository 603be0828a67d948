/** Calls to Kafka that are tried again for a while, because its brokers change places and restart. */
import { backoffMs } from '../../core/flow/backoff.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { protocolError } from '../../kafka/library.ts';
import { ANYBODY, batchesOf, type FoundRecord, recordsOf } from '../../kafka/records.ts';
import { type FetchAnswer, fetchExchange, produceExchange } from '../../kafka/requests.ts';
import { troubleOf } from '../../kafka/trouble.ts';
import { isPassing, kafkaError } from './errors.ts';

const BACKOFF = { msMin: 20, msMax: 500 } as const;
/** A broker answers with its own error when its replicas take longer. */
const REPLICAS_MS_MAX = 5_000;
const FETCH_BYTES_MAX = 1024 * 1024;

export interface Calling {
  readonly cluster: KafkaCluster;
  readonly runtime: Runtime;
  /** Told on: the error at its end says what did not work. */
  readonly doing: string;
  readonly msMax: number;
}

/** Runs `work` until it succeeds, fails for good, or `msMax` has passed; between two attempts it asks who leads what. */
export async function tryAgain<T>({ cluster, runtime, doing, msMax }: Calling, work: () => Promise<T>): Promise<T> {
  const startedMs = runtime.monotonicMs();
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work();
    } catch (cause) {
      if (!isPassing(troubleOf(cause)) || runtime.monotonicMs() - startedMs > msMax) throw kafkaError(cause, cluster.place, doing);
    }
    await pause(runtime, attempt);
    // Where it fails too, the next attempt says so.
    await cluster.refresh().catch(() => {});
  }
}

export function pause(runtime: Runtime, attempt: number): Promise<void> {
  return sleep(runtime, backoffMs(attempt, BACKOFF, runtime.random()));
}

/** The broker that leads the partition. Throws what Kafka says where there is none. */
export function leaderOf(cluster: KafkaCluster, topic: string, partition: number): number {
  const found = cluster.partitions(topic)?.[partition];
  if (found === undefined) throw protocolError(UNKNOWN_TOPIC_OR_PARTITION);
  if (found.leader === undefined) throw protocolError(LEADER_NOT_AVAILABLE);
  return found.leader;
}

const UNKNOWN_TOPIC_OR_PARTITION = 3;
const LEADER_NOT_AVAILABLE = 5;

/** Appends one record, durably, and returns its offset. It may be there more than once where an attempt seemed to fail. */
export async function appendRecord(calling: Calling, topic: string, partition: number, value: Uint8Array): Promise<number> {
  return tryAgain(calling, async () => {
    const { cluster, runtime } = calling;
    const batches = [{ partition, values: [value], sender: ANYBODY }];
    const exchange = produceExchange({ topic, batches, timeoutMs: REPLICAS_MS_MAX, nowMs: Math.floor(runtime.nowMs()) });
    const [answer] = await cluster.send(leaderOf(cluster, topic, partition), exchange);
    if (answer === undefined || answer.error !== 0) throw protocolError(answer?.error ?? -1);
    return answer.firstOffset;
  });
}

/** Asks the partition's leader once. Throws what Kafka says. */
export async function fetchOnce(
  cluster: KafkaCluster,
  topic: string,
  place: { readonly partition: number; readonly from: number; readonly bytesMax: number },
): Promise<FetchAnswer> {
  const exchange = fetchExchange({ topic, partitions: [place], waitMs: 0, bytesMax: place.bytesMax });
  const [answer] = await cluster.send(leaderOf(cluster, topic, place.partition), exchange);
  if (answer === undefined || answer.error !== 0) throw protocolError(answer?.error ?? -1);
  return answer;
}

/** The records from `from` to the end. What lies before the first that is kept is passed over. */
export async function readRecords(calling: Calling, topic: string, partition: number, from: number): Promise<readonly FoundRecord[]> {
  const { cluster } = calling;
  const found: FoundRecord[] = [];
  const first = await tryAgain(calling, async () => (await cluster.offsets(topic, 'first'))[partition] ?? 0);
  for (let next = Math.max(from, first); ; ) {
    const answer = await tryAgain(calling, () => fetchOnce(cluster, topic, { partition, from: next, bytesMax: FETCH_BYTES_MAX }));
    for (const batch of batchesOf(answer.records)) {
      if (batch !== undefined && !batch.isCompressed) found.push(...[...recordsOf(batch)].filter(({ offset }) => offset >= next));
    }
    const last = found[found.length - 1];
    if (last === undefined || last.offset < next) return found;
    next = last.offset + 1;
  }
}
