/**
 * Canaries: write requests of the checker that mean nothing and go the whole way that all others go, so that silence on a lane is never
 * mistaken for health. The intake of topics appends one where it must know that nothing earlier is still on its way into the log. Intake takes them although their kind is reserved; processors make nothing of them, in any room.
 */
import { partitionOf } from './partition.ts';

/** No topology lists it. */
export const CANARY_KIND = 'wmb.canary';

/** Keys of canaries begin so. Nothing is ever stored under them. */
export const CANARY_KEY_PREFIX = 'wmb.canary/';

/** For each partition the first key `wmb.canary/<n>` that lies in it. */
export function canaryKeys(partitions: number): readonly string[] {
  const keys = new Map<number, string>();
  for (let n = 0; keys.size < partitions; n += 1) {
    const key = `${CANARY_KEY_PREFIX}${n}`;
    const partition = partitionOf(key, partitions);
    if (!keys.has(partition)) keys.set(partition, key);
  }
  return Array.from({ length: partitions }, (_, partition) => keys.get(partition) ?? '');
}
