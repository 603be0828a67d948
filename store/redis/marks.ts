/** Marks as a node keeps them: `log/origin/partition` → `epoch:seq`. */
import { type Lane, type LogEpoch, laneKey, type Mark, type Seq } from '../../core/words.ts';
import type { MarkMove } from '../cache.ts';

/** Of one node. */
export interface LaneMove {
  readonly lane: Lane;
  readonly field: string;
  readonly epoch: LogEpoch;
  readonly expected: Seq;
  /** Undefined: the node is as far already. */
  readonly next: Seq | undefined;
}

/** `expected` of this node, which may be ahead of the others. A mark that goes back, or to the beginning of another epoch, does so in all of them. */
export function laneMove(move: MarkMove, expected: Seq): LaneMove {
  const { log, origin, partition, epoch, next } = move;
  const isAhead = next > move.expected && next <= expected;
  return { lane: { log, origin, partition }, field: laneKey(move), epoch, expected, next: isAhead ? undefined : next };
}

/** By lane. What is no mark is none. */
export function readMarks(stored: ReadonlyMap<string, string>): ReadonlyMap<string, Mark> {
  const marks = new Map<string, Mark>();
  for (const [field, text] of stored) {
    const [, log, origin, partition] = /^(\w+)\/(.+)\/(\d+)$/.exec(field) ?? [];
    const [, epoch, seq] = /^(.+):(-?\d+)$/.exec(text) ?? [];
    if (log === undefined || origin === undefined || epoch === undefined) continue;
    const mark: Mark = { log: log as Mark['log'], origin, partition: Number(partition), epoch, seq: Number(seq) };
    marks.set(laneKey(mark), mark);
  }
  return marks;
}
