/**
 * Two rooms' states of one key, compared element by element. Rooms settle at different times, so what is compared is what would be seen, with the
 * version that core/converge/visible.ts would give, never how it is stored.
 *
 * Each difference says whether it could still be lag (`Passage`). It is judged by the versions of that element alone, and by what took the element away on the
 * side that lacks it: so one lost field is found in a hash whose other fields never rest. A counter that never rests is compared as
 * it stood when both rooms had the same: by the increments that both have passed.
 */
import { hash } from 'node:crypto';
import type { Increment, Register } from '../../core/converge/cell.ts';
import { allExpiries, deathOf } from '../../core/converge/expiry.ts';
import { compareText } from '../../core/converge/order.ts';
import type { KeyState } from '../../core/converge/state.ts';
import { shownMembers } from '../../core/converge/timeline.ts';
import { foldIncrements } from '../../core/converge/value.ts';
import { expiryInForce, type Live, lastDeath, liveElements } from '../../core/converge/visible.ts';
import type { Version } from '../../core/stamp.ts';
import type { ElementDifference } from '../drift.ts';
import { everythingSettled, type Passage, type Settled } from './settled.ts';

export interface FoundDifference extends ElementDifference {
  /** `passed`: it cannot be lag. */
  readonly passage: Passage;
  /** The same while it is the same difference. */
  readonly print: string;
}

/**
 * What differs at `nowMs`, in the order [mine, theirs]; empty where an application sees the same and the same write requests made it. The name is empty
 * for a string, and for what concerns the key as a whole: its deletion (value null, version of what deleted it), its expiry (values `expires at MS`,
 * `expires never`, `expired at MS`), another type (values such as `hash of 3 elements`).
 */
export function elementDifferences(mine: KeyState | undefined, theirs: KeyState | undefined, nowMs: number): readonly ElementDifference[] {
  const found = compareStates({ mine, theirs, nowMs, settled: everythingSettled });
  return found.map(({ name, versions, values }) => ({ name, versions, values }));
}

export interface StatePair {
  readonly mine: KeyState | undefined;
  readonly theirs: KeyState | undefined;
  readonly nowMs: number;
  readonly settled: Settled;
}

export function compareStates({ mine, theirs, nowMs, settled }: StatePair): readonly FoundDifference[] {
  const pair: Pair = { sides: [sideOf(mine, nowMs), sideOf(theirs, nowMs)], settled };
  const [a, b] = pair.sides;
  if (a.shown.size > 0 && b.shown.size > 0 && a.type !== b.type) return [clash(pair)];
  const found: FoundDifference[] = [];
  const taken: Taken = { byKill: [[], []], byExpiry: [[], []] };
  for (const name of [...new Set([...a.shown.keys(), ...b.shown.keys()])].sort(compareText)) {
    const difference = compareElement(pair, name, taken);
    if (difference !== undefined) found.push(difference);
  }
  return [...keyDifferences(pair, taken), ...found];
}

// ── one side ──

interface Side {
  readonly type: KeyState['type'];
  readonly kill: Version;
  readonly death: Version;
  /** The expiry that `death` comes from. */
  readonly deathBy: Version;
  readonly deathMs: number;
  readonly expiry: { readonly version: Version; readonly atMs: number };
  /** Each may cancel the one before it. */
  readonly expiries: readonly Version[];
  readonly shown: ReadonlyMap<string, Live>;
  readonly registers: ReadonlyMap<string, Register>;
  readonly increments: ReadonlyMap<string, readonly Increment[]>;
  /** Timelines: the oldest member shown, and everything that decides what is hidden. */
  readonly oldest: Version;
  readonly hiding: readonly Version[];
}

interface Pair {
  readonly sides: readonly [Side, Side];
  readonly settled: Settled;
}

/** Elements that one side shows and the other has lost to something that concerns the key as a whole; by the side that shows them. */
interface Taken {
  readonly byKill: readonly [Live[], Live[]];
  readonly byExpiry: readonly [Live[], Live[]];
}

const NOTHING: KeyState = { key: '', type: 'none', kill: '', expireAtMs: 0, caps: [], registers: [], increments: [], expiries: [] };

function sideOf(state: KeyState = NOTHING, nowMs: number): Side {
  const { type, kill, caps } = state;
  const registers = new Map(state.registers.map(({ name, version, value }) => [name, { version, value }]));
  const increments = new Map<string, Increment[]>();
  for (const { name, version, delta } of state.increments) {
    const known = increments.get(name);
    if (known === undefined) increments.set(name, [{ version, delta }]);
    else known.push({ version, delta });
  }
  const expiries = allExpiries(state, state.expiries);
  const death = lastDeath(expiries, nowMs);
  const live = type === 'none' ? [] : liveElements({ registers: () => registers, increments: () => increments }, death);
  const shown = type === 'timeline' ? shownMembers(live, caps) : live;
  const by = death === '' ? undefined : expiries.find((_, index) => deathOf(expiries, index) === death);
  return {
    ...{ type, kill, death, registers, increments },
    deathBy: by?.version ?? '',
    deathMs: by?.atMs ?? 0,
    expiry: expiryInForce(expiries, nowMs),
    expiries: expiries.map(({ version }) => version),
    shown: new Map(shown.map((element) => [element.name, element])),
    oldest: type === 'timeline' ? (shown.at(-1)?.version ?? '') : '',
    hiding: type === 'timeline' ? [...live.map(({ version }) => version), ...caps.map(({ version }) => version)] : [],
  };
}

