/**
 * Looks after an open log: writes down in the registry how far it is, and looks into what happens to the topic that is not an append: frames that were removed, an end that is not where
 * it was, another epoch, brokers that are away.
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Seq } from '../../core/words.ts';
import type { Trouble } from '../../kafka/trouble.ts';
import { toldError } from './errors.ts';
import type { FrameIndex } from './frame-index.ts';
import { type Known, lostTail } from './known.ts';
import { ENDS_APART_MS, ENDS_SEEN, endsOf, type FoundLog, PURGED } from './open.ts';
import { type LogState, otherEpoch } from './registry.ts';

const TEND_MS = 1_000;
/** It looks whether its epoch still counts in one of so many turns in which it has nothing to write down. */
const LOOK_TURNS = 5;

export interface CaretakerOptions {
  readonly found: FoundLog;
  readonly index: FrameIndex;
  readonly known: Known;
  readonly partitions: number;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export class Caretaker {
  readonly #options: CaretakerOptions;
  readonly #over = new AbortController();
  #tending: Promise<void> | undefined;
  #hasAppended = false;
  /** Sum of the next seqs that the registry knows. */
  #noted = -1;
  #away: Trouble | undefined;

  constructor(options: CaretakerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#tending = this.#tend();
  }

  /** The cluster is still open: how far the log is, is written down. */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#tending;
    if (!this.#hasAppended || this.#away !== undefined || sumOf(this.#next()) === this.#noted) return;
    // Who opens the log next reads it from the topic.
    await this.note().catch(() => {});
  }

  /** This process appends: it writes down how far the log is. */
  appended(): void {
    this.#hasAppended = true;
  }

  /** Writes down `news`, and how far the log is. Rejects with LOG_GAP, and stops the log, where another epoch counts. */
  async note(news: Partial<Pick<LogState, 'promised' | 'first'>> = {}): Promise<void> {
    const { found, index, known, partitions } = this.#options;
    const { registry, home } = found;
    const rows = Array.from({ length: partitions }, (_, partition) => index.partition(partition));
    const next = rows.map((row) => row.next);
    const stampLast = rows.reduce((greatest, row) => (row.stampLast > greatest ? row.stampLast : greatest), '');
    try {
      await registry.save({ epoch: home.epoch, next, stampLast, ...news });
    } catch (cause) {
      if (cause instanceof WmbError && cause.code === 'LOG_GAP') known.stopAll(cause);
      throw cause;
    }
    this.#noted = sumOf(next);
  }

  /** Where each partition begins when what is before these seqs is removed. */
  firstsAt(before: ReadonlyMap<number, Seq>): LogState['first'] {
    const { index, partitions } = this.#options;
    return Array.from({ length: partitions }, (_, partition) => {
      const row = index.partition(partition);
      const seq = before.get(partition) ?? row.first;
      return { seq, writes: index.frame(partition, seq)?.before ?? row.writes };
    });
  }

  /** The topic begins at `start`: another process of this room removed what is before it, or somebody else. */
  purged(partition: number, start: Seq): void {
    const { found, known } = this.#options;
    known.forget(partition, start);
    found.registry.load().then(
      (state) => this.#tellPurged(state, partition, start),
      // The next turn says what is wrong with the registry.
      () => {},
    );
  }

  /** There is nothing at the next seq of the partition. It returns when that is explained, or the partition has stopped. */
  async beyond(partition: number): Promise<void> {
    const { found, index, known, runtime } = this.#options;
    for (let seen = 0; seen < ENDS_SEEN && !this.#over.signal.aborted; seen += 1) {
      if (seen > 0) await sleep(runtime, ENDS_APART_MS, this.#over.signal);
      await found.cluster.refresh().catch(() => {});
      const ends = await endsOf(found.cluster, runtime, found.topic);
      const [first, end] = [ends.first[partition] ?? 0, ends.end[partition] ?? 0];
      const { next } = index.partition(partition);
      if (next < first) return this.#skipPurged(partition, first);
      if (next <= end) return;
      if (seen === ENDS_SEEN - 1) this.#lost(partition, end);
    }
    known.check(partition);
  }

  /** Why the topic cannot be followed now. */
  get trouble(): WmbError | undefined {
    const { topic, cluster } = this.#options.found;
    return this.#away && toldError(this.#away, { place: cluster.place, doing: `the topic ${topic} cannot be followed` });
  }

  /** Told when it begins and when it is over. */
  away(trouble: Trouble | undefined): void {
    const { logger, found } = this.#options;
    const isTold = (trouble === undefined) === (this.#away === undefined);
    if (this.#over.signal.aborted) return;
    this.#away = trouble;
    if (isTold) return;
    if (trouble === undefined) logger.info({}, 'Kafka answers again');
    else
      logger.warn(
        { code: 'LOG_UNAVAILABLE', reason: `${found.cluster.place} ${trouble.text}` },
        'the topic of the log cannot be followed; it is tried again',
      );
  }

  async #skipPurged(partition: number, first: Seq): Promise<void> {
    const { found, index, known } = this.#options;
    const state = await found.registry.load();
    const removed = state?.first[partition];
    known.restart(partition, first, removed?.seq === first ? removed.writes : index.partition(partition).writes);
    this.#tellPurged(state, partition, first);
  }

  #tellPurged(state: LogState | undefined, partition: number, start: Seq): void {
    const from = state?.first[partition]?.seq ?? 0;
    if (start > from) this.#options.logger.error({ partition, code: 'LOG_GAP', from, to: start - 1 }, PURGED);
  }

  #lost(partition: number, end: Seq): void {
    const { found, index, known, logger } = this.#options;
    const fault = lostTail(found.home, { partition, end, next: index.partition(partition).next });
    logger.error({ partition, code: fault.code, reason: fault.message }, 'a partition of the log stops');
    known.stop(partition, fault);
  }

  async #tend(): Promise<void> {
    const { runtime, logger } = this.#options;
    let isFailing = false;
    for (let turn = 1; ; turn += 1) {
      await sleep(runtime, TEND_MS, this.#over.signal);
      if (this.#over.signal.aborted) return;
      try {
        await this.#turn(turn);
        isFailing = false;
      } catch (cause) {
        const { code, message } = asWmbError(cause);
        if (!isFailing && !this.#over.signal.aborted)
          logger.warn({ code, reason: message }, 'the registry of the log cannot be reached; it is tried again');
        isFailing = true;
      }
    }
  }

  #next(): readonly Seq[] {
    const { index, partitions } = this.#options;
    return Array.from({ length: partitions }, (_, partition) => index.partition(partition).next);
  }

  async #turn(turn: number): Promise<void> {
    const { found, known } = this.#options;
    if (this.#hasAppended && sumOf(this.#next()) !== this.#noted) return this.note();
    if (turn % LOOK_TURNS !== 0) return;
    const state = await found.registry.load();
    if (state !== undefined && state.epoch !== found.home.epoch) known.stopAll(otherEpoch(found.registry.topic, state.epoch));
  }
}

function sumOf(seqs: readonly Seq[]): number {
  return seqs.reduce((sum, seq) => sum + seq, 0);
}
