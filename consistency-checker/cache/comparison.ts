/**
 * Compares the keys of two rooms (L2 and L3), in both directions at once. A round finds the leaves that differ, the keys that differ in them, and keeps
 * these as suspects. When the grace period has passed, both rooms' states of a suspect are read, after both horizons: what differs in versions that both rooms
 * have passed cannot be lag. It is confirmed if it was the same difference all along and a second reading shows it still: between the two readings of one
 * look a delete may have been applied and forgotten on one side.
 *
 * A clean round is the sixteen digests at the top of the other room's tree: 128 bytes, whatever the rooms hold.
 */
import type { Topology } from '../../core/config/types.ts';
import { bucketOf } from '../../core/converge/bucket.ts';
import type { CacheEntry } from '../../core/converge/effects.ts';
import { entryHash, isEvicted, type KeyState, visibleOf } from '../../core/converge/state.ts';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import { type EntryDigest, EVICTED_HASH } from '../../store/inspection.ts';
import type { ElementDifference } from '../drift.ts';
import type { Horizon, RoomView, StateAnswer } from '../room.ts';
import { Descent } from './descent.ts';
import { compareStates, type FoundDifference } from './elements.ts';
import { type Settled, settledBy } from './settled.ts';
import { type Suspect, Suspects } from './suspects.ts';
import { CountedRoom } from './wire-bytes.ts';

/** Buckets and keys asked for at once. */
const BUCKETS_AT_ONCE = 32;
const KEYS_AT_ONCE = 32;
/** A round takes on no more than this. */
const LEAVES_MAX = 256;
const ENTRIES_MAX = 16_384;
const LOOKS_MAX = 512;
const FINDING_MS_MAX = 2_000;
const LOOKING_MS_MAX = 2_000;
/** Of one key, in a report. */
const ELEMENTS_MAX = 256;

export interface ConfirmedKey {
  readonly key: string;
  readonly mine: StateAnswer;
  readonly theirs: StateAnswer;
  readonly horizons: readonly [mine: Horizon, theirs: Horizon];
  /** Wall clock of the comparing room. */
  readonly firstSeenMs: number;
  /**
   * What differs and cannot be lag, in the order [mine, theirs]; 256 at most. Other elements of the two states may differ because a write request is
   * still on its way. A counter stands here as it was when both rooms had the same increments.
   */
  readonly elements: readonly ElementDifference[];
}

export interface KeyRound {
  /** Asked and answered between the rooms. */
  readonly bytes: number;
  readonly ms: number;
  readonly suspects: number;
  /** More keys differ than are kept: those left out are found again when there is place. */
  readonly overflowed: boolean;
  /** Everything that differs was looked at, and both trees are whole. */
  readonly complete: boolean;
  readonly confirmed: readonly ConfirmedKey[];
}

export interface KeyComparisonOptions {
  readonly mine: RoomView;
  readonly theirs: RoomView;
  readonly topology: Topology;
  readonly graceMs: number;
  readonly runtime: Runtime;
}

/** Both horizons, read before any state that is judged by them. */
interface View {
  readonly horizons: readonly [Horizon, Horizon];
  readonly settled: Settled;
  /** The later of the two rooms' clocks: what has expired in one has expired for both. */
  readonly nowMs: number;
}

interface Looked {
  readonly mine: StateAnswer;
  readonly theirs: StateAnswer;
  /** As EntryDigests would show it. */
  readonly pair: string;
  /** Empty as well where an expiry is too near to tell. */
  readonly found: readonly FoundDifference[];
}

export class KeyComparison {
  readonly #options: KeyComparisonOptions;
  readonly #suspects: Suspects;
  /** Confirmed, and not yet told: a room may fall silent in the middle of a round. */
  #ready: ConfirmedKey[] = [];
  #cursor = 0;

  constructor(options: KeyComparisonOptions) {
    this.#options = options;
    this.#suspects = new Suspects(options);
  }

  suspectKeys(): readonly string[] {
    return this.#suspects.keys();
  }

