/**
 * Which seqs of one lane are compared in a round: the windows that have become complete since the last one, the last, incomplete one, and some older ones, from the newest
 * back and then from the front again, because receipts change when what is parked is retried.
 */
import type { LogEpoch, Seq } from '../../core/words.ts';

/** Seqs of a window; windows begin at multiples of it in every room. */
export const WINDOW_SEQS = 256;
const NEW_WINDOWS_MAX = 64;
/** Older windows a round, until all have been seen once, and from then on. */
const SWEEP_FIRST_WINDOWS = 4;
const SWEEP_WINDOWS = 1;
/** So many older windows in a row that a room has nothing of any more: the sweep has come to the old end. */
const GONE_WINDOWS = 8;
/** Frames a round whose own receipts are looked through for parked ones. */
const LOOK_SEQS_MAX = 1_024;

export interface Window {
  readonly from: Seq;
  readonly to: Seq;
  readonly part: 'new' | 'tail' | 'sweep';
}

/** What comparing a window showed. `gone`: a room has nothing of it; `put-off`: the round had no room for the details. */
export type WindowResult = 'compared' | 'gone' | 'put-off';

export class LaneWindows {
  readonly epoch: LogEpoch;
  /** Where the first window begins that was not compared since it is complete. */
  #next: Seq;
  /** Where the next older window begins; below 0: the sweep starts at the newest. */
  #sweep: Seq;
  #sweptOnce = false;
  #gone = 0;
  /** Own receipts were looked through up to here. */
  #looked: Seq;

  constructor(epoch: LogEpoch, upTo: Seq) {
    this.epoch = epoch;
    this.#next = tailStart(upTo);
    this.#sweep = this.#next - WINDOW_SEQS;
    this.#looked = this.#next - 1;
  }

  /** `upTo`: both rooms have receipts up to it. It may go back, when a room's cache came back from an older copy. */
  plan(upTo: Seq): readonly Window[] {
    const tail = tailStart(upTo);
    if (this.#next > tail) this.#next = tail;
    if (this.#looked > upTo) this.#looked = upTo;
    const windows: Window[] = [];
    for (let from = this.#next; from < tail && windows.length < NEW_WINDOWS_MAX; from += WINDOW_SEQS) {
      windows.push({ from, to: from + WINDOW_SEQS - 1, part: 'new' });
    }
    if (upTo >= tail) windows.push({ from: tail, to: upTo, part: 'tail' });
    if (this.#sweep < 0 || this.#sweep >= this.#next) this.#sweep = this.#next - WINDOW_SEQS;
    const count = this.#sweptOnce ? SWEEP_WINDOWS : SWEEP_FIRST_WINDOWS;
    for (let from = this.#sweep; from >= 0 && from > this.#sweep - count * WINDOW_SEQS; from -= WINDOW_SEQS) {
      windows.push({ from, to: from + WINDOW_SEQS - 1, part: 'sweep' });
    }
    return windows;
  }

  /** Own receipts that nobody has looked through yet; undefined: none. */
  toLookThrough(upTo: Seq): { readonly from: Seq; readonly to: Seq } | undefined {
    const from = this.#looked + 1;
    return from > upTo ? undefined : { from, to: Math.min(upTo, from + LOOK_SEQS_MAX - 1) };
  }

  lookedThrough(to: Seq): void {
    this.#looked = to;
  }

  /** To be called for the windows of a plan in their order. */
  done(window: Window, result: WindowResult): void {
    if (window.part === 'new' && result !== 'put-off' && window.from === this.#next) this.#next = window.to + 1;
    if (window.part !== 'sweep' || window.from !== this.#sweep) return;
    this.#gone = result === 'gone' ? this.#gone + 1 : 0;
    this.#sweep = window.from - WINDOW_SEQS;
    if (this.#sweep >= 0 && this.#gone < GONE_WINDOWS) return;
    this.#sweep = -1;
    this.#gone = 0;
    this.#sweptOnce = true;
  }
}

function tailStart(upTo: Seq): Seq {
  return Math.floor((upTo + 1) / WINDOW_SEQS) * WINDOW_SEQS;
}
