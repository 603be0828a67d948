/** The prepared statements of the embedded cache. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';

/** The last moment there is, as versions count. */
const LAST_MS = 2 ** 48 - 1;

/*
 * Anybody may change a row with SQLite at hand. What no rule has written is read as something that all code can stand, and that is never the same as what
 * was there before: bytes as their SQL literal, a moment or type out of range as none (-1), a list of parts as all.
 */
const text = (column: string) => `CASE typeof(${column}) WHEN 'blob' THEN quote(${column}) ELSE ${column} END AS ${column}`;
const number = (column: string) =>
  `CASE typeof(${column}) WHEN 'integer' THEN CAST(${column} AS REAL) WHEN 'blob' THEN quote(${column}) ELSE ${column} END AS ${column}`;
const within = (column: string, last: number, otherwise: number) =>
  `CASE WHEN ${column} BETWEEN 0 AND ${last} THEN CAST(${column} AS INTEGER) ELSE ${otherwise} END AS ${column}`;

const HEAD = [
  within('type', 5, -1),
  text('kill'),
  text('version'),
  text('value'),
  within('expire_at', LAST_MS, -1),
  within('parts', 7, 7),
  text('timeline'),
].join(', ');
const INCREMENT = `${text('name')}, ${text('version')}, ${number('delta')}`;

export type CacheTables = { readonly [Name in keyof typeof SQL]: StatementSync };

const SQL = {
  head: `SELECT ${HEAD} FROM keys WHERE key = ?`,
  headsOf: `SELECT ${text('key')}, ${HEAD} FROM keys WHERE bucket >= ? AND bucket < ?`,
  headPut: 'INSERT INTO keys (type, kill, version, value, expire_at, parts, timeline, key, bucket) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  headChange: 'UPDATE keys SET type = ?, kill = ?, version = ?, value = ?, expire_at = ?, parts = ?, timeline = ? WHERE key = ?',
  headDrop: 'DELETE FROM keys WHERE key = ?',
  keysAfter: 'SELECT key FROM keys WHERE key > ? ORDER BY key LIMIT ?',
  keysFrom: 'SELECT key FROM keys WHERE key >= ? ORDER BY key LIMIT ?',

  element: `SELECT ${text('version')}, ${number('value')} FROM elements WHERE key = ? AND name = ?`,
  elementPut:
    'INSERT INTO elements VALUES (?, ?, ?, ?) ON CONFLICT (key, name) DO UPDATE SET version = excluded.version, value = excluded.value',
  elementDrop: 'DELETE FROM elements WHERE key = ? AND name = ?',
  elements: `SELECT ${text('name')}, ${text('version')}, ${number('value')} FROM elements WHERE key = ?`,
  elementsClear: 'DELETE FROM elements WHERE key = ?',
  elementsDrop: 'DELETE FROM elements WHERE key = ? AND version <= ?',
  elementsAny: 'SELECT 1 FROM elements WHERE key = ? LIMIT 1',
  elementsTop: `SELECT coalesce(max(version), '') AS top FROM elements WHERE key = ?`,
  tombstones: 'SELECT name, version FROM elements WHERE key = ? AND value IS NULL AND version <= ?',

  increment: 'SELECT 1 FROM increments WHERE key = ? AND name = ? AND version = ?',
  incrementPut: 'INSERT INTO increments VALUES (?, ?, ?, ?)',
  increments: `SELECT ${INCREMENT} FROM increments WHERE key = ? ORDER BY increments.name, increments.version`,
  incrementsClear: 'DELETE FROM increments WHERE key = ?',
  incrementsUpTo: `SELECT ${INCREMENT} FROM increments WHERE key = ? AND version <= ? ORDER BY increments.name, increments.version`,
  incrementsDrop: 'DELETE FROM increments WHERE key = ? AND version <= ?',
  incrementsDropOf: 'DELETE FROM increments WHERE key = ? AND name = ? AND version <= ?',
  incrementsAny: 'SELECT 1 FROM increments WHERE key = ? LIMIT 1',
  incrementsTop: `SELECT coalesce(max(version), '') AS top FROM increments WHERE key = ?`,

  expiries: `SELECT ${text('version')}, ${within('at_ms', LAST_MS, -1)} FROM expiries WHERE key = ? ORDER BY expiries.version`,
  expiriesClear: 'DELETE FROM expiries WHERE key = ?',
  expiryPut: 'INSERT INTO expiries VALUES (?, ?, ?)',
  expiriesDrop: 'DELETE FROM expiries WHERE key = ? AND version <= ?',
  expiriesAny: 'SELECT 1 FROM expiries WHERE key = ? LIMIT 1',

  settled: 'SELECT settled FROM wmb_cache',
  settledPut: 'UPDATE wmb_cache SET settled = ?',
  revision: 'SELECT revision FROM wmb_revision',
  revisionPut: 'INSERT INTO wmb_revision VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET revision = excluded.revision',
  bucketPut: 'INSERT OR IGNORE INTO buckets VALUES (?)',
  bucketsPut:
    'WITH RECURSIVE every (bucket) AS (SELECT 0 UNION ALL SELECT bucket + 1 FROM every WHERE bucket + 1 < ?) INSERT OR IGNORE INTO buckets SELECT bucket FROM every',
  bucketDrop: 'DELETE FROM buckets WHERE bucket = ?',
  buckets: 'SELECT bucket FROM buckets',
} as const;

export function prepareCacheTables(db: DatabaseSync): CacheTables {
  return Object.fromEntries(Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)])) as CacheTables;
}