  /** Rejects with the first error of one of the rooms; the next round goes on from there. */
  async round(): Promise<KeyRound> {
    const { runtime } = this.#options;
    const startedMs = runtime.monotonicMs();
    const theirs = new CountedRoom(this.#options.theirs);
    this.#suspects.beginRound();
    const complete = await this.#find(theirs);
    await this.#lookAtDue(theirs);
    const confirmed = this.#ready;
    this.#ready = [];
    return {
      bytes: theirs.bytes,
      ms: runtime.monotonicMs() - startedMs,
      suspects: this.#suspects.size,
      overflowed: this.#suspects.overflowed,
      complete: complete && !this.#suspects.overflowed,
      confirmed,
    };
  }

  /**
   * What differs now, without a grace period. Undefined where the rooms agree, or differ only by write requests that are known to be on their way, or
   * an expiry is so near that the clocks decide. Where a room cannot say how far it is, a difference is not taken for lag.
   */
  async differs(key: string): Promise<ConfirmedKey | undefined> {
    return (await this.differAll([key]))[0];
  }

  /** As {@link differs}, of each of some keys: the rooms are asked together. */
  async differAll(keys: readonly string[]): Promise<readonly (ConfirmedKey | undefined)[]> {
    if (keys.length === 0) return [];
    const theirs = new CountedRoom(this.#options.theirs);
    const view = await this.#view(theirs);
    const looks = await this.#look(theirs, keys, view);
    return looks.map((looked) => {
      const elements = looked.found.filter(({ passage }) => passage !== 'ahead');
      if (elements.length > 0) return this.#confirmedKey(looked, elements, view);
      this.#suspects.clear(looked.mine.key);
      return undefined;
    });
  }

  // ── finding ──

  async #find(theirs: CountedRoom): Promise<boolean> {
    const { mine, runtime } = this.#options;
    const descent = new Descent({ mine, theirs, cursor: this.#cursor });
    await descent.begin();
    const untilMs = runtime.monotonicMs() + FINDING_MS_MAX;
    let [leaves, entries] = [0, 0];
    while (leaves < LEAVES_MAX && entries < ENTRIES_MAX && runtime.monotonicMs() <= untilMs) {
      if (this.#suspects.full) {
        if (!descent.complete) this.#suspects.overflow();
        break;
      }
      const next = await descent.next();
      if (next === undefined) break;
      leaves += next.leaves.length;
      for (let at = 0; at < next.leaves.length; at += BUCKETS_AT_ONCE) {
        entries += await this.#compareEntries(theirs, next.leaves.slice(at, at + BUCKETS_AT_ONCE));
      }
      this.#cursor = next.cursor;
    }
    this.#suspects.clearWhere((key) => descent.isEqual(bucketOf(key)));
    return descent.complete;
  }

  /** Returns how many entries were read. */
  async #compareEntries(theirs: CountedRoom, buckets: readonly number[]): Promise<number> {
    const { mine, topology, runtime } = this.#options;
    const answers = await Promise.all([mine.entries(buckets), theirs.entries(buckets)]);
    if (answers.some((answer) => answer.length !== buckets.length)) {
      throw new WmbError(
        'PEER_GARBAGE',
        `the entries of ${buckets.length} buckets were asked for and ${answers.map((answer) => answer.length)} came`,
      );
    }
    const soonMs = runtime.nowMs() + topology.limits.clockAheadMsMax;
    const differing = new Map<string, string>();
    const [own, other] = [byKey(answers[0]), byKey(answers[1])];
    for (const key of new Set([...own.keys(), ...other.keys()])) {
      const [a, b] = [own.get(key), other.get(key)];
      if (expiresBy(a, soonMs) || expiresBy(b, soonMs)) continue;
      if (a?.hash === EVICTED_HASH || b?.hash === EVICTED_HASH) continue;
      const pair = [a, b].map((entry) => entry && `${entry.version} ${entry.hash}`);
      if (pair[0] !== pair[1]) differing.set(key, pairText(pair[0], pair[1]));
    }
    const looked = new Set(buckets);
    this.#suspects.clearWhere((key) => looked.has(bucketOf(key)) && !differing.has(key));
    for (const [key, pair] of differing) this.#suspects.add(key, pair);
    return own.size + other.size;
  }

  // ── looking at suspects ──

  async #lookAtDue(theirs: CountedRoom): Promise<void> {
    const { runtime } = this.#options;
    const due = this.#suspects.due(LOOKS_MAX);
    if (due.length === 0) return;
    const untilMs = runtime.monotonicMs() + LOOKING_MS_MAX;
    for (let at = 0; at < due.length && runtime.monotonicMs() <= untilMs; at += KEYS_AT_ONCE) {
      const view = await this.#view(theirs);
      const suspects = due.slice(at, at + KEYS_AT_ONCE);
      const first = await this.#lookOnce(theirs, suspects, view);
      if (first.size > 0) await this.#lookAgain(theirs, first, view);
    }
  }

  /** Those whose differences are old enough. */
  async #lookOnce(theirs: CountedRoom, suspects: readonly Suspect[], view: View): Promise<Map<Suspect, readonly FoundDifference[]>> {
    const looks = await this.#look(theirs, keysOf(suspects), view);
    const ripe = new Map<Suspect, readonly FoundDifference[]>();
    for (const [index, suspect] of suspects.entries()) {
      const looked = looks[index];
      const found = looked?.found ?? [];
      const passed = found.filter(({ passage }) => passage === 'passed');
      if (looked === undefined || found.length === 0) this.#suspects.clear(suspect.key);
      else if (passed.length === 0) this.#suspects.defer(suspect);
      else {
        const old = this.#suspects.ripen(suspect, passed, looked.pair);
        if (old.length > 0) ripe.set(suspect, old);
      }
    }
    return ripe;
  }

