/** From what is stored of a key and the cell that the rules have left: the commands that make the one the other. */
import type { Expiry, Increment, KeyCell, Register } from '../../core/converge/cell.ts';
import type { KeyType } from '../../core/converge/effects.ts';
import { allExpiries } from '../../core/converge/expiry.ts';
import { visible } from '../../core/converge/visible.ts';
import { stampMs, VERSION_DIGITS, type Version, versionAt } from '../../core/stamp.ts';
import {
  EXPIRIES_FIELD,
  elementField,
  encodeElement,
  encodeExpiries,
  encodeTimeline,
  type StoredElement,
  TIMELINE_FIELD,
} from './elements.ts';
import { elementsHead, plainHead, tombstoneHead } from './head.ts';
import { type Argument, type Command, commandsBetween, commandsOf, isSame, type Shown, scoreText, wantedShown } from './shown.ts';
import type { StoredKey } from './stored-key.ts';

/** What a commit does to one key that the rules have seen. */
export interface KeyChange {
  readonly key: string;
  /** The head that was read; another one, or another type of the application's key: nothing is changed and the key is to be read again. */
  readonly expected: Buffer;
  readonly type: string;
  /** Undefined: stays as it is; empty: removed. */
  readonly head: Buffer | undefined;
  readonly commands: readonly Command[];
  /** The moment from which a floor may let something of it be forgotten; Infinity: never. */
  readonly dueMs: number;
}

export interface ChangeContext {
  readonly nowMs: number;
  readonly settled: Version;
  /** How far the server's clock is taken to be ahead of the room's. */
  readonly shiftMs: number;
  /** Six bytes, never the same twice. */
  readonly change: Uint8Array;
}

export function changeOf(stored: StoredKey, cell: KeyCell, context: ChangeContext): KeyChange {
  const { key, head, fields, shown } = stored;
  const genuine = new GenuineCell(cell);
  const wanted = wantedOf(key, genuine, context);
  const next = encode(genuine, wanted, context);
  const commands = [...fieldCommands(key, fields, next.fields), ...commandsBetween(key, shown, shifted(wanted, context.shiftMs))];
  const isSameHead = commands.length === 0 && isLike(head, next.head);
  return { key, expected: head, type: shown.type, head: isSameHead ? undefined : next.head, commands, dueMs: next.dueMs };
}

/** Only the change number differs. */
function isLike(a: Buffer, b: Buffer): boolean {
  if (a.length !== b.length) return false;
  return a.length === 27 ? a.compare(b, 0, 15, 0, 15) === 0 && a.compare(b, 21, 27, 21, 27) === 0 : a.equals(b);
}

function shifted(shown: Shown, shiftMs: number): Shown {
  return shown.expireAtMs === 0 ? shown : { ...shown, expireAtMs: shown.expireAtMs + shiftMs };
}

const isGenuine = ({ version }: { readonly version: Version }) => version.length === VERSION_DIGITS;

/** Without the expiry that stands for damage: a key that is written is not damaged any more. */
class GenuineCell {
  readonly #cell: KeyCell;

  constructor(cell: KeyCell) {
    this.#cell = cell;
  }

  get head() {
    return this.#cell.head;
  }

  registers(): Iterable<readonly [string, Register]> {
    return this.#cell.registers();
  }

  increments(upTo: Version): Iterable<readonly [string, readonly Increment[]]> {
    return this.#cell.increments(upTo);
  }

  expiries(): readonly Expiry[] {
    return this.#cell.expiries().filter(isGenuine);
  }
}

/**
 * What the application's key is to hold. Where something of it was written after the moment at which its expiry takes effect (the origin's clock is ahead),
 * the server is not told of the expiry, because it would take that away as well: the sweep does it.
 */
function wantedOf(key: string, cell: GenuineCell, { nowMs }: ChangeContext): Shown {
  const entry = visible(key, cell, nowMs);
  const atMs = entry?.expireAtMs ?? 0;
  const survives = atMs !== 0 && topOf(cell) >= versionAt(atMs);
  return wantedShown(entry, survives ? 0 : atMs);
}

function topOf(cell: GenuineCell): Version {
  let top = '';
  for (const [, { version }] of cell.registers()) if (version > top) top = version;
  for (const [, increments] of cell.increments('')) for (const { version } of increments) if (version > top) top = version;
  return top;
}

interface Encoded {
  /** Empty: nothing is remembered. */
  readonly head: Buffer;
  readonly fields: ReadonlyMap<string, Buffer>;
  readonly dueMs: number;
}

const NO_FIELDS: ReadonlyMap<string, Buffer> = new Map();
const NO_HEAD = Buffer.alloc(0);

