/** A runtime for tests whose time stands still until it is advanced. */
import type { Runtime, Timer } from '../runtime.ts';

export class VirtualTime implements Runtime {
  #ms: number;
  #order = 0;
  #bytes = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly order: number; readonly task: () => void }>();

  constructor(startMs = 1_700_000_000_000) {
    this.#ms = startMs;
  }

  nowMs(): number {
    return this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  after(delayMs: number, task: () => void): Timer {
    const timer = { atMs: this.#ms + delayMs, order: this.#order, task };
    this.#order += 1;
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  random(): number {
    return 0.5;
  }

  bytes(count: number): Uint8Array {
    this.#bytes += 1;
    const value = Buffer.alloc(count);
    value.writeUInt32BE(this.#bytes);
    return value;
  }

  /** Runs what falls due within the next `ms` milliseconds, in order, each with everything that follows from it. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#ms + ms;
    await this.#settle();
    for (;;) {
      let next: { readonly atMs: number; readonly order: number; readonly task: () => void } | undefined;
      for (const timer of this.#timers) {
        const sooner = next === undefined || timer.atMs < next.atMs || (timer.atMs === next.atMs && timer.order < next.order);
        if (sooner) next = timer;
      }
      if (next === undefined || next.atMs > untilMs) break;
      this.#timers.delete(next);
      this.#ms = Math.max(this.#ms, next.atMs);
      next.task();
      await this.#settle();
    }
    this.#ms = untilMs;
  }

  /** Lets promises and turns of the event loop run out. */
  async #settle(): Promise<void> {
    for (let round = 0; round < 5; round += 1) await this.turn();
  }
}
