/** How far the sinks of a `writes` lane are, as the stores say. */
import type { Seq } from '../../core/words.ts';
import type { Generation } from '../../store/cache.ts';
import type { EpochLane, LaneSummary } from '../receipts/receipts.ts';
import { applyAgain } from './again.ts';
import { type Context, markOf } from './context.ts';
import { finishSkip } from './skip.ts';

/** Moved on as the sinks commit. */
export interface LaneMarks {
  readonly lane: EpochLane;
  /** That the cache's mark was read in. */
  readonly generation: Generation;
  next: Seq;
  cache: Seq;
  book: Seq;
  /** Undefined where the room executes no statements. */
  database: Seq | undefined;
  /** Up to here the database has run statements; undefined where nobody waits for them in the slaves' databases. */
  executed: Seq | undefined;
  /** The book may say something of frames up to here. */
  known: Seq;
  parkedSeq: Seq;
}

/** Finishes first what was left unfinished, and brings back what the cache may have lost. LOG_GAP where a sink is in another log epoch. */
export async function loadLane(context: Context, lane: EpochLane): Promise<{ readonly marks: LaneMarks; readonly summary: LaneSummary }> {
  const { view, database, executes, book } = context;
  const { epoch } = lane;
  const skip = await book.pendingSkip(lane);
  if (skip !== undefined) await finishSkip(context, skip);
  const { generation, marks } = await view.marks();
  const inCache = markOf(lane, epoch, { name: 'cache', marks });
  const inBook = markOf(lane, epoch, { name: 'receipt book', marks: await book.marks() });
  const inDatabase =
    executes && database !== undefined ? markOf(lane, epoch, { name: 'database', marks: await database.marks() }) : undefined;
  await applyAgain(context, lane);
  const summary = await book.summary(lane);
  return {
    marks: {
      lane,
      generation,
      next: Math.min(inCache, inBook, inDatabase ?? inBook) + 1,
      cache: inCache,
      book: inBook,
      database: inDatabase,
      // Its mark comes to the slaves in the end, whatever it moved for.
      executed: context.config.topology.databases === 'mysql' ? inDatabase : undefined,
      known: summary.knownSeq,
      parkedSeq: summary.parkedSeq,
    },
    summary,
  };
}