// ── one element ──

function compareElement(pair: Pair, name: string, taken: Taken): FoundDifference | undefined {
  const [a, b] = pair.sides;
  const mine = a.shown.get(name);
  const theirs = b.shown.get(name);
  if (mine !== undefined && theirs !== undefined && mine.version === theirs.version && sameValue(mine.value, theirs.value))
    return undefined;
  const index = mine === undefined ? 1 : 0;
  const element = mine ?? theirs;
  if (element === undefined) return undefined;
  if (mine === undefined || theirs === undefined) {
    const lacking = pair.sides[1 - index] as Side;
    if (lacking.kill >= element.version && element.version !== '') return void taken.byKill[index].push(element);
    // What has not come yet may take the expiry away.
    const hasCome = passageOf(pair, [element.version]) === 'passed';
    if (lacking.death > element.version && hasCome) return void taken.byExpiry[index].push(element);
  }
  const counted = a.increments.has(name) || b.increments.has(name);
  if (counted && a.type === b.type && a.kill === b.kill && a.death === b.death) {
    const passed = compareCounts(pair, name);
    if (passed !== undefined) return passed;
  }
  const versions = [mine?.version ?? versionOf(a, name), theirs?.version ?? versionOf(b, name)] as const;
  const involved = [...versions, ...partsOf(a, name), ...partsOf(b, name)];
  let passage = passageOf(pair, involved);
  if ((mine === undefined || theirs === undefined) && passage === 'passed') passage = whyHidden(pair, 1 - index, element);
  return difference(name, versions, [mine?.value ?? null, theirs?.value ?? null], passage);
}

/** Of an element that is not shown: its tombstone's, if it has one. */
function versionOf(side: Side, name: string): Version {
  const register = side.registers.get(name);
  return register !== undefined && register.value === null ? register.version : '';
}

/** What an element's value is made of. */
function partsOf(side: Side, name: string): readonly Version[] {
  const register = side.registers.get(name);
  const increments = (side.increments.get(name) ?? []).map(({ version }) => version);
  return register === undefined ? increments : [register.version, ...increments];
}

/** A member of a timeline that one side lacks may have been pushed out there by newer ones, which the other side may not have yet. */
function whyHidden({ sides, settled }: Pair, lacking: number, { version }: Live): Passage {
  const side = sides[lacking] as Side;
  if (side.type !== 'timeline' || version > side.oldest) return 'passed';
  return worst(side.hiding.map((each) => settled.passage(each)));
}

/**
 * A counter as it stood when both rooms had the same increments. Undefined where that cannot be told: one room has folded increments into the register
 * that the other may lack.
 */
function compareCounts({ sides: [a, b], settled }: Pair, name: string): FoundDifference | undefined {
  const bases = [baseOf(a, name), baseOf(b, name)] as const;
  const later = bases[0].version > bases[1].version ? bases[0].version : bases[1].version;
  if (bases[0].version !== bases[1].version && later > settled.all) return undefined;
  const pending = [pendingOf(a, name), pendingOf(b, name)] as const;
  const passages = pending.flat().map(({ version }) => settled.passage(version));
  if (passages.includes('unknown')) return undefined;
  const counts = ([0, 1] as const).map((index) => {
    const counted = pending[index].filter(({ version }) => settled.passage(version) === 'passed');
    return { version: counted.at(-1)?.version ?? bases[index].version, value: foldIncrements(bases[index].value, counted) };
  });
  const [mine, theirs] = counts;
  if (mine === undefined || theirs === undefined) return undefined;
  const same = sameValue(mine.value, theirs.value) && (mine.value === null || mine.version === theirs.version);
  const versions = [mine.version, theirs.version] as const;
  // Whatever the sums do, it is the same difference: those that are compared have passed.
  return { ...difference(name, versions, [mine.value, theirs.value], same ? 'ahead' : 'passed'), print: 'count' };
}

function baseOf(side: Side, name: string): Register {
  const register = side.registers.get(name) ?? { version: '', value: null };
  return register.version < side.death ? { version: register.version, value: null } : register;
}

function pendingOf(side: Side, name: string): readonly Increment[] {
  return (side.increments.get(name) ?? []).filter(({ version }) => version >= side.death);
}

// ── the key as a whole ──

