/**
 * What a room remembers of one key. The rules (rules.ts) speak to it through `KeyCell`, so that the same rules run over a map in memory
 * and over the few rows of a big collection that an effect touches.
 *
 * - Everything with a version up to `kill` is void for good and is pruned at once. A `set` kills everything up to its own version, itself
 *   excepted.
 * - Registers, one per element (a string has one, named ''): the greatest version; value null is a tombstone. Increments above the
 *   register stay apart until the floor has passed them.
 * - Expiries: the `expire` effects above `kill`. The expiry that came with a `set` stands in the head and has the version `kill`.
 */
import type { Version } from '../stamp.ts';
import type { EffectOutcome, KeyType } from './effects.ts';

/** `late`: the floor has passed the effect, and nothing stored says that it was applied or superseded; it was not applied. */
export type EffectResult = EffectOutcome | 'late';

export interface Register {
  readonly version: Version;
  /** A number for a member of a zset, '' for a member of a set or timeline; null: tombstone. */
  readonly value: string | number | null;
}

/** `delta`: decimal integer for strings and hash fields, double for zset members. */
export interface Increment {
  readonly version: Version;
  readonly delta: string | number;
}

/** `atMs` 0: no expiry from here on. */
export interface Expiry {
  readonly version: Version;
  readonly atMs: number;
}

/** A cap given to a timeline; it holds for members with a version up to its own. */
export interface Cap {
  readonly version: Version;
  readonly cap: number;
}

/**
 * The version of an expiry that nobody set: a store gives it where it cannot read what it has stored of the key (its type, an expiry, a timeline's caps). It is above all versions and is
 * none, so it is seen as long as it is there, settles never, and no repair carries it over. It changes no moment: that is the one which is in force anyway.
 */
export const DAMAGED: Version = '~damaged';

/** The same for a key whose value the store's server has evicted to save memory: nothing is known of it but versions. That is no deletion and no damage. */
export const EVICTED: Version = '~evicted';

export interface KeyHead {
  /** Type of the registers and increments; `none` where there are none. */
  type: KeyType | 'none';
  kill: Version;
  /** Expiry of the `set` with the version `kill`; 0: none. */
  expireAtMs: number;
  /** Timelines only: versions and caps both ascending. */
  caps: readonly Cap[];
  /** Timelines only: number of members stored or more; says when it is worth looking for hidden ones. */
  members: number;
}

export function emptyHead(): KeyHead {
  return { type: 'none', kill: '', expireAtMs: 0, caps: [], members: 0 };
}

export interface KeyCell {
  /** Call `headChanged` after changing a field of it. */
  readonly head: KeyHead;
  headChanged(): void;

  register(name: string): Register | undefined;
  setRegister(name: string, register: Register): void;
  dropRegister(name: string): void;
  registers(): Iterable<readonly [name: string, register: Register]>;
  /** Names of the tombstones with a version up to `upTo`. */
  tombstones(upTo: Version): readonly (readonly [name: string, version: Version])[];

  hasIncrement(name: string, version: Version): boolean;
  addIncrement(name: string, increment: Increment): void;
  dropIncrements(name: string, upTo: Version): void;
  /** Those up to `upTo` ('' for all), by name, ascending by version within a name. */
  increments(upTo: Version): Iterable<readonly [name: string, increments: readonly Increment[]]>;

  /** Ascending. */
  expiries(): readonly Expiry[];
  addExpiry(expiry: Expiry): void;
  dropExpiries(upTo: Version): void;

  /** The greatest version of a register or an increment; '' for none. */
  top(): Version;
  /** Removes all registers, increments and expiries with a version up to `upTo`. */
  dropUpTo(upTo: Version): void;
}
