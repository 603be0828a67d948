/**
 * What `wmb:e:KEY` holds:
 *
 *     e NAME   one element: flags, version, and by the flags: a value, increments, the value that the application's key shows
 *     x        the expiry that came with a `set`, the expiry that the application's key has, then the `expire` effects
 *     t        of a timeline: members, then its caps
 *
 * The value of an element stands in the application's key, and only there, as long as it is what the key shows: most elements are 15 bytes here. Where
 * increments stand above it, or an expiry has hidden it that may still be taken back, it stands here.
 */
import type { Cap, Expiry, Increment, Register } from '../../core/converge/cell.ts';
import { readMoment, readVersion, writeMoment, writeVersion } from './head.ts';

export const EXPIRIES_FIELD = 'x';
export const TIMELINE_FIELD = 't';

export function elementField(name: string): string {
  return `e${name}`;
}

/** One element as it is stored. */
export interface StoredElement {
  /** Undefined: increments only. */
  readonly register: Register | undefined;
  readonly increments: readonly Increment[];
  /** The register's value stands in the application's key. */
  readonly isPlain: boolean;
  /** What the application's key shows of it where that is not the register's own value; undefined: nothing. */
  readonly shown: string | undefined;
}

const HAS_REGISTER = 1;
const IS_TOMBSTONE = 2;
const IS_PLAIN = 4;
const IS_NUMBER = 8;
const IS_SHOWN = 16;
const HAS_INCREMENTS = 32;

export function encodeElement({ register, increments, isPlain, shown }: StoredElement): Buffer {
  const value = register === undefined || register.value === null || isPlain ? undefined : String(register.value);
  const isNumber = typeof register?.value === 'number' || typeof increments[0]?.delta === 'number';
  const head: Buffer = Buffer.alloc(15);
  const parts: Buffer[] = [head];
  writeVersion(head, 1, register?.version ?? '');
  if (value !== undefined) parts.push(textOf(value));
  for (const { version, delta } of increments) parts.push(incrementOf(version, String(delta)));
  if (shown !== undefined) parts.push(textOf(shown));
  head[0] =
    (register === undefined ? 0 : HAS_REGISTER) |
    (register?.value === null ? IS_TOMBSTONE : 0) |
    (isPlain ? IS_PLAIN : 0) |
    (isNumber ? IS_NUMBER : 0) |
    (shown === undefined ? 0 : IS_SHOWN) |
    (increments.length === 0 ? 0 : HAS_INCREMENTS);
  if (increments.length > 0) parts.splice(1, 0, countOf(increments.length));
  return parts.length === 1 ? head : Buffer.concat(parts);
}

/** Undefined where it was not written by WMB. The value of a plain register is to be filled in. */
export function decodeElement(bytes: Buffer): StoredElement | undefined {
  try {
    return readElement(bytes);
  } catch (cause) {
    if (cause instanceof RangeError) return undefined;
    throw cause;
  }
}

function readElement(bytes: Buffer): StoredElement {
  const flags = bytes.readUInt8(0);
  bytes.readUInt8(14);
  const has = (flag: number) => (flags & flag) !== 0;
  const reader = new Reader(bytes, 15);
  const count = has(HAS_INCREMENTS) ? reader.count() : 0;
  const isStored = has(HAS_REGISTER) && !has(IS_TOMBSTONE) && !has(IS_PLAIN);
  const value = isStored ? reader.text() : null;
  const typed = (text: string) => (has(IS_NUMBER) ? Number(text) : text);
  const register = has(HAS_REGISTER) ? { version: readVersion(bytes, 1), value: value === null ? null : typed(value) } : undefined;
  const increments = Array.from({ length: count }, () => ({ version: reader.version(), delta: typed(reader.text()) }));
  return { register, increments, isPlain: has(IS_PLAIN), shown: has(IS_SHOWN) ? reader.text() : undefined };
}

export interface StoredExpiries {
  /** Of the `set` with the version `kill`. */
  readonly expireAtMs: number;
  /** What the application's key was told. */
  readonly toldMs: number;
  readonly expiries: readonly Expiry[];
}

export function encodeExpiries({ expireAtMs, toldMs, expiries }: StoredExpiries): Buffer {
  const bytes = Buffer.alloc(12 + expiries.length * 20);
  let at = writeMoment(bytes, writeMoment(bytes, 0, expireAtMs), toldMs);
  for (const { version, atMs } of expiries) at = writeMoment(bytes, writeVersion(bytes, at, version), atMs);
  return bytes;
}

/** Undefined where it was not written by WMB. */
export function decodeExpiries(bytes: Buffer): StoredExpiries | undefined {
  if (bytes.length < 12 || (bytes.length - 12) % 20 !== 0) return undefined;
  const expiries: Expiry[] = [];
  for (let at = 12; at < bytes.length; at += 20) expiries.push({ version: readVersion(bytes, at), atMs: readMoment(bytes, at + 14) });
  return { expireAtMs: readMoment(bytes, 0), toldMs: readMoment(bytes, 6), expiries };
}

export interface StoredTimeline {
  readonly members: number;
  readonly caps: readonly Cap[];
}

export function encodeTimeline({ members, caps }: StoredTimeline): Buffer {
  const bytes = Buffer.alloc(6 + caps.length * 20);
  let at = writeMoment(bytes, 0, members);
  for (const { version, cap } of caps) at = writeMoment(bytes, writeVersion(bytes, at, version), cap);
  return bytes;
}

/** Undefined where it was not written by WMB. */
export function decodeTimeline(bytes: Buffer): StoredTimeline | undefined {
  if (bytes.length < 6 || (bytes.length - 6) % 20 !== 0) return undefined;
  const caps: Cap[] = [];
  for (let at = 6; at < bytes.length; at += 20) caps.push({ version: readVersion(bytes, at), cap: readMoment(bytes, at + 14) });
  return { members: readMoment(bytes, 0), caps };
}

class Reader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  count(): number {
    const count = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    // Each takes 18 bytes at least: a count that somebody else has put there is not believed.
    if (count * 18 > this.#bytes.length) throw new RangeError('a count beyond the bytes that there are');
    return count;
  }

  text(): string {
    const bytes = this.#length();
    const text = this.#bytes.toString('utf8', this.#at, this.#at + bytes);
    this.#at += bytes;
    return text;
  }

  version(): string {
    const version = readVersion(this.#bytes, this.#at);
    this.#at += 14;
    return version;
  }

  #length(): number {
    const bytes = this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    if (this.#at + bytes > this.#bytes.length) throw new RangeError('a length beyond the bytes that there are');
    return bytes;
  }
}

function countOf(count: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(count);
  return bytes;
}

function textOf(text: string): Buffer {
  const value = Buffer.from(text);
  return Buffer.concat([countOf(value.length), value]);
}

function incrementOf(version: string, delta: string): Buffer {
  const value = textOf(delta);
  const bytes = Buffer.alloc(14 + value.length);
  bytes.set(value, writeVersion(bytes, 0, version));
  return bytes;
}
