/**
 * The share of a processor that looking at the cache may take, in milliseconds of work here and at the cache's server (measureWork). Whoever has
 * worked goes into debt and waits until it is paid; what is not used does not add up beyond one second's worth.
 *
 * Serving (what a comparison waits for) has at most half of it, so that a busy peer cannot keep the tree from being built and swept.
 */
import { measureWork, type Runtime, sleep } from '../../core/runtime.ts';

const SERVING_SHARE = 0.5;
/** A question waits no longer than this in all, whatever it costs: a deadline stands behind it. */
const WAIT_MS_MAX = 1_000;

export class WorkBudget {
  readonly #runtime: Runtime;
  readonly #msPerSecond: number;
  #allMs: number;
  #servingMs: number;
  #filledMs: number;

  constructor(runtime: Runtime, percentMax: number) {
    this.#runtime = runtime;
    this.#msPerSecond = percentMax * 10;
    this.#allMs = this.#msPerSecond;
    this.#servingMs = this.#msPerSecond * SERVING_SHARE;
    this.#filledMs = runtime.monotonicMs();
  }

  /** Milliseconds of work that may be done in the background now. */
  backgroundMs(): number {
    this.#fill();
    return this.#allMs;
  }

  /** For one question: what resolves, before each part of the answer, when that part may be worked at. */
  serving(): () => Promise<void> {
    let leftMs = WAIT_MS_MAX;
    return async () => {
      this.#fill();
      if (this.#servingMs > 0 || leftMs <= 0) return;
      const dueMs = (-this.#servingMs / (this.#msPerSecond * SERVING_SHARE)) * 1_000;
      const waitMs = Math.min(leftMs, Math.ceil(dueMs));
      leftMs -= waitMs;
      await sleep(this.#runtime, waitMs);
    };
  }

  /** Of what others do here meanwhile some is counted too, as the process has one thread. */
  measure(): () => number {
    return measureWork(this.#runtime);
  }

  spend(ms: number, serving: boolean): void {
    this.#allMs -= ms;
    if (serving) this.#servingMs -= ms;
  }

  #fill(): void {
    const nowMs = this.#runtime.monotonicMs();
    const seconds = (nowMs - this.#filledMs) / 1_000;
    this.#filledMs = nowMs;
    this.#allMs = Math.min(this.#msPerSecond, this.#allMs + seconds * this.#msPerSecond);
    this.#servingMs = Math.min(this.#msPerSecond * SERVING_SHARE, this.#servingMs + seconds * this.#msPerSecond * SERVING_SHARE);
  }
}
