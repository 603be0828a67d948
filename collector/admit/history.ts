/**
 * The duplicate window of a lane over time: rebuilt from history frames at the start, moved on with every batch, and right also when a
 * batch fails and is taken again: what was said of its frames is kept until they have their receipts.
 */
import type { Seq } from '../../core/words.ts';
import type { SeqFrame } from './frames.ts';
import { DuplicateWindow } from './window.ts';

const NO_DUPLICATES: ReadonlySet<number> = new Set();

export class History {
  readonly #limit: number;
  #window: DuplicateWindow | undefined;
  /** The seq up to which frames have their receipts and stand in the window; meaningless while it is being rebuilt. */
  #base: Seq = -1;
  #rebuilding = false;
  /** Indices of the duplicates of each frame that stands in the window and has no receipts yet. */
  readonly #verdicts = new Map<Seq, ReadonlySet<number>>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Prepares for frames after `after`. Returns how many write requests of history must come first. */
  resume(after: Seq): number {
    if (this.#window !== undefined && !this.#rebuilding && this.#base === after) return 0;
    this.#window = new DuplicateWindow(this.#limit);
    this.#verdicts.clear();
    this.#base = after;
    this.#rebuilding = after >= 0;
    return this.#rebuilding ? this.#limit : 0;
  }

  /** A history frame: its ids enter the window, nothing else. */
  learn(frame: SeqFrame): void {
    if (!this.#rebuilding) return;
    for (const write of frame.writes) this.#window?.add(write.requestId);
  }

  /** Which write requests of the frame are duplicates, by index. */
  duplicates(frame: SeqFrame): ReadonlySet<number> {
    this.#rebuilding = false;
    const known = this.#verdicts.get(frame.seq);
    if (known !== undefined) return known;
    let found: Set<number> | undefined;
    for (let index = 0; index < frame.writes.length; index += 1) {
      if (this.#window?.add(frame.writes[index]?.requestId ?? '')) {
        found ??= new Set();
        found.add(index);
      }
    }
    const verdict = found ?? NO_DUPLICATES;
    this.#verdicts.set(frame.seq, verdict);
    return verdict;
  }

  /** The frames up to `seq` have their receipts. */
  commit(seq: Seq): void {
    for (let done = this.#base + 1; done <= seq; done += 1) this.#verdicts.delete(done);
    this.#base = seq;
  }

  /** The lane goes back to another epoch: nothing of the window counts. */
  reset(): void {
    this.#window = undefined;
  }
}
