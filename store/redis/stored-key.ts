/**
 * A key as it is really stored, as a cell of the rules: the elements' versions from WMB's own keys, their values from the application's. What was
 * changed behind WMB's back shows as what it is now, with the version that it had: so the checker sees it.
 */
import { DAMAGED, type Expiry } from '../../core/converge/cell.ts';
import type { KeyType } from '../../core/converge/effects.ts';
import { MemoryCell } from '../../core/converge/memory-cell.ts';
import { stampMs } from '../../core/stamp.ts';
import {
  decodeElement,
  decodeExpiries,
  decodeTimeline,
  EXPIRIES_FIELD,
  type StoredElement,
  type StoredExpiries,
  TIMELINE_FIELD,
} from './elements.ts';
import { decodeHead, type Head } from './head.ts';
import { isSame, readShown, registerValue, type Shown, textOf } from './shown.ts';

/** Everything that is stored of a key, at one moment. */
export interface StoredKey {
  readonly key: string;
  /** Empty: none. */
  readonly head: Buffer;
  /** As `wmb:e:KEY` has them. */
  readonly fields: ReadonlyMap<string, Buffer>;
  readonly shown: Shown;
}

export function storedKey(key: string, answer: readonly unknown[]): StoredKey {
  const [, head, type, value, expiryMs, fields] = answer;
  return { key, head: head as Buffer, fields: fieldsOf(fields), shown: readShown(String(type), value, Number(expiryMs)) };
}

const NO_FIELDS: ReadonlyMap<string, Buffer> = new Map();

function fieldsOf(flat: unknown): ReadonlyMap<string, Buffer> {
  if (!Array.isArray(flat) || flat.length === 0) return NO_FIELDS;
  const fields = new Map<string, Buffer>();
  for (let at = 0; at < flat.length; at += 2) fields.set(textOf(flat[at]), flat[at + 1]);
  return fields;
}

export interface Seen {
  readonly cell: MemoryCell;
  /** Something of it cannot be read, or its expiry is not the one that WMB gave it. */
  readonly isDamaged: boolean;
}

/** `shiftMs`: how far the server's clock is taken to be ahead of the room's. */
export function seeKey(stored: StoredKey, shiftMs: number): Seen {
  const cell = new MemoryCell();
  if (stored.head.length === 0) {
    addStrays(cell, stored, NO_FIELDS);
    return { cell, isDamaged: false };
  }
  return { cell, isDamaged: fill(cell, stored, decodeHead(stored.head), shiftMs) };
}

/** The cell as the checker is to see it: damage shows as an expiry that nobody set (DAMAGED). */
export function withDamage({ cell, isDamaged }: Seen, { shown }: StoredKey, shiftMs: number): MemoryCell {
  if (isDamaged) cell.addExpiry({ version: DAMAGED, atMs: shown.expireAtMs === 0 ? 0 : Math.max(0, shown.expireAtMs - shiftMs) });
  return cell;
}

function fill(cell: MemoryCell, stored: StoredKey, head: Head, shiftMs: number): boolean {
  if (head.kind === 'plain') return fillPlain(cell, stored, head, shiftMs);
  if (head.kind === 'elements') return fillElements(cell, stored, head, shiftMs);
  if (head.kind === 'tombstone') cell.head.kill = head.version;
  addStrays(cell, stored, NO_FIELDS);
  return head.kind === 'damaged';
}

function fillPlain(cell: MemoryCell, stored: StoredKey, head: Head & { readonly kind: 'plain' }, shiftMs: number): boolean {
  const { shown } = stored;
  cell.head.kill = head.version;
  cell.head.expireAtMs = head.expireAtMs;
  if (isOtherType(shown, 'string')) {
    addStrays(cell, stored, NO_FIELDS);
    return false;
  }
  cell.head.type = 'string';
  cell.setRegister('', { version: head.version, value: shown.elements.get('') ?? null });
  return !isTold(shown, head.expireAtMs, shiftMs);
}

