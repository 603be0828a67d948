/**
 * The consumer of an `effects` lane in a slave room of a master–slave topology: what the master made of every room's write requests goes
 * into this room's cache with the original stamps, and the receipts are written under the positions of the sources. With each whole
 * frame of a source its derived mark moves, in the same cache batch as the lane's own.
 */
import { compileCommands } from '../../core/converge/commands.ts';
import { WmbError } from '../../core/errors.ts';
import { NO_STAMP, type Stamp } from '../../core/stamp.ts';
import {
  formatPosition,
  type Lane,
  type LogEpoch,
  laneKey,
  NOTHING_SEEN,
  type RoomId,
  type Seq,
  type StampedWrite,
} from '../../core/words.ts';
import type { LaneEnd, LinkFrame } from '../../link/link.ts';
import type { Generation } from '../../store/cache.ts';
import type { LaneConsumer, LaneProgress } from '../lane.ts';
import type { BookEntry, EpochLane, FrameReceipt } from '../receipts/receipts.ts';
import { Serial } from '../receipts/serial.ts';
import { type Context, markOf } from './context.ts';
import type { DerivedLane } from './derived-lane.ts';
import { type EffectEntry, parseEntry } from './effect-entries.ts';
import { cutBatch, receiptsOf, type SeqFrame } from './frames.ts';
import { Progress } from './progress.ts';
import { applyWorks, moveOf, replayed, settleInCache } from './steps.ts';
import { decide, exceptionOf, newWork, parkedOf, type Work } from './work.ts';

const NONE: ReadonlySet<Work> = new Set();

interface LaneMarks {
  readonly lane: EpochLane;
  /** That the cache's marks were read in. */
  readonly generation: Generation;
  next: Seq;
  cache: Seq;
  book: Seq;
  readonly sources: Map<RoomId, SourceMarks>;
}

/** How far the sinks are in one origin's `writes` lane. */
interface SourceMarks {
  readonly lane: EpochLane;
  cache: Seq;
  book: Seq;
}

/** What a batch holds of one source. */
interface SourceBatch {
  readonly marks: SourceMarks;
  /** Seqs after the batch. */
  cache: Seq;
  book: Seq;
  readonly works: Work[];
  /** Works whose receipt must be written even if it is `applied`: something else was written before. */
  readonly changed: Set<Work>;
  readonly frames: FrameReceipt[];
  stampFirst: Stamp;
}

export class EffectsLane implements LaneConsumer {
  readonly #lane: Lane;
  readonly #context: Context;
  readonly #derived: (origin: RoomId) => DerivedLane;
  readonly #serial = new Serial();
  readonly #progress = new Progress();
  #at: LaneMarks | undefined;
  #isStale = false;

  /** `derived`: the `writes` lane of an origin, same partition, in this room. */
  constructor(lane: Lane, context: Context, derived: (origin: RoomId) => DerivedLane) {
    this.#lane = { log: lane.log, origin: lane.origin, partition: lane.partition };
    this.#context = context;
    this.#derived = derived;
  }

