/**
 * What stands where in a node. An application's key holds its value in the plain type and nothing else. Everything of WMB's own begins with `wmb:`:
 *
 *     wmb:room        hash    id, schema, settled, and of every writer a revision (docs/adr/0005, 0013)
 *     wmb:marks       hash    log/origin/partition → epoch:seq
 *     wmb:dirty       string  a bit for every bucket that was written since somebody took it
 *     wmb:b:BUCKET    hash    key → head (head.ts). Small enough for the compact encoding of hashes
 *     wmb:l:BUCKET    hash    the same for keys that are too long for that encoding, and would spoil it for the others
 *     wmb:e:KEY       hash    the elements of a key that is more than a plain string (elements.ts)
 *     wmb:=KEY        the value of a key whose own name begins with `wmb:`
 *
 * None of them expires, so no policy that evicts keys with an expiry touches them.
 */
import { BUCKETS, bucketOf } from '../../core/converge/bucket.ts';

export const ROOM_KEY = 'wmb:room';
/** Grows with every change of the layout. */
export const SCHEMA = 1;

/** The field of a writer's revision. `share`: of a collector that has one of several shares of the room's partitions. */
export function revisionField(share: number | undefined): string {
  return share === undefined ? 'revision' : `revision:${share}`;
}

const RESERVED = 'wmb:';
/** `hash-max-listpack-value` of every server, unless somebody changed it. */
const COMPACT_BYTES_MAX = 64;

const SHORT_NAMES = Array.from({ length: BUCKETS }, (_, bucket) => `wmb:b:${bucket}`);

/** Where the value of a key stands. */
export function dataKey(key: string): string {
  return isReserved(key) ? `wmb:=${key}` : key;
}

export function isReserved(key: string): boolean {
  return key.startsWith(RESERVED);
}

/** The hash that has the head of a key. */
export function bucketKey(key: string, bucket = bucketOf(key)): string {
  return isLong(key) ? `wmb:l:${bucket}` : (SHORT_NAMES[bucket] ?? '');
}

function isLong(key: string): boolean {
  if (key.length * 3 <= COMPACT_BYTES_MAX) return false;
  return key.length > COMPACT_BYTES_MAX || Buffer.byteLength(key) > COMPACT_BYTES_MAX;
}
