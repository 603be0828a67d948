/**
 * The collector's part in a copy of a peer's cache (docs/adr/0009): it says how this room's cache stands, as the side that is copied and as the one that copies, and it ends a copy by moving the
 * marks of the lanes that were behind. Whether a copy may be made is decided by whoever sees both rooms.
 */
import { settledUpTo } from '../../core/converge/rules.ts';
import { WmbError } from '../../core/errors.ts';
import type { CachePlace, CachePlaces, TakeOver } from '../../core/inspection.ts';
import { leastStamp, NO_STAMP, STAMP_DIGITS, type Stamp } from '../../core/stamp.ts';
import { masterRoom } from '../../core/topology.ts';
import { type Lane, type LogEpoch, laneKey, type Mark, NOTHING_SEEN, type Seq } from '../../core/words.ts';
import type { Generation } from '../../store/cache.ts';
import type { EpochLane } from '../receipts/receipts.ts';
import { type Context, cacheWentBack, markMoved } from './context.ts';
import type { Progress } from './progress.ts';

export interface CopyingOptions {
  readonly context: Context;
  /** Every `writes` lane that this room takes. */
  readonly lanes: () => readonly { readonly lane: Lane; readonly progress: Progress }[];
  /** Resolves when whatever a lane is about to do with its stores now is done, or has failed. */
  readonly turns: () => Promise<void>;
  /** The lanes of effects that this room follows take the stores for what they are now. */
  readonly lookAgain: () => Promise<void>;
}

type Known = Pick<Progress, 'epoch' | 'mark'> & { readonly lane: Lane; readonly seen: Stamp };

interface Sinks {
  readonly cache: readonly Mark[];
  readonly book: readonly Mark[];
  readonly database: readonly Mark[] | undefined;
}

/** A place before anything is known of links. */
interface Placed {
  readonly place: CachePlace;
  /** What this room was told, or tells, of the lane's effects is in its cache as well. */
  readonly hasEffects: boolean;
}

export class Copying {
  readonly #options: CopyingOptions;
  #name = '';

  constructor(options: CopyingOptions) {
    this.#options = options;
  }

  /**
   * What was seen is read before the marks are, in one and the same generation: so the marks cover it. MARK_MOVED where the cache went back in between. Between the two, the end of the
   * effect log: what is in it by then is in the cache at the marks, and what was retried and is not in it was still parked before.
   */
  async places(): Promise<CachePlaces> {
    const { view, book, database, executes, runtime, config } = this.#options.context;
    const before = await view.marks();
    const known = await this.#known(view.isWhole);
    const ends = await this.#effectEnds();
    const inBook = await book.marks();
    const { generation, marks, settled } = await view.marks();
    if (generation !== before.generation)
      throw new WmbError('MARK_MOVED', 'the cache has just come back from a copy; ask again when its lanes have looked at it');
    const life = this.#life(generation);
    const sinks = { cache: marks, book: inBook, database: executes ? await database?.marks() : undefined };
    const placed: Placed[] = [];
    for (const each of known) placed.push(await this.#place(each, sinks));
    const lanes = [...placed.map(({ place }) => place), ...this.#effects(placed, ends, sinks)];
    return { room: config.room.id, nowMs: runtime.nowMs(), life, settled, lanes };
  }

  async #known(isWhole: boolean): Promise<readonly Known[]> {
    const known = this.#options.lanes().map(({ lane, progress }): Known => {
      const { epoch, mark } = progress;
      return { lane, epoch, mark, seen: isWhole ? progress.seen() : NO_STAMP };
    });
    if (this.#options.context.config.topology.mode === 'independent') return known;
    const cut: Known[] = [];
    for (const it of known) cut.push({ ...it, seen: (await this.#withoutParked({ ...it.lane, epoch: it.epoch }, it.mark, it.seen)).seen });
    return cut;
  }

  /** In the room that makes the effects: the ends of its effect log, by partition. Whoever was about to append up to there is through with it, down to the cache, or has failed. */
  async #effectEnds(): Promise<readonly Seq[]> {
    const { effectLog } = this.#options.context;
    if (effectLog === undefined) return [];
    const ends = Array.from({ length: effectLog.partitions }, (_, partition) => effectLog.extent(partition).next - 1);
    await this.#options.turns();
    return ends;
  }

  async #place({ lane, ...known }: Known, sinks: Sinks): Promise<Placed> {
    const { effectLog } = this.#options.context;
    const { epoch, cache, book } = seqsOf(lane, sinks, known.epoch);
    const inDatabase = sinks.database && markIn(sinks.database, lane);
    const others = sinks.database === undefined ? book : Math.min(book, inDatabase?.epoch === epoch ? inDatabase.seq : NOTHING_SEEN);
    const base = { ...lane, epoch, cache, others, ...NO_LINK };
    const mark = Math.min(cache, book);
    // Marks that went back for a lost tail, or belong to another epoch: nobody knows what the cache stands for.
    if (mark < known.mark || known.epoch !== epoch) return { place: { ...base, applied: mark, seen: NO_STAMP }, hasEffects: false };
    const { parkedHere, ...found } = await this.#withoutParked({ ...lane, epoch }, mark, known.seen);
    // The master appends nothing again that its book has. In a slave nothing but what was late is parked.
    return { place: { ...base, ...found }, hasEffects: effectLog === undefined ? parkedHere === 0 : cache >= book };
  }

  /** A write request that is parked has its receipt, and is not in the cache. */
  async #withoutParked(
    lane: EpochLane,
    mark: Seq,
    seen: Stamp,
  ): Promise<{ readonly applied: Seq; readonly seen: Stamp; readonly parkedHere: number }> {
    const { book } = this.#options.context;
    const { parkedSeq, parked: parkedHere } = await book.summary(lane);
    if (parkedSeq === NOTHING_SEEN || parkedSeq > mark) return { applied: mark, seen, parkedHere };
    const [frame] = await book.frames({ lane, from: parkedSeq, to: parkedSeq });
    const before = frame === undefined ? NO_STAMP : stampBefore(frame.stampFirst);
    return { applied: parkedSeq - 1, seen: seen < before ? seen : before, parkedHere };
  }

