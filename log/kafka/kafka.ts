/**
 * The log in Kafka (docs/write-log.md, docs/adr/0011): one record is one frame, its offset is its seq, and any number of processes append. Kafka keeps the frames; what
 * must be known of them at once, without asking, is in an index beside this process, which a follower of the topic keeps up to date.
 *
 * A log whose topic is not what it was (a lost tail, a topic that was emptied or made anew) stops with LOG_GAP in the partitions that it concerns, and does not
 * open again until somebody has decided what becomes of it.
 */
import { WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { sleep } from '../../core/runtime.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../../core/words.ts';
import { KafkaCluster } from '../../kafka/cluster.ts';
import { gapError } from '../gap.ts';
import type { Extent, FrameDraft, Log, RetentionFloor, RetentionPolicy, StampBounds, StoredFrame } from '../log.ts';
import type { Talk } from '../talk.ts';
import { Appender } from './appender.ts';
import { tryAgain, untilLed } from './calls.ts';
import { Caretaker } from './caretaker.ts';
import { Company } from './company.ts';
import { Follower } from './follower.ts';
import { FrameIndex } from './frame-index.ts';
import { readFrames } from './history.ts';
import { Known } from './known.ts';
import { seqBack, stampsAt, writesUpTo } from './lookups.ts';
import { believedEnds, catchUp, checkTopic, endsOf, type FoundLog, findLog, type LogPlace, reconcile } from './open.ts';
import { type Slot, takeSlot } from './slot.ts';
import { KafkaTalk } from './talk.ts';
import { talkTopic } from './topics.ts';
import { planRemoval } from './trim.ts';

const TALK_MISSING = 'where the reships of the room talk; make it with `wmb log init`';
const CALL_MS_MAX = 5_000;
const CLOSE_MS_MAX = 5_000;

export interface KafkaLogOptions extends LogPlace {
  /** Below it every process that has the log open keeps an index of its own. */
  readonly directory: string;
  readonly logger: Logger;
  /** Newest frames kept in memory, over all partitions. */
  readonly tailBytesMax: number;
  /** See AppenderOptions. */
  readonly appendMsMax?: number;
}

interface OpenLog extends FoundLog {
  readonly slot: Slot;
  readonly index: FrameIndex;
  readonly known: Known;
  readonly caretaker: Caretaker;
  readonly follower: Follower;
  readonly appender: Appender;
}

export class KafkaLog implements Log {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partitions: number;
  readonly #options: KafkaLogOptions;
  #state: OpenLog | undefined;
  #may: () => boolean = () => true;

  constructor(options: KafkaLogOptions) {
    this.log = options.log;
    this.origin = options.origin;
    this.partitions = options.partitions;
    this.#options = options;
  }

  get epoch(): LogEpoch {
    return this.#open.home.epoch;
  }

  /**
   * Reads what is new in the topic: all of it where there is no index. A Kafka that answers and says that it has no leader for a moment is waited for.
   * LOG_UNPREPARED, LOG_UNFIT, LOG_DENIED, LOG_FOREIGN, LOG_GAP, LOG_UNAVAILABLE, LOG_READONLY.
   */
  async open(): Promise<void> {
    return this.#untilLed(() => this.#openOnce());
  }

  #untilLed<T>(work: () => Promise<T>): Promise<T> {
    const { runtime, logger } = this.#options;
    const told = ({ code, message }: WmbError) =>
      logger.warn({ log: this.log, code, reason: message }, 'a log cannot be opened yet; it is tried again');
    return untilLed(runtime, told, work);
  }

  async #openOnce(): Promise<void> {
    const { kafka, runtime, directory, origin } = this.#options;
    const slot = takeSlot(directory, runtime);
    const cluster = new KafkaCluster({ servers: kafka, clientId: `wmb-${origin}`, runtime });
    let opened: OpenLog | undefined;
    try {
      opened = this.#assemble(await findLog(this.#options, cluster), slot);
      await this.#catchUp(opened);
    } catch (cause) {
      cluster.close();
      await opened?.follower.stop();
      opened?.index.close();
      slot.lock.release();
      throw cause;
    }
    this.#state = opened;
    opened.caretaker.start();
  }

  extent(partition: number): Extent {
    const { first, next, writes, stampLast, through } = this.#open.index.partition(partition);
    return { partition, first, next, writes, stampLast, through };
  }

  async read(partition: number, from: Seq, bytesMax: number): Promise<readonly StoredFrame[]> {
    const { known, index, home } = this.#open;
    const newest = known.newest(partition, from, bytesMax);
    if (newest !== undefined) return newest;
    const { first, next } = index.partition(partition);
    if (from < first || from > next) throw gapError(home, { partition, from, first, next });
    if (from === next) return [];
    const { runtime } = this.#options;
    return readFrames(this.#open, { partition, from, next, bytesMax, runtime });
  }

  async seqBack(partition: number, before: Seq, writes: number): Promise<Seq> {
    return seqBack(this.#open.index, partition, before, writes);
  }

  async writesUpTo(partition: number, seq: Seq): Promise<number> {
    return writesUpTo(this.#open.index, partition, seq);
  }

  async stampsAt(partition: number, seq: Seq): Promise<StampBounds | undefined> {
    return stampsAt(this.#open.index, partition, seq);
  }

  async catchUp(): Promise<void> {
    const { cluster, topic, known } = this.#open;
    const { end } = await endsOf(cluster, this.#options.runtime, topic);
    await Promise.all(end.map((next, partition) => known.reached(partition, next)));
  }

  onAppend(listener: (partition: number) => void): () => void {
    return this.#open.known.listeners.add(listener);
  }

  /** The bytes of the drafts are kept in the tail: nobody may change them afterwards. */
  async append(drafts: readonly FrameDraft[]): Promise<readonly Seq[]> {
    const { known, appender, caretaker } = this.#open;
    for (const partition of new Set(drafts.map((draft) => draft.partition))) {
      if (!(partition >= 0 && partition < this.partitions)) throw new WmbError('INTERNAL', `the log has no partition ${partition}`);
      known.check(partition);
    }
    caretaker.appended();
    return appender.append(drafts);
  }

  /** Where others append too, what is to be appended waits while `may` says no. */
  appendWhile(may: () => boolean): void {
    this.#may = may;
  }

  /** What is not acked yet is rejected, and may be in the log or not. */
  giveUp(reason: WmbError): void {
    this.#state?.appender.giveUp(reason);
  }

  /** What is not acked yet is rejected, and nothing more is taken. */
  refuse(reason: WmbError): void {
    this.#state?.appender.stop(reason);
  }

  /** What the processes say to each other that append to this log, and this one's place among them. LOG_UNPREPARED, LOG_UNFIT, LOG_DENIED, LOG_UNAVAILABLE. */
  company(): Promise<{ readonly talk: Talk; readonly seat: string }> {
    return this.#untilLed(() => this.#companyOnce());
  }

  async #companyOnce(): Promise<{ readonly talk: Talk; readonly seat: string }> {
    const { kafka, runtime, origin } = this.#options;
    const { slot } = this.#open;
    const cluster = new KafkaCluster({ servers: kafka, clientId: `wmb-${origin}`, runtime });
    try {
      const topic = talkTopic(origin, this.log);
      await checkTopic(cluster, { ...kafka, topic, partitions: 1 }, runtime, TALK_MISSING);
      return { talk: new KafkaTalk({ cluster, topic, runtime }), seat: slot.seat };
    } catch (cause) {
      cluster.close();
      throw cause;
    }
  }

  get trouble(): WmbError | undefined {
    if (this.#state === undefined) return this.#notOpen();
    const { known, appender, caretaker } = this.#state;
    return known.fault ?? appender.trouble ?? caretaker.trouble;
  }

  async leaseWriter(holder: string): Promise<{ readonly lease: number; readonly stampLast: Stamp }> {
    const { registry, state } = this.#open;
    const lease = await this.#untilLed(() => registry.lease(holder));
    const { promised, stampLast } = (await this.#untilLed(() => registry.load())) ?? state;
    const stamps = Array.from({ length: this.partitions }, (_, partition) => this.extent(partition).stampLast);
    return { lease, stampLast: [promised, stampLast, ...stamps].sort().at(-1) ?? '' };
  }

  async promise(stamp: Stamp): Promise<void> {
    await this.#open.caretaker.note({ promised: stamp });
  }

  async trim(
    policy: RetentionPolicy,
    floors: readonly RetentionFloor[],
    nowMs: number,
  ): Promise<{ readonly frames: number; readonly bytes: number }> {
    const { cluster, topic, index, known, caretaker } = this.#open;
    const { runtime } = this.#options;
    const went = { frames: 0, bytes: 0 };
    for (;;) {
      const { before, frames, bytes } = planRemoval(index, { policy, floors, nowMs });
      if (before.size === 0) return went;
      // Written down first: what is missing at the topic's beginning and is not written down was removed by somebody else.
      await caretaker.note({ first: caretaker.firstsAt(before) });
      const calling = { cluster, runtime, doing: `records of the topic ${topic} cannot be removed`, msMax: CALL_MS_MAX };
      await tryAgain(calling, () => cluster.deleteBefore(topic, before));
      for (const [partition, first] of before) known.forget(partition, first);
      went.frames += frames;
      went.bytes += bytes;
    }
  }

  bytes(): number {
    return this.#open.index.bytes();
  }

  /** Waits for the appends that were made, but not for a Kafka that does not answer. */
  async close(): Promise<void> {
    const opened = this.#state;
    if (opened === undefined) return;
    const { appender, caretaker, cluster, follower, index, slot } = opened;
    const idle = new AbortController();
    await Promise.race([appender.idle().finally(() => idle.abort()), sleep(this.#options.runtime, CLOSE_MS_MAX, idle.signal)]);
    this.#state = undefined;
    appender.stop(this.#notOpen());
    await caretaker.stop();
    cluster.close();
    await follower.stop();
    index.close();
    slot.lock.release();
  }

  get #open(): OpenLog {
    if (this.#state === undefined) throw this.#notOpen();
    return this.#state;
  }

  #notOpen(): WmbError {
    return new WmbError('LOG_UNAVAILABLE', `the ${this.log} log of room ${this.origin} is not open`);
  }

  #assemble(found: FoundLog, slot: Slot): OpenLog {
    const { runtime, tailBytesMax, partitions, logger, appendMsMax } = this.#options;
    const { cluster, home, topic } = found;
    const index = new FrameIndex({
      file: slot.file,
      epoch: home.epoch,
      partitions,
      runtime,
      onTrouble: ({ code, message }) =>
        logger.warn({ log: this.log, code, reason: message }, 'the index of a log cannot be written; it stays in memory'),
    });
    const onPurged = (partition: number, start: Seq) => caretaker.purged(partition, start);
    const company = new Company(runtime);
    const onFound = (stampLast: Stamp) => company.found(stampLast);
    const onWaiting = () => follower.look();
    const known: Known = new Known({ home, index, partitions, tailBytesMax, onPurged, onFound, onWaiting });
    const caretaker = new Caretaker({ found, index, known, partitions, runtime, logger: logger.child({ log: this.log }) });
    const shared = { cluster, topic, partitions, runtime };
    const follower: Follower = new Follower({
      ...shared,
      restMs: () => (known.isAwaited ? 0 : company.restMs),
      next: (partition) => known.next(partition),
      take: (answer) => known.take(answer),
      beyond: (partition) => caretaker.beyond(partition).catch(() => {}),
      onTrouble: (trouble) => caretaker.away(trouble),
    });
    const appender = new Appender({
      ...shared,
      appendMsMax,
      may: () => this.#may(),
      placed: (partition, first, drafts) => {
        for (const { stampLast } of drafts) company.own(stampLast);
        return known.placed(partition, first, drafts);
      },
      doubted: (partition) => caretaker.beyond(partition),
    });
    return { ...found, slot, index, known, caretaker, follower, appender };
  }

  async #catchUp({ index, known, follower, ...found }: OpenLog): Promise<void> {
    const { runtime, logger } = this.#options;
    const ends = await believedEnds(found, { index, runtime });
    await reconcile(found, { index, known, ends, runtime, logger });
    follower.start();
    await catchUp(known, index, ends, { runtime, logger });
  }
}
