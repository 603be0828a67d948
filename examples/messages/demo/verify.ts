/** The end of the demo: every room against every other, key by key and row by row, and each against what the file says should be there. */

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { CacheEntry, CacheValue } from '../../../core/converge/effects.ts';
import type { KeyEntry } from '../../../proto/gen/wmb/v1/admin.ts';
import type { Row } from '../../../store/database.ts';
import type { RoomClients } from '../../../test/harness/clients.ts';
import { compareCache, compareRows, type Expected } from '../expected.ts';

export interface Check {
  readonly what: string;
  readonly compared: number;
  /** Empty: the check holds. */
  readonly differences: readonly string[];
}

interface Dump {
  readonly room: string;
  readonly keys: ReadonlyMap<string, KeyEntry>;
  /** Undefined in a cache-only room. */
  readonly rows: readonly Row[] | undefined;
}

export async function verifyRooms(clients: readonly RoomClients[], expected: Expected): Promise<readonly Check[]> {
  const dumps: Dump[] = [];
  for (const client of clients) dumps.push({ room: client.room.id, keys: await client.dump(), rows: readRows(client) });
  const first = dumps[0] as Dump;
  const checks: Check[] = [];
  for (const dump of dumps) {
    checks.push({
      what: `cache of ${dump.room} = expected`,
      compared: expected.cache.size,
      differences: compareCache(expected, [...dump.keys.values()].map(asEntry)),
    });
    if (dump.rows !== undefined)
      checks.push({
        what: `database of ${dump.room} = expected`,
        compared: expected.rows.size,
        differences: compareRows(expected, dump.rows),
      });
  }
  for (const other of dumps.slice(1)) {
    checks.push({
      what: `cache of ${first.room} = cache of ${other.room}`,
      compared: first.keys.size,
      differences: compareKeys(first, other),
    });
    if (other.rows === undefined) continue;
    checks.push({
      what: `database of ${first.room} = database of ${other.room}`,
      compared: first.rows?.length ?? 0,
      differences: compareTables(first, other),
    });
  }
  return checks;
}

/** Key by key, every field of the entry, the version included. */
function compareKeys(a: Dump, b: Dump): string[] {
  const differences: string[] = [];
  for (const key of new Set([...a.keys.keys(), ...b.keys.keys()])) {
    const [left, right] = [JSON.stringify(a.keys.get(key)), JSON.stringify(b.keys.get(key))];
    if (left !== right) differences.push(`${key}: ${a.room} has ${left}, ${b.room} has ${right}`);
  }
  return differences;
}

function compareTables(a: Dump, b: Dump): string[] {
  const [left, right] = [a.rows ?? [], b.rows ?? []];
  const differences: string[] = left.length === right.length ? [] : [`${a.room} has ${left.length} rows, ${b.room} has ${right.length}`];
  for (const [index, row] of left.entries()) {
    const other = right[index];
    if (JSON.stringify(row) !== JSON.stringify(other))
      differences.push(`row ${index}: ${JSON.stringify(row)} and ${JSON.stringify(other)}`);
  }
  return differences;
}

/** Straight from the room's SQLite file, past every line of WMB. */
function readRows(client: RoomClients): Row[] | undefined {
  if (client.room.database === 'none') return undefined;
  const database = new DatabaseSync(join(client.room.directory, 'database', 'database.db'), { readOnly: true });
  try {
    return database.prepare('SELECT * FROM messages ORDER BY id').all() as Row[];
  } finally {
    database.close();
  }
}

export function asEntry(entry: KeyEntry): CacheEntry {
  return { key: entry.key, value: cacheValue(entry), expireAtMs: entry.expireAtMs, version: entry.version };
}

export function cacheValue({ type, value, elements }: KeyEntry): CacheValue {
  if (type === 'string') return { type, value };
  if (type === 'hash') return { type, fields: elements.map((element) => [element.name, element.value]) };
  if (type === 'set') return { type, members: elements.map((element) => element.name) };
  return { type: 'zset', members: elements.map((element) => [element.name, Number(element.value)]) };
}
