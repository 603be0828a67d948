/** Appends that wait for each other go into a log together, in groups of bounded size, and are answered together. */
import type { WmbError } from '../core/errors.ts';
import type { Seq } from '../core/words.ts';
import type { FrameDraft } from './log.ts';

/** So that the next group is never far. */
const GROUP_BYTES_MAX = 8 * 1024 * 1024;
const GROUP_FRAMES_MAX = 4_096;
export interface WaitingAppend {
  readonly drafts: readonly FrameDraft[];
  readonly bytes: number;
  readonly resolve: (seqs: readonly Seq[]) => void;
  readonly reject: (error: WmbError) => void;
}

/** Takes the next group off the front: at least one append, however large it is. */
export function takeGroup(pending: WaitingAppend[]): readonly WaitingAppend[] {
  let bytes = 0;
  let frames = 0;
  let taken = 0;
  for (const append of pending) {
    bytes += append.bytes;
    frames += append.drafts.length;
    if (taken > 0 && (bytes > GROUP_BYTES_MAX || frames > GROUP_FRAMES_MAX)) break;
    taken += 1;
  }
  return pending.splice(0, taken);
}

/** `seqs` are those of all drafts of the group, in their order. */
export function answerGroup(group: readonly WaitingAppend[], seqs: readonly Seq[]): void {
  let at = 0;
  for (const append of group) {
    append.resolve(seqs.slice(at, at + append.drafts.length));
    at += append.drafts.length;
  }
}
