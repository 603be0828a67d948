/**
 * A share of a room's partitions. Where several collectors work in a room (docs/adr/0013), its partitions are divided into shares, and each share is with one
 * collector at a time.
 */
export interface Share {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

/** All partitions. */
export const WHOLE: Share = { index: 0, count: 1 };

/** Of so many shares the one that has the partition. */
export function shareOf(partition: number, count: number): number {
  return partition % count;
}

export function holds({ index, count }: Share, partition: number): boolean {
  return shareOf(partition, count) === index;
}

/** Of a room with so many partitions those of the share, ascending. */
export function partitionsOf(share: Share, partitions: number): number[] {
  return Array.from({ length: partitions }, (_, partition) => partition).filter((partition) => holds(share, partition));
}

/** Whether some partition may be in both. */
export function overlaps(one: Share, other: Share): boolean {
  return one.count !== other.count || one.index === other.index;
}
