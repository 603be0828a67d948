/**
 * Everything that a room remembers of one key, as plain data that can travel: what the checker compares element by element, and what the
 * repair `push` carries from the right side to the wrong one.
 */
import { hash } from 'node:crypto';
import type { Version } from '../stamp.ts';
import { type Cap, DAMAGED, EVICTED, type Expiry, type KeyCell } from './cell.ts';
import type { CacheEntry, CacheValue, KeyType } from './effects.ts';
import { MemoryCell } from './memory-cell.ts';
import { compareText } from './order.ts';
import { visible } from './visible.ts';

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

/** Undefined where nothing is remembered of the key. */
export function exportState(key: string, cell: KeyCell): KeyState | undefined {
  const { type, kill, expireAtMs, caps } = cell.head;
  const registers = Array.from(cell.registers(), ([name, { version, value }]) => ({ name, version, value })).sort(byName);
  const increments = Array.from(cell.increments('')).sort(([a], [b]) => compareText(a, b));
  const expiries = cell.expiries().map(({ version, atMs }) => ({ version, atMs }));
  const state: KeyState = {
    key,
    type,
    kill,
    expireAtMs,
    caps: caps.map(({ version, cap }) => ({ version, cap })),
    registers,
    increments: increments.flatMap(([name, each]) => each.map(({ version, delta }) => ({ name, version, delta }))),
    expiries,
  };
  const elements = state.registers.length + state.increments.length + state.caps.length;
  return kill === '' && expireAtMs === 0 && elements + expiries.length === 0 ? undefined : state;
}

/** What the room has stored of the key cannot be read: what stands in the state is a guess, and must not be carried anywhere. */
export function isDamaged(state: KeyState | undefined): boolean {
  return state?.expiries.some(({ version }) => version === DAMAGED) === true;
}

/** The room has lost the key's value to save memory, and knows it. No difference is made of it, and it must not be carried anywhere. */
export function isEvicted(state: KeyState | undefined): boolean {
  return state?.expiries.some(({ version }) => version === EVICTED) === true;
}

/** A key that remembers exactly this. */
export function cellOf(state: KeyState): MemoryCell {
  const cell = new MemoryCell();
  fillCell(cell, state);
  return cell;
}

/** Puts all of a state into a cell that has nothing yet. */
export function fillCell(cell: KeyCell, state: KeyState): void {
  const { type, kill, expireAtMs, caps, registers } = state;
  Object.assign(cell.head, { type, kill, expireAtMs, caps, members: type === 'timeline' ? registers.length : 0 });
  for (const { name, version, value } of registers) cell.setRegister(name, { version, value });
  for (const { name, version, delta } of state.increments) cell.addIncrement(name, { version, delta });
  for (const expiry of state.expiries) cell.addExpiry(expiry);
  cell.headChanged();
}

/** The same for the same state only: 16 hex digits; '' for undefined. */
export function stateDigest(state: KeyState | undefined): string {
  if (state === undefined) return '';
  const { key, type, kill, expireAtMs, caps, registers, increments, expiries } = state;
  return digest([
    [key, type, kill, plain(expireAtMs)],
    caps.map(({ version, cap }) => [version, plain(cap)]),
    registers.map(({ name, version, value }) => [name, version, plain(value)]),
    increments.map(({ name, version, delta }) => [name, version, plain(delta)]),
    expiries.map(({ version, atMs }) => [version, plain(atMs)]),
  ]);
}

/** What an application sees of it, as visible.ts says. */
export function visibleOf(state: KeyState | undefined, nowMs: number): CacheEntry | undefined {
  return state && visible(state.key, cellOf(state), nowMs);
}

/** 16 hex digits of what an application sees, its version left out: of type, value and expiry. */
export function entryHash({ value, expireAtMs }: CacheEntry): string {
  return digest(plainEntry(value, expireAtMs));
}

/** A text that is the same for the same entry only, its version included. */
export function entryText({ key, version, value, expireAtMs }: CacheEntry): string {
  return JSON.stringify([key, version, plainEntry(value, expireAtMs)]);
}

function plainEntry(value: CacheValue, expireAtMs: number): readonly unknown[] {
  return [value.type, plainValue(value), plain(expireAtMs)];
}

function plainValue(value: CacheValue): unknown {
  switch (value.type) {
    case 'string':
      return value.value;
    case 'hash':
      return value.fields;
    case 'set':
      return value.members;
    case 'zset':
      return value.members.map(([member, score]) => [member, plain(score)]);
  }
}

/** JSON has no infinite numbers, and what stands in a damaged store may be none at all. */
function plain(value: string | number | null): unknown {
  return typeof value === 'number' && !Number.isFinite(value) ? [String(value)] : value;
}

function digest(value: unknown): string {
  return hash('sha1', JSON.stringify(value), 'hex').slice(0, 16);
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return compareText(a.name, b.name);
}