function fillElements(cell: MemoryCell, stored: StoredKey, head: Head & { readonly kind: 'elements' }, shiftMs: number): boolean {
  const { fields, shown } = stored;
  const times = timesOf(fields.get(EXPIRIES_FIELD));
  const timeline = head.type === 'timeline' ? decodeTimeline(fields.get(TIMELINE_FIELD) ?? NOTHING) : NO_TIMELINE;
  Object.assign(cell.head, { kill: head.kill, expireAtMs: times?.expireAtMs ?? 0, ...(timeline ?? NO_TIMELINE) });
  for (const expiry of times?.expiries ?? []) cell.addExpiry(expiry);
  if (isOtherType(shown, head.type)) {
    addStrays(cell, stored, NO_FIELDS);
    return true;
  }
  cell.head.type = head.type;
  const mayExpire = shown.type === 'none' && hasExpiry(times);
  let isDamaged = times === undefined || timeline === undefined || !isTold(shown, times.toldMs, shiftMs);
  for (const [field, bytes] of fields) {
    if (!field.startsWith('e')) continue;
    const name = field.slice(1);
    const element = decodeElement(bytes);
    if (element === undefined) isDamaged = true;
    addElement(cell, name, seenElement(head.type, element, { actual: shown.elements.get(name), mayExpire }));
  }
  addStrays(cell, stored, fields);
  return isDamaged;
}

const NOTHING = Buffer.alloc(0);
const NO_TIMELINE = { caps: [], members: 0 };
const NO_TIMES: StoredExpiries = { expireAtMs: 0, toldMs: 0, expiries: [] };

function timesOf(bytes: Buffer | undefined): StoredExpiries | undefined {
  return bytes === undefined ? NO_TIMES : decodeExpiries(bytes);
}

function hasExpiry(times: StoredExpiries | undefined): boolean {
  return times !== undefined && (times.expireAtMs !== 0 || times.expiries.some(({ atMs }: Expiry) => atMs !== 0));
}

function isTold(shown: Shown, toldMs: number, shiftMs: number): boolean {
  return shown.type === 'none' || shown.expireAtMs === (toldMs === 0 ? 0 : toldMs + shiftMs);
}

function isOtherType(shown: Shown, type: KeyType | 'none'): boolean {
  return shown.type !== 'none' && type !== 'none' && shown.type !== shownType(type);
}

export function shownType(type: KeyType | 'none'): string {
  return type === 'timeline' ? 'zset' : type;
}

export function addElement(cell: MemoryCell, name: string, { register, increments }: Pick<StoredElement, 'register' | 'increments'>): void {
  if (register !== undefined) cell.setRegister(name, register);
  for (const increment of increments) cell.addIncrement(name, increment);
}

/**
 * One element, from its record and from what the application's key shows of it. `mayExpire`: the whole key is gone, and may be so by its expiry: then
 * what stands in the record counts.
 */
export function seenElement(
  type: KeyType | 'none',
  element: StoredElement | undefined,
  { actual, mayExpire }: { readonly actual: string | undefined; readonly mayExpire: boolean },
): Pick<StoredElement, 'register' | 'increments'> {
  const value = actual === undefined ? null : registerValue(type, actual);
  if (element === undefined) return { register: { version: '', value }, increments: [] };
  const { register, increments, isPlain, shown } = element;
  const version = increments.at(-1)?.version ?? register?.version ?? '';
  if (isPlain && type === 'timeline') return seenMember(version, actual, mayExpire);
  if (isPlain) return { register: { version, value }, increments };
  const isAsLeft = isSame(shownType(type), actual, shown) || (actual === undefined && mayExpire);
  return isAsLeft ? element : { register: { version, value }, increments: [] };
}

function seenMember(version: string, actual: string | undefined, mayExpire: boolean): Pick<StoredElement, 'register' | 'increments'> {
  if (actual === undefined) return { register: { version, value: mayExpire ? '' : null }, increments: [] };
  return { register: { version: Number(actual) === stampMs(version) ? version : '', value: '' }, increments: [] };
}

/** What the application's key has and no record knows: put in by somebody else. */
function addStrays(cell: MemoryCell, { shown }: StoredKey, fields: ReadonlyMap<string, Buffer>): void {
  if (shown.type === 'none') return;
  if (fields === NO_FIELDS || cell.head.type === 'none') cell.head.type = strayType(shown.type);
  for (const [name, text] of shown.elements) {
    if (fields.has(`e${name}`)) continue;
    cell.setRegister(name, { version: '', value: registerValue(cell.head.type, text) });
  }
}

function strayType(type: string): KeyType {
  return type === 'hash' || type === 'set' || type === 'zset' ? type : 'string';
}
