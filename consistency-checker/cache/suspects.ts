/** Keys that differ and may yet turn out to be lag, and those that were confirmed. Both bounded. */
import type { Runtime } from '../../core/runtime.ts';
import type { FoundDifference } from './elements.ts';

export const SUSPECTS_MAX = 10_000;
const NEW_PER_ROUND_MAX = 4_096;
/** Differing elements of one key whose age is known. */
const ELEMENTS_MAX = 64;
/** A key that was confirmed is not confirmed again for this long while the difference is the same. */
const KNOWN_MS = 300_000;

export interface Suspect {
  readonly key: string;
  /** Wall clock of this room. */
  readonly firstSeenMs: number;
  /** Both sides' entries, and since when (monotonic) they have been just these. */
  pair: string;
  sinceMs: number;
  dueMs: number;
  /** By the print of the difference: since when it has been seen. */
  elements: Map<string, number>;
}

interface Known {
  readonly firstSeenMs: number;
  readonly pair: string;
  readonly prints: ReadonlySet<string>;
  readonly untilMs: number;
}

export class Suspects {
  readonly #runtime: Runtime;
  readonly #graceMs: number;
  readonly #suspects = new Map<string, Suspect>();
  readonly #known = new Map<string, Known>();
  #added = 0;
  #overflowed = false;

  constructor({ runtime, graceMs }: { readonly runtime: Runtime; readonly graceMs: number }) {
    this.#runtime = runtime;
    this.#graceMs = graceMs;
  }

  get size(): number {
    return this.#suspects.size;
  }

  get full(): boolean {
    return this.#suspects.size >= SUSPECTS_MAX || this.#added >= NEW_PER_ROUND_MAX;
  }

  /** There was no place for a key since the round began. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  /** There is little place left: what can wait should be found again later. */
  get crowded(): boolean {
    return this.#suspects.size > SUSPECTS_MAX / 2;
  }

  keys(): readonly string[] {
    return [...this.#suspects.keys()];
  }

  beginRound(): void {
    this.#added = 0;
    this.#overflowed = false;
  }

  overflow(): void {
    this.#overflowed = true;
  }

  /** The key differs; `pair` is what the rooms show of it. */
  add(key: string, pair: string): void {
    const nowMs = this.#runtime.monotonicMs();
    const suspect = this.#suspects.get(key);
    if (suspect !== undefined) {
      if (suspect.pair !== pair) Object.assign(suspect, { pair, sinceMs: nowMs });
      return;
    }
    const known = this.#known.get(key);
    if (known !== undefined && known.pair === pair && known.untilMs > nowMs) return;
    if (this.full) {
      this.#overflowed = true;
      return;
    }
    this.#added += 1;
    const firstSeenMs = known?.firstSeenMs ?? this.#runtime.nowMs();
    this.#suspects.set(key, { key, firstSeenMs, pair, sinceMs: nowMs, dueMs: nowMs + this.#graceMs, elements: new Map() });
  }

  drop(key: string): void {
    this.#suspects.delete(key);
  }

  /** The rooms agree on the key. */
  clear(key: string): void {
    this.#suspects.delete(key);
    this.#known.delete(key);
  }

  clearWhere(agree: (key: string) => boolean): void {
    for (const key of this.#suspects.keys()) if (agree(key)) this.#suspects.delete(key);
    for (const key of this.#known.keys()) if (agree(key)) this.#known.delete(key);
  }

  /** Up to `max` keys whose time has come, those first that have waited longest. */
  due(max: number): readonly Suspect[] {
    const nowMs = this.#runtime.monotonicMs();
    const due: Suspect[] = [];
    for (const suspect of this.#suspects.values()) if (suspect.dueMs <= nowMs) due.push(suspect);
    return due.sort((a, b) => a.dueMs - b.dueMs).slice(0, max);
  }

  /** Only lag was found: it is looked at again soon, or dropped where many wait. */
  defer(suspect: Suspect): void {
    suspect.elements.clear();
    if (this.crowded) this.#suspects.delete(suspect.key);
    else suspect.dueMs = this.#runtime.monotonicMs() + this.#graceMs / 4;
  }

  /**
   * These differences of the key cannot be lag. Gives back those that are older than the grace period: their age counts from when they were first
   * seen here, or, where the rooms still show just what they showed then (`pair`), from when the key was found.
   */
  ripen(suspect: Suspect, found: readonly FoundDifference[], pair: string): readonly FoundDifference[] {
    const nowMs = this.#runtime.monotonicMs();
    const bornMs = suspect.pair === pair ? suspect.sinceMs : nowMs;
    const ages = new Map<string, number>();
    // Those whose age is known come first, so that a key that differs in many elements gets somewhere.
    for (const { name, print } of found) {
      const sinceMs = suspect.elements.get(`${print}/${name}`);
      if (sinceMs !== undefined && ages.size < ELEMENTS_MAX) ages.set(`${print}/${name}`, sinceMs);
    }
    for (const { name, print } of found) {
      const id = `${print}/${name}`;
      if (ages.size < ELEMENTS_MAX && !ages.has(id)) ages.set(id, bornMs);
    }
    suspect.elements = ages;
    suspect.dueMs = Math.max(nowMs + 1, Math.min(...ages.values()) + this.#graceMs);
    return found.filter(({ name, print }) => (ages.get(`${print}/${name}`) ?? nowMs) + this.#graceMs <= nowMs);
  }

  /** False: the same was confirmed a short while ago. */
  confirm(suspect: Suspect, found: readonly FoundDifference[], pair: string): boolean {
    const { key, firstSeenMs } = suspect;
    const nowMs = this.#runtime.monotonicMs();
    const before = this.#known.get(key);
    this.#suspects.delete(key);
    const isNews =
      before === undefined || before.untilMs <= nowMs || found.some(({ name, print }) => !before.prints.has(`${print}/${name}`));
    this.#known.delete(key);
    const untilMs = isNews ? nowMs + KNOWN_MS : before.untilMs;
    this.#known.set(key, { firstSeenMs, pair, prints: new Set(found.map(({ name, print }) => `${print}/${name}`)), untilMs });
    const [oldest] = this.#known.keys();
    if (this.#known.size > SUSPECTS_MAX && oldest !== undefined) this.#known.delete(oldest);
    return isNews;
  }

  /** Wall clock; undefined where nothing is known of the key. */
  firstSeenMs(key: string): number | undefined {
    return (this.#suspects.get(key) ?? this.#known.get(key))?.firstSeenMs;
  }
}
