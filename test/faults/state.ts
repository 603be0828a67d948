/** What a room's cache shows, as WMB says it and as any Redis client reads it. */
import type { CacheValue } from '../../core/converge/effects.ts';
import { cacheValue } from '../../examples/messages/demo/verify.ts';
import type { KeyEntry } from '../../proto/gen/wmb/v1/admin.ts';
import type { RoomServers } from './servers.ts';

/** What WMB says of a room's keys. */
export type CacheDump = ReadonlyMap<string, KeyEntry>;

/** Keys of which a plain client reads something else than WMB says, in words. */
export async function compareKeys(servers: RoomServers, dump: CacheDump): Promise<readonly string[]> {
  const differences: string[] = [];
  for (const [key, entry] of dump) {
    const [told, plain] = [JSON.stringify(sorted(cacheValue(entry))), JSON.stringify(sorted(await servers.plain(key, entry.type)))];
    if (told !== plain) differences.push(`${key}: WMB says ${told}, Redis has ${plain}`);
  }
  return differences;
}

/** Keys that the two rooms do not show alike, in words: an assertion on whole caches would take minutes to say where they differ. */
export function compareCaches(one: CacheDump, other: CacheDump): readonly string[] {
  const text = (entry: KeyEntry | undefined) => (entry === undefined ? 'nothing' : JSON.stringify(entry));
  return [...new Set([...one.keys(), ...other.keys()])]
    .map((key) => ({ key, here: text(one.get(key)), there: text(other.get(key)) }))
    .filter(({ here, there }) => here !== there)
    .map(({ key, here, there }) => `${key}: ${here} ≠ ${there}`);
}

function sorted(value: CacheValue): CacheValue {
  const byName = (a: readonly [string, unknown], b: readonly [string, unknown]) => (a[0] < b[0] ? -1 : 1);
  if (value.type === 'hash') return { ...value, fields: [...value.fields].sort(byName) };
  if (value.type === 'zset') return { ...value, members: [...value.members].sort(byName) };
  return value.type === 'set' ? { ...value, members: [...value.members].sort() } : value;
}
