/**
 * Everything that a room remembers of one key, as plain data that can travel: what the checker compares element by element, and what the
 * repair `push` carries from the right side to the wrong one.
 */
import type { Version } from '../stamp.ts';
import type { Cap, Expiry } from './cell.ts';
import type { KeyType } from './effects.ts';

export interface KeyState {
  readonly key: string;
  readonly type: KeyType | 'none';
  readonly kill: Version;
  readonly expireAtMs: number;
  /** Timelines only. */
  readonly caps: readonly Cap[];
  /** Ascending by name (compareText). Value null: tombstone; '' for members of sets and timelines; a number for members of a zset. */
  readonly registers: readonly RegisterState[];
  /** Ascending by name, then version. */
  readonly increments: readonly IncrementState[];
  /** Ascending by version. */
  readonly expiries: readonly Expiry[];
}

export interface RegisterState {
  readonly name: string;
  readonly version: Version;
  readonly value: string | number | null;
}

export interface IncrementState {
  readonly name: string;
  readonly version: Version;
  readonly delta: string | number;
}
