/** What the keeper knows of each leaf beside its digest: whether it holds, and when it is to be computed anew. */
import { BUCKETS } from '../../core/converge/bucket.ts';

/** Never computed. */
const UNKNOWN = 0;
/** Written since it was computed. */
const DIRTY = 1;
/** Computed, but writes may have been marked that nobody tells the keeper of. */
const DOUBTFUL = 2;
/** Every write since it was read will be named, or has marked it. */
const CLEAN = 3;

/** A leaf that was written is computed again this long after it, each step counted from the one before. */
const AGAIN_SECONDS: readonly number[] = [10, 50, 240];

export interface LeafClock {
  /** Never goes back. */
  readonly monotonicMs: number;
  /** Doubtful leaves are worth computing: they would be clean then. */
  readonly hopeful: boolean;
  /** The leaf's digest has run out. */
  readonly expired: (bucket: number) => boolean;
}

export class LeafStates {
  readonly #states = new Uint8Array(BUCKETS);
  readonly #sweepDue = new Uint8Array(BUCKETS);
  readonly #stages = new Uint8Array(BUCKETS);
  /** Seconds of the monotonic clock; 0: not again. */
  readonly #againS = new Uint32Array(BUCKETS);
  #unknown = BUCKETS;
  #cursor = 0;
  #sweepAt = 0;

  /** Share of the leaves that were computed. */
  get built(): number {
    return 1 - this.#unknown / BUCKETS;
  }

  /** Only expiry, or somebody behind WMB's back, can have changed it since it was read: as far as is known here. */
  isClean(bucket: number): boolean {
    return this.#states[bucket] === CLEAN;
  }

  /** It was written. */
  mark(bucket: number): void {
    if (this.#states[bucket] !== UNKNOWN) this.#states[bucket] = DIRTY;
  }

  /** Something may have been written anywhere. */
  doubtAll(): void {
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) if (this.#states[bucket] === CLEAN) this.#states[bucket] = DOUBTFUL;
  }

  /**
   * Before the leaf is read: what is marked from here on stays marked, also while the reading is under way. `vouched`: whatever is written
   * from now on will be named. Gives back what {@link failed} needs.
   */
  begin(bucket: number, { vouched, monotonicMs }: { readonly vouched: boolean; readonly monotonicMs: number }): number {
    const before = this.#states[bucket] ?? UNKNOWN;
    if (before === UNKNOWN) this.#unknown -= 1;
    this.#states[bucket] = vouched ? CLEAN : DOUBTFUL;
    this.#sweepDue[bucket] = 0;
    this.#plan(bucket, before === DIRTY, Math.floor(monotonicMs / 1_000) + 1);
    return before;
  }

  /** It could not be read. */
  failed(bucket: number, before: number): void {
    if (before === UNKNOWN) this.#unknown += 1;
    this.#states[bucket] = before === UNKNOWN ? UNKNOWN : DIRTY;
  }

  /** The sweep goes on by so many leaves. Returns how many of them have been waiting since it was here before. */
  sweep(leaves: number): number {
    let late = 0;
    for (let count = 0; count < leaves; count += 1) {
      late += this.#sweepDue[this.#sweepAt] ?? 0;
      this.#sweepDue[this.#sweepAt] = 1;
      this.#sweepAt = (this.#sweepAt + 1) % BUCKETS;
    }
    return late;
  }

  /** Up to `max` leaves that are due, going round all leaves from where the last call stopped; looks at `looks` leaves at most. */
  due(max: number, looks: number, clock: LeafClock): { readonly buckets: number[]; readonly looked: number } {
    const buckets: number[] = [];
    const nowS = clock.monotonicMs / 1_000;
    let looked = 0;
    for (; looked < looks && buckets.length < max; looked += 1) {
      if (this.#isDue(this.#cursor, nowS, clock)) buckets.push(this.#cursor);
      this.#cursor = (this.#cursor + 1) % BUCKETS;
    }
    return { buckets, looked };
  }

  #isDue(bucket: number, nowS: number, { hopeful, expired }: LeafClock): boolean {
    const state = this.#states[bucket];
    if (state === UNKNOWN || state === DIRTY || this.#sweepDue[bucket] === 1) return true;
    if (state === DOUBTFUL && hopeful) return true;
    const againS = this.#againS[bucket] ?? 0;
    return (againS !== 0 && againS <= nowS) || expired(bucket);
  }

  #plan(bucket: number, written: boolean, nowS: number): void {
    const againS = this.#againS[bucket] ?? 0;
    if (!written && (againS === 0 || againS > nowS)) return;
    const stage = written ? 0 : (this.#stages[bucket] ?? 0) + 1;
    const seconds = AGAIN_SECONDS[stage];
    this.#stages[bucket] = stage;
    this.#againS[bucket] = seconds === undefined ? 0 : nowS + seconds;
  }
}
