/**
 * The cache port. One call applies the effects of a batch of write requests and moves the batch's mark, atomically per
 * cache node: either all of it is there afterwards or nothing. The move is compare-and-move: where the stored mark is
 * not `expected`, nothing changes and the stored mark comes back. So a cache that was restored from an older copy is
 * simply replayed from the older mark that it brought back, and a second collector on the same lane is refused.
 *
 * Marks do not say all: a floor rests on the marks of every lane, and a retry moves none. So whoever changes something also
 * names the *generation* of the cache that it knows, and the store refuses where it is in another one (docs/adr/0005). An adapter
 * leaves a revision behind with every change, never the same twice, and looks at it in the transaction of the next: where it finds another one than it
 * left, the store came back from an older copy, lost its last commits, was emptied, or somebody else works on it, and a new
 * generation begins. On Redis that is one field compared and set in the script that does the work.
 *
 * The marks of a cache of several nodes are the smallest of the nodes' marks; a node that is ahead applies the batch again
 * (effects are idempotent) without moving its own mark.
 *
 * Adapters must pass store/cache.contract.ts and store/mending.contract.ts.
 */
import type { CacheEntry, Effect } from '../core/converge/effects.ts';
import type { Stamp, Version } from '../core/stamp.ts';
import type { Lane, LogEpoch, Mark, Outcome, Seq } from '../core/words.ts';
import type { CacheMending } from './inspection.ts';

/**
 * How often this store, since it was opened, found itself other than it had left itself. It only grows, and says nothing to another process.
 */
export type Generation = number;

/** Read in one transaction. */
export interface CacheMarks {
  readonly generation: Generation;
  readonly marks: readonly Mark[];
  /** Up to here what this cache remembers may have been forgotten; of several nodes the greatest. Empty: nothing has. */
  readonly settled: Version;
}

/** Moves the mark of a lane from `expected` to `next`. `expected` -1: no mark is stored, or one of another epoch. */
export interface MarkMove extends Lane {
  readonly epoch: LogEpoch;
  readonly expected: Seq;
  readonly next: Seq;
}

export interface CacheBatch {
  /** Of the marks that the moves and the floor were made from. */
  readonly generation: Generation;
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
  /**
   * Nothing was changed: the store is in another generation than the batch; or, where it is the same, `stored` is the mark found for the first
   * lane whose expectation failed (undefined: none).
   */
  | { readonly moved: false; readonly generation: Generation; readonly stored: Mark | undefined };

export interface CacheSweep {
  /** Of the marks that the floor was made from. */
  readonly generation: Generation;
  readonly floor: Stamp;
  readonly nowMs: number;
  /** Where several collectors write to the cache: what each other one had left in it ({@link CacheStore.left}) when it said what it has seen. */
  readonly restsOn?: readonly string[];
}

export interface CacheStore extends CacheMending {
  open(): Promise<void>;
  marks(): Promise<CacheMarks>;
  apply(batch: CacheBatch): Promise<CacheResult>;
  /** What an application would read at `nowMs`; undefined where nothing is visible. */
  get(key: string, nowMs: number): Promise<CacheEntry | undefined>;
  /** All visible keys, once each, in ascending order of the key's UTF-8 bytes, those starting with `prefix`. Not one snapshot. */
  scan(options: { readonly prefix: string; readonly nowMs: number }): AsyncIterable<CacheEntry>;
  /**
   * Forgets, in small bounded steps, what the floor allows (tombstones, settled increments, expired keys). Returns how many rows went. Rejects with
   * MARK_MOVED, at whichever step, where the store is in another generation.
   */
  sweep(sweep: CacheSweep): Promise<number>;
  /** What this collector has left in the cache for certain; undefined where no other one can write to it. */
  left?(): string;
  close(): Promise<void>;
}
