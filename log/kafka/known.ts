/**
 * What this process knows of a log in Kafka: the index of all frames, the newest frames themselves, who listens, and which partitions have stopped. It hears of
 * frames twice, from the append that made them and from the follower; whoever is first tells the listeners.
 */
import { WmbError } from '../../core/errors.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { Seq } from '../../core/words.ts';
import type { FetchAnswer } from '../../kafka/requests.ts';
import { gapError } from '../gap.ts';
import { Listeners } from '../listeners.ts';
import type { FrameDraft, StoredFrame } from '../log.ts';
import { Tail } from '../tail.ts';
import type { FrameIndex } from './frame-index.ts';
import { type FrameHome, framesOf } from './frames.ts';

export interface KnownOptions {
  readonly home: FrameHome;
  readonly index: FrameIndex;
  readonly partitions: number;
  readonly tailBytesMax: number;
  /** The topic begins at `start`, and nothing of this log's removed what was before. */
  readonly onPurged: (partition: number, start: Seq) => void;
  /** The follower brought a frame with this last stamp. */
  readonly onFound: (stampLast: Stamp) => void;
  /** Somebody waits for frames that only the follower can bring. */
  readonly onWaiting: () => void;
}

interface Waiter {
  readonly next: Seq;
  readonly resolve: () => void;
  readonly reject: (error: WmbError) => void;
}

export class Known {
  readonly listeners = new Listeners();
  readonly #options: KnownOptions;
  readonly #faults = new Map<number, WmbError>();
  readonly #waiters: Waiter[][];
  #tail: Tail;

  constructor(options: KnownOptions) {
    this.#options = options;
    this.#waiters = Array.from({ length: options.partitions }, () => []);
    this.#tail = this.#newTail();
  }

  /** Undefined where the partition has stopped. */
  next(partition: number): Seq | undefined {
    return this.#faults.has(partition) ? undefined : this.#options.index.partition(partition).next;
  }

  /** Why a partition has stopped; undefined where none has. */
  get fault(): WmbError | undefined {
    const [fault] = this.#faults.values();
    return fault;
  }

  /** Throws why the partition has stopped, if it has. */
  check(partition: number): void {
    const fault = this.#faults.get(partition);
    if (fault !== undefined) throw fault;
  }

  /**
   * As Tail.read. What was acked and is still in memory goes to whoever needs it also where the partition has stopped, because it may be nowhere else any more; behind it this
   * throws why.
   */
  newest(partition: number, from: Seq, bytesMax: number): readonly StoredFrame[] | undefined {
    const { first, next } = this.#options.index.partition(partition);
    const frames = from >= first && from < next ? this.#tail.read(partition, from, bytesMax) : undefined;
    if (frames === undefined) this.check(partition);
    return frames;
  }

