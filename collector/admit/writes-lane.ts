/** The consumer of a `writes` lane: admit → process → database → effect log → cache → book. */
import { WmbError } from '../../core/errors.ts';
import type { Timer } from '../../core/runtime.ts';
import { NO_STAMP, versionAt } from '../../core/stamp.ts';
import { formatPosition, type Lane, type LogEpoch, laneKey, NOTHING_SEEN, type Position, type Seq } from '../../core/words.ts';
import type { LaneEnd, LinkFrame } from '../../link/link.ts';
import type { LaneConsumer, LaneGap, LaneProgress } from '../lane.ts';
import type { Retried, Retryable } from '../receipts/parked.ts';
import type { ExceptionReceipt, ParkedWrite, SkipDraft } from '../receipts/receipts.ts';
import { Serial } from '../receipts/serial.ts';
import type { Context } from './context.ts';
import { cutBatch, openFrame, receiptsOf, type SeqFrame } from './frames.ts';
import { History } from './history.ts';
import { type LaneMarks, loadLane } from './lane-marks.ts';
import { ParkedKeys } from './parked-keys.ts';
import { Progress } from './progress.ts';
import { Retry } from './retry.ts';
import { Round } from './round.ts';
import { finishSkip, planSkip } from './skip.ts';
import { appendEffects, applyWorks, entryOf, executeWorks, moveOf, recordedWorks, replayed, retryAt, settleInCache } from './steps.ts';
import { aheadOfClock, decide, exceptionOf, newestStamp, newWork, parkedOf, type Work } from './work.ts';

/** The database's mark moves at most this often while there is nothing to execute. */
const MOVE_MS = 1_000;

export class WritesLane implements LaneConsumer, Retryable {
  readonly #lane: Lane;
  readonly #context: Context;
  readonly #serial = new Serial();
  readonly #history: History;
  readonly #keys = new ParkedKeys();
  readonly #progress = new Progress();
  readonly #retry: Retry;
  #moveTimer: Timer | undefined;
  #movedMs = Number.NEGATIVE_INFINITY;
  /** Undefined: a resume must come first. */
  #at: LaneMarks | undefined;
  #isStale = false;

