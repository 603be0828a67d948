/** Seeded chance and a shaky clock for tests. */
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';

export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed * 2_654_435_769;
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** 0 to below - 1. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }

  is(probability: number): boolean {
    return this.next() < probability;
  }
}

/** Another wall clock over the same time. */
export class RoomTime extends VirtualTime {
  readonly #time: VirtualTime;
  skewMs = 0;

  constructor(time: VirtualTime, skewMs = 0) {
    super();
    this.#time = time;
    this.skewMs = skewMs;
  }

  override nowMs(): number {
    return this.#time.nowMs() + this.skewMs;
  }

  override monotonicMs(): number {
    return this.#time.monotonicMs();
  }

  override after(delayMs: number, task: () => void) {
    return this.#time.after(delayMs, task);
  }

  /** Work without a wait is done at one moment. */
  override turn(): Promise<void> {
    return Promise.resolve();
  }

  /** What the promise gives, while time goes on. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let settled = false;
    const done = promise.finally(() => {
      settled = true;
    });
    done.catch(() => {});
    for (await this.#time.advance(0); !settled; ) await this.#time.advance(20);
    return done;
  }

  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#time.after(delayMs, resolve));
  }
}
