/** Opening a log in Kafka: whether its topics are there, fit and whose, whether they still hold what they held, and what is new in them. */
import type { KafkaLogConfig } from '../../core/config/types.ts';
import { WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { LogName, RoomId, Seq } from '../../core/words.ts';
import { fetchOnce } from '../../kafka/calls.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { protocolError, UNKNOWN_TOPIC_OR_PARTITION } from '../../kafka/library.ts';
import { wrongSettings } from '../../kafka/topics.ts';
import { type Calling, tryAgain } from './calls.ts';
import type { FrameIndex } from './frame-index.ts';
import { type FrameHome, framesOf } from './frames.ts';
import { type Known, lostTail } from './known.ts';
import { type LogState, Registry } from './registry.ts';
import { checkPartitions, framesTopic, needsOf, REGISTRY_PARTITIONS, registryTopic, type TopicWish } from './topics.ts';

const CALL_MS_MAX = 5_000;
/** Nothing new came of a topic that is behind: it is given up. */
const STALL_MS_MAX = 30_000;
const PROGRESS_MS = 5_000;
const COMPARED_AT_ONCE = 16;

export interface LogPlace {
  readonly kafka: KafkaLogConfig;
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partitions: number;
  readonly runtime: Runtime;
}

export interface FoundLog {
  readonly cluster: KafkaCluster;
  readonly registry: Registry;
  readonly state: LogState;
  readonly home: FrameHome;
  readonly topic: string;
}

/** The caller closes the cluster, also where this rejects. LOG_UNPREPARED, LOG_FOREIGN, LOG_UNFIT, LOG_DENIED, LOG_UNAVAILABLE. */
export async function findLog(place: LogPlace, cluster: KafkaCluster): Promise<FoundLog> {
  const { log, origin, partitions, runtime } = place;
  const registry = new Registry({ cluster, room: origin, log, runtime });
  const state = (await registry.exists()) ? await registry.load() : undefined;
  if (state === undefined) {
    throw new WmbError(
      'LOG_UNPREPARED',
      `${cluster.place} has no ${log} log of room ${origin} yet (topic ${registryTopic(origin, log)}); run \`wmb log init\``,
    );
  }
  requireSame(state, place, registry.topic);
  const topic = framesTopic(origin, log, state.epoch);
  const { replicas, minInSyncReplicas } = place.kafka;
  const wishes = [
    { topic: registry.topic, partitions: REGISTRY_PARTITIONS },
    { topic, partitions },
  ];
  for (const wish of wishes) await checkTopic(cluster, { ...wish, replicas, minInSyncReplicas }, runtime);
  return { cluster, registry, state, home: { log, origin, epoch: state.epoch }, topic };
}

const FRAMES_MISSING = 'where frames of the log were; begin a new log epoch with `wmb log init --new-epoch`';

/** LOG_UNPREPARED, LOG_UNFIT, LOG_DENIED, LOG_UNAVAILABLE. `missing`: what is there, and how to make it. */
export async function checkTopic(cluster: KafkaCluster, wish: TopicWish, runtime: Runtime, missing = FRAMES_MISSING): Promise<void> {
  const { topic } = wish;
  await tryAgain(calling(cluster, runtime, topic), () => cluster.watch(topic));
  const found = cluster.partitions(topic);
  if (found === undefined) {
    throw new WmbError('LOG_UNPREPARED', `${cluster.place} has no topic ${topic}, ${missing}`);
  }
  checkPartitions(wish, found, cluster.place);
  const wrong = await tryAgain(calling(cluster, runtime, topic), () => wrongSettings(cluster, topic, needsOf(wish)));
  if (wrong !== undefined) throw new WmbError('LOG_UNFIT', `the topic ${topic} of ${cluster.place} ${wrong}`);
}

/** LOG_FOREIGN where the registry in `topic` is another log's. */
export function requireSame(state: LogState, wanted: LogPlace, topic: string): void {
  const { room, log, partitions } = state;
  if (room === wanted.origin && log === wanted.log && partitions === wanted.partitions) return;
  throw new WmbError(
    'LOG_FOREIGN',
    `the topic ${topic} is of the ${log} log of room ${room} with ${partitions} partitions, but the configuration asks for the ${wanted.log} log of room ${wanted.origin} with ${wanted.partitions}`,
  );
}

function calling(cluster: KafkaCluster, runtime: Runtime, topic: string): Calling {
  return { cluster, runtime, doing: `the topic ${topic} cannot be looked at`, msMax: CALL_MS_MAX };
}

export interface Ends {
  readonly first: readonly Seq[];
  readonly end: readonly Seq[];
}

export function endsOf(cluster: KafkaCluster, runtime: Runtime, topic: string): Promise<Ends> {
  return tryAgain(calling(cluster, runtime, topic), async () => {
    // While the topic is not known it has no partitions, and no ends.
    if (cluster.partitions(topic) === undefined) throw protocolError(UNKNOWN_TOPIC_OR_PARTITION);
    return { first: await cluster.offsets(topic, 'first'), end: await cluster.offsets(topic, 'end') };
  });
}

/** An end that says that acked frames are gone is believed when it was seen so often: a leader that has just changed may be asked in the wrong place. */
export const ENDS_SEEN = 5;
export const ENDS_APART_MS = 500;

/** As {@link endsOf}; where they say that acked frames are gone, they have said so five times. */
export async function believedEnds(
  { cluster, topic, state }: Pick<FoundLog, 'cluster' | 'topic' | 'state'>,
  { index, runtime }: { readonly index: Pick<FrameIndex, 'partition'>; readonly runtime: Runtime },
): Promise<Ends> {
  for (let seen = 1; ; seen += 1) {
    const ends = await endsOf(cluster, runtime, topic);
    if (seen === ENDS_SEEN || ends.end.every((end, partition) => ackedOf(state, index, partition) <= end)) return ends;
    await sleep(runtime, ENDS_APART_MS);
    await cluster.refresh().catch(() => {});
  }
}

/** The seq after the last frame that is known to be acked. */
function ackedOf(state: LogState, index: Pick<FrameIndex, 'partition'>, partition: number): Seq {
  return Math.max(index.partition(partition).next, state.next[partition] ?? 0);
}

/** Brings the index in line with what the topic holds. LOG_GAP where frames that were acked are not in it any more. */
export async function reconcile(found: FoundLog, { index, known, ends, runtime, logger }: Reconciled): Promise<void> {
  const { state, home } = found;
  for (const [partition, end] of ends.end.entries()) {
    const acked = ackedOf(state, index, partition);
    if (acked > end) throw lostTail(home, { partition, end, next: acked });
  }
  await compareTails(found, { index, ends, runtime });
  for (const [partition, first] of ends.first.entries()) {
    const removed = state.first[partition] ?? { seq: 0, writes: 0 };
    if (first > removed.seq) logger.error({ log: home.log, partition, from: removed.seq, to: first - 1 }, PURGED);
    const start = Math.max(first, removed.seq);
    if (start <= index.partition(partition).next) known.forget(partition, start);
    else known.restart(partition, start, removed.seq === start ? removed.writes : index.partition(partition).writes);
  }
}

export const PURGED = 'frames were removed from the topic by somebody else than WMB; a peer that needs them stops on the gap';

export interface Reconciled {
  readonly index: FrameIndex;
  readonly known: Known;
  readonly ends: Ends;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** The newest known frame of each partition must be the one that stands there: seqs of a lost tail may have been given again. */
async function compareTails(found: FoundLog, { index, ends, runtime }: Pick<Reconciled, 'index' | 'ends' | 'runtime'>): Promise<void> {
  const partitions = ends.first.flatMap((first, partition) => (index.partition(partition).next > first ? [partition] : []));
  for (let at = 0; at < partitions.length; at += COMPARED_AT_ONCE) {
    await Promise.all(partitions.slice(at, at + COMPARED_AT_ONCE).map((partition) => compareTail(found, { index, runtime, partition })));
  }
}

async function compareTail(
  { cluster, home, topic }: FoundLog,
  { index, runtime, partition }: { readonly index: FrameIndex; readonly runtime: Runtime; readonly partition: number },
): Promise<void> {
  const seq = index.partition(partition).next - 1;
  const indexed = index.frame(partition, seq);
  if (indexed === undefined) return;
  const { records } = await tryAgain(calling(cluster, runtime, topic), () =>
    fetchOnce(cluster, topic, { partition, from: seq, bytesMax: 1 }),
  );
  const [frame] = framesOf(home, partition, { records, from: seq });
  // One that was damaged when it was indexed counts nothing.
  if (frame === undefined || indexed.count === 0) return;
  const { header } = frame;
  if (!(header instanceof WmbError) && header.stampLast === indexed.stampLast && header.count === indexed.count) return;
  throw lostTail(home, { partition, end: seq, next: seq + 1 });
}

/** Waits until everything that was in the topic is known, and tells how far it is. */
export async function catchUp(
  known: Known,
  index: FrameIndex,
  { end }: Ends,
  { runtime, logger }: Pick<Reconciled, 'runtime' | 'logger'>,
): Promise<void> {
  const done = new AbortController();
  const reached = Promise.all(end.map((seq, partition) => known.reached(partition, seq))).finally(() => done.abort());
  const behind = () => end.reduce((sum, seq, partition) => sum + Math.max(0, seq - index.partition(partition).next), 0);
  let stalledMs = 0;
  let left = behind();
  for (;;) {
    await Promise.race([reached, sleep(runtime, PROGRESS_MS, done.signal)]);
    if (done.signal.aborted) break;
    const now = behind();
    logger.info({ frames: now }, 'the index of the log is being read from Kafka');
    stalledMs = now < left ? 0 : stalledMs + PROGRESS_MS;
    left = now;
    if (stalledMs >= STALL_MS_MAX)
      throw new WmbError('LOG_UNAVAILABLE', `Kafka has not sent any of the ${now} frames that are new here for ${stalledMs} ms`);
  }
  await reached;
}
