/**
 * The hybrid logical clock that gives write requests their stamps. It follows the wall clock while that goes forward and counts on
 * by itself while it does not, so that the stamps of one writer only ever grow: over a wall clock that jumps back, over a restart
 * (it starts at the greatest stamp that the log has seen) and after a peer's stamp was seen (so that a write made after reading a
 * peer's write wins over it).
 *
 * Rooms park stamps that are too far ahead of their own clocks. A clock that would have to give such stamps refuses instead: what is
 * refused can be retried, what every peer parks cannot.
 */
import { WmbError } from './errors.ts';
import type { Runtime } from './runtime.ts';
import { formatStamp, NO_STAMP, parseStamp, type Stamp } from './stamp.ts';

const COUNTER_MAX = 0xffff;
/** A clock may be hours ahead, but it may also be corrected at any moment: callers should look again. */
const RETRY_MS_MAX = 60_000;

export interface ClockOptions {
  readonly runtime: Runtime;
  /** See `writerId` in core/stamp.ts; no two processes may ever have the same. */
  readonly writer: number;
  /** The greatest stamp that the log has seen; NO_STAMP for a new log. */
  readonly stampLast: Stamp;
  /** How far stamps may be ahead of the wall clock. */
  readonly aheadMsMax: number;
}

export class HybridClock {
  readonly #runtime: Runtime;
  readonly #writer: number;
  readonly #aheadMsMax: number;
  #ms = 0;
  #counter = 0;

  constructor(options: ClockOptions) {
    this.#runtime = options.runtime;
    this.#writer = options.writer;
    this.#aheadMsMax = options.aheadMsMax;
    if (options.stampLast !== NO_STAMP) this.#moveTo(options.stampLast);
  }

  /** A stamp greater than all before it and than all observed. CLOCK_AHEAD, with a hint, where it would be too far ahead of the wall clock. */
  next(): Stamp {
    const nowMs = this.#nowMs();
    let ms = this.#ms;
    let counter = this.#counter + 1;
    if (nowMs > ms) {
      ms = nowMs;
      counter = 0;
    } else if (counter > COUNTER_MAX) {
      ms += 1;
      counter = 0;
    }
    if (ms > nowMs + this.#aheadMsMax) throw this.#ahead(ms - nowMs);
    this.#ms = ms;
    this.#counter = counter;
    return this.last;
  }

  /** Takes note of a stamp given elsewhere. One further ahead than `aheadMsMax` is ignored: another room's broken clock must not break this one. */
  observe(stamp: Stamp): void {
    if (stamp === NO_STAMP || parseStamp(stamp).ms > this.#nowMs() + this.#aheadMsMax) return;
    this.#moveTo(stamp);
  }

  /**
   * Catches up with the wall clock and returns a stamp that every later one of this clock will exceed: the promise of a writer that has nothing to
   * write. The log knows nothing of it: whoever tells it to others sees to it that the next clock begins above it.
   */
  settle(): Stamp {
    const nowMs = this.#nowMs();
    if (nowMs > this.#ms) {
      this.#ms = nowMs;
      this.#counter = 0;
    }
    return this.last;
  }

  /** No stamp given or observed so far is greater, but for the writer id of an observed one; every later one will be. */
  get last(): Stamp {
    return formatStamp({ ms: this.#ms, counter: this.#counter, writer: this.#writer });
  }

  #moveTo(stamp: Stamp): void {
    const { ms, counter } = parseStamp(stamp);
    if (ms < this.#ms || (ms === this.#ms && counter <= this.#counter)) return;
    this.#ms = ms;
    this.#counter = counter;
  }

  #nowMs(): number {
    return Math.floor(this.#runtime.nowMs());
  }

  #ahead(aheadMs: number): WmbError {
    const message =
      `the stamps already given are ${aheadMs} ms ahead of this machine’s clock, and ${this.#aheadMsMax} ms is the most that peers take: ` +
      'the clock has gone back, or was ahead before; correct it (NTP)';
    return new WmbError('CLOCK_AHEAD', message, { retryAfterMs: Math.min(aheadMs - this.#aheadMsMax, RETRY_MS_MAX) });
  }
}
