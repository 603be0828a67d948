/**
 * An effect is one convergent operation on one element of one cache key. Effects carry absolute values and a version
 * (stamp and place within the write request), so that a room may apply them in any order and any number of times.
 *
 * - An element is the whole value of a string key, a field of a hash, a member of a set, sorted set or timeline.
 * - A register effect (set, hset, sadd, zadd and the removals) wins over every smaller version of its element.
 * - `del` kills everything of the key with a version up to its own.
 * - An increment counts once, on top of the greatest register below it; increments at or below the register are void.
 * - An effect of another type than the key has: the greater version replaces the whole key.
 * - `expire` is a register of the key. Whoever reads at or after `expireAtMs` sees what was written before it as deleted.
 */
import type { Version } from '../stamp.ts';

interface OnKey {
  readonly key: string;
  readonly version: Version;
}

export type Effect = OnKey &
  /** `expireAtMs` 0: no expiry; a set takes an earlier expiry away, as in Redis. */
  (
    | { readonly op: 'set'; readonly value: string; readonly expireAtMs: number }
    | { readonly op: 'del' }
    /** `expireAtMs` 0: PERSIST. An expiry not after the write request's own time has become `del` already. */
    | { readonly op: 'expire'; readonly expireAtMs: number }
    | { readonly op: 'hset'; readonly field: string; readonly value: string }
    | { readonly op: 'hdel'; readonly field: string }
    | { readonly op: 'sadd'; readonly member: string }
    | { readonly op: 'srem'; readonly member: string }
    | { readonly op: 'zadd'; readonly member: string; readonly score: number }
    | { readonly op: 'zrem'; readonly member: string }
    /** `delta`: a 64-bit integer in decimal. */
    | { readonly op: 'incr'; readonly delta: string }
    | { readonly op: 'hincr'; readonly field: string; readonly delta: string }
    /** Doubles are added in version order, so that every room rounds alike. */
    | { readonly op: 'zincr'; readonly member: string; readonly delta: number }
    /** A member stays while fewer newer members stand above it than the smallest cap given with it or after it. */
    | { readonly op: 'timeline'; readonly member: string; readonly cap: number }
  );

export type KeyType = 'string' | 'hash' | 'set' | 'zset' | 'timeline';

/** What an application sees of a key now: only live elements, in a fixed order. */
export type CacheValue =
  | { readonly type: 'string'; readonly value: string }
  /** Sorted by field. */
  | { readonly type: 'hash'; readonly fields: readonly (readonly [field: string, value: string])[] }
  /** Sorted. */
  | { readonly type: 'set'; readonly members: readonly string[] }
  /** Sorted by score, then member. A timeline is shown as one whose scores are its members' stamps in milliseconds. */
  | { readonly type: 'zset'; readonly members: readonly (readonly [member: string, score: number])[] };

export interface CacheEntry {
  readonly key: string;
  readonly value: CacheValue;
  /** 0: none. */
  readonly expireAtMs: number;
  /** The greatest version that this key's visible state depends on. */
  readonly version: Version;
}

/** What applying one effect did: `duplicate` means that exactly this version is already there. */
export type EffectOutcome = 'applied' | 'superseded' | 'duplicate';
