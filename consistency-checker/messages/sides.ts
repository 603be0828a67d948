/** What a room's receipt of one write request says, and when two of them are a difference. */
import { type FrameReceipts, isGivenUp } from '../../core/inspection.ts';
import type { Outcome } from '../../core/words.ts';

/** `none`: the room has no receipt, although its mark has passed the position. */
export type ReceiptSide = {
  readonly outcome: Outcome | 'none';
  /** Code of docs/errors.md, or empty. */
  readonly code: string;
  /** Wall clock of the room; 0: not known. */
  readonly atMs: number;
  /** Parked ones only; 0 otherwise. */
  readonly parkedMs: number;
  readonly attempts: number;
};

export const NO_RECEIPT: ReceiptSide = { outcome: 'none', code: '', atMs: 0, parkedMs: 0, attempts: 0 };

export function sideOf(frame: FrameReceipts | undefined, index: number): ReceiptSide {
  if (frame === undefined || (index >= frame.count && !isGivenUp(frame))) return NO_RECEIPT;
  const exception = isGivenUp(frame) ? frame.exceptions[0] : frame.exceptions.find((it) => it.index === index);
  if (exception === undefined) return { ...NO_RECEIPT, outcome: 'applied', atMs: frame.appliedMs };
  const { outcome, code, parkedMs, attempts } = exception;
  return { outcome, code, atMs: frame.appliedMs, parkedMs, attempts };
}

/**
 * Whether two receipts of one write request are a drift. Which of two write requests came first may differ between rooms, so `applied` and `superseded` are
 * the same. What is parked is one wherever it is. What nobody has applied is no loss, however the rooms put it.
 */
export function areDifferent(mine: ReceiptSide, theirs: ReceiptSide): boolean {
  const outcomes = [wordOf(mine), wordOf(theirs)];
  if (outcomes.includes('parked')) return true;
  if (!outcomes.includes('applied')) return false;
  return outcomes[0] !== outcomes[1];
}

function wordOf({ outcome }: ReceiptSide): ReceiptSide['outcome'] {
  return outcome === 'superseded' ? 'applied' : outcome;
}
