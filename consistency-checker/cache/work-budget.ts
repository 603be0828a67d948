/**
 * The share of a processor that looking at the cache may take, in measured milliseconds. Whoever has worked goes into debt and waits until it is paid;
 * what is not used does not add up beyond one second's worth.
 *
 * Serving (what a comparison waits for) has at most half of it, so that a busy peer cannot keep the tree from being built and swept.
 */
import { type Runtime, sleep } from '../../core/runtime.ts';

/** At most 5 % of one processor. */
const WORK_MS_PER_SECOND = 50;
const SERVING_SHARE = 0.5;
/** A question is answered after this long, whatever it costs: a deadline stands behind it. */
const WAIT_MS_MAX = 1_000;

export class WorkBudget {
  readonly #runtime: Runtime;
  #allMs = WORK_MS_PER_SECOND;
  #servingMs = WORK_MS_PER_SECOND * SERVING_SHARE;
  #filledMs: number;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    this.#filledMs = runtime.monotonicMs();
  }

  /** Milliseconds of work that may be done in the background now. */
  backgroundMs(): number {
    this.#fill();
    return this.#allMs;
  }

  /** Resolves when a question may be answered. */
  async untilServing(): Promise<void> {
    this.#fill();
    if (this.#servingMs > 0) return;
    const dueMs = (-this.#servingMs / (WORK_MS_PER_SECOND * SERVING_SHARE)) * 1_000;
    await sleep(this.#runtime, Math.min(WAIT_MS_MAX, Math.ceil(dueMs)));
  }

  spend(ms: number, serving: boolean): void {
    this.#allMs -= ms;
    if (serving) this.#servingMs -= ms;
  }

  #fill(): void {
    const nowMs = this.#runtime.monotonicMs();
    const seconds = (nowMs - this.#filledMs) / 1_000;
    this.#filledMs = nowMs;
    this.#allMs = Math.min(WORK_MS_PER_SECOND, this.#allMs + seconds * WORK_MS_PER_SECOND);
    this.#servingMs = Math.min(WORK_MS_PER_SECOND * SERVING_SHARE, this.#servingMs + seconds * WORK_MS_PER_SECOND * SERVING_SHARE);
  }
}
