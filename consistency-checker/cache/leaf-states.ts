/** What the keeper knows of each leaf beside its digest: whether it holds, and when it is to be computed anew. A byte a leaf, so that resting ones are passed over four at a time. */
import { BUCKETS } from '../../core/converge/bucket.ts';

/** Every write since it was read will be named, or has marked it. */
const CLEAN = 0;
/** Never computed. */
const UNKNOWN = 1;
/** Written since it was computed. */
const DIRTY = 2;
/** Computed, but writes may have been marked that nobody tells the keeper of. */
const DOUBTFUL = 3;
const STATE = 3;

/** The sweep has come by. */
const SWEEP = 4;
/** To be computed again at some moment because it was written. */
const AGAIN = 8;
/** Something in it expires. */
const EXPIRES = 16;

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
  readonly #flags = new Uint8Array(BUCKETS).fill(UNKNOWN);
  readonly #fours = new Uint32Array(this.#flags.buffer);
  readonly #stages = new Uint8Array(BUCKETS);
  /** Seconds of the monotonic clock. */
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
    return this.#state(bucket) === CLEAN;
  }

  /** It was written. */
  mark(bucket: number): void {
    if (this.#state(bucket) !== UNKNOWN) this.#setState(bucket, DIRTY);
  }

  /** Something may have been written anywhere. */
  doubtAll(): void {
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) if (this.#state(bucket) === CLEAN) this.#setState(bucket, DOUBTFUL);
  }

  /**
   * Before the leaf is read: what is marked from here on stays marked, also while the reading is under way. `vouched`: whatever is written
   * from now on will be named. Gives back what {@link failed} needs.
   */
  begin(bucket: number, { vouched, monotonicMs }: { readonly vouched: boolean; readonly monotonicMs: number }): number {
    const before = this.#state(bucket);
    if (before === UNKNOWN) this.#unknown -= 1;
    this.#setState(bucket, vouched ? CLEAN : DOUBTFUL);
    this.#set(bucket, SWEEP, false);
    this.#plan(bucket, before === DIRTY, Math.floor(monotonicMs / 1_000) + 1);
    return before;
  }

  /** It was read. */
  done(bucket: number, expires: boolean): void {
    this.#set(bucket, EXPIRES, expires);
  }

  /** It could not be read. */
  failed(bucket: number, before: number): void {
    if (before === UNKNOWN) this.#unknown += 1;
    this.#setState(bucket, before === UNKNOWN ? UNKNOWN : DIRTY);
  }

  /** The sweep goes on by so many leaves. Returns how many of them have been waiting since it was here before. */
  sweep(leaves: number): number {
    let late = 0;
    for (let count = 0; count < leaves; count += 1) {
      if (((this.#flags[this.#sweepAt] ?? 0) & SWEEP) !== 0) late += 1;
      this.#set(this.#sweepAt, SWEEP, true);
      this.#sweepAt = (this.#sweepAt + 1) % BUCKETS;
    }
    return late;
  }

  /** Up to `max` leaves that are due, going round all leaves from where the last call stopped; looks at `looks` leaves or a few more. */
  due(max: number, looks: number, clock: LeafClock): { readonly buckets: number[]; readonly looked: number } {
    const buckets: number[] = [];
    const nowS = clock.monotonicMs / 1_000;
    let looked = 0;
    while (looked < looks && buckets.length < max) {
      const bucket = this.#cursor;
      const resting = bucket % 4 === 0 && this.#fours[bucket >>> 2] === 0;
      if (!resting && this.#isDue(bucket, nowS, clock)) buckets.push(bucket);
      const step = resting ? 4 : 1;
      looked += step;
      this.#cursor = (bucket + step) % BUCKETS;
    }
    return { buckets, looked };
  }

  #isDue(bucket: number, nowS: number, { hopeful, expired }: LeafClock): boolean {
    const flags = this.#flags[bucket] ?? 0;
    const state = flags & STATE;
    if (state === UNKNOWN || state === DIRTY || (flags & SWEEP) !== 0) return true;
    if (state === DOUBTFUL && hopeful) return true;
    return ((flags & AGAIN) !== 0 && (this.#againS[bucket] ?? 0) <= nowS) || ((flags & EXPIRES) !== 0 && expired(bucket));
  }

  #plan(bucket: number, written: boolean, nowS: number): void {
    const waits = ((this.#flags[bucket] ?? 0) & AGAIN) !== 0;
    if (!written && (!waits || (this.#againS[bucket] ?? 0) > nowS)) return;
    const stage = written ? 0 : (this.#stages[bucket] ?? 0) + 1;
    const seconds = AGAIN_SECONDS[stage];
    this.#stages[bucket] = stage;
    this.#set(bucket, AGAIN, seconds !== undefined);
    this.#againS[bucket] = nowS + (seconds ?? 0);
  }

  #state(bucket: number): number {
    return (this.#flags[bucket] ?? 0) & STATE;
  }

  #setState(bucket: number, state: number): void {
    this.#flags[bucket] = ((this.#flags[bucket] ?? 0) & ~STATE) | state;
  }

  #set(bucket: number, flag: number, on: boolean): void {
    const flags = this.#flags[bucket] ?? 0;
    this.#flags[bucket] = on ? flags | flag : flags & ~flag;
  }
}
