/** Which member of a group gets which partitions: as many as the others or one more, and as far as possible those that it had. */

export interface GroupMember {
  readonly member: string;
  /** What it has had until now. */
  readonly owned: readonly number[];
}

/** Every partition once, by member. */
export function dividePartitions(partitions: number, members: readonly GroupMember[]): ReadonlyMap<string, readonly number[]> {
  const sorted = [...members].sort((a, b) => b.owned.length - a.owned.length || (a.member < b.member ? -1 : 1));
  const free = new Set(Array.from({ length: partitions }, (_, partition) => partition));
  const share = Math.floor(partitions / Math.max(1, sorted.length));
  let larger = partitions - share * sorted.length;
  const given = sorted.map(({ member, owned }) => {
    const kept = [...new Set(owned)].filter((partition) => free.has(partition)).slice(0, share + (larger > 0 ? 1 : 0));
    if (kept.length > share) larger -= 1;
    for (const partition of kept) free.delete(partition);
    return { member, partitions: kept };
  });
  const rest = [...free];
  for (const one of given) one.partitions.push(...rest.splice(0, Math.max(0, share - one.partitions.length)));
  for (const one of given) if (one.partitions.length === share) one.partitions.push(...rest.splice(0, 1));
  return new Map(given.map((one) => [one.member, one.partitions.sort((a, b) => a - b)]));
}
