/**
 * The credit that one attempt of a lane gives to the origin: bytes of frames on their way or waiting in the collector. It goes back when the frames have their receipts. On
 * a long line most of it is on its way all the time; where this room's stores keep up nevertheless, the origin gets twice as much, for as long as they do.
 */
import type { Runtime } from '../../core/runtime.ts';

/** With small frames a message for each take would cost more than the frames do: credit is given back when so much of it is owed, and the origin has the rest. */
const SHARE = 1 / 4;
const LONG_LINE = 2;

export class LaneCredit {
  /** At most so much is on its way or waits. */
  readonly bytesMax: number;
  readonly #laneBytesMax: number;
  readonly #runtime: Runtime;
  /** Taken, and not given back yet; below 0 where the origin is to have less than before. */
  #owedBytes = 0;
  /** Since when they were taken. */
  #sinceMs: number;
  /** From `resume` to its answer: the round trip, and what the origin did meanwhile. */
  #roundTripMs = 0;
  #isLong = false;

  constructor(laneBytesMax: number, runtime: Runtime) {
    this.bytesMax = LONG_LINE * laneBytesMax;
    this.#laneBytesMax = laneBytesMax;
    this.#runtime = runtime;
    this.#sinceMs = runtime.monotonicMs();
  }

  /** The origin is asked to go on. Returns its first credit, in bytes. */
  asked(): number {
    this.#sinceMs = this.#runtime.monotonicMs();
    return this.#laneBytesMax;
  }

  answered(): void {
    this.#roundTripMs = this.#runtime.monotonicMs() - this.#sinceMs;
  }

  /** Frames of so many bytes have their receipts, and so many bytes wait behind them. Returns what to give back now. */
  taken(bytes: number, waitingBytes: number): number {
    this.#owedBytes += bytes;
    if (this.#owedBytes < this.#laneBytesMax * SHARE) return 0;
    this.#measure(waitingBytes);
    const given = Math.max(0, this.#owedBytes);
    this.#owedBytes -= given;
    this.#sinceMs = this.#runtime.monotonicMs();
    return given;
  }

  /** A line is long where more than half of the credit is on its way at this pace. Stores that do not keep up would have twice as much waiting in memory. */
  #measure(waitingBytes: number): void {
    const half = this.#laneBytesMax / 2;
    const more = this.bytesMax - this.#laneBytesMax;
    const onTheirWay = (this.#owedBytes * this.#roundTripMs) / (this.#runtime.monotonicMs() - this.#sinceMs);
    if (!this.#isLong && onTheirWay > half && waitingBytes < half) {
      this.#isLong = true;
      this.#owedBytes += more;
    } else if (this.#isLong && waitingBytes > half) {
      this.#isLong = false;
      this.#owedBytes -= more;
    }
  }
}