  /** What the follower got. */
  take({ partition, start, records }: FetchAnswer): void {
    const { index, home, onFound } = this.#options;
    if (this.#faults.has(partition)) return;
    if (start > index.partition(partition).first) this.#options.onPurged(partition, start);
    const from = index.partition(partition).next;
    for (const { seq, bytes, header } of framesOf(home, partition, { records, from })) {
      // One that is damaged has its place in the order all the same; who reads it is told.
      const count = header instanceof WmbError ? 0 : header.count;
      const { stampLast, through } = header instanceof WmbError ? index.partition(partition) : header;
      index.add(partition, { count, bytes: bytes.length, stampLast, through });
      onFound(stampLast);
      if (header instanceof WmbError) this.#tail = this.#newTail();
      else this.#tail.add({ partition, seq, bytes, count });
    }
    if (index.partition(partition).next > from) this.#advanced(partition);
  }

  /** These drafts have the seqs from `first` on. Resolves when they, and everybody's before them, are known; rejects where others have these seqs. */
  async placed(partition: number, first: Seq, drafts: readonly FrameDraft[]): Promise<void> {
    const { index } = this.#options;
    this.check(partition);
    const end = first + drafts.length;
    if (first > index.partition(partition).next) await this.reached(partition, end);
    const from = index.partition(partition).next;
    for (const [at, draft] of drafts.entries()) {
      if (first + at < from) this.#compare(partition, first + at, draft);
      else this.#add(first + at, draft);
    }
    if (end > from) this.#advanced(partition);
  }

  get isAwaited(): boolean {
    return this.#waiters.some(({ length }) => length > 0);
  }

  /** Resolves when the partition's next seq is at least `next`. */
  reached(partition: number, next: Seq): Promise<void> {
    return new Promise((resolve, reject) => {
      const fault = this.#faults.get(partition);
      if (fault !== undefined) reject(fault);
      else if (this.#options.index.partition(partition).next >= next) resolve();
      else {
        this.#waiters[partition]?.push({ next, resolve, reject });
        this.#options.onWaiting();
      }
    });
  }

  /** Nothing is read from the partition any more, nor appended to it. Who listens reads, and is told. */
  stop(partition: number, fault: WmbError): void {
    if (this.#faults.has(partition)) return;
    this.#faults.set(partition, fault);
    for (const { reject } of this.#waiters[partition]?.splice(0) ?? []) reject(fault);
    this.listeners.call(partition);
  }

  stopAll(fault: WmbError): void {
    for (let partition = 0; partition < this.#options.partitions; partition += 1) this.stop(partition, fault);
  }

  /** The frames before `first` are no longer in the log. */
  forget(partition: number, first: Seq): void {
    this.#options.index.forget(partition, first);
    this.#tail.forget(partition, first);
  }

  /** The partition begins at `first`, beyond all that was known of it. */
  restart(partition: number, first: Seq, writes: number): void {
    this.#options.index.restart(partition, first, writes);
    this.#tail = this.#newTail();
    this.#advanced(partition);
  }

  #newTail(): Tail {
    const { index, partitions, tailBytesMax } = this.#options;
    return new Tail(
      tailBytesMax,
      Array.from({ length: partitions }, (_, partition) => index.partition(partition).next),
    );
  }

  #add(seq: Seq, { partition, bytes, count, stampLast, through = stampLast }: FrameDraft): void {
    this.#options.index.add(partition, { count, bytes: bytes.length, stampLast, through });
    this.#tail.add({ partition, seq, bytes, count });
  }

  /**
   * Kafka says that the draft has a seq that is known already: the follower saw it, or the tail was lost and its seqs are given again. Where retention had removed that seq,
   * nobody would read the frame there.
   */
  #compare(partition: number, seq: Seq, draft: FrameDraft): void {
    const { index, home } = this.#options;
    const { first, next } = index.partition(partition);
    const frame = index.frame(partition, seq);
    if (frame === undefined) throw gapError(home, { partition, from: seq, first, next });
    if (frame.stampLast === draft.stampLast && frame.count === draft.count) return;
    this.stop(partition, lostTail(home, { partition, end: seq, next }));
    this.check(partition);
  }

  #advanced(partition: number): void {
    const { next } = this.#options.index.partition(partition);
    const waiters = this.#waiters[partition] ?? [];
    for (let at = waiters.length - 1; at >= 0; at -= 1) {
      if ((waiters[at] as Waiter).next <= next) waiters.splice(at, 1)[0]?.resolve();
    }
    this.listeners.call(partition);
  }
}

/** Frames that were acked, from `end` to `next` - 1, are no longer what they were. */
export function lostTail(
  home: FrameHome,
  { partition, end, next }: { readonly partition: number; readonly end: Seq; readonly next: Seq },
): WmbError {
  const lane = `${home.log}/${home.origin}/${partition}@${home.epoch}`;
  return new WmbError(
    'LOG_GAP',
    `${lane}: frames ${end} to ${next - 1} were acked and are no longer in the topic, as after an unclean leader election, a restore, or a topic that was made anew by hand; stop the room’s daemons, begin a new log epoch with \`wmb log init --new-epoch\`, and start them again`,
  );
}