  resume(offer: { readonly epoch: LogEpoch }): Promise<{ readonly after: Seq; readonly historyWrites: number }> {
    return this.#serial.run(async () => {
      this.#at = undefined;
      this.#isStale = false;
      this.#at = await this.#load(offer.epoch);
      return { after: this.#at.next - 1, historyWrites: 0 };
    });
  }

  get isStale(): boolean {
    return this.#isStale;
  }

  /** The cache may have come back from an older copy: with this lane's mark go those that are derived from it. */
  lookAgain(): Promise<void> {
    return this.#serial.run(async () => {
      const at = this.#at;
      this.#at = undefined;
      if (at !== undefined) this.#isStale = true;
      for (const { id } of this.#context.config.topology.rooms) await this.#derived(id).lookAgain();
      if (this.#progress.epoch === '') return;
      const marks = await this.#load(this.#progress.epoch);
      if (at?.next !== marks.next || at.cache !== marks.cache) return;
      this.#at = marks;
      this.#isStale = false;
    });
  }

  announce(epoch: LogEpoch): Promise<void> {
    return this.#serial.run(async () => void (await this.#load(epoch)));
  }

  async #load(epoch: LogEpoch): Promise<LaneMarks> {
    const { view, book, acks } = this.#context;
    const lane = { ...this.#lane, epoch };
    const { generation, marks: cacheMarks } = await view.marks();
    const bookMarks = await book.marks();
    const [inCache, inBook] = [
      markOf(lane, epoch, { name: 'cache', marks: cacheMarks }),
      markOf(lane, epoch, { name: 'receipt book', marks: bookMarks }),
    ];
    const sources = new Map<RoomId, SourceMarks>();
    for (const mark of cacheMarks) {
      if (mark.log !== 'writes' || mark.partition !== lane.partition) continue;
      const known = bookMarks.find(
        (it) => it.log === 'writes' && it.origin === mark.origin && it.partition === mark.partition && it.epoch === mark.epoch,
      );
      const source = { log: mark.log, origin: mark.origin, partition: mark.partition, epoch: mark.epoch };
      sources.set(mark.origin, { lane: source, cache: mark.seq, book: known?.seq ?? NOTHING_SEEN });
      await this.#derived(mark.origin).applyAgain();
    }
    const summary = await book.summary(lane);
    const mark = Math.min(inCache, inBook);
    this.#progress.set({ epoch, mark, writes: summary.writes, through: mark === summary.seq ? summary.through : NO_STAMP, parked: 0 });
    acks.publish(lane, { seq: mark, parkedSeq: NOTHING_SEEN }, []);
    return { lane, generation, next: mark + 1, cache: inCache, book: inBook, sources };
  }

  take(frames: readonly LinkFrame[]): Promise<void> {
    return this.#serial.run(async () => {
      const at = this.#at;
      if (at === undefined) throw new WmbError('LOG_UNAVAILABLE', `${laneKey(this.#lane)} must be resumed before it takes frames`);
      this.#at = undefined;
      for (let place = 0; place < frames.length; ) {
        const cut = cutBatch({ lane: at.lane, epoch: at.lane.epoch, items: frames, at: place }, at.next, [at.cache, at.book]);
        place = cut.at;
        if (cut.batch.length > 0) await this.#batch(at, cut.batch);
        if (place < frames.length) await this.#context.breathe();
      }
      this.#at = at;
    });
  }

  async #batch(at: LaneMarks, frames: readonly SeqFrame[]): Promise<void> {
    const startedMs = this.#context.runtime.monotonicMs();
    const last = frames.at(-1)?.seq ?? at.next;
    const sources = new Map<RoomId, SourceBatch>();
    const works: Work[] = [];
    for (const frame of frames) {
      for (const [index, write] of frame.writes.entries()) works.push(this.#entry(at, sources, { frame, write, index }));
    }
    const touching = works.filter((work) => work.outcome === '' && work.effects.length > 0);
    // Below the lane's own mark in the cache the derived marks have moved already, with it.
    const ownMove = moveOf(at.lane, at.cache, last);
    const moves =
      ownMove.length === 0 ? [] : [...ownMove, ...[...sources.values()].flatMap((it) => moveOf(it.marks.lane, it.marks.cache, it.cache))];
    const outcomes = await applyWorks(this.#context, { lane: at.lane, generation: at.generation, moves }, touching);
    const again = outcomes.includes('late') ? await this.#hadBefore([...sources.values()]) : NONE;
    for (const [place, work] of touching.entries()) settleInCache(work, again.has(work) ? replayed(outcomes[place]) : outcomes[place]);
    for (const work of works) if (work.outcome === '') decide(work, 'applied');
    await this.#toBook(at, frames, [...sources.values()]);
    at.cache = Math.max(at.cache, last);
    await this.#publish(at, frames, [...sources.values()]);
    this.#context.meters.batch(this.#lane, frames, works, startedMs);
  }

  /**
   * The works whose effects the cache has had: a master that crashed appends them twice, and a lane that lost its tail takes them twice. Not
   * those that are still parked here: a retry in the master brings their effects for the first time.
   */
  async #hadBefore(sources: readonly SourceBatch[]): Promise<ReadonlySet<Work>> {
    const had = new Set<Work>();
    for (const { marks, works } of sources) {
      for (const work of works) {
        if (work.seq > marks.cache) continue;
        const known = await this.#context.book.exceptions(marks.lane, work.seq, work.seq);
        if (!known.some((it) => it.index === work.index && it.outcome === 'parked')) had.add(work);
      }
    }
    return had;
  }

  /** Takes one entry in: what is to be applied, and what it says of its source's marks. */
  #entry(
    at: LaneMarks,
    sources: Map<RoomId, SourceBatch>,
    item: { readonly frame: SeqFrame; readonly write: StampedWrite; readonly index: number },
  ): Work {
    const { frame, write, index } = item;
    const where = formatPosition({ ...at.lane, seq: frame.seq, index });
    const entry = parseEntry(write, where);
    const source = sourceOf(at, sources, entry);
    const work = newWork(write, entry.source.seq, entry.source.index);
    if (entry.outcome === 'applied') work.effects = compileEntry(entry, write, where);
    else decide(work, entry.outcome, entry.code);
    source.works.push(work);
    if (entry.source.seq <= source.book) source.changed.add(work);
    if (entry.source.index === 0 || source.stampFirst === NO_STAMP) source.stampFirst = write.stamp;
    if (entry.last) this.#frameEnds(source, entry, { write, isNew: frame.seq > at.cache });
    return work;
  }

  #frameEnds(source: SourceBatch, entry: EffectEntry, end: { readonly write: StampedWrite; readonly isNew: boolean }): void {
    const { seq, index } = entry.source;
    if (end.isNew && seq > source.cache) {
      if (seq > source.cache + 1) {
        throw new WmbError(
          'LOG_GAP',
          `${laneKey(this.#lane)}: the effects of ${laneKey(source.marks.lane)} go on at ${seq} where ${source.cache + 1} is due; ${source.cache + 1} to ${seq - 1} are missing`,
        );
      }
      source.cache = seq;
    }
    if (seq > source.book) {
      const appliedMs = this.#context.runtime.nowMs();
      const { stamp } = end.write;
      const { through = stamp } = entry;
      source.frames.push({ seq, count: index + 1, stampFirst: source.stampFirst, stampLast: stamp, through, appliedMs });
      source.book = seq;
    }
    source.stampFirst = NO_STAMP;
  }

  async #toBook(at: LaneMarks, frames: readonly SeqFrame[], sources: readonly SourceBatch[]): Promise<void> {
    const nowMs = this.#context.runtime.nowMs();
    const own = receiptsOf(frames, nowMs);
    const entries: BookEntry[] = sources.map((source) => ({
      lane: source.marks.lane,
      frames: source.frames,
      exceptions: source.works.filter((work) => work.outcome !== 'applied' || source.changed.has(work)).map(exceptionOf),
      parked: source.works
        .filter((work) => work.code === 'WRITE_LATE' && work.message !== '')
        .map((work) => parkedOf(work, source.marks.lane, nowMs, undefined)),
    }));
    await this.#context.shared.record([{ lane: at.lane, frames: own, exceptions: [], parked: [] }, ...entries]);
  }

  async #publish(at: LaneMarks, frames: readonly SeqFrame[], sources: readonly SourceBatch[]): Promise<void> {
    for (const source of sources) {
      const from = Math.min(source.marks.cache, source.marks.book) + 1;
      source.marks.cache = source.cache;
      source.marks.book = source.book;
      at.sources.set(source.marks.lane.origin, source.marks);
      const exceptions = source.works.filter((work) => work.outcome !== 'applied').map(exceptionOf);
      await this.#derived(source.marks.lane.origin).advance(source.marks.lane, source.cache, { from, exceptions });
      for (const work of source.works)
        if (work.outcome === 'applied' && source.marks.lane.origin !== this.#context.config.room.id)
          this.#context.hints.observed(work.write.stamp);
    }
    const last = frames.at(-1);
    if (last === undefined) return;
    for (const { seq, header } of frames) if (seq > at.book) this.#progress.writes += header.count;
    at.book = Math.max(at.book, last.seq);
    at.next = last.seq + 1;
    this.#progress.reach(last);
    this.#context.acks.publish(at.lane, { seq: last.seq, parkedSeq: NOTHING_SEEN }, []);
  }

  async skipGap(): Promise<never> {
    throw new WmbError(
      'LOG_GAP',
      `${laneKey(this.#lane)} cannot be skipped: it carries the effects of every room's write requests, and which of them are missing only ` +
        'the lost frames say; rebuild this room, or bring the effect log of the master back from a copy',
    );
  }

  pulse(end: LaneEnd, sentMs: number): void {
    this.#progress.pulse(end, sentMs);
  }

  progress(): LaneProgress {
    return this.#progress.report(this.#context.runtime.nowMs());
  }
}