function encode(cell: GenuineCell, wanted: Shown, context: ChangeContext): Encoded {
  const { type, kill, expireAtMs } = cell.head;
  const expiries = cell.expiries();
  if (type === 'none' && expiries.length === 0) {
    return kill === ''
      ? { head: NO_HEAD, fields: NO_FIELDS, dueMs: Infinity }
      : { head: tombstoneHead(kill), fields: NO_FIELDS, dueMs: stampMs(kill) };
  }
  if (isPlainString(cell, wanted)) {
    return { head: plainHead(kill, expireAtMs), fields: NO_FIELDS, dueMs: expireAtMs === 0 ? Infinity : expireAtMs };
  }
  const fields = fieldsOf(cell, wanted);
  const dueMs = dueOf(cell);
  const { change } = context;
  const head = elementsHead({ type, kill, hasExpiries: expiries.length > 0, change, dueMs: dueMs === Infinity ? 0 : dueMs });
  return { head, fields, dueMs };
}

function isPlainString(cell: GenuineCell, wanted: Shown): boolean {
  const { type, kill, expireAtMs } = cell.head;
  if (type !== 'string' || wanted.type !== 'string' || wanted.expireAtMs !== expireAtMs || cell.expiries().length > 0) return false;
  for (const _ of cell.increments('')) return false;
  for (const [, { version, value }] of cell.registers()) return version === kill && value === wanted.elements.get('');
  return false;
}

function fieldsOf(cell: GenuineCell, wanted: Shown): ReadonlyMap<string, Buffer> {
  const { type, expireAtMs, caps, members } = cell.head;
  const increments = new Map(cell.increments(''));
  const fields = new Map<string, Buffer>();
  for (const [name, register] of cell.registers()) {
    const above = increments.get(name) ?? [];
    increments.delete(name);
    if (register.version === '' && above.length === 0) continue;
    fields.set(elementField(name), encodeElement(elementOf(type, { register, increments: above }, wanted.elements.get(name))));
  }
  for (const [name, above] of increments) {
    fields.set(elementField(name), encodeElement(elementOf(type, { register: undefined, increments: above }, wanted.elements.get(name))));
  }
  const expiries = cell.expiries();
  const toldMs = wanted.expireAtMs;
  if (expireAtMs + toldMs + expiries.length > 0) fields.set(EXPIRIES_FIELD, encodeExpiries({ expireAtMs, toldMs, expiries }));
  if (type === 'timeline') fields.set(TIMELINE_FIELD, encodeTimeline({ members, caps }));
  return fields;
}

/** An element as it is stored where the application's key shows `shown` of it. */
export function elementOf(
  type: KeyType | 'none',
  { register, increments }: Pick<StoredElement, 'register' | 'increments'>,
  shown: string | undefined,
): StoredElement {
  const value = register?.value ?? null;
  const isPlain = value !== null && increments.length === 0 && shown !== undefined && isOwn(type, value, shown);
  return { register, increments, isPlain, shown: isPlain ? undefined : shown };
}

function isOwn(type: KeyType | 'none', value: string | number, shown: string): boolean {
  if (type === 'timeline' || type === 'set') return true;
  return isSame(type, typeof value === 'number' ? scoreText(value) : value, shown);
}

function fieldCommands(key: string, before: ReadonlyMap<string, Buffer>, after: ReadonlyMap<string, Buffer>): Command[] {
  const name = `wmb:e:${key}`;
  if (after.size === 0) return before.size === 0 ? [] : [['UNLINK', name]];
  const written: Argument[] = [];
  for (const [field, bytes] of after) if (before.get(field)?.equals(bytes) !== true) written.push(field, bytes);
  const removed = [...before.keys()].filter((field) => !after.has(field));
  return [...commandsOf('HSET', name, written), ...commandsOf('HDEL', name, removed)];
}

/** The earliest moment at which settle.ts, asked with a floor there, may find something to forget. */
function dueOf(cell: GenuineCell): number {
  const expiries = allExpiries(cell.head, cell.expiries());
  let due = Infinity;
  const at = (ms: number) => {
    if (ms < due) due = ms;
  };
  for (const [index, { version, atMs }] of expiries.entries()) {
    const next = expiries[index + 1];
    if (next !== undefined) at(stampMs(next.version));
    at(Math.max(version === '' ? 0 : stampMs(version), atMs));
  }
  // While there are expiries the greatest tombstone stays.
  const guard = cell.expiries().length > 0 ? topOf(cell) : '';
  for (const [, { version, value }] of cell.registers()) if (value === null && version !== '' && version !== guard) at(stampMs(version));
  for (const [, above] of cell.increments('')) at(stampMs(above[0]?.version ?? ''));
  return due;
}
