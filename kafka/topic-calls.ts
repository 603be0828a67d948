/** Calls about a topic through which processes talk, and about the newest records of any. Each is made once: whoever calls begins anew where one fails. */
import { appendOnce, fetchOnce, leaderOf } from './calls.ts';
import type { KafkaCluster } from './cluster.ts';
import { protocolError } from './library.ts';
import { batchesOf, type FoundRecord, recordsOf } from './records.ts';
import { type FetchAnswer, fetchExchange } from './requests.ts';

const FETCH_BYTES_MAX = 1024 * 1024;

/** Appends to the only partition of a topic, durably. */
export async function appendRecord(cluster: KafkaCluster, topic: string, value: Uint8Array, nowMs: number): Promise<void> {
  await appendOnce(cluster, { topic, partition: 0 }, value, nowMs);
}

/** By partition: the newest record that `isWanted`; undefined where there is none. */
export async function lastRecords(
  cluster: KafkaCluster,
  topic: string,
  isWanted: (record: FoundRecord) => boolean = () => true,
): Promise<readonly (FoundRecord | undefined)[]> {
  const [first, end] = [await cluster.offsets(topic, 'first'), await cluster.offsets(topic, 'end')];
  return Promise.all(end.map((to, partition) => lastRecord({ cluster, topic, partition, isWanted }, { from: first[partition] ?? 0, to })));
}

interface Looked {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly partition: number;
  readonly isWanted: (record: FoundRecord) => boolean;
}

/** Looks at the last record, and where that is not wanted at more and more before it. */
async function lastRecord(looked: Looked, { from, to }: { readonly from: number; readonly to: number }): Promise<FoundRecord | undefined> {
  for (let [count, end] = [1, to]; end > from; count *= 4) {
    const start = Math.max(from, end - count);
    const found = (await recordsBetween(looked, start, end)).findLast(looked.isWanted);
    if (found !== undefined) return found;
    end = start;
  }
  return undefined;
}

async function recordsBetween({ cluster, topic, partition }: Looked, from: number, to: number): Promise<readonly FoundRecord[]> {
  const found: FoundRecord[] = [];
  for (let next = from; next < to; next = (found.at(-1)?.offset ?? to) + 1) {
    const answer = await fetchOnce(cluster, topic, { partition, from: next, bytesMax: FETCH_BYTES_MAX });
    const records = [...recordsFrom(answer, next, topic)].filter(({ offset }) => offset < to);
    if (records.length === 0) break;
    found.push(...records);
  }
  return found;
}

/** The records from an offset on that a broker answered with. What is no plain record is passed over: it has no value. Throws what Kafka says. */
export function* recordsFrom(answer: FetchAnswer | undefined, from: number, topic: string): Generator<FoundRecord> {
  if (answer === undefined || answer.error !== 0) throw protocolError(answer?.error ?? -1, topic);
  for (const batch of batchesOf(answer.records)) {
    if (batch === undefined || batch.lastOffset < from) continue;
    if (batch.isCompressed || batch.isControl) yield { offset: batch.lastOffset, value: Buffer.alloc(0) };
    else for (const record of recordsOf(batch)) if (record.offset >= from) yield record;
  }
}

/** What comes into the only partition of a topic from an offset on; an empty list where nothing came for `waitMs`. */
export async function* followTopic(
  cluster: KafkaCluster,
  { topic, from, waitMs }: { readonly topic: string; readonly from: number; readonly waitMs: number },
): AsyncGenerator<readonly FoundRecord[]> {
  for (let next = from; ; ) {
    const partitions = [{ partition: 0, from: next, bytesMax: FETCH_BYTES_MAX }];
    const exchange = fetchExchange({ topic, partitions, waitMs, bytesMax: FETCH_BYTES_MAX });
    const [answer] = await cluster.send(leaderOf(cluster, topic, 0), exchange, `wait for ${topic}`);
    const records = [...recordsFrom(answer, next, topic)];
    next = (records.at(-1)?.offset ?? next - 1) + 1;
    yield records;
  }
}
