/** For how long something that is tried again and again has failed. */

/** What has answered for so long has worked, whatever comes then. */
const STEADY_MS = 10_000;

export class Outage {
  #sinceMs: number | undefined;
  #answeredMs = 0;

  get answeredMs(): number {
    return this.#answeredMs;
  }

  /** An answer has come; what is tried may fail in the next moment all the same, and fail so again and again. */
  answered(nowMs: number): void {
    this.#answeredMs = nowMs;
  }

  /** It has done what it is there for. */
  over(): void {
    this.#sinceMs = undefined;
  }

  /** An attempt has failed that began at `startedMs`. `isFirst`: of this outage. */
  failed(startedMs: number, nowMs: number): { readonly failingMs: number; readonly isFirst: boolean } {
    if (this.#answeredMs - startedMs >= STEADY_MS) this.#sinceMs = undefined;
    const isFirst = this.#sinceMs === undefined;
    this.#sinceMs ??= Math.max(startedMs, this.#answeredMs);
    return { failingMs: Math.round(nowMs - this.#sinceMs), isFirst };
  }
}
