/**
 * The steps of a batch behind the processors, each a store's own transaction: database, effect log, cache, book. Whatever a crash leaves
 * done is recognised when the lane resumes at the smallest mark: the database says what it refused, the effect log's entries and
 * the cache's effects may come twice, and the book keeps what it said.
 */
import type { Runtime } from '../../core/runtime.ts';
import { stampMs } from '../../core/stamp.ts';
import { NOTHING_SEEN, type Seq, type StampedWrite } from '../../core/words.ts';
import { encodeFrame, FRAME_BYTES_MAX, type FrameHeader, writeBytesMax } from '../../link/frame.ts';
import type { FrameDraft, Log } from '../../log/log.ts';
import type { CacheOutcome, Generation, MarkMove } from '../../store/cache.ts';
import type { DatabaseOutcome } from '../../store/database.ts';
import type { EpochLane, ParkedWrite } from '../receipts/receipts.ts';
import type { Context } from './context.ts';
import { cacheWentBack, markMoved } from './context.ts';
import { type EffectEntry, entryWrite } from './effect-entries.ts';
import { decide, type Work } from './work.ts';

/** An effect frame is cut here: commands may be larger than the payload they came from. */
const EFFECT_FRAME_BYTES = FRAME_BYTES_MAX / 8;
/** A retry waits at most this long. */
const RETRY_MS_MAX = 300_000;
const RETRY_MS_MIN = 1_000;

/** Runs the works' statements in one transaction. `moves` empty: a retry. MARK_MOVED. */
export async function executeWorks(
  context: Context,
  lane: EpochLane,
  moves: readonly MarkMove[],
  works: readonly Work[],
): Promise<readonly DatabaseOutcome[]> {
  const { database } = context;
  if (database === undefined) return [];
  const writes = works.map((work) => ({
    requestId: work.write.requestId,
    stamp: work.write.stamp,
    seq: work.seq,
    index: work.index,
    statements: work.statements,
    key: work.write.key,
    passes: context.config.topology.kinds[work.write.kind]?.onFailure === 'pass',
    withheld: work.outcome === '' ? undefined : `its statements have not run, because it was ${work.outcome} before (${work.code})`,
  }));
  const result = await database.execute({ moves, lane, writes });
  if (!result.moved) throw markMoved(lane, 'database', moves[0]?.expected ?? -1, result.stored);
  return result.outcomes;
}

/** The works' frames were executed before a crash: which of them the database refused then, and why. */
export async function recordedWorks(context: Context, lane: EpochLane, works: readonly Work[]): Promise<ReadonlyMap<Work, string>> {
  const refused = new Map<Work, string>();
  let seq = NOTHING_SEEN;
  let reasons: ReadonlyMap<number, string> = new Map();
  for (const work of works) {
    if (work.seq !== seq) reasons = (await context.database?.recorded(lane, work.seq)) ?? new Map();
    seq = work.seq;
    const reason = reasons.get(work.index);
    if (reason !== undefined) refused.set(work, reason);
  }
  return refused;
}

/** A batch's place in the cache. */
export interface CachePlace {
  readonly lane: EpochLane;
  /** That the lane knows the cache in. */
  readonly generation: Generation;
  /** Empty: a retry, or a replay below the mark. */
  readonly moves: readonly MarkMove[];
}

/** Applies the works' effects and moves the marks. Returns an outcome for each work. MARK_MOVED. */
export async function applyWorks(context: Context, place: CachePlace, works: readonly Work[]): Promise<readonly CacheOutcome[]> {
  const { lane, generation, moves } = place;
  if (moves.length === 0 && works.length === 0) return [];
  // A lane that knows an older generation than the floor is refused, whatever the floor.
  const batch = { generation, moves, writes: works.map((work) => work.effects), floor: context.floor(), nowMs: context.runtime.nowMs() };
  const result = await context.shared.apply(batch);
  if (result.moved) return result.outcomes;
  if (result.generation !== generation) throw cacheWentBack(lane);
  const move =
    moves.find((it) => it.log === result.stored?.log && it.origin === result.stored.origin && it.partition === result.stored.partition) ??
    moves[0];
  throw markMoved(move ?? lane, 'cache', move?.expected ?? -1, result.stored);
}

