/**
 * One partition of an intake topic while it is this member's: batches come in from the fetcher, their records go to intake as write requests, in their order and one
 * call at a time, and the offset moves when they are durable in the write log. How a record gets exactly one place in the log is told in topic.ts.
 */
import { CANARY_KIND, canaryKeys } from '../../../core/canary.ts';
import { asWmbError, WmbError } from '../../../core/errors.ts';
import { backoffMs } from '../../../core/flow/backoff.ts';
import { Wakeup } from '../../../core/flow/wakeup.ts';
import type { Logger } from '../../../core/logger.ts';
import { type Runtime, sleep } from '../../../core/runtime.ts';
import type { GroupOffset } from '../../../kafka/group-requests.ts';
import type { FetchAnswer, FetchPartition } from '../../../kafka/requests.ts';
import { sourceRecords } from '../../../kafka/source-records.ts';
import type { LogReader } from '../../../log/log.ts';
import type { SubmitOptions, WriteResult } from '../call.ts';
import type { Intake } from '../intake.ts';
import { AHEAD_MAX, callsOf, identity, type Queued, queuedOf, readable } from './batches.ts';
import { findInLog, WriteCounts } from './found.ts';
import type { TopicMeters } from './metrics.ts';
import { formatNote, type LogPlaces, type Note } from './note.ts';
import { type RecordSource, type RecordWrite, writeOf } from './record-write.ts';

/** Packed, waiting for their turn. More is not fetched. */
const QUEUED_BYTES_MAX = 2 * 1024 * 1024;
const FETCH_BYTES_MAX = 1024 * 1024;
const NO_BYTES = new Uint8Array(0);
const HELD_POLL_MS = 50;
/** Also what stands still is committed so often: it says where in the log to look, and the log moves on. */
const COMMITTED_MS_MAX = 10_000;
const BACKOFF = { msMin: 20, msMax: 2_000 } as const;

const CHECKED: SubmitOptions = { wait: 'logged', deadlineMs: 0, checked: true };
/** With these nothing of a write request has gone to the log. */
const NOT_TAKEN: readonly string[] = ['OVERLOADED', 'CLOCK_AHEAD', 'DRAINING'];

export interface PartitionOptions {
  readonly source: RecordSource;
  /** Where it goes on, and what was noted there. */
  readonly offset: number;
  readonly note: Note | undefined;
  readonly intake: Pick<Intake, 'submit'>;
  readonly log: LogReader;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly meters: TopicMeters;
  /** Whether the partition is nobody else's for long enough to append something. */
  readonly held: () => boolean;
  /** Asks for a commit, at once. */
  readonly commit: () => void;
  /** Asks the topic once for what comes from an offset on. */
  readonly fetch: (place: FetchPartition) => Promise<FetchAnswer>;
}

/** Thrown where the partition is given up while it works. */
const OVER = Symbol('over');

export class PartitionIntake {
  readonly partition: number;
  readonly #options: PartitionOptions;
  readonly #wakeup = new Wakeup();
  readonly #over = new AbortController();
  #queue: Queued[] = [];
  #queuedBytes = 0;
  /** Everything below it is in the log, or counts for nothing. */
  #offset: number;
  #fetchFrom: number;
  /** Where in the log everything lies that is taken from `#offset` on; undefined: nothing is. */
  #places: LogPlaces | undefined;
  /** Up to here an earlier member may have taken records, which lie from `#places` on; those that were found there are in `#found`. */
  readonly #earlierTo: number;
  #found: WriteCounts;
  /** As committed. */
  #committed: GroupOffset | undefined;
  #committedMs = 0;
  #ahead: number;
  #end: number | undefined;
  #stopped: WmbError | undefined;
  #running: Promise<void> | undefined;

