/**
 * Whether others append to the log too, as far as this process knows. While it appends alone, whoever waits at a broker for the next frame waits for this process' own: each
 * append would be read back, which costs the broker more than to take it. Then it is enough to look now and then. Whoever finds frames between its own, or needs
 * them to go on, makes it wait there again. (In an effect log stamps are not the appending process' own: its frames may be taken for others', which only has them waited for.)
 */
import type { Runtime } from '../../core/runtime.ts';
import type { Stamp } from '../../core/stamp.ts';

/** How late the first frame of another process may be seen. */
export const REST_MS = 50;
/** So long after its last append, this process no longer appends. */
const OWN_MS = 1_000;
/** So long after their last frame, others may append again at any time. */
const OTHERS_MS = 10_000;
const WRITER_DIGITS = 8;

export class Company {
  readonly #runtime: Runtime;
  #writer = '';
  #ownMs = Number.NEGATIVE_INFINITY;
  #othersMs = Number.NEGATIVE_INFINITY;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** This process has appended a frame with this stamp. */
  own(stamp: Stamp): void {
    this.#writer = writerOf(stamp);
    this.#ownMs = this.#runtime.monotonicMs();
  }

  /** A frame with this stamp was found in the topic. */
  found(stamp: Stamp): void {
    if (writerOf(stamp) !== this.#writer) this.#othersMs = this.#runtime.monotonicMs();
  }

  /** How long the topic may be left alone; 0: frames are waited for. */
  get restMs(): number {
    const nowMs = this.#runtime.monotonicMs();
    return nowMs - this.#ownMs < OWN_MS && nowMs - this.#othersMs >= OTHERS_MS ? REST_MS : 0;
  }
}

function writerOf(stamp: Stamp): string {
  return stamp.slice(-WRITER_DIGITS);
}
