/** Which part of a key a difference is about: an element, the expiry, or the key as a whole; and which effects speak of it. */
import type { Effect } from '../../core/converge/effects.ts';
import type { KeyState } from '../../core/converge/state.ts';
import type { Version } from '../../core/stamp.ts';
import type { ElementDifference } from '../drift.ts';
import { plainText } from './phrases.ts';

export type Part = 'element' | 'expiry' | 'whole';

/** Both rooms' states, in the order of the differences' versions and values. */
export type States = readonly [KeyState | undefined, KeyState | undefined];

const EXPIRY_TEXT = /^(?:expires (?:at \d+|never)|expired at \d+)$/;

export function partOf({ name, versions, values }: ElementDifference, states: States): Part {
  if (name !== '') return 'element';
  const isStored = ([0, 1] as const).some((side) => values[side] !== null && holds(states[side], values[side], versions[side]));
  if (isStored) return 'element';
  const isExpiry = values.every((value) => value !== null && EXPIRY_TEXT.test(value));
  if (isExpiry) return 'expiry';
  return states.some((state) => state?.type === 'string') && !isClash(states) ? 'element' : 'whole';
}

function holds(state: KeyState | undefined, value: string | null, version: Version): boolean {
  const register = state?.registers.find((it) => it.name === '');
  return register !== undefined && register.version === version && String(register.value) === value;
}

function isClash([mine, theirs]: States): boolean {
  return mine !== undefined && theirs !== undefined && mine.type !== 'none' && theirs.type !== 'none' && mine.type !== theirs.type;
}

/** `field unread of user:7`, `user:7`, `the expiry of user:7`. */
export function partName(key: string, name: string, part: Part, states: States): string {
  const shown = plainText(key);
  if (part === 'expiry') return `the expiry of ${shown}`;
  const type = states.find((state) => state !== undefined && state.type !== 'none')?.type;
  if (part === 'whole' || type === 'string' || type === undefined) return shown;
  return `${type === 'hash' ? 'field' : 'member'} \`${plainText(name)}\` of ${shown}`;
}

/** The element that an effect is about; undefined: all of the key. */
export function elementOf(effect: Effect): string | undefined {
  switch (effect.op) {
    case 'hset':
    case 'hdel':
    case 'hincr':
      return effect.field;
    case 'sadd':
    case 'srem':
    case 'zadd':
    case 'zrem':
    case 'zincr':
    case 'timeline':
      return effect.member;
    case 'set':
    case 'incr':
      return '';
    case 'del':
    case 'expire':
      return undefined;
  }
}

/** Whether an effect of the key can have made what a side shows, or lacks, of a part. A kill may come from an effect of another type. */
export function speaksOf(effect: Effect, part: Part, name: string): boolean {
  if (part === 'whole' || effect.op === 'del') return true;
  if (part === 'expiry') return effect.op === 'expire' || effect.op === 'set';
  return elementOf(effect) === name;
}

export function isIncrement(effect: Effect): boolean {
  return effect.op === 'incr' || effect.op === 'hincr' || effect.op === 'zincr';
}

/** The value that a side shows of a part when this effect made it: in the words of an ElementDifference. Undefined: it does not say alone. */
export function shownBy(effect: Effect, part: Part): string | null | undefined {
  if (part === 'expiry') {
    if (effect.op !== 'expire' && effect.op !== 'set') return undefined;
    return effect.expireAtMs === 0 ? 'expires never' : `expires at ${effect.expireAtMs}`;
  }
  if (part === 'whole') return undefined;
  switch (effect.op) {
    case 'set':
    case 'hset':
      return effect.value;
    case 'sadd':
    case 'timeline':
      return '';
    case 'zadd':
      return String(effect.score);
    case 'del':
    case 'hdel':
    case 'srem':
    case 'zrem':
      return null;
    default:
      return undefined;
  }
}

/** Increments of an element that one side has apart, and that the other has neither so nor covered by anything. */
export function lackedIncrements([mine, theirs]: States, name: string): readonly [readonly Version[], readonly Version[]] {
  const of = (state: States[0]) => (state?.increments ?? []).filter((it) => it.name === name).map(({ version }) => version);
  const base = (state: States[0]) =>
    [state?.kill ?? '', state?.registers.find((it) => it.name === name)?.version ?? ''].sort().at(-1) ?? '';
  const lacked = (from: States[0], by: States[0]) => of(from).filter((version) => version > base(by) && !of(by).includes(version));
  return [lacked(theirs, mine), lacked(mine, theirs)];
}
