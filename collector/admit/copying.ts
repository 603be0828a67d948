/**
 * The collector's part in a copy of a peer's cache (docs/adr/0009): it says how this room's cache stands, as the side that is copied and as the one that copies, and it ends a copy by moving the
 * marks of the lanes that were behind. Whether a copy may be made is decided by whoever sees both rooms.
 */
import { settledUpTo } from '../../core/converge/rules.ts';
import { WmbError } from '../../core/errors.ts';
import type { CachePlace, CachePlaces, TakeOver } from '../../core/inspection.ts';
import { NO_STAMP, STAMP_DIGITS, type Stamp } from '../../core/stamp.ts';
import { type Lane, laneKey, type Mark, NOTHING_SEEN, type Seq } from '../../core/words.ts';
import type { Generation } from '../../store/cache.ts';
import type { EpochLane } from '../receipts/receipts.ts';
import { type Context, cacheWentBack, markMoved } from './context.ts';
import type { Progress } from './progress.ts';

export interface CopyingOptions {
  readonly context: Context;
  /** Every `writes` lane that this room takes. */
  readonly lanes: () => readonly { readonly lane: Lane; readonly progress: Progress }[];
}

type Known = Pick<Progress, 'epoch' | 'mark'> & { readonly seen: Stamp };

interface Sinks {
  readonly cache: readonly Mark[];
  readonly book: readonly Mark[];
  readonly database: readonly Mark[] | undefined;
}

export class Copying {
  readonly #options: CopyingOptions;
  #name = '';

  constructor(options: CopyingOptions) {
    this.#options = options;
  }

  /**
   * What was seen is read before the marks are, in one and the same generation: so the marks cover it. MARK_MOVED where the cache went back in between.
   */
  async places(): Promise<CachePlaces> {
    const { view, book, database, executes, runtime } = this.#options.context;
    const before = await view.marks();
    const isWhole = view.isWhole;
    const known = this.#options.lanes().map(({ lane, progress }) => {
      const { epoch, mark } = progress;
      return { lane, epoch, mark, seen: isWhole ? progress.seen() : NO_STAMP };
    });
    const { generation, marks, settled } = await view.marks();
    if (generation !== before.generation)
      throw new WmbError('MARK_MOVED', 'the cache has just come back from a copy; ask again when its lanes have looked at it');
    const life = this.#life(generation);
    const sinks = { cache: marks, book: await book.marks(), database: executes ? await database?.marks() : undefined };
    const lanes: CachePlace[] = [];
    for (const each of known) lanes.push(await this.#place(each.lane, each, sinks));
    return { nowMs: runtime.nowMs(), life, settled, lanes };
  }

  async #place(lane: Lane, known: Known, sinks: Sinks): Promise<CachePlace> {
    const inCache = markIn(sinks.cache, lane);
    const inBook = markIn(sinks.book, lane);
    const epoch = inCache?.epoch ?? (known.epoch || (inBook?.epoch ?? ''));
    const seqOf = (mark: Mark | undefined) => (mark?.epoch === epoch ? mark.seq : NOTHING_SEEN);
    const [cache, book] = [seqOf(inCache), seqOf(inBook)];
    const others = sinks.database === undefined ? book : Math.min(book, seqOf(markIn(sinks.database, lane)));
    const base = {
      log: lane.log,
      origin: lane.origin,
      partition: lane.partition,
      epoch,
      cache,
      others,
      state: '',
      reason: '',
      logFrom: NOTHING_SEEN,
    };
    const mark = Math.min(cache, book);
    // Marks that went back for a lost tail, or belong to another epoch: nobody knows what the cache stands for.
    if (mark < known.mark || known.epoch !== epoch) return { ...base, applied: mark, seen: NO_STAMP };
    return { ...base, ...(await this.#withoutParked({ ...lane, epoch }, mark, known.seen)) };
  }

  /** A write request that is parked has its receipt, and is not in the cache. */
  async #withoutParked(lane: EpochLane, mark: Seq, seen: Stamp): Promise<{ readonly applied: Seq; readonly seen: Stamp }> {
    const { book } = this.#options.context;
    const { parkedSeq } = await book.summary(lane);
    if (parkedSeq === NOTHING_SEEN || parkedSeq > mark) return { applied: mark, seen };
    const [frame] = await book.frames({ lane, from: parkedSeq, to: parkedSeq });
    const before = frame === undefined ? NO_STAMP : stampBefore(frame.stampFirst);
    return { applied: parkedSeq - 1, seen: seen < before ? seen : before };
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
const NO_LANE: Lane = { log: 'writes', origin: '', partition: 0 };

/** The greatest stamp below. */
function stampBefore(stamp: Stamp): Stamp {
  return (BigInt(`0x${stamp}`) - 1n).toString(16).padStart(STAMP_DIGITS, '0');
}

function markIn(marks: readonly Mark[], lane: Lane): Mark | undefined {
  return marks.find(
    (mark) => mark.log === lane.log && mark.origin === lane.origin && mark.partition === lane.partition && mark.seq !== NOTHING_SEEN,
  );
}