function sourceOf(at: LaneMarks, sources: Map<RoomId, SourceBatch>, entry: EffectEntry): SourceBatch {
  const { origin, epoch } = entry.source;
  const known = sources.get(origin);
  if (known !== undefined && known.marks.lane.epoch === epoch) return known;
  if (known !== undefined)
    throw new WmbError(
      'LOG_GAP',
      `${laneKey(at.lane)}: ${origin} has write requests of two log epochs, ${known.marks.lane.epoch} and ${epoch}, in one batch`,
    );
  const stored = at.sources.get(origin);
  if (stored !== undefined && stored.lane.epoch !== epoch) {
    throw new WmbError(
      'LOG_GAP',
      `${laneKey(at.lane)}: the derived mark of ${origin} is ${stored.cache} of log epoch ${stored.lane.epoch}, but the effects are of log epoch ${epoch}`,
    );
  }
  const lane: EpochLane = { log: 'writes', origin, partition: at.lane.partition, epoch };
  const marks = stored ?? { lane, cache: NOTHING_SEEN, book: NOTHING_SEEN };
  const made: SourceBatch = {
    marks,
    cache: marks.cache,
    book: marks.book,
    works: [],
    changed: new Set(),
    frames: [],
    stampFirst: NO_STAMP,
  };
  sources.set(origin, made);
  return made;
}

function compileEntry(entry: EffectEntry, write: StampedWrite, where: string): Work['effects'] {
  try {
    return compileCommands(entry.commands, write.stamp);
  } catch (cause) {
    throw new WmbError(
      'FRAME_CORRUPT',
      `${where} holds commands that cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}
