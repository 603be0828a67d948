/**
 * The digest by which two rooms compare their receipts of a range of frames. It is equal where both have the same frames and the same write requests of
 * them were not done: `duplicate`, `parked` and `rejected` count. `applied` and `superseded` are the same here, because which of two write requests
 * came first may differ; and codes do not count, because rooms may fail differently.
 *
 * A frame is named by its seq, its number of write requests and its last stamp. Its first stamp would add nothing, and a slave room of a master–slave
 * topology does not know it of a frame whose effects it began to take in the middle, after a restart.
 */
import { hash } from 'node:crypto';
import type { FrameReceipts } from '../../core/inspection.ts';
import type { Outcome } from '../../core/words.ts';

export interface DigestedFrame extends Pick<FrameReceipts, 'seq' | 'count' | 'stampLast'> {
  readonly exceptions: readonly { readonly index: number; readonly outcome: Outcome }[];
}

/** 16 hex digits. `frames`, and the exceptions of each, ascending. */
export function receiptDigest(frames: Iterable<DigestedFrame>): string {
  let text = '';
  for (const { seq, count, stampLast, exceptions } of frames) {
    text += `${seq} ${count} ${stampLast}`;
    for (const { index, outcome } of exceptions) if (isUndone(outcome)) text += ` ${index} ${outcome}`;
    text += '\n';
  }
  return hash('sha1', text, 'hex').slice(0, 16);
}

/** Whether the digest tells the outcome from `applied`. */
export function isUndone(outcome: Outcome): boolean {
  return outcome === 'duplicate' || outcome === 'parked' || outcome === 'rejected';
}
