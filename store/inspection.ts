/**
 * The inspection port: what the checker reads of a room's cache, from what is really stored, beside the collector that applies to it and without
 * its help. Only reads. Adapters must pass store/inspection.contract.ts.
 *
 * A digest is 64 bits: the first 8 bytes of a SHA-1 over what an application would see of every key of a bucket at `nowMs`, in the order of the keys:
 * key, type, value, expiry and version. It does not depend on what a room has forgotten already (settling), nor on the store. A bucket
 * with nothing visible has the digest 0. (CRC with XOR misses two values that changed places.)
 */
import type { Effect } from '../core/converge/effects.ts';
import type { KeyState } from '../core/converge/state.ts';
import type { Version } from '../core/stamp.ts';

export interface BucketDigest {
  readonly bucket: number;
  /** Upper and lower 32 bits, unsigned. */
  readonly high: number;
  readonly low: number;
  /** Visible keys. */
  readonly keys: number;
  /** When the earliest expiry among them changes what is visible; 0: never. The digest holds until then, or until the bucket is written. */
  readonly expiresMs: number;
}

/** What the entry lists of two rooms are compared by. Equal where an application sees the same and the same write request made it. */
export interface EntryDigest {
  readonly key: string;
  /** As CacheEntry.version. */
  readonly version: Version;
  /** Of type, value and expiry: 16 hex digits. */
  readonly hash: string;
  readonly expireAtMs: number;
}

/** The hash of a key whose value the server has evicted: nobody knows what it would be, so it is equal to every other, and to none. */
export const EVICTED_HASH = '0'.repeat(16);

export interface CacheInspector {
  /** STORE_UNAVAILABLE while the collector has not made the cache yet: try again later. */
  open(): Promise<void>;
  /** In the order asked for. */
  digests(buckets: readonly number[], nowMs: number): Promise<readonly BucketDigest[]>;
  /** In the order asked for: the visible keys of a bucket, ascending by compareText. */
  entries(buckets: readonly number[], nowMs: number): Promise<readonly (readonly EntryDigest[])[]>;
  /**
   * In the order asked for: every key of a bucket of which anything is remembered, also where nothing of it is visible, ascending by compareText. Some
   * of which nothing is remembered may be among them.
   */
  keys(buckets: readonly number[]): Promise<readonly (readonly string[])[]>;
  /** In the order asked for; undefined: the room remembers nothing of the key. */
  states(keys: readonly string[]): Promise<readonly (KeyState | undefined)[]>;
  close(): Promise<void>;
}

/**
 * Puts right what a room's cache has of one key. It never invents a version and never beats a newer user write:
 * the store does it only where the key is still as the checker saw it, and only while the room has forgotten nothing that the right side had not
 * seen when it was read.
 */
export type CacheRepair = {
  readonly key: string;
  /** stateDigest of what was seen stored here; '' for nothing. */
  readonly expected: string;
  /** What the right side had passed when it was read: where the room has settled beyond it, a delete may have been forgotten that the right side lacked. */
  readonly seen: Version;
} & (
  | {
      /**
       * The right side's state replaces everything with a version up to `upTo` (which both rooms have passed);
       * what this room has beyond it stays and wins by its own versions.
       */
      readonly action: 'push';
      readonly state: KeyState;
      readonly upTo: Version;
    }
  | {
      /** Effects of logged write requests that are the winners of their elements on the right side. */
      readonly action: 'resend';
      readonly effects: readonly Effect[];
    }
);

/** `overtaken`: the key was written meanwhile; nothing was changed. `outdated`: the room has settled beyond `seen`; look again. */
export type RepairOutcome = 'repaired' | 'unchanged' | 'overtaken' | 'outdated';

/** What a cache does for the checker through the collector that owns it. Every CacheStore does it too (store/cache.ts). */
export interface CacheMending {
  /** At most `max` of the buckets that were written since they were last taken, and forgets that they were. Marked in the same transaction as the write. */
  takeDirty(max: number): Promise<readonly number[]>;
  /** One outcome per repair; each key is a transaction of its own. */
  repair(repairs: readonly CacheRepair[], nowMs: number): Promise<readonly RepairOutcome[]>;
}
