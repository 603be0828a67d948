/**
 * What may go from the old end of a log, as pure code for the adapters that remove frames themselves. Removal is planned in small
 * steps, so that no step keeps an append waiting for long; the caller carries a step out and asks for the next.
 */
import { type Stamp, versionAt } from '../core/stamp.ts';
import type { Seq } from '../core/words.ts';
import type { RetentionFloor, RetentionPolicy } from './log.ts';

const STEP_FRAMES_MAX = 256;
const STEP_BYTES_MAX = 4 * 1024 * 1024;

export interface StoredPartition {
  readonly partition: number;
  readonly first: Seq;
  readonly next: Seq;
  readonly bytes: number;
}

export interface FrameFacts {
  readonly seq: Seq;
  readonly bytes: number;
  readonly stampLast: Stamp;
}

/** What planning needs to know of a log. */
export interface TrimView {
  partitions(): readonly StoredPartition[];
  /** See LogReader.seqBack. */
  seqBack(partition: number, before: Seq, writes: number): Seq;
  /** The oldest stored frames before `end`, oldest first. */
  oldest(partition: number, end: Seq, framesMax: number): Iterable<FrameFacts>;
}

/** Remove the frames of the partition up to and including `through`. */
export interface TrimStep {
  readonly partition: number;
  readonly through: Seq;
  readonly frames: number;
  readonly bytes: number;
}

export interface TrimRequest {
  readonly policy: RetentionPolicy;
  readonly floors: readonly RetentionFloor[];
  readonly nowMs: number;
}

/** The next step, or undefined when nothing more may go: first what is old, then what is over the size. */
export function planTrim(view: TrimView, request: TrimRequest): TrimStep | undefined {
  const { policy, nowMs } = request;
  const partitions = view.partitions();
  const applied = removable(view, partitions, request);
  const youngFrom = versionAt(Math.max(0, nowMs - policy.ageMsMin));
  for (const candidate of applied) {
    const step = prefix(view, candidate, { stampBelow: youngFrom, bytesEnough: STEP_BYTES_MAX });
    if (step !== undefined) return step;
  }
  const over = partitions.reduce((sum, each) => sum + each.bytes, 0) - policy.bytesMax;
  if (over <= 0) return undefined;
  const step = oldestPrefix(view, applied, over);
  if (step !== undefined || policy.overflow === 'keep') return step;
  return oldestPrefix(view, removable(view, partitions, { ...request, floors: undefined }), over);
}

interface Candidate {
  readonly partition: number;
  /** Frames before this one may go. */
  readonly end: Seq;
}

/** Where what a peer still needs (unless `floors` is undefined) and the history before that set the end of what may go. */
function removable(
  view: TrimView,
  partitions: readonly StoredPartition[],
  request: { readonly policy: RetentionPolicy; readonly floors: readonly RetentionFloor[] | undefined },
): Candidate[] {
  const applied = request.floors && new Map(request.floors.map((floor) => [floor.partition, floor.appliedSeq]));
  const candidates: Candidate[] = [];
  for (const { partition, first, next } of partitions) {
    const floorEnd = applied === undefined ? next : Math.min(next, (applied.get(partition) ?? -1) + 1);
    if (floorEnd <= first) continue;
    // Whoever resumes at the floor rebuilds its duplicate window from what lies before it, not before the log's end.
    const end = Math.min(floorEnd, view.seqBack(partition, floorEnd, request.policy.writesMin));
    if (end > first) candidates.push({ partition, end });
  }
  return candidates;
}

/** A step in the partition whose oldest frame is the oldest of all. */
function oldestPrefix(view: TrimView, candidates: readonly Candidate[], over: number): TrimStep | undefined {
  let oldest: { readonly candidate: Candidate; readonly stamp: Stamp } | undefined;
  for (const candidate of candidates) {
    for (const { stampLast } of view.oldest(candidate.partition, candidate.end, 1)) {
      if (oldest === undefined || stampLast < oldest.stamp) oldest = { candidate, stamp: stampLast };
    }
  }
  return oldest && prefix(view, oldest.candidate, { stampBelow: undefined, bytesEnough: Math.min(over, STEP_BYTES_MAX) });
}

/** The oldest frames of a candidate, as long as their stamps are below `stampBelow`, until they come to `bytesEnough`. */
function prefix(
  view: TrimView,
  { partition, end }: Candidate,
  limit: { readonly stampBelow: string | undefined; readonly bytesEnough: number },
): TrimStep | undefined {
  let step: TrimStep | undefined;
  for (const frame of view.oldest(partition, end, STEP_FRAMES_MAX)) {
    if (limit.stampBelow !== undefined && frame.stampLast >= limit.stampBelow) break;
    step = { partition, through: frame.seq, frames: (step?.frames ?? 0) + 1, bytes: (step?.bytes ?? 0) + frame.bytes };
    if (step.bytes >= limit.bytesEnough) break;
  }
  return step;
}
