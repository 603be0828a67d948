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

  settled: 'SELECT settled FROM wmb_cache',
  settledPut: 'UPDATE wmb_cache SET settled = ?',
  revision: 'SELECT revision FROM wmb_revision',
  revisionPut: 'INSERT INTO wmb_revision VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET revision = excluded.revision',
  bucketPut: 'INSERT OR IGNORE INTO buckets VALUES (?)',
  bucketsPut:
    'WITH RECURSIVE every (bucket) AS (SELECT 0 UNION ALL SELECT bucket + 1 FROM every WHERE bucket + 1 < ?) INSERT OR IGNORE INTO buckets SELECT bucket FROM every',
  buckets: 'SELECT bucket FROM buckets',
} as const;

export function prepareCacheTables(db: DatabaseSync): CacheTables {
  return Object.fromEntries(Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)])) as CacheTables;
}