  constructor(lane: Lane, context: Context) {
    this.#lane = { log: lane.log, origin: lane.origin, partition: lane.partition };
    this.#context = context;
    this.#history = new History(context.config.topology.limits.duplicateWindowWrites);
    this.#retry = new Retry(context, {
      serial: this.#serial,
      hasPassed: (position) => this.#hasPassed(position),
      settled: (parked) => this.#settled(parked),
    });
  }

  get progressState(): Progress {
    return this.#progress;
  }

  resume(offer: { readonly epoch: LogEpoch }): Promise<{ readonly after: Seq; readonly historyWrites: number }> {
    return this.#serial.run(async () => {
      const at = this.#at;
      this.#at = undefined;
      this.#isStale = false;
      if (at !== undefined) await this.#catchUp(at);
      if (offer.epoch !== this.#progress.epoch) this.#history.reset();
      const marks = await this.#load(offer.epoch);
      const historyWrites = this.#history.resume(marks.next - 1);
      this.#at = marks;
      return { after: marks.next - 1, historyWrites };
    });
  }

  get isStale(): boolean {
    return this.#isStale;
  }

  /** The cache may have come back from an older copy. Where the lane would go on elsewhere now, it has to be resumed. */
  lookAgain(): Promise<void> {
    return this.#serial.run(async () => {
      const at = this.#at;
      if (this.#progress.epoch === '') return;
      this.#at = undefined;
      if (at !== undefined) this.#isStale = true;
      if (at !== undefined) await this.#catchUp(at);
      const marks = await this.#load(this.#progress.epoch);
      if (at?.next !== marks.next || at.cache !== marks.cache) return;
      this.#at = marks;
      this.#isStale = false;
    });
  }

  /** Resolves when what is under way in this lane is done, or has failed: a batch, or a retry. */
  turn(): Promise<void> {
    return this.#serial.run(async () => {});
  }

  /** A decision is carried out also by the next load, so it may fail halfway. */
  skipGap(gap: LaneGap, confirmed: boolean): Promise<SkipDraft> {
    return this.#serial.run(async () => {
      const draft = await planSkip(this.#context, this.#lane, gap);
      if (!confirmed) return draft;
      this.#at = undefined;
      await finishSkip(this.#context, await this.#context.book.beginSkip(draft));
      return draft;
    });
  }

  /** Publishes what is known of the lane before any origin is reached. */
  announce(epoch: LogEpoch): Promise<void> {
    return this.#serial.run(async () => void (await this.#load(epoch)));
  }

  async #load(epoch: LogEpoch): Promise<LaneMarks> {
    const { book, acks } = this.#context;
    const { marks, summary } = await loadLane(this.#context, { ...this.#lane, epoch });
    const mark = marks.next - 1;
    this.#keys.load(await book.parkedKeys(marks.lane));
    this.#progress.set({
      epoch,
      mark,
      writes: summary.writes,
      through: mark === summary.seq ? summary.through : NO_STAMP,
      parked: summary.parked,
    });
    acks.publish(marks.lane, { seq: mark, parkedSeq: summary.parkedSeq, databaseSeq: marks.executed }, []);
    return marks;
  }

  take(frames: readonly LinkFrame[]): Promise<void> {
    return this.#serial.run(async () => {
      const at = this.#at;
      if (at === undefined) throw new WmbError('LOG_UNAVAILABLE', `${laneKey(this.#lane)} must be resumed before it takes frames`);
      // Until it is through, what the stores hold is not known here.
      this.#at = undefined;
      for (const item of frames) if (item.history) this.#history.learn(openFrame(at.lane, at.lane.epoch, item));
      await this.#takeAll(at, frames);
      this.#at = at;
    });
  }

  async #takeAll(at: LaneMarks, items: readonly LinkFrame[]): Promise<void> {
    let place = 0;
    while (place < items.length) {
      const marks = [at.cache, at.book, at.known, at.database ?? at.cache];
      const cut = cutBatch({ lane: at.lane, epoch: at.lane.epoch, items, at: place }, at.next, marks);
      place = cut.at;
      if (cut.batch.length > 0) await this.#batch(at, cut.batch);
      if (place < items.length) await this.#context.breathe();
    }
  }

  async #batch(at: LaneMarks, frames: readonly SeqFrame[]): Promise<void> {
    const startedMs = this.#context.runtime.monotonicMs();
    const works = this.#admit(frames, await this.#keptReceipts(at, frames));
    const round = new Round(this.#context, this.#keys);
    await round.process(works);
    await this.#parkFirst(at, works);
    await this.#toDatabase(at, { frames, works, round });
    await this.#toEffectLog(at, frames, works);
    await this.#toCache(at, frames, works);
    await this.#toBook(at, frames, works);
    this.#context.meters.batch(this.#lane, frames, works, startedMs);
  }

  /** What the book says already of frames that are taken again: who was parked stays parked, who was passed over or discarded stays so. */
  async #keptReceipts(at: LaneMarks, frames: readonly SeqFrame[]): Promise<ReadonlyMap<string, ExceptionReceipt>> {
    const first = frames[0]?.seq ?? 0;
    if (first > at.known) return NOTHING_KEPT;
    const rows = await this.#context.book.exceptions(at.lane, first, frames.at(-1)?.seq ?? first);
    return new Map(
      rows.filter((row) => row.outcome === 'parked' || row.outcome === 'rejected').map((row) => [`${row.seq}.${row.index}`, row]),
    );
  }

  #admit(frames: readonly SeqFrame[], kept: ReadonlyMap<string, ExceptionReceipt>): Work[] {
    const nowMs = this.#context.runtime.nowMs();
    const tooFar = versionAt(nowMs + this.#context.config.topology.limits.clockAheadMsMax + 1);
    const works: Work[] = [];
    for (const frame of frames) {
      const duplicates = this.#history.duplicates(frame);
      frame.writes.forEach((write, index) => {
        const work = newWork(write, frame.seq, index);
        works.push(work);
        const known = kept.size === 0 ? undefined : kept.get(`${frame.seq}.${index}`);
        if (known !== undefined) {
          decide(work, known.outcome, known.code);
          work.kept = true;
        } else if (duplicates.has(index)) decide(work, 'duplicate');
        else if (write.stamp > tooFar) decide(work, 'parked', 'STAMP_FUTURE', aheadOfClock(write.stamp, nowMs));
      });
    }
    return works;
  }

  /**
   * Who does not go on to the stores is written down before they commit. Otherwise, after a crash right behind the commit, a processor
   * that now answers would send a write request on whose statements the database, already past it, never sees.
   */
  async #parkFirst(at: LaneMarks, works: readonly Work[]): Promise<void> {
    const { executes, effectLog, book } = this.#context;
    if (!executes && effectLog === undefined) return;
    const halted = works.filter((work) => !work.kept && (work.outcome === 'parked' || work.outcome === 'rejected'));
    if (halted.length === 0) return;
    await book.record([{ lane: at.lane, frames: [], exceptions: halted.map(exceptionOf), parked: this.#parkedRows(at, halted) }]);
    for (const work of halted) work.kept = true;
    this.#count(at, halted);
  }

  async #toDatabase(
    at: LaneMarks,
    batch: { readonly frames: readonly SeqFrame[]; readonly works: readonly Work[]; readonly round: Round },
  ): Promise<void> {
    if (at.database === undefined) return;
    const last = batch.frames.at(-1)?.seq ?? at.database;
    const works = batch.works.filter((work) => work.outcome === '' && work.statements.length > 0);
    const withheld = batch.works.filter((work) => work.outcome === 'parked' || work.outcome === 'rejected');
    if (works.length + withheld.length === 0 && last > at.database && this.#movesLater()) return;
    const refused =
      last <= at.database ? await recordedWorks(this.#context, at.lane, works) : await this.#execute(at, works.concat(withheld), last);
    at.database = Math.max(at.database, last);
    if (at.executed !== undefined && works.length > 0) at.executed = Math.max(at.executed, last);
    for (const work of works) {
      const reason = refused.get(work);
      if (reason === undefined) work.inDatabase = true;
      else batch.round.fail(work, 'STATEMENT_FAILED', `the database refused it: ${reason}`);
    }
    if (refused.size > 0) batch.round.holdLater(batch.works);
  }

  /**
   * With nothing to execute the database's mark moves at most once in a while: each of its commits is an fsync that every lane waits for. After
   * a crash the lane resumes at that mark, and the stores recognise what lies above it. True: the mark follows by itself.
   */
  #movesLater(): boolean {
    const { runtime } = this.#context;
    const nowMs = runtime.monotonicMs();
    if (nowMs >= this.#movedMs + MOVE_MS) return false;
    // All lanes at the same moments, so that they share a commit.
    this.#moveTimer ??= runtime.after(MOVE_MS - (nowMs % MOVE_MS), () => void this.#moveLater(), true);
    return true;
  }

  /** Also where the lane is not resumed at the moment, the next one is to have a timer. */
  async #moveLater(): Promise<void> {
    this.#moveTimer = undefined;
    await this.moveDatabase().catch(() => {});
  }

  /** Moves the database's mark to where the lane is. Where that fails the lane has to be resumed, from what is stored. */
  moveDatabase(): Promise<void> {
    return this.#serial.run(() => this.#moveNow());
  }

  async #moveNow(): Promise<void> {
    const at = this.#at;
    if (at === undefined) return;
    this.#at = undefined;
    await this.#catchUp(at);
    this.#at = at;
  }

  /** Whether no frame up to `position` is taken again, in any of the stores. Called within the lane's turn. */
  async #hasPassed({ epoch, seq }: Position): Promise<boolean> {
    await this.#moveNow();
    const { epoch: known, mark } = this.#progress;
    return known !== '' && (epoch !== known || seq <= mark);
  }

  async #catchUp(at: LaneMarks): Promise<void> {
    this.#moveTimer?.cancel();
    this.#moveTimer = undefined;
    if (at.database === undefined || at.database >= at.next - 1) return;
    await this.#execute(at, [], at.next - 1);
    at.database = at.next - 1;
  }

  async #execute(at: LaneMarks, works: readonly Work[], last: Seq): Promise<ReadonlyMap<Work, string>> {
    const outcomes = await executeWorks(this.#context, at.lane, moveOf(at.lane, at.database ?? NOTHING_SEEN, last), works);
    this.#movedMs = this.#context.runtime.monotonicMs();
    const refused = new Map<Work, string>();
    outcomes.forEach((outcome, place) => {
      const work = works[place];
      if (outcome.status === 'refused' && work !== undefined) refused.set(work, outcome.reason);
    });
    return refused;
  }

  async #toEffectLog(at: LaneMarks, frames: readonly SeqFrame[], works: readonly Work[]): Promise<void> {
    const { effectLog } = this.#context;
    const first = frames[0]?.seq ?? 0;
    // Below the book's mark nothing is said anew. The cache's does not tell: a book that lost receipts may say something else now.
    if (effectLog === undefined || first <= at.book) return;
    const groups: Parameters<typeof appendEffects>[3][number][] = [];
    let place = 0;
    for (const frame of frames) {
      const end = place + frame.writes.length;
      groups.push(
        works.slice(place, end).map((work, index) => entryOf(at.lane, work, index === frame.writes.length - 1 ? frame.header : undefined)),
      );
      place = end;
    }
    await appendEffects(this.#context, effectLog, this.#lane.partition, groups);
  }

  async #toCache(at: LaneMarks, frames: readonly SeqFrame[], works: readonly Work[]): Promise<void> {
    const last = frames.at(-1)?.seq ?? at.cache;
    const open = works.filter((work) => work.outcome === '');
    const touching = open.filter((work) => work.effects.length > 0);
    const place = { lane: at.lane, generation: at.generation, moves: moveOf(at.lane, at.cache, last) };
    const outcomes = await applyWorks(this.#context, place, touching);
    const isReplay = last <= at.cache;
    at.cache = Math.max(at.cache, last);
    let index = 0;
    for (const work of touching) {
      const outcome = outcomes[index++];
      settleInCache(work, isReplay ? replayed(outcome) : outcome);
    }
    for (const work of open) if (work.outcome === '') decide(work, 'applied');
  }

  async #toBook(at: LaneMarks, frames: readonly SeqFrame[], works: readonly Work[]): Promise<void> {
    const { shared, acks, hints, config, runtime } = this.#context;
    const parked = works.filter((work) => work.outcome === 'parked' && !work.kept);
    const exceptions = works.filter((work) => work.outcome !== 'applied').map(exceptionOf);
    const receipts = receiptsOf(frames, runtime.nowMs());
    await shared.record([{ lane: at.lane, frames: receipts, exceptions, parked: this.#parkedRows(at, parked) }]);
    this.#count(at, parked);
    for (const { seq, header } of frames) if (seq > at.book) this.#progress.writes += header.count;
    const last = frames.at(-1);
    if (last === undefined) return;
    at.book = Math.max(at.book, last.seq);
    at.next = last.seq + 1;
    this.#history.commit(last.seq);
    this.#progress.reach(last);
    if (this.#lane.origin !== config.room.id) hints.observed(newestStamp(works));
    acks.publish(
      at.lane,
      { seq: last.seq, parkedSeq: at.parkedSeq, from: frames[0]?.seq ?? last.seq, databaseSeq: at.executed },
      exceptions.map(({ seq, index, outcome, code }) => ({ seq, index, outcome, reason: code })),
    );
  }

  #parkedRows(at: LaneMarks, works: readonly Work[]): ParkedWrite[] {
    const { runtime, config } = this.#context;
    const nowMs = runtime.nowMs();
    return works
      .filter((work) => work.outcome === 'parked')
      .map((work) => {
        const row = parkedOf(work, at.lane, nowMs, undefined);
        return { ...row, retryMs: retryAt(row, config.topology.limits.clockAheadMsMax, runtime) };
      });
  }

  /** The parking lot has taken these in. */
  #count(at: LaneMarks, works: readonly Work[]): void {
    for (const work of works) {
      if (work.outcome !== 'parked') continue;
      this.#keys.add(work.write.key, work);
      this.#progress.parked += 1;
      if (at.parkedSeq === NOTHING_SEEN || work.seq < at.parkedSeq) at.parkedSeq = work.seq;
      const { seq, index } = work;
      this.#context.logger.warn(
        { position: formatPosition({ ...at.lane, seq, index }), kind: work.write.kind, code: work.code },
        'a write request was parked',
      );
    }
  }

  /** A parked write request of this lane is parked no longer. Called within the lane's turn. */
  async #settled(parked: ParkedWrite): Promise<void> {
    const { book, acks } = this.#context;
    const { position, write } = parked;
    if (position.epoch !== this.#progress.epoch) return;
    const lane = { ...this.#lane, epoch: position.epoch };
    this.#keys.set(write.key, (await book.firstOfKey(lane, write.key))?.position);
    const summary = await book.summary(lane);
    this.#progress.parked = summary.parked;
    if (this.#at !== undefined) this.#at.parkedSeq = summary.parkedSeq;
    acks.publish(lane, { seq: this.#progress.mark, parkedSeq: summary.parkedSeq, databaseSeq: this.#at?.executed }, []);
  }

  retry(parked: ParkedWrite): Promise<Retried> {
    return this.#retry.retry(parked);
  }

  discard(parked: ParkedWrite): Promise<Retried> {
    return this.#retry.discard(parked);
  }

  pulse(end: LaneEnd, sentMs: number): void {
    this.#progress.pulse(end, sentMs);
  }

  progress(): LaneProgress {
    return this.#progress.report(this.#context.runtime.nowMs());
  }
}

const NOTHING_KEPT: ReadonlyMap<string, ExceptionReceipt> = new Map();
