/**
 * A limit in bytes per second. Whoever takes more than is there goes into debt and waits until the debt is paid, so that one frame may be
 * larger than the bucket and the average still holds.
 */
import { type Runtime, sleep } from '../runtime.ts';

/** What may be sent in one burst: this part of a second's bytes. */
const BURST_SECONDS = 0.1;

export class TokenBucket {
  readonly #runtime: Runtime;
  readonly #bytesPerSecond: number;
  readonly #burstBytes: number;
  #bytes: number;
  #filledMs: number;

  constructor(runtime: Runtime, bytesPerSecond: number) {
    this.#runtime = runtime;
    this.#bytesPerSecond = bytesPerSecond;
    this.#burstBytes = bytesPerSecond * BURST_SECONDS;
    this.#bytes = this.#burstBytes;
    this.#filledMs = runtime.monotonicMs();
  }

  /** Resolves when `bytes` may be sent, or when `signal` aborts. Takers are served in the order of their calls. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#runtime.monotonicMs();
    this.#bytes = Math.min(this.#burstBytes, this.#bytes + ((now - this.#filledMs) / 1000) * this.#bytesPerSecond);
    this.#filledMs = now;
    this.#bytes -= bytes;
    if (this.#bytes < 0) await sleep(this.#runtime, (-this.#bytes / this.#bytesPerSecond) * 1000, signal);
  }
}
