/** Calls to Kafka that are tried again for a while, because its brokers change places and restart. */
import { asWmbError, type WmbError } from '../../core/errors.ts';
import { backoffMs } from '../../core/flow/backoff.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import { appendOnce, fetchOnce } from '../../kafka/calls.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { batchesOf, type FoundRecord, recordsOf } from '../../kafka/records.ts';
import { troubleOf } from '../../kafka/trouble.ts';
import { isPassing, kafkaError } from './errors.ts';

export const BACKOFF = { msMin: 20, msMax: 500 } as const;
const FETCH_BYTES_MAX = 1024 * 1024;

export interface Calling {
  readonly cluster: KafkaCluster;
  readonly runtime: Runtime;
  /** Told on: the error at its end says what did not work. */
  readonly doing: string;
  readonly msMax: number;
}

/** Runs `work` until it succeeds, fails for good, `msMax` has passed or the cluster is closed; between two attempts it asks who leads what. */
export async function tryAgain<T>({ cluster, runtime, doing, msMax }: Calling, work: () => Promise<T>): Promise<T> {
  const startedMs = runtime.monotonicMs();
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work();
    } catch (cause) {
      const isOver = cluster.isClosed || runtime.monotonicMs() - startedMs > msMax;
      if (isOver || !isPassing(troubleOf(cause))) throw kafkaError(cause, cluster.place, doing);
    }
    await pause(runtime, attempt);
    // Where it fails too, the next attempt says so.
    await cluster.refresh().catch(() => {});
  }
}

/** As long as appends wait: brokers that restart take their time to find leaders. */
const LED_MS_MAX = 30_000;

/**
 * Runs `work`, and again for a while where it fails because of what Kafka answers for a moment: that it has no leader, or too few replicas. A Kafka that does not answer at all is not waited for.
 * `told` hears of each failure.
 */
export async function untilLed<T>(runtime: Runtime, told: (error: WmbError) => void, work: () => Promise<T>): Promise<T> {
  for (const startedMs = runtime.monotonicMs(); ; ) {
    try {
      return await work();
    } catch (cause) {
      const { kind, type } = troubleOf(cause);
      if (kind !== 'away' || type === '' || runtime.monotonicMs() - startedMs > LED_MS_MAX) throw cause;
      told(asWmbError(cause));
    }
    await sleep(runtime, BACKOFF.msMax);
  }
}

export function pause(runtime: Runtime, attempt: number): Promise<void> {
  return sleep(runtime, backoffMs(attempt, BACKOFF, runtime.random()));
}

/** Appends one record, durably, and returns its offset. It may be there more than once where an attempt seemed to fail. */
export function appendRecord(calling: Calling, topic: string, partition: number, value: Uint8Array): Promise<number> {
  const { cluster, runtime } = calling;
  return tryAgain(calling, () => appendOnce(cluster, { topic, partition }, value, runtime.nowMs()));
}

/** The records from `from` to the end. What lies before the first that is kept is passed over, also where another process removes it meanwhile. */
export async function readRecords(calling: Calling, topic: string, partition: number, from: number): Promise<readonly FoundRecord[]> {
  const { cluster } = calling;
  const found: FoundRecord[] = [];
  const firstKept = () => tryAgain(calling, async () => (await cluster.offsets(topic, 'first'))[partition] ?? 0);
  for (let next = Math.max(from, await firstKept()); ; ) {
    try {
      const answer = await tryAgain(calling, () => fetchOnce(cluster, topic, { partition, from: next, bytesMax: FETCH_BYTES_MAX }));
      for (const batch of batchesOf(answer.records)) {
        if (batch !== undefined && !batch.isCompressed) found.push(...[...recordsOf(batch)].filter(({ offset }) => offset >= next));
      }
    } catch (cause) {
      const first = await firstKept();
      if (first <= next) throw cause;
      next = first;
      continue;
    }
    const last = found[found.length - 1];
    if (last === undefined || last.offset < next) return found;
    next = last.offset + 1;
  }
}
