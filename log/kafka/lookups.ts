/** The lookups of the log port over an index, wherever that is: each asks for few frames. */
import type { Seq } from '../../core/words.ts';
import type { StampBounds } from '../log.ts';
import type { IndexedFrame, IndexedPartition } from './tables.ts';

export interface Indexed {
  partition(partition: number): IndexedPartition;
  /** Undefined where the frame is not, or no longer, in the log. */
  frame(partition: number, seq: Seq): IndexedFrame | undefined;
}

/** See LogReader.seqBack. */
export function seqBack(index: Indexed, partition: number, before: Seq, writes: number): Seq {
  const { first, next } = index.partition(partition);
  const end = Math.min(before, next);
  if (end <= first) return first;
  if (writes <= 0) return end;
  const most = writesUpTo(index, partition, end - 1) - writes;
  // The last frame that has at most so many write requests before it: they ascend, so the range is halved.
  let low = first;
  let high = end - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((index.frame(partition, middle)?.before ?? 0) <= most) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** See LogReader.writesUpTo. Of what is no longer stored, what lies before the first stored frame is the nearest that is known. */
export function writesUpTo(index: Indexed, partition: number, seq: Seq): number {
  const { first, next, writes } = index.partition(partition);
  if (seq >= next - 1) return writes;
  if (seq < 0) return 0;
  const frame = index.frame(partition, seq);
  return frame === undefined ? (index.frame(partition, first)?.before ?? writes) : frame.before + frame.count;
}

/** See LogReader.stampsAt. */
export function stampsAt(index: Indexed, partition: number, seq: Seq): StampBounds | undefined {
  const frame = index.frame(partition, seq);
  return frame && { greatest: frame.greatest, through: frame.through };
}
