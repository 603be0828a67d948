/** Which partition a key belongs to. The one definition: it may never change, because the order of a key lives in its partition. */
import { crc32 } from 'node:zlib';

/** CRC-32 (as in zlib) of the key's UTF-8, modulo `partitions`. */
export function partitionOf(key: string, partitions: number): number {
  return crc32(key) % partitions;
}