  /** Confirms what a second reading of both rooms shows as well. */
  async #lookAgain(theirs: CountedRoom, first: ReadonlyMap<Suspect, readonly FoundDifference[]>, view: View): Promise<void> {
    const suspects = [...first.keys()];
    const looks = await this.#look(theirs, keysOf(suspects), view);
    suspects.forEach((suspect, index) => {
      const looked = looks[index];
      const prints = new Set(first.get(suspect)?.map(({ name, print }) => `${print}/${name}`));
      const still = looked?.found.filter(({ name, print, passage }) => passage === 'passed' && prints.has(`${print}/${name}`)) ?? [];
      if (looked === undefined || still.length === 0) return;
      const { firstSeenMs } = suspect;
      if (this.#suspects.confirm(suspect, still, looked.pair)) {
        this.#ready.push({ ...this.#confirmedKey(looked, still, view), firstSeenMs });
      }
    });
  }

  async #view(theirs: CountedRoom): Promise<View> {
    const { mine, topology } = this.#options;
    const horizons = await Promise.all([mine.horizon(), theirs.horizon()]);
    return { horizons, settled: settledBy(topology, horizons), nowMs: Math.max(...horizons.map(({ nowMs }) => nowMs)) };
  }

  async #look(theirs: CountedRoom, keys: readonly string[], view: View): Promise<readonly Looked[]> {
    const [own, other] = await Promise.all([this.#options.mine.states(keys), theirs.states(keys)]);
    const { nowMs, settled } = view;
    const soonMs = nowMs + this.#options.topology.limits.clockAheadMsMax;
    return keys.map((key, index) => {
      const [mine, theirs] = [own[index], other[index]];
      if (mine?.key !== key || theirs?.key !== key)
        throw new WmbError('PEER_GARBAGE', `the states of ${keys.length} keys were asked for and others came`);
      const states = { mine: mine.state, theirs: theirs.state };
      const near = [mine.state, theirs.state].some((state) => isEvicted(state) || expiresWithin(state, nowMs, soonMs));
      if (near) return { mine, theirs, pair: '', found: [] };
      const shown = [visibleOf(mine.state, nowMs), visibleOf(theirs.state, nowMs)].map((entry) => entry && shownText(entry));
      // Where an application sees the same, versions of single elements may differ: that is no difference.
      const found = shown[0] === shown[1] ? [] : compareStates({ ...states, nowMs, settled });
      return { mine, theirs, pair: pairText(shown[0], shown[1]), found };
    });
  }

  #confirmedKey({ mine, theirs }: Looked, found: readonly FoundDifference[], { horizons }: View): ConfirmedKey {
    const { key } = mine;
    const elements = found.slice(0, ELEMENTS_MAX).map(({ name, versions, values }) => ({ name, versions, values }));
    return { key, mine, theirs, horizons, firstSeenMs: this.#suspects.firstSeenMs(key) ?? this.#options.runtime.nowMs(), elements };
  }
}

function pairText(mine = '', theirs = ''): string {
  return `${mine}/${theirs}`;
}

/** What an EntryDigest is compared by. */
function shownText(entry: CacheEntry): string {
  return `${entry.version} ${entryHash(entry)}`;
}

function byKey(entries: readonly (readonly EntryDigest[])[]): ReadonlyMap<string, EntryDigest> {
  return new Map(entries.flat().map((entry) => [entry.key, entry]));
}

function keysOf(suspects: readonly Suspect[]): readonly string[] {
  return suspects.map(({ key }) => key);
}

function expiresBy(entry: EntryDigest | undefined, soonMs: number): boolean {
  return entry !== undefined && entry.expireAtMs !== 0 && entry.expireAtMs <= soonMs;
}

/** Expiry is each room's own: around its moment the clocks decide who shows the key. */
function expiresWithin(state: KeyState | undefined, fromMs: number, toMs: number): boolean {
  if (state === undefined) return false;
  return [state.expireAtMs, ...state.expiries.map(({ atMs }) => atMs)].some((atMs) => atMs > fromMs && atMs <= toMs);
}
