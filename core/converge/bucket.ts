/** Buckets: the leaves of the checker's digest tree. A key is in the same bucket in every room and every store. */
import { crc32 } from 'node:zlib';

/** At 10 million keys a bucket holds about 150. */
export const BUCKETS = 65_536;

export function bucketOf(key: string): number {
  return crc32(key) % BUCKETS;
}
