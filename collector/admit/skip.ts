/**
 * A person accepts that frames of a lane are lost. The marks of all sinks move to where the lane can go on, and the book keeps what was given up.
 *
 * The marks lie in several stores, so the decision is written into the book first and carried out then; a lane that is loaded with
 * a decision not carried out does that before anything else. Otherwise a crash in between could leave marks that look as if they fitted.
 */
import { WmbError } from '../../core/errors.ts';
import { type Lane, laneKey, type Mark, NOTHING_SEEN } from '../../core/words.ts';
import type { MarkMove } from '../../store/cache.ts';
import type { LaneGap } from '../lane.ts';
import type { Skip, SkipDraft } from '../receipts/receipts.ts';
import { type Context, cacheWentBack, markMoved } from './context.ts';

/** What would be given up. LOG_GAP with the reason where it must not be. */
export async function planSkip(context: Context, lane: Lane, gap: LaneGap): Promise<SkipDraft> {
  if (context.effectLog !== undefined) {
    throw new WmbError(
      'LOG_GAP',
      `${laneKey(lane)} cannot be skipped in the master room of a master–slave topology: every slave would find the same hole in the effects of ` +
        `${lane.origin}, with nothing that says what belongs there; bring back the log of ${lane.origin} from a copy`,
    );
  }
  const marks = await sinkMarks(context, lane);
  const seqs = marks.map((mark) => mark?.seq ?? NOTHING_SEEN);
  const known = marks.filter((mark) => mark !== undefined && mark.seq > NOTHING_SEEN) as Mark[];
  const old = known.find((mark) => mark.epoch !== gap.epoch);
  const base = { ...lane, skippedMs: context.runtime.nowMs() };
  if (old !== undefined) {
    const from = Math.min(...known.filter((mark) => mark.epoch === old.epoch).map((mark) => mark.seq)) + 1;
    return { ...base, epoch: old.epoch, from, to: undefined, writes: undefined, next: { epoch: gap.epoch, seq: NOTHING_SEEN } };
  }
  if (gap.missing === undefined)
    throw new WmbError('LOG_GAP', `${laneKey(lane)}: it is not known which frames are missing; nothing is skipped`);
  const { from, to } = gap.missing;
  // Otherwise the origin's log ends before the smallest mark, which is where the lane wanted to go on.
  if (from > Math.min(...seqs)) return { ...base, epoch: gap.epoch, from, to, writes: undefined, next: { epoch: gap.epoch, seq: to } };
  return lostTail(context, { ...base, epoch: gap.epoch, from, to: Math.max(to, ...seqs) });
}

/** The origin's log ends before this room's mark, and will give the same seqs to other write requests. */
async function lostTail(context: Context, range: Omit<SkipDraft, 'writes' | 'next'> & { readonly to: number }): Promise<SkipDraft> {
  const { writes, parked } = await context.book.inRange(range, range.from, range.to);
  if (parked > 0) {
    throw new WmbError(
      'LOG_GAP',
      `${laneKey(range)}: ${parked} of the write requests from ${range.from} to ${range.to} are parked; retry or discard them first, their ` +
        'positions will be given to others',
    );
  }
  return { ...range, writes, next: { epoch: range.epoch, seq: range.from - 1 } };
}

/** Carries a decision out; what is done already stays. */
export async function finishSkip(context: Context, skip: Skip): Promise<void> {
  const { cache, view, database, executes, book, runtime } = context;
  const { log, origin, partition, next } = skip;
  const goesBack = next.epoch === skip.epoch && next.seq < skip.from;
  const moveTo = (marks: readonly Mark[]): MarkMove | undefined => {
    const mark = marks.find((it) => isOf(it, skip));
    if (mark?.epoch === next.epoch && (mark.seq === next.seq || (mark.seq > next.seq && !goesBack))) return undefined;
    return { log, origin, partition, epoch: next.epoch, expected: mark?.epoch === next.epoch ? mark.seq : NOTHING_SEEN, next: next.seq };
  };
  if (executes && database !== undefined) {
    const move = moveTo(await database.marks());
    const result = move === undefined ? undefined : await database.execute({ moves: [move], lane: skip, writes: [] });
    if (result?.moved === false) throw markMoved(skip, 'database', move?.expected ?? NOTHING_SEEN, result.stored);
  }
  const { generation, marks } = await view.marks();
  const move = moveTo(marks);
  const result =
    move === undefined ? undefined : await cache.apply({ generation, moves: [move], writes: [], floor: '', nowMs: runtime.nowMs() });
  if (result?.moved === false && result.generation !== generation) throw cacheWentBack(skip);
  if (result?.moved === false) throw markMoved(skip, 'cache', move?.expected ?? NOTHING_SEEN, result.stored);
  await book.finishSkip(skip);
}

async function sinkMarks({ view, database, executes, book }: Context, lane: Lane): Promise<(Mark | undefined)[]> {
  const sinks = [(await view.marks()).marks, await book.marks()];
  if (executes && database !== undefined) sinks.push(await database.marks());
  return sinks.map((marks) => marks.find((mark) => isOf(mark, lane)));
}

function isOf(mark: Mark, lane: Lane): boolean {
  return mark.log === lane.log && mark.origin === lane.origin && mark.partition === lane.partition;
}
