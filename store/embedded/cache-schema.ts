/** The tables of the embedded cache, and whose they are. */
import type { DatabaseSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import type { Version } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';

/** Grows when a table below changes its shape. */
const SCHEMA_VERSION = 2;
/** Version 1 had no `keys_by_bucket`. Whatever older version can be read is brought up to this one when it is opened. */
const SCHEMA_VERSION_MIN = 1;

/**
 * A string stands whole in its row of `keys` (`version`, `value`); `parts` says which of the other tables may hold rows of the key, so that a
 * plain SET touches one row. `buckets` holds the dirty ones. `wmb_revision` is another with every commit. The checker reads keys by their bucket
 * (cache-inspector.ts). The partial indexes are what sweeping looks for.
 */
const TABLES = `
  CREATE TABLE IF NOT EXISTS wmb_cache (room TEXT NOT NULL, schema INTEGER NOT NULL, settled TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS wmb_marks (log TEXT NOT NULL, origin TEXT NOT NULL, partition INTEGER NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (log, origin, partition)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS wmb_revision (one INTEGER PRIMARY KEY CHECK (one = 1), revision TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS keys (key TEXT NOT NULL PRIMARY KEY, bucket INTEGER NOT NULL, type INTEGER NOT NULL, kill TEXT NOT NULL,
    version TEXT NOT NULL, value TEXT, expire_at INTEGER NOT NULL, parts INTEGER NOT NULL, timeline TEXT) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS elements (key TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, value, PRIMARY KEY (key, name)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS increments (key TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, delta NOT NULL,
    PRIMARY KEY (key, name, version)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS expiries (key TEXT NOT NULL, version TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (key, version)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS buckets (bucket INTEGER PRIMARY KEY);
  CREATE INDEX IF NOT EXISTS keys_by_bucket ON keys (bucket);
  CREATE INDEX IF NOT EXISTS keys_expiring ON keys (expire_at) WHERE expire_at > 0;
  CREATE INDEX IF NOT EXISTS keys_dead ON keys (kill) WHERE type = 0 AND parts = 0;
  CREATE INDEX IF NOT EXISTS elements_removed ON elements (version) WHERE value IS NULL;
  CREATE INDEX IF NOT EXISTS increments_by_version ON increments (version);
  CREATE INDEX IF NOT EXISTS expiries_by_moment ON expiries (at_ms);
`;

/** Whether the tables are there for somebody who only reads. */
export function hasCacheTables(db: DatabaseSync): boolean {
  const exists = db.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'wmb_cache'`).get() !== undefined;
  return exists && db.prepare('SELECT 1 FROM wmb_cache WHERE schema = ?').get(SCHEMA_VERSION) !== undefined;
}

/** Makes the tables, or checks whose they are (STORE_FOREIGN). Returns up to which version the store has settled. */
export function openCacheTables(db: DatabaseSync, room: RoomId, file: string): Version {
  const exists = db.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'wmb_cache'`).get() !== undefined;
  const found = exists ? db.prepare('SELECT room, schema, settled FROM wmb_cache').get() : undefined;
  if (found !== undefined && found['room'] !== room) {
    throw new WmbError(
      'STORE_FOREIGN',
      `${file} is the cache of room ${found['room']}, not of room ${room}: point the room at its own directory`,
    );
  }
  const schema = Number(found?.['schema'] ?? SCHEMA_VERSION);
  if (!(schema >= SCHEMA_VERSION_MIN && schema <= SCHEMA_VERSION)) {
    throw new WmbError(
      'STORE_FOREIGN',
      `${file} was written by another version of WMB (schema ${schema}, here ${SCHEMA_VERSION}): upgrade this room`,
    );
  }
  db.exec(TABLES);
  if (found === undefined) db.prepare(`INSERT INTO wmb_cache VALUES (?, ?, '')`).run(room, SCHEMA_VERSION);
  else if (schema !== SCHEMA_VERSION) db.prepare('UPDATE wmb_cache SET schema = ?').run(SCHEMA_VERSION);
  return String(found?.['settled'] ?? '');
}
