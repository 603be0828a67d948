/** Frames that are no longer in memory, read from the leader of their partition: one request, which nobody else hears of. */
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Seq } from '../../core/words.ts';
import { fetchOnce } from '../../kafka/calls.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { LEADER_NOT_AVAILABLE, protocolError } from '../../kafka/library.ts';
import { gapError } from '../gap.ts';
import type { StoredFrame } from '../log.ts';
import { tryAgain } from './calls.ts';
import { type FrameHome, framesOf } from './frames.ts';

const READ_MS_MAX = 10_000;
/** No more than this of a record batch is cut off by Kafka, whatever is asked for: less is not worth a request. */
const FETCH_BYTES_MIN = 64 * 1024;

export interface Topic {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly home: FrameHome;
}

export interface HistoryRead {
  readonly partition: number;
  readonly from: Seq;
  /** The frames before it are in the log; `from` is one of them. */
  readonly next: Seq;
  readonly bytesMax: number;
  readonly runtime: Runtime;
}

/** As LogReader.read. */
export async function readFrames({ cluster, topic, home }: Topic, read: HistoryRead): Promise<readonly StoredFrame[]> {
  const { partition, from, next, bytesMax, runtime } = read;
  const calling = { cluster, runtime, doing: `frames of the topic ${topic} cannot be read`, msMax: READ_MS_MAX };
  const place = { partition, from, bytesMax: Math.max(bytesMax, FETCH_BYTES_MIN) };
  let records: Buffer;
  try {
    records = await tryAgain(calling, async () => {
      const answer = await fetchOnce(cluster, topic, place);
      // A leader that is new does not know yet that it may show what it has.
      if (answer.records.length === 0) throw protocolError(LEADER_NOT_AVAILABLE);
      return answer.records;
    });
  } catch (cause) {
    if (!(cause instanceof WmbError && cause.code === 'LOG_GAP')) throw cause;
    // Removed meanwhile; the follower hears of it too.
    const first = (await cluster.offsets(topic, 'first'))[partition] ?? next;
    throw gapError(home, { partition, from, first: Math.max(first, from + 1), next });
  }
  return framesIn(home, read, records);
}

/** What lies before a damaged frame is returned first; the error comes when it is the next. */
function framesIn(home: FrameHome, { partition, from, next, bytesMax }: HistoryRead, records: Buffer): readonly StoredFrame[] {
  const frames: StoredFrame[] = [];
  let total = 0;
  for (const { seq, bytes, header } of framesOf(home, partition, { records, from })) {
    total += bytes.length;
    if (seq >= next || (frames.length > 0 && total > bytesMax)) break;
    if (header instanceof WmbError) {
      if (frames.length > 0) break;
      throw header;
    }
    frames.push({ partition, seq, bytes, count: header.count });
  }
  if (frames.length === 0) throw gapError(home, { partition, from, first: from + 1, next });
  return frames;
}