function keyDifferences(pair: Pair, taken: Taken): readonly FoundDifference[] {
  const found: FoundDifference[] = [];
  for (const index of [0, 1] as const) {
    const [showing, lacking] = [pair.sides[index], pair.sides[1 - index] as Side];
    const killed = taken.byKill[index];
    if (killed.length > 0) {
      const sides = [
        { version: topOf(killed), value: describe(showing.type, killed) },
        { version: lacking.kill, value: null },
      ] as const;
      found.push(inOrder(index, sides, passageOf(pair, [lacking.kill, ...clashing(showing, lacking)])));
    }
    if (taken.byExpiry[index].length > 0) {
      const shows = { version: showing.expiry.version || renewalOf(showing, lacking), value: expiryText(showing) };
      const sides = [shows, { version: lacking.deathBy, value: `expired at ${lacking.deathMs}` }] as const;
      found.push(inOrder(index, sides, passageOf(pair, [])));
    }
  }
  const expiry = found.length === 0 ? compareExpiries(pair) : undefined;
  return expiry === undefined ? found : [expiry, ...found];
}

/** What took an expiry away is in force as none: without its version the other side could not be told to lack it. */
function renewalOf(showing: Side, lacking: Side): Version {
  const known = new Set(lacking.expiries);
  return showing.expiries.findLast((version) => !known.has(version)) ?? '';
}

function compareExpiries(pair: Pair): FoundDifference | undefined {
  const [a, b] = pair.sides;
  if (a.shown.size === 0 || b.shown.size === 0) return undefined;
  if (a.expiry.atMs === b.expiry.atMs && a.expiry.version === b.expiry.version) return undefined;
  const passage = passageOf(pair, [...a.expiries, ...b.expiries]);
  return difference('', [a.expiry.version, b.expiry.version], [expiryText(a), expiryText(b)], passage);
}

/** The greater version replaces the whole key. */
function clash(pair: Pair): FoundDifference {
  const [mine, theirs] = pair.sides.map(({ type, shown }) => {
    const elements = [...shown.values()];
    return { version: topOf(elements), value: describe(type, elements) };
  }) as [Whole, Whole];
  const [a, b] = pair.sides;
  const involved = [...clashing(a, b), ...clashing(b, a)];
  return difference('', [mine.version, theirs.version], [mine.value, theirs.value], passageOf(pair, involved));
}

/** An effect of another type kills up to what it found, not up to itself: what did it is among the elements, or tombstones, of that type. */
function clashing(showing: Side, lacking: Side): readonly Version[] {
  if (showing.type === lacking.type) return [];
  return [...new Set([...lacking.registers.keys(), ...lacking.increments.keys()])].flatMap((name) => partsOf(lacking, name));
}

interface Whole {
  readonly version: Version;
  readonly value: string | null;
}

function inOrder(first: 0 | 1, sides: readonly [Whole, Whole], passage: Passage): FoundDifference {
  const [mine, theirs] = first === 0 ? sides : [sides[1], sides[0]];
  return difference('', [mine.version, theirs.version], [mine.value, theirs.value], passage);
}

function topOf(elements: readonly Live[]): Version {
  return elements.reduce((top, { version }) => (version > top ? version : top), '');
}

function describe(type: KeyState['type'], elements: readonly Live[]): string {
  if (type === 'string') return String(elements[0]?.value ?? '');
  return `${type} of ${elements.length} element${elements.length === 1 ? '' : 's'}`;
}

function expiryText({ expiry }: Side): string {
  return expiry.atMs === 0 ? 'expires never' : `expires at ${expiry.atMs}`;
}

// ── in common ──

function difference(
  name: string,
  versions: readonly [Version, Version],
  values: readonly [string | number | null, string | number | null],
  passage: Passage,
): FoundDifference {
  const texts = [textOf(values[0]), textOf(values[1])] as const;
  const print = hash('sha1', JSON.stringify([versions, texts]), 'hex').slice(0, 16);
  return { name, versions, values: texts, passage, print };
}

function textOf(value: string | number | null): string | null {
  return value === null ? null : String(value);
}

function sameValue(a: string | number | null, b: string | number | null): boolean {
  return a === b || (typeof a === typeof b && String(a) === String(b));
}

/** Whatever differs, a kill or an expiry that only one side has may be the reason. */
function passageOf({ sides: [a, b], settled }: Pair, versions: readonly Version[]): Passage {
  const kills = a.kill === b.kill ? [] : [a.kill, b.kill];
  const deaths = a.death === b.death ? [] : [...a.expiries, ...b.expiries];
  return worst([...kills, ...deaths, ...versions].filter((version) => version !== '').map((version) => settled.passage(version)));
}

/** One version that is certainly on its way explains it, whatever cannot be told of the others. */
function worst(passages: readonly Passage[]): Passage {
  if (passages.includes('ahead')) return 'ahead';
  return passages.includes('unknown') ? 'unknown' : 'passed';
}
