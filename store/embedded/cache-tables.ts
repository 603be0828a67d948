/** The prepared statements of the embedded cache. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';

export type CacheTables = { readonly [Name in keyof typeof SQL]: StatementSync };

const SQL = {
  head: 'SELECT type, kill, version, value, expire_at, parts, timeline FROM keys WHERE key = ?',
  headPut: 'INSERT INTO keys (type, kill, version, value, expire_at, parts, timeline, key, bucket) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
  headChange: 'UPDATE keys SET type = ?, kill = ?, version = ?, value = ?, expire_at = ?, parts = ?, timeline = ? WHERE key = ?',
  headDrop: 'DELETE FROM keys WHERE key = ?',
  keysAfter: 'SELECT key FROM keys WHERE key > ? ORDER BY key LIMIT ?',
  keysFrom: 'SELECT key FROM keys WHERE key >= ? ORDER BY key LIMIT ?',

  element: 'SELECT version, value FROM elements WHERE key = ? AND name = ?',
  elementPut:
    'INSERT INTO elements VALUES (?, ?, ?, ?) ON CONFLICT (key, name) DO UPDATE SET version = excluded.version, value = excluded.value',
  elementDrop: 'DELETE FROM elements WHERE key = ? AND name = ?',
  elements: 'SELECT name, version, value FROM elements WHERE key = ?',
  elementsDrop: 'DELETE FROM elements WHERE key = ? AND version <= ?',
  elementsAny: 'SELECT 1 FROM elements WHERE key = ? LIMIT 1',
  elementsTop: `SELECT coalesce(max(version), '') AS top FROM elements WHERE key = ?`,
  tombstones: 'SELECT name, version FROM elements WHERE key = ? AND value IS NULL AND version <= ?',

  increment: 'SELECT 1 FROM increments WHERE key = ? AND name = ? AND version = ?',
  incrementPut: 'INSERT INTO increments VALUES (?, ?, ?, ?)',
  increments: 'SELECT name, version, delta FROM increments WHERE key = ? ORDER BY name, version',
  incrementsUpTo: 'SELECT name, version, delta FROM increments WHERE key = ? AND version <= ? ORDER BY name, version',
  incrementsDrop: 'DELETE FROM increments WHERE key = ? AND version <= ?',
  incrementsDropOf: 'DELETE FROM increments WHERE key = ? AND name = ? AND version <= ?',
  incrementsAny: 'SELECT 1 FROM increments WHERE key = ? LIMIT 1',
  incrementsTop: `SELECT coalesce(max(version), '') AS top FROM increments WHERE key = ?`,

  expiries: 'SELECT version, at_ms FROM expiries WHERE key = ? ORDER BY version',
  expiryPut: 'INSERT INTO expiries VALUES (?, ?, ?)',
  expiriesDrop: 'DELETE FROM expiries WHERE key = ? AND version <= ?',
  expiriesAny: 'SELECT 1 FROM expiries WHERE key = ? LIMIT 1',

  settledPut: 'UPDATE wmb_cache SET settled = ?',
  bucketPut: 'INSERT OR IGNORE INTO buckets VALUES (?)',
  buckets: 'SELECT bucket FROM buckets',
} as const;

export function prepareCacheTables(db: DatabaseSync): CacheTables {
  return Object.fromEntries(Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)])) as CacheTables;
}