  /** The lanes of a master room's effects: in that room up to `ends`, in the others by their marks. */
  #effects(placed: readonly Placed[], ends: readonly Seq[], sinks: Sinks): readonly CachePlace[] {
    const { effectLog, config } = this.#options.context;
    const { mode, partitions } = config.topology;
    const origin = masterRoom(config.topology)?.id;
    if (mode === 'independent' || origin === undefined) return [];
    return Array.from({ length: partitions }, (_, partition): CachePlace => {
      const lane = { log: 'effects', origin, partition } as const;
      const sources = placed.filter(({ place }) => place.partition === partition);
      const seen = sources.every(({ hasEffects }) => hasEffects) ? leastStamp(sources.map(({ place }) => place.seen)) : NO_STAMP;
      if (effectLog === undefined) {
        const { epoch, cache, book } = seqsOf(lane, sinks, '');
        return { ...lane, epoch, cache, others: book, applied: Math.min(cache, book), seen, ...NO_LINK };
      }
      const end = ends[partition] ?? NOTHING_SEEN;
      return { ...lane, epoch: effectLog.epoch, cache: end, others: end, applied: end, seen, ...NO_LINK };
    });
  }

  /** MARK_MOVED where the cache is not the one that was copied into, or a lane has moved: then nothing was changed, and the copy begins again. */
  async takeOver({ life, settled, moves }: TakeOver): Promise<void> {
    const { view, cache, book, runtime, logger } = this.#options.context;
    const { generation } = await view.marks();
    if (life !== this.#life(generation))
      throw new WmbError(
        'MARK_MOVED',
        'the cache is not the one into which a peer’s was copied, or the collector was started anew meanwhile',
      );
    const [nowMs, floor] = [runtime.nowMs(), settled.slice(0, -VERSION_TAIL.length)];
    if (settledUpTo(floor, nowMs) < settled)
      throw new WmbError('MARK_MOVED', 'the room that was copied has forgotten up to a moment that has not come by this room’s clock');
    // The copied room has had them, as every room has. Forgotten first: behind the floor they would be taken for late. Where the marks then do not move, another copy brings them.
    await book.forgetRetried(floor);
    const result = await cache.apply({ generation, moves, writes: [], floor, nowMs });
    if (!result.moved) {
      const [first] = moves;
      if (first === undefined || result.generation !== generation) throw cacheWentBack(first ?? NO_LANE);
      throw markMoved(first, 'cache', first.expected, result.stored);
    }
    // What the origins are told, and what this room has seen, follows.
    await this.#options.lookAgain();
    logger.info(
      { lanes: moves.map((move) => `${laneKey(move)} to ${move.next}`) },
      'the cache was copied from a peer; its lanes go on from the copied marks',
    );
  }

  #life(generation: Generation): string {
    const { runtime, view } = this.#options.context;
    // Not before somebody asks: chance is drawn in an order.
    this.#name ||= `${Math.floor(runtime.nowMs())}-${Math.floor(runtime.random() * 2 ** 32).toString(16)}`;
    return `${this.#name}/${generation}/${view.reapplied}`;
  }
}

const VERSION_TAIL = 'ffff';
const NO_LINK = { state: '', reason: '', logFrom: NOTHING_SEEN } as const;
const NO_LANE: Lane = { log: 'writes', origin: '', partition: 0 };

/** The greatest stamp below. */
function stampBefore(stamp: Stamp): Stamp {
  return (BigInt(`0x${stamp}`) - 1n).toString(16).padStart(STAMP_DIGITS, '0');
}

/** Within the epoch of the cache's mark; where it has none, in the one that the lane is known by. */
function seqsOf(
  lane: Lane,
  { cache, book }: Sinks,
  known: LogEpoch,
): { readonly epoch: LogEpoch; readonly cache: Seq; readonly book: Seq } {
  const [inCache, inBook] = [markIn(cache, lane), markIn(book, lane)];
  const epoch = inCache?.epoch ?? (known || (inBook?.epoch ?? ''));
  const seqOf = (mark: Mark | undefined) => (mark?.epoch === epoch ? mark.seq : NOTHING_SEEN);
  return { epoch, cache: seqOf(inCache), book: seqOf(inBook) };
}

function markIn(marks: readonly Mark[], lane: Lane): Mark | undefined {
  return marks.find(
    (mark) => mark.log === lane.log && mark.origin === lane.origin && mark.partition === lane.partition && mark.seq !== NOTHING_SEEN,
  );
}
