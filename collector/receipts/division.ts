/**
 * Which file has the receipts of which share of the room (docs/adr/0013), and how a room is divided into another number of shares: when its collectors start with another `collector.shares` than
 * the one before, the first of them puts the receipts of every partition, with what is parked, into the books of the new shares. `shares.db` says which division counts: until that is
 * written the old books are as they were, and afterwards they are removed.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime } from '../../core/runtime.ts';
import { type Share, WHOLE } from '../../core/share.ts';
import type { RoomId } from '../../core/words.ts';
import { ShareLease } from './lease.ts';
import { bookError, type OpenedBook, openBookFile } from './schema.ts';
import { dividedInto, liveCollectors, openRegistryFile, setDivision } from './share-registry.ts';

/** One collector divides, and those that start beside it wait. */
const WAIT_MS = 60_000;
/** Of lanes, by their number in the book. */
const LANE_TABLES = ['frames', 'exceptions', 'parked', 'retried', 'skips'];
const BOOK_NAME = /^book(?:-\d+of(\d+))?\.db(?:-wal|-shm|\.lock|\.pid)?$/;

export function bookFile(directory: string, { index, count }: Share): string {
  return join(directory, count === WHOLE.count ? 'book.db' : `book-${index}of${count}.db`);
}

export function registryFile(directory: string): string {
  return join(directory, 'shares.db');
}

export function hasBooks(directory: string): boolean {
  return existsSync(directory) && readdirSync(directory).some((name) => BOOK_NAME.test(name));
}

export interface DivisionOptions {
  readonly directory: string;
  readonly room: RoomId;
  readonly count: number;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** Before any book of the room is opened. STORE_LOCKED where collectors still work with another division, STORE_FOREIGN, STORE_FULL, STORE_UNAVAILABLE. */
export function ensureDivision(options: DivisionOptions): void {
  const { directory, room, count, runtime } = options;
  const file = registryFile(directory);
  if (count === WHOLE.count && !existsSync(file)) return;
  const registry = openRegistryFile(file, WAIT_MS);
  try {
    registry.exec('BEGIN IMMEDIATE');
    const before = dividedInto(registry, file, room) ?? WHOLE.count;
    if (before !== count) {
      const live = liveCollectors(registry, runtime.nowMs());
      if (live.length > 0) throw inUse(options, before, live.join(', '));
      divide(options, before, () => {
        setDivision(registry, room, count);
        registry.exec('COMMIT');
      });
    }
    // Also what one left that was killed here.
    removeBooks(directory, (division) => division !== count);
  } catch (cause) {
    throw bookError(cause, file);
  } finally {
    if (registry.isTransaction) registry.exec('ROLLBACK');
    registry.close();
  }
}

function divide(options: DivisionOptions, before: number, decide: () => void): void {
  const { directory, room, count, runtime, logger } = options;
  const startMs = runtime.monotonicMs();
  const old = takeBooks(options, before);
  try {
    removeBooks(directory, (division) => division === count);
    let lanes = 0;
    for (let index = 0; index < count; index += 1) {
      const { db } = openBookFile(bookFile(directory, { index, count }), room, true);
      try {
        for (const file of old.files) lanes += copyLanes(db, file, { index, count });
      } finally {
        db.close();
      }
    }
    decide();
    logger.info(
      { before, shares: count, lanes, tookMs: Math.round(runtime.monotonicMs() - startMs) },
      'the room is divided into other shares',
    );
  } finally {
    old.release();
  }
}

interface OldBooks {
  readonly files: readonly string[];
  release(): void;
}

/** Whoever stood still with one of them finds it in other hands when it wakes up. */
function takeBooks(options: DivisionOptions, before: number): OldBooks {
  const { directory, room, count, runtime } = options;
  if (before === WHOLE.count) {
    const file = bookFile(directory, WHOLE);
    if (!existsSync(file)) return { files: [], release: () => {} };
    const { db, lock } = openWhole(options, file);
    db.close();
    return { files: [file], release: () => lock?.release() };
  }
  const files = Array.from({ length: before }, (_, index) => bookFile(directory, { index, count: before }));
  const leases: ShareLease[] = [];
  const release = () => {
    for (const lease of leases) lease.close();
  };
  try {
    for (const [index, file] of files.entries()) {
      const lease = new ShareLease({ file, room, owner: `the division into ${count} shares`, runtime });
      leases.push(lease);
      if (!lease.take()) throw inUse(options, before, `whoever has share ${index}`);
    }
  } catch (cause) {
    for (const lease of leases) lease.release();
    release();
    throw cause;
  }
  return { files, release };
}

function openWhole(options: DivisionOptions, file: string): OpenedBook {
  try {
    return openBookFile(file, options.room);
  } catch (cause) {
    throw asWmbError(cause).code === 'STORE_LOCKED' ? inUse(options, WHOLE.count, 'a collector') : cause;
  }
}

function inUse({ room, count }: DivisionOptions, before: number, who: string): WmbError {
  const state = before === WHOLE.count ? 'not divided' : `divided into ${before} shares`;
  return new WmbError(
    'STORE_LOCKED',
    `the receipts of room ${room} are ${state}, and ${who} still works with them; stop all collectors of the room before one starts with collector.shares ${count}`,
  );
}

/** How many lanes, each with all its log epochs. */
function copyLanes(db: DatabaseSync, file: string, { index, count }: Share): number {
  db.prepare('ATTACH ? AS old').run(file);
  try {
    db.exec('BEGIN IMMEDIATE');
    const lanes = db.prepare('SELECT * FROM old.lanes WHERE partition % ? = ? ORDER BY id').all(count, index);
    for (const { id, log, origin, partition, epoch, seq, writes, stamp_last: stampLast } of lanes) {
      const { lastInsertRowid } = db
        .prepare('INSERT INTO main.lanes (log, origin, partition, epoch, seq, writes, stamp_last) VALUES (?, ?, ?, ?, ?, ?, ?)')
        .run(...([log, origin, partition, epoch, seq, writes, stampLast] as (string | number)[]));
      for (const table of LANE_TABLES) copyRows(db, table, Number(id), lastInsertRowid);
    }
    db.prepare('INSERT INTO main.link_states SELECT * FROM old.link_states WHERE partition % ? = ?').run(count, index);
    db.exec('INSERT OR IGNORE INTO main.link_transports SELECT * FROM old.link_transports');
    db.exec('COMMIT');
    return lanes.length;
  } finally {
    if (db.isTransaction) db.exec('ROLLBACK');
    db.exec('DETACH old');
  }
}

/** In their order, with numbers of their own in this book. */
function copyRows(db: DatabaseSync, table: string, before: number, lane: number | bigint): void {
  const names = db.prepare('SELECT name FROM pragma_table_info(?)').all(table);
  const columns = names.map(({ name }) => String(name)).filter((name) => name !== 'id' && name !== 'lane');
  const order = names.some(({ name }) => name === 'id') ? 'id' : 'seq';
  const list = columns.join(', ');
  db.prepare(`INSERT INTO main.${table} (lane, ${list}) SELECT ?, ${list} FROM old.${table} WHERE lane = ? ORDER BY ${order}`).run(
    lane,
    before,
  );
}

function removeBooks(directory: string, which: (division: number) => boolean): void {
  for (const name of readdirSync(directory)) {
    const match = BOOK_NAME.exec(name);
    if (match !== null && which(Number(match[1] ?? WHOLE.count))) rmSync(join(directory, name), { force: true });
  }
}
