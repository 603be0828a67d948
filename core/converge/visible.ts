/** What an application sees of a key: a function of the remembered effects and the clock. */
import type { Version } from '../stamp.ts';
import { stampMs, VERSION_DIGITS } from '../stamp.ts';
import { DAMAGED, type Expiry, type Increment, type KeyCell, type Register } from './cell.ts';
import type { CacheEntry, CacheValue } from './effects.ts';
import { allExpiries, deathOf } from './expiry.ts';
import { compareText } from './order.ts';
import { shownMembers } from './timeline.ts';
import { foldIncrements } from './value.ts';

/** Undefined where nothing is visible at `nowMs`. */
export function visible(
  key: string,
  cell: Pick<KeyCell, 'head' | 'registers' | 'increments' | 'expiries'>,
  nowMs: number,
): CacheEntry | undefined {
  const { head } = cell;
  if (head.type === 'none') return undefined;
  const expiries = allExpiries(head, cell.expiries());
  const death = lastDeath(expiries, nowMs);
  const live = liveElements(cell, death);
  const shown = head.type === 'timeline' ? shownMembers(live, head.caps) : live;
  if (shown.length === 0) return undefined;
  const expiry = expiryInForce(expiries, nowMs);
  return { key, value: toValue(head.type, shown), expireAtMs: expiry.atMs, version: greatestVersion(shown, expiry.version) };
}

/** Where an element has lost its version, in a store that somebody else has changed, that is what shows. */
function greatestVersion(shown: readonly Live[], least: Version): Version {
  let greatest = least;
  for (const { version } of shown) {
    if (version.length !== VERSION_DIGITS) return version;
    if (version > greatest) greatest = version;
  }
  return greatest;
}

/** An element that is there at some moment. */
export interface Live extends Register {
  readonly name: string;
  readonly value: string | number;
}

/** Everything below it is dead by expiry. */
export function lastDeath(expiries: readonly Expiry[], nowMs: number): Version {
  let last = '';
  for (let index = 0; index < expiries.length; index++) {
    const death = deathOf(expiries, index);
    if (death > last && (expiries[index]?.atMs ?? 0) <= nowMs) last = death;
  }
  return last;
}

const NO_EXPIRY: Expiry = { version: '', atMs: 0 };

/** `atMs` 0: none. Damage shows whatever the clock says. */
export function expiryInForce(expiries: readonly Expiry[], nowMs: number): Expiry {
  const last = expiries.at(-1);
  if (last === undefined || last.atMs > nowMs) return last ?? NO_EXPIRY;
  return last.version === DAMAGED ? { version: DAMAGED, atMs: 0 } : NO_EXPIRY;
}

/** Those with a version from `death` on; increments are added up. A timeline hides some of them. */
export function liveElements(cell: Pick<KeyCell, 'registers' | 'increments'>, death: Version): Live[] {
  const live: Live[] = [];
  const counted = new Map<string, readonly Increment[]>();
  for (const [name, increments] of cell.increments('')) {
    const alive = increments.filter((increment) => increment.version >= death);
    if (alive.length > 0) counted.set(name, alive);
  }
  for (const [name, register] of cell.registers()) {
    const increments = counted.get(name) ?? [];
    counted.delete(name);
    const value = foldIncrements(register.version < death ? null : register.value, increments);
    if (value !== null) live.push({ name, value, version: increments.at(-1)?.version ?? register.version });
  }
  for (const [name, increments] of counted) {
    const value = foldIncrements(null, increments);
    if (value !== null) live.push({ name, value, version: increments.at(-1)?.version ?? '' });
  }
  return live;
}

function toValue(type: KeyCell['head']['type'], live: Live[]): CacheValue {
  if (type === 'string') return { type, value: String(live[0]?.value) };
  if (type === 'zset') return { type, members: ranked(live.map(({ name, value }) => [name, Number(value)])) };
  if (type === 'timeline') return { type: 'zset', members: ranked(live.map(({ name, version }) => [name, stampMs(version)])) };
  live.sort((a, b) => compareText(a.name, b.name));
  if (type === 'hash') return { type, fields: live.map(({ name, value }) => [name, String(value)]) };
  return { type: 'set', members: live.map(({ name }) => name) };
}

function ranked(members: [member: string, score: number][]): [member: string, score: number][] {
  return members.sort((a, b) => (a[1] === b[1] ? compareText(a[0], b[0]) : a[1] < b[1] ? -1 : 1));
}