/** Turns the cache's answer into the outcome. Exactly this version being there already means that it was applied before. */
export function settleInCache(work: Work, outcome: CacheOutcome | undefined): void {
  if (outcome === 'late') {
    decide(
      work,
      'parked',
      'WRITE_LATE',
      'it is older than what this room still remembers deletes for; compare the key in both rooms before retrying or discarding it',
    );
  } else decide(work, outcome === 'superseded' ? 'superseded' : 'applied');
}

/**
 * What the cache says of a work that it has had before: below its own mark `late` means applied and forgotten since, because the floor has passed
 * nothing that this room had not seen.
 */
export function replayed(outcome: CacheOutcome | undefined): CacheOutcome | undefined {
  return outcome === 'late' ? 'duplicate' : outcome;
}

/** What the effect log says of a work before the cache has answered. */
export function entryOf(lane: EpochLane, work: Work, end?: Pick<FrameHeader, 'through'>): StampedWrite {
  const { origin, partition, epoch } = lane;
  const entry: EffectEntry = {
    source: { origin, partition, epoch, seq: work.seq, index: work.index },
    outcome: work.outcome === '' ? 'applied' : work.outcome,
    code: work.code,
    commands: work.outcome === '' ? work.commands : [],
    last: end !== undefined,
    ...(end && { through: end.through }),
  };
  return entryWrite(work.write, entry);
}

/** Appends entries that belong together (a frame of the source) as one frame, or as several where they are large. */
export async function appendEffects(
  context: Context,
  log: Log,
  partition: number,
  groups: readonly (readonly StampedWrite[])[],
): Promise<void> {
  await log.append(groups.flatMap((entries) => draftsOf(log, partition, entries)));
  context.hints.appended('effects', partition);
}

function draftsOf(log: Log, partition: number, entries: readonly StampedWrite[]): FrameDraft[] {
  const drafts: FrameDraft[] = [];
  let from = 0;
  let bytes = 0;
  entries.forEach((entry, at) => {
    bytes += writeBytesMax(entry);
    const next = entries[at + 1];
    if (next !== undefined && bytes + writeBytesMax(next) <= EFFECT_FRAME_BYTES) return;
    drafts.push(draftOf(log, partition, entries.slice(from, at + 1)));
    from = at + 1;
    bytes = 0;
  });
  return drafts;
}

function draftOf(log: Log, partition: number, entries: readonly StampedWrite[]): FrameDraft {
  const bytes = encodeFrame({ log: 'effects', origin: log.origin, partition, epoch: log.epoch }, entries);
  return { partition, bytes, count: entries.length, stampFirst: entries[0]?.stamp ?? '', stampLast: entries.at(-1)?.stamp ?? '' };
}

/**
 * When a parked write request is retried by itself: one with a stamp ahead of the clock when the clock has come up to it, one whose
 * processor was late, or whose retry broke off, after a pause that doubles. Undefined: when somebody asks.
 */
export function retryAt(
  parked: Pick<ParkedWrite, 'code' | 'attempts' | 'write'>,
  clockAheadMsMax: number,
  runtime: Runtime,
): number | undefined {
  const nowMs = runtime.nowMs();
  if (parked.code === 'STAMP_FUTURE')
    return Math.min(Math.max(stampMs(parked.write.stamp) - clockAheadMsMax, nowMs + RETRY_MS_MIN), nowMs + RETRY_MS_MAX);
  if (parked.code === 'PROCESSOR_TIMEOUT' || parked.code === 'RETRY_BEGUN')
    return nowMs + Math.min(RETRY_MS_MIN * 2 ** parked.attempts, RETRY_MS_MAX);
  return undefined;
}

/** Moves the mark of a lane, or nothing where it is there already. */
export function moveOf(lane: EpochLane, expected: Seq, next: Seq): readonly MarkMove[] {
  const { log, origin, partition, epoch } = lane;
  return next > expected ? [{ log, origin, partition, epoch, expected, next }] : [];
}
