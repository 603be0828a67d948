/**
 * The cache port. One call applies the effects of a batch of write requests and moves the batch's mark, atomically per
 * cache node: either all of it is there afterwards or nothing. The move is compare-and-move: where the stored mark is
 * not `expected`, nothing changes and the stored mark comes back. So a cache that was restored from an older copy is
 * simply replayed from the older mark that it brought back, and a second collector on the same lane is refused.
 *
 * The marks of a cache of several nodes are the smallest of the nodes' marks; a node that is ahead applies the batch again
 * (effects are idempotent) without moving its own mark.
 *
 * Adapters must pass store/cache.contract.ts.
 */
import type { CacheEntry, Effect } from '../core/converge/effects.ts';
import type { Stamp } from '../core/stamp.ts';
import type { Lane, LogEpoch, Mark, Outcome, Seq } from '../core/words.ts';

/** Moves the mark of a lane from `expected` to `next`. `expected` -1: no mark is stored, or one of another epoch. */
export interface MarkMove extends Lane {
  readonly epoch: LogEpoch;
  readonly expected: Seq;
  readonly next: Seq;
}

export interface CacheBatch {
  /**
   * Marks moved together with the effects, all or nothing. Empty: effects only (a retry from the parking lot, a repair,
   * or a replay below the mark).
   */
  readonly moves: readonly MarkMove[];
  /** In log order; each is the effects of one write request. */
  readonly writes: readonly (readonly Effect[])[];
  /**
   * Every room has applied everything with a stamp up to this one: what is remembered only for the sake of older write
   * requests may be forgotten. Empty: forget nothing.
   */
  readonly floor: Stamp;
  /** The room's wall clock, for expiry. */
  readonly nowMs: number;
}

/** Outcome of one write request in the cache. A write request without effects is `applied`. */
export type CacheOutcome = Extract<Outcome, 'applied' | 'superseded' | 'duplicate'> | 'late';

export type CacheResult =
  | { readonly moved: true; readonly outcomes: readonly CacheOutcome[] }
  /** Nothing was changed; `stored` is the mark found for the first lane whose expectation failed (undefined: none). */
  | { readonly moved: false; readonly stored: Mark | undefined };

export interface CacheStore {
  open(): Promise<void>;
  marks(): Promise<readonly Mark[]>;
  apply(batch: CacheBatch): Promise<CacheResult>;
  /** What an application would read at `nowMs`; undefined where nothing is visible. */
  get(key: string, nowMs: number): Promise<CacheEntry | undefined>;
  /** All visible keys, once each, in ascending order of the key's UTF-8 bytes, those starting with `prefix`. Not one snapshot. */
  scan(options: { readonly prefix: string; readonly nowMs: number }): AsyncIterable<CacheEntry>;
  /** Forgets, in small bounded steps, what `floor` allows (tombstones, settled increments, expired keys). Returns how many rows went. */
  sweep(floor: Stamp, nowMs: number): Promise<number>;
  close(): Promise<void>;
}
