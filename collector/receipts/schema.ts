/** The tables of the embedded receipt book, and opening the file that holds them. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import { type DatabaseLock, lockDatabase } from '../../store/embedded/database-lock.ts';

/** 2: frames say when they were applied. */
export const BOOK_VERSION = 2;
const READONLY = 8;
const FULL = 13;
const CANTOPEN = 14;

/**
 * A lane has one row per log epoch; the newest is the one whose mark counts, and its `stamp_last` is the last one up to which nothing comes behind the mark. Only exceptions and what is
 * parked are kept a write request a row.
 */
const SCHEMA = `
CREATE TABLE IF NOT EXISTS book (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, room TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lanes (
  id INTEGER PRIMARY KEY, log TEXT NOT NULL, origin TEXT NOT NULL, partition INTEGER NOT NULL, epoch TEXT NOT NULL,
  seq INTEGER NOT NULL, writes INTEGER NOT NULL, stamp_last TEXT NOT NULL,
  UNIQUE (log, origin, partition, epoch)
);
CREATE TABLE IF NOT EXISTS frames (
  lane INTEGER NOT NULL, seq INTEGER NOT NULL, count INTEGER NOT NULL, stamp_first TEXT NOT NULL, stamp_last TEXT NOT NULL,
  applied_ms INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (lane, seq)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exceptions (
  lane INTEGER NOT NULL, seq INTEGER NOT NULL, place INTEGER NOT NULL, request_id TEXT NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL,
  PRIMARY KEY (lane, seq, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS exceptions_parked ON exceptions (lane, seq) WHERE outcome = 'parked';
CREATE TABLE IF NOT EXISTS parked (
  id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, seq INTEGER NOT NULL, place INTEGER NOT NULL,
  request_id TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, stamp TEXT NOT NULL, trace TEXT NOT NULL, payload BLOB NOT NULL,
  code TEXT NOT NULL, message TEXT NOT NULL, attempts INTEGER NOT NULL, parked_ms INTEGER NOT NULL, retry_ms INTEGER,
  in_database INTEGER NOT NULL,
  UNIQUE (lane, seq, place)
);
CREATE INDEX IF NOT EXISTS parked_key ON parked (lane, key, seq, place);
CREATE INDEX IF NOT EXISTS parked_request ON parked (request_id);
CREATE INDEX IF NOT EXISTS parked_retry ON parked (retry_ms) WHERE retry_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS retried (
  id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, seq INTEGER NOT NULL, place INTEGER NOT NULL,
  request_id TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, stamp TEXT NOT NULL, trace TEXT NOT NULL, payload BLOB NOT NULL,
  commands TEXT NOT NULL, cache_epoch TEXT NOT NULL, cache_seq INTEGER NOT NULL, retried_ms INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS retried_cache ON retried (cache_epoch, cache_seq);
CREATE INDEX IF NOT EXISTS retried_age ON retried (retried_ms);
CREATE TABLE IF NOT EXISTS skips (
  id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, seq_from INTEGER NOT NULL, seq_to INTEGER, writes INTEGER,
  outcome TEXT NOT NULL, code TEXT NOT NULL, next_epoch TEXT NOT NULL, next_seq INTEGER NOT NULL, skipped_ms INTEGER NOT NULL, done INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS link_states (
  lane TEXT PRIMARY KEY, log TEXT NOT NULL, origin TEXT NOT NULL, partition INTEGER NOT NULL,
  state TEXT NOT NULL, reason TEXT NOT NULL, since_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS link_transports (origin TEXT PRIMARY KEY, transport TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journaled (one INTEGER PRIMARY KEY CHECK (one = 1), changes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS lease (one INTEGER PRIMARY KEY CHECK (one = 1), owner TEXT NOT NULL, until_ms INTEGER NOT NULL);
`;

/** SQLite's name for a database that is no file. */
const IN_MEMORY = ':memory:';

export interface OpenedBook {
  readonly db: DatabaseSync;
  /** Undefined: nobody else can reach it. */
  readonly lock: DatabaseLock | undefined;
}

/** Of a file that others have open too: how long a transaction waits for theirs. */
const SHARED_WAIT_MS = 2_000;

/** `isShared`: who may write is not the one who has the file, but the one who has its lease (lease.ts). STORE_LOCKED, STORE_FOREIGN, STORE_FULL or STORE_UNAVAILABLE, naming the file. */
export function openBookFile(file: string, room: RoomId, isShared = false): OpenedBook {
  let db: DatabaseSync | undefined;
  let lock: DatabaseLock | undefined;
  try {
    mkdirSync(dirname(file), { recursive: true });
    // One writer: a second collector is told at its start.
    if (file !== IN_MEMORY && !isShared) lock = lockDatabase(file);
    db = new DatabaseSync(file, { timeout: isShared ? SHARED_WAIT_MS : 0 });
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    checkOwner(db, file, room);
    return { db, lock };
  } catch (cause) {
    db?.close();
    lock?.release();
    throw bookError(cause, file, true);
  }
}

function checkOwner(db: DatabaseSync, file: string, room: RoomId): void {
  const exists = db.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'book'`).get() !== undefined;
  const row = exists ? db.prepare('SELECT version, room FROM book').get() : undefined;
  const foreign = (what: string) =>
    new WmbError('STORE_FOREIGN', `the receipt book ${file} ${what}; give this room (${room}) its own directory`);
  if (row !== undefined && Number(row['version']) > BOOK_VERSION)
    throw foreign(`was written by a newer WMB (version ${Number(row['version'])})`);
  if (row !== undefined && row['room'] !== room) throw foreign(`belongs to room ${String(row['room'])}`);
  migrate(db, room);
}

/** All or nothing, so that the version always says what the tables are. What the file has already stays. */
function migrate(db: DatabaseSync, room: RoomId): void {
  db.exec('BEGIN IMMEDIATE');
  const columns = db.prepare(`SELECT name FROM pragma_table_info('frames')`).all();
  // When older frames were applied is not known.
  if (columns.length > 0 && !columns.some(({ name }) => name === 'applied_ms'))
    db.exec('ALTER TABLE frames ADD COLUMN applied_ms INTEGER NOT NULL DEFAULT 0');
  db.exec(SCHEMA);
  db.prepare('INSERT INTO book VALUES (1, ?1, ?2) ON CONFLICT (one) DO UPDATE SET version = ?1').run(BOOK_VERSION, room);
  db.exec('COMMIT');
}

/** What SQLite says of the book, as a WmbError. */
export function bookError(cause: unknown, file: string, opening = false): unknown {
  if (cause instanceof WmbError || !(cause instanceof Error)) return cause;
  const code = 'errcode' in cause && typeof cause.errcode === 'number' ? cause.errcode & 0xff : undefined;
  if (code === FULL)
    return new WmbError('STORE_FULL', `no space is left for the receipt book ${file}; free space, the lanes go on by themselves`, {
      cause,
    });
  if (code === READONLY || code === CANTOPEN || (code === undefined && opening)) {
    return new WmbError(
      'STORE_UNAVAILABLE',
      `the receipt book ${file} cannot be opened for writing (${cause.message}); check permissions`,
      { cause },
    );
  }
  return code === undefined ? cause : new WmbError('STORE_UNAVAILABLE', `the receipt book ${file} failed: ${cause.message}`, { cause });
}