  constructor(options: PartitionOptions) {
    const { offset, note, source, log } = options;
    this.#options = options;
    this.partition = source.partition;
    this.#offset = offset;
    this.#fetchFrom = offset;
    this.#earlierTo = note?.place === undefined ? offset : Math.max(offset, note.ahead);
    this.#places = this.#earlierTo > offset ? note?.place : undefined;
    this.#ahead = offset;
    this.#found = new WriteCounts(log.partitions);
  }

  /** Records that are in the topic and not in the log; undefined while that is not known. */
  get lag(): number | undefined {
    return this.#end === undefined ? undefined : Math.max(0, this.#end - this.#offset);
  }

  get offset(): number {
    return this.#offset;
  }

  /** Why it stands still until somebody does something. */
  get stopped(): WmbError | undefined {
    return this.#stopped;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Takes nothing more. Resolves when what was in flight is in the log, or has failed. */
  async finish(): Promise<void> {
    this.#over.abort();
    this.#wakeup.wake();
    await this.#running;
  }

  /** What to fetch next; undefined while there is enough. */
  place(): FetchPartition | undefined {
    if (this.#stopped !== undefined || this.#over.signal.aborted || this.#isFull) return undefined;
    return { partition: this.partition, from: this.#fetchFrom, bytesMax: FETCH_BYTES_MAX };
  }

  /** What was fetched from an offset on that `place()` named. Two brokers may have been asked while the partition moved from one to the other. */
  take(answer: FetchAnswer, from: number): void {
    if (from !== this.#fetchFrom || this.#isFull) return;
    this.#end = answer.end;
    for (const queued of queuedOf(answer)) {
      this.#queue.push(queued);
      if ('damage' in queued.batch) break;
      this.#queuedBytes += queued.batch.packed.length;
      this.#fetchFrom = queued.batch.lastOffset + 1;
    }
    this.#wakeup.wake();
  }

  /** Nothing is read behind what is damaged. */
  get #isFull(): boolean {
    const last = this.#queue[this.#queue.length - 1];
    return this.#queuedBytes >= QUEUED_BYTES_MAX || (last !== undefined && 'damage' in last.batch);
  }

  /** The records from where it stands up to `to` are not there. */
  stopAtGap(to: number): void {
    const { source } = this.#options;
    const range =
      to > this.#fetchFrom ? `offsets ${this.#fetchFrom} to ${to - 1} are gone` : `it ends at ${to}, before offset ${this.#fetchFrom}`;
    this.#stop(new WmbError('TOPIC_GAP', `partition ${this.partition} of the intake topic ${source.config.topic}: ${range}`));
  }

  /** What is to be committed; undefined where nothing is, or nothing for now. */
  due(): GroupOffset | undefined {
    const isFresh = this.#options.runtime.monotonicMs() - this.#committedMs < COMMITTED_MS_MAX;
    if (this.#committed?.offset === this.#offset && isFresh) return undefined;
    const note = { ahead: Math.max(this.#earlierTo, this.#offset + AHEAD_MAX), place: this.#places ?? this.#logEnds() };
    return { partition: this.partition, offset: this.#offset, note: formatNote(note) };
  }

  /** The same for the end, after `finish`: nothing lies beyond the offset, unless an earlier member left something there, or this one was interrupted. */
  lastDue(): GroupOffset | undefined {
    const place = this.#places;
    const note = place === undefined ? { ahead: this.#offset, place } : { ahead: Math.max(this.#earlierTo, this.#ahead), place };
    const last = { partition: this.partition, offset: this.#offset, note: formatNote(note) };
    return this.#committed?.offset === last.offset && this.#committed.note === last.note ? undefined : last;
  }

  committed(offset: GroupOffset): void {
    this.#committed = offset;
    this.#committedMs = this.#options.runtime.monotonicMs();
    this.#ahead = offset.offset + AHEAD_MAX;
    this.#wakeup.wake();
  }

  async #run(): Promise<void> {
    try {
      await this.#untilDone('what is in the write log cannot be looked up', () => this.#findEarlier());
      while (!this.#over.signal.aborted) await this.#step();
    } catch (cause) {
      if (cause !== OVER) throw cause;
    }
  }

  async #step(): Promise<void> {
    const next = this.#queue[0];
    if (next === undefined || this.#stopped !== undefined) return this.#wakeup.wait();
    const records = this.#open(next);
    if (records === undefined || 'damage' in next.batch) return;
    const { lastOffset, packed } = next.batch;
    for (const call of callsOf(records, this.#offset)) await this.#submit(call);
    this.#offset = Math.max(this.#offset, lastOffset + 1);
    this.#queue.shift();
    this.#queuedBytes -= packed.length;
  }

  /** The write requests of a batch; undefined where the partition stops at it. */
  #open({ batch, isVoid }: Queued): readonly RecordWrite[] | undefined {
    if ('damage' in batch) return this.#unreadable(`there is ${batch.damage}; repair the topic, or move the group’s offset behind it`);
    if (isVoid) return [];
    if (batch.codec === undefined) {
      return this.#unreadable(
        'records are compressed in a way that is not known here; set compression.type of the topic to zstd, let the application produce them anew, and move the group’s offset behind these',
      );
    }
    try {
      const { source } = this.#options;
      return sourceRecords(batch).map((record) => writeOf(record, source));
    } catch (cause) {
      return this.#unreadable(`a batch cannot be unpacked: ${(cause as Error).message}; move the group’s offset behind it`);
    }
  }

  #unreadable(what: string): undefined {
    const { source } = this.#options;
    const where = `partition ${this.partition} of the intake topic ${source.config.topic} at offset ${this.#offset}`;
    this.#stop(new WmbError('TOPIC_UNFIT', `${where}: ${what}`));
  }

  #stop(error: WmbError): void {
    if (this.#stopped !== undefined) return;
    this.#stopped = error;
    this.#options.logger.error(
      { partition: this.partition, code: error.code, reason: error.message },
      'a partition of an intake topic stops',
    );
  }

  // ── into the log ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Returns when all of them are in the log. */
  async #submit(call: readonly RecordWrite[]): Promise<void> {
    const [first, last] = [call[0], call[call.length - 1]];
    if (first === undefined || last === undefined) return;
    this.#offset = Math.max(this.#offset, first.offset);
    await this.#untilAllowed(last.offset);
    let left = call.filter(({ write }) => !this.#found.take(write));
    this.#options.meters.found(call.length - left.length);
    for (let attempt = 0; left.length > 0; attempt += 1) left = await this.#attempt(left, attempt);
    this.#offset = last.offset + 1;
    if (this.#offset >= this.#earlierTo) this.#places = undefined;
    for (const { refused } of call) this.#options.meters.taken(refused);
  }

  /** Returns those that are not in the log afterwards. */
  async #attempt(call: readonly RecordWrite[], attempt: number): Promise<RecordWrite[]> {
    const { intake, runtime } = this.#options;
    await this.#untilHeld();
    this.#places ??= this.#logEnds();
    const results = await intake.submit(
      call.map(({ write }) => write),
      CHECKED,
    );
    const failed = results.findIndex(({ error }) => error !== undefined);
    if (failed < 0) return [];
    const error = results[failed]?.error;
    const isKnown = results.every((result) => result.error === undefined || NOT_TAKEN.includes(result.error.code));
    const pauseMs = error?.retryAfterMs ?? backoffMs(attempt, BACKOFF, runtime.random());
    await sleep(runtime, pauseMs, this.#over.signal);
    return isKnown ? call.slice(failed) : this.#notInLog(call, error);
  }

  /** The log has not said what became of them. */
  async #notInLog(call: readonly RecordWrite[], error: WriteResult['error']): Promise<RecordWrite[]> {
    this.#options.logger.warn(
      { partition: this.partition, code: error?.code, reason: error?.message },
      'the write log did not take records; it is tried again',
    );
    const found = await this.#untilDone('what the write log has taken cannot be looked up', () => this.#find(call));
    return call.filter(({ write }) => !found.take(write));
  }

  /** Beyond what the group knows of nothing is taken. */
  async #untilAllowed(offset: number): Promise<void> {
    if (offset >= this.#ahead - AHEAD_MAX / 2) this.#options.commit();
    while (offset >= this.#ahead) {
      await this.#wakeup.wait();
      if (this.#over.signal.aborted) throw OVER;
    }
  }

  /** Nor while the partition may be somebody else's. */
  async #untilHeld(): Promise<void> {
    const { held, runtime } = this.#options;
    while (!this.#over.signal.aborted && !held()) await sleep(runtime, HELD_POLL_MS, this.#over.signal);
    if (this.#over.signal.aborted) throw OVER;
  }

  // ── what is in the log already ───────────────────────────────────────────────────────────────────────────────────

  #logEnds(): LogPlaces {
    const { log } = this.#options;
    return { epoch: log.epoch, seqs: Array.from({ length: log.partitions }, (_, partition) => log.extent(partition).next) };
  }

  async #find(records: Iterable<RecordWrite>): Promise<WriteCounts> {
    const { log, runtime, logger } = this.#options;
    const wanted = new WriteCounts(log.partitions);
    for (const { write } of records) wanted.add(write);
    await this.#appendBehind(wanted.partitions);
    const { writes, missing } = await findInLog(log, runtime, wanted, this.#places ?? this.#logEnds());
    if (missing.length > 0)
      logger.warn({ partition: this.partition, missing }, 'records may be in the write log twice: it no longer has all of what would tell');
    return writes;
  }

  /**
   * An append that failed may still come into the log, until one that was made later is in it; and this process may not know yet what others have appended before. So a write request
   * that means nothing goes first.
   */
  async #appendBehind(partitions: ReadonlySet<number>): Promise<void> {
    const { intake, log } = this.#options;
    const keys = canaryKeys(log.partitions);
    const writes = [...partitions].map((partition) => ({
      requestId: '',
      kind: CANARY_KIND,
      key: keys[partition] ?? '',
      payload: NO_BYTES,
      trace: '',
    }));
    const results = await intake.submit(writes, CHECKED);
    const error = results.find((result) => result.error !== undefined)?.error;
    if (error !== undefined) throw error;
  }

  /** What an earlier member has taken and could not commit. */
  async #findEarlier(): Promise<void> {
    if (this.#offset >= this.#earlierTo) return;
    this.#found = await this.#find(await this.#readEarlier());
  }

  async #readEarlier(): Promise<readonly RecordWrite[]> {
    const { fetch, source } = this.#options;
    const found: RecordWrite[] = [];
    for (let from = this.#offset; from < this.#earlierTo && !this.#over.signal.aborted; ) {
      const answer = await fetch({ partition: this.partition, from, bytesMax: FETCH_BYTES_MAX });
      const before = from;
      for (const { batch, isVoid } of queuedOf(answer)) {
        const records = isVoid ? [] : readable(batch);
        if ('damage' in batch || records === undefined) return found;
        for (const record of records) if (record.offset >= from) found.push(identity(writeOf(record, source)));
        from = batch.lastOffset + 1;
      }
      if (from === before) return found;
    }
    return found;
  }

  async #untilDone<T>(what: string, work: () => Promise<T>): Promise<T> {
    const { runtime, logger } = this.#options;
    for (let attempt = 0; ; attempt += 1) {
      if (this.#over.signal.aborted || this.#stopped !== undefined) throw OVER;
      try {
        return await work();
      } catch (cause) {
        const error = asWmbError(cause, 'TOPIC_UNAVAILABLE');
        logger.warn({ partition: this.partition, code: error.code, reason: error.message }, `${what}; it is tried again`);
        await sleep(runtime, backoffMs(attempt, BACKOFF, runtime.random()), this.#over.signal);
      }
    }
  }
}
