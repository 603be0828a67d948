/**
 * The head of a key, in its bucket's hash:
 *
 *     s  version                a plain string: the value is in the application's key
 *     e  version  moment        the same with the expiry that came with it
 *     d  version                a tombstone
 *     c h m z l n               string with increments or expiries, hash, set, zset, timeline, expiries only:
 *        kill  change  due      beside the elements; `change` is another one after every change of the key, so that comparing the head compares all of it;
 *                               `due`: the moment from which a floor may let something of it be forgotten, 0 for nothing
 *
 * Versions are 14 bytes, all zero for none; moments 6.
 */
import type { KeyHead } from '../../core/converge/cell.ts';
import type { Version } from '../../core/stamp.ts';
import { VERSION_DIGITS } from '../../core/stamp.ts';

export const PLAIN = 0x73;
export const EXPIRING = 0x65;
export const TOMBSTONE = 0x64;

const VERSION_BYTES = VERSION_DIGITS / 2;
const NO_VERSION = '0'.repeat(VERSION_DIGITS);

/** `H`, `M`, `Z`: with expiries, so that the key is read whole. */
const TYPE_OF: Readonly<Record<string, KeyHead['type']>> = {
  c: 'string',
  h: 'hash',
  H: 'hash',
  m: 'set',
  M: 'set',
  z: 'zset',
  Z: 'zset',
  l: 'timeline',
  n: 'none',
};

const KIND_OF: Readonly<Record<KeyHead['type'], string>> = { string: 'c', hash: 'h', set: 'm', zset: 'z', timeline: 'l', none: 'n' };

export type Head =
  | { readonly kind: 'plain'; readonly version: Version; readonly expireAtMs: number }
  | { readonly kind: 'tombstone'; readonly version: Version }
  | { readonly kind: 'elements'; readonly type: KeyHead['type']; readonly kill: Version; readonly dueMs: number }
  /** What stands there was not written by WMB. */
  | { readonly kind: 'damaged' };

export function decodeHead(bytes: Buffer): Head {
  const kind = bytes[0] ?? 0;
  const { length } = bytes;
  if (kind === PLAIN && length === 15) return { kind: 'plain', version: readVersion(bytes, 1), expireAtMs: 0 };
  if (kind === EXPIRING && length === 21) return { kind: 'plain', version: readVersion(bytes, 1), expireAtMs: readMoment(bytes, 15) };
  if (kind === TOMBSTONE && length === 15) return { kind: 'tombstone', version: readVersion(bytes, 1) };
  const type = TYPE_OF[String.fromCharCode(kind)];
  if (type === undefined || length !== 27) return { kind: 'damaged' };
  return { kind: 'elements', type, kill: readVersion(bytes, 1), dueMs: readMoment(bytes, 21) };
}

export function plainHead(version: Version, expireAtMs: number): Buffer {
  const bytes = Buffer.alloc(expireAtMs === 0 ? 15 : 21);
  bytes[0] = expireAtMs === 0 ? PLAIN : EXPIRING;
  writeVersion(bytes, 1, version);
  if (expireAtMs !== 0) writeMoment(bytes, 15, expireAtMs);
  return bytes;
}

export function tombstoneHead(version: Version): Buffer {
  const bytes = Buffer.alloc(15);
  bytes[0] = TOMBSTONE;
  writeVersion(bytes, 1, version);
  return bytes;
}

export interface ElementsHead {
  readonly type: KeyHead['type'];
  readonly kill: Version;
  readonly hasExpiries: boolean;
  /** Six bytes. */
  readonly change: Uint8Array;
  readonly dueMs: number;
}

export function elementsHead({ type, kill, hasExpiries, change, dueMs }: ElementsHead): Buffer {
  const bytes = Buffer.alloc(27);
  const kind = KIND_OF[type];
  bytes.write(hasExpiries && 'hmz'.includes(kind) ? kind.toUpperCase() : kind, 'latin1');
  writeVersion(bytes, 1, kill);
  bytes.set(change, 15);
  writeMoment(bytes, 21, dueMs);
  return bytes;
}

export function readVersion(bytes: Buffer, at: number): Version {
  const version = bytes.toString('hex', at, at + VERSION_BYTES);
  return version === NO_VERSION ? '' : version;
}

export function writeVersion(bytes: Buffer, at: number, version: Version): number {
  bytes.write(version === '' ? NO_VERSION : version, at, VERSION_BYTES, 'hex');
  return at + VERSION_BYTES;
}

export function readMoment(bytes: Buffer, at: number): number {
  return bytes.readUIntBE(at, 6);
}

export function writeMoment(bytes: Buffer, at: number, atMs: number): number {
  return bytes.writeUIntBE(atMs, at, 6);
}
