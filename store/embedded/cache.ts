/**
 * The cache of a room on the SQLite that ships with Node: one file, `cache.db`. The rules of core/converge run over its rows; a batch and its
 * marks are one transaction.
 *
 * Durability: a commit is fsynced at checkpoints only (synchronous NORMAL in WAL mode). A power cut may take the last commits away, but only
 * whole ones and only from the end: the cache comes back with the older mark that went with them, and the write logs, which are fsynced before
 * anything is acked, are replayed from there.
 *
 * One process owns the file; others may open it to read. A copy that is put in its place, by rename, is taken over at the next call, whatever that is (docs/adr/0005).
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { BUCKETS } from '../../core/converge/bucket.ts';
import type { EffectResult } from '../../core/converge/cell.ts';
import type { CacheEntry, Effect } from '../../core/converge/effects.ts';
import { mend } from '../../core/converge/mend.ts';
import { outcomeOf } from '../../core/converge/outcome.ts';
import { applyEffect, settledUpTo } from '../../core/converge/rules.ts';
import { settleKey } from '../../core/converge/settle.ts';
import { visible } from '../../core/converge/visible.ts';
import { WmbError } from '../../core/errors.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Version } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import { Checkpoints } from '../../log/embedded/checkpoints.ts';
import type { CacheBatch, CacheMarks, CacheOutcome, CacheResult, CacheStore, CacheSweep, Generation } from '../cache.ts';
import type { CacheRepair, RepairOutcome } from '../inspection.ts';
import { EmbeddedCell } from './cache-cell.ts';
import { Revisions } from './cache-revisions.ts';
import { hasCacheTables, openCacheTables } from './cache-schema.ts';
import { SweepPages } from './cache-sweep.ts';
import { type CacheTables, prepareCacheTables } from './cache-tables.ts';
import { storeError } from './database-errors.ts';
import { type DatabaseLock, lockDatabase } from './database-lock.ts';
import { inodeOf, type Place, placeOf, removeLeftBeside } from './database-place.ts';
import { inTransaction, MarkTable } from './database-tables.ts';

export interface EmbeddedCacheOptions {
  /** Absolute; made where missing. */
  readonly directory: string;
  readonly room: RoomId;
  readonly runtime: Runtime;
}

export const CACHE_FILE = 'cache.db';

const SCAN_KEYS = 256;
/** The WAL file is cut back to this after a burst. */
const WAL_BYTES_KEPT = 160 * 1024 * 1024;
/** A batch of writes to random keys touches a page each; the longer the WAL, the more of them meet in it before the checkpoint. */
const CHECKPOINT_PAGES = 32_768;
/** Page cache of SQLite, in KiB. */
const PAGES_KIB = 65_536;

interface Opened {
  readonly db: DatabaseSync;
  readonly place: Place;
  readonly lock: DatabaseLock;
  readonly checkpoints: Checkpoints;
  readonly tables: CacheTables;
  readonly marks: MarkTable;
  readonly revisions: Revisions;
  readonly sweep: SweepPages;
  /** Effects up to this version may have been forgotten; never goes back. */
  settled: Version;
  /** Mirror of the table: buckets stay dirty until somebody has looked at them, so marking one is nearly always free. */
  readonly dirty: Set<number>;
}

export class EmbeddedCache implements CacheStore {
  readonly #options: EmbeddedCacheOptions;
  readonly #file: string;
  #opened: Opened | undefined;

  constructor(options: EmbeddedCacheOptions) {
    this.#options = options;
    this.#file = join(options.directory, CACHE_FILE);
  }

  /** STORE_LOCKED, STORE_FOREIGN, STORE_READONLY, STORE_FULL, STORE_CORRUPT. */
  async open(): Promise<void> {
    makeDirectory(this.#options.directory);
    const lock = lockDatabase(this.#file);
    let db: DatabaseSync | undefined;
    try {
      const inode = inodeOf(this.#file);
      db = new DatabaseSync(this.#file);
      this.#opened = this.#prepare(db, { lock, inode });
    } catch (cause) {
      db?.close();
      lock.release();
      throw storeError(cause, this.#file);
    }
  }

  #prepare(db: DatabaseSync, { lock, inode, revisions: before }: Preparing): Opened {
    db.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = ${WAL_BYTES_KEPT}; PRAGMA cache_size = -${PAGES_KIB}`,
    );
    const settled = inTransaction(db, () => openCacheTables(db, this.#options.room, this.#file));
    const tables = prepareCacheTables(db);
    const dirty = new Set(tables.buckets.all().map((row) => Number(row['bucket'])));
    const revisions = new Revisions(tables, this.#options.runtime, before);
    const place = placeOf(this.#file, inode);
    const checkpoints = new Checkpoints({ db, file: this.#file, pages: CHECKPOINT_PAGES, inode: place.inode });
    const marks = new MarkTable(db, 'wmb_marks');
    return { db, place, lock, checkpoints, tables, settled, dirty, revisions, marks, sweep: new SweepPages(db) };
  }

  async marks(): Promise<CacheMarks> {
    const opened = this.#open();
    return this.#transaction(opened, () => ({ generation: look(opened), marks: opened.marks.all(), settled: opened.settled }));
  }

  async apply(batch: CacheBatch): Promise<CacheResult> {
    const opened = this.#open();
    const learned: Learned = { settled: '', touched: new Set() };
    const result = this.#transaction(opened, (): CacheResult => {
      const generation = look(opened);
      if (generation !== batch.generation) return { moved: false, generation, stored: undefined };
      const refused = opened.marks.refused(batch.moves);
      if (refused !== undefined) return { moved: false, generation, stored: refused.stored };
      learned.settled = laterOf(opened.settled, settledUpTo(batch.floor, batch.nowMs));
      const outcomes = applyWrites(opened.tables, batch.writes, learned);
      for (const move of batch.moves) opened.marks.move(move);
      note(opened, learned);
      return { moved: true, outcomes };
    });
    if (result.moved) remember(opened, learned);
    return result;
  }

  async get(key: string, nowMs: number): Promise<CacheEntry | undefined> {
    return visible(key, new EmbeddedCell(this.#open().tables, key), nowMs);
  }

  async *scan({ prefix, nowMs }: { readonly prefix: string; readonly nowMs: number }): AsyncIterable<CacheEntry> {
    let page = this.#open().tables.keysFrom.all(prefix, SCAN_KEYS);
    while (page.length > 0) {
      let key = '';
      for (const row of page) {
        key = String(row['key']);
        if (!key.startsWith(prefix)) return;
        const entry = visible(key, new EmbeddedCell(this.#open().tables, key), nowMs);
        if (entry !== undefined) yield entry;
      }
      page = this.#open().tables.keysAfter.all(key, SCAN_KEYS);
    }
  }

  async sweep({ generation, floor, nowMs }: CacheSweep): Promise<number> {
    const opened = this.#open();
    // Before anything is forgotten, and also where there is nothing to forget.
    let gone = this.#sweepPage(opened, [], { generation, upTo: settledUpTo(floor, nowMs) });
    const { settled } = opened;
    if (settled === '') return 0;
    for (const keys of opened.sweep.pages(settled)) {
      gone += this.#sweepPage(opened, keys, { generation, upTo: settled });
      // The loop must breathe between two pages; the store may be closed meanwhile.
      await sleep(this.#options.runtime, 0);
      if (this.#opened !== opened) break;
    }
    return gone;
  }

  async takeDirty(max: number): Promise<readonly number[]> {
    const opened = this.#open();
    const taken = this.#transaction(opened, () => {
      look(opened);
      const buckets = [...opened.dirty].slice(0, max);
      for (const bucket of buckets) opened.tables.bucketDrop.run(bucket);
      return buckets;
    });
    for (const bucket of taken) opened.dirty.delete(bucket);
    return taken;
  }

  async repair(repairs: readonly CacheRepair[], _nowMs: number): Promise<readonly RepairOutcome[]> {
    return repairs.map((repair) => this.#repairKey(this.#open(), repair));
  }

  #repairKey(opened: Opened, repair: CacheRepair): RepairOutcome {
    const learned: Learned = { settled: '', touched: new Set() };
    const outcome = this.#transaction(opened, () => {
      look(opened);
      learned.settled = opened.settled;
      const cell = new EmbeddedCell(opened.tables, repair.key);
      const result = mend(cell, repair, opened.settled);
      if (result !== 'repaired') return result;
      cell.flush();
      learned.touched.add(cell.bucket);
      note(opened, learned);
      return result;
    });
    if (outcome === 'repaired') remember(opened, learned);
    return outcome;
  }

  async close(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    await opened?.checkpoints.close();
    if (opened?.db.isOpen === true) opened.db.close();
    opened?.lock.release();
  }

  #sweepPage(opened: Opened, keys: readonly string[], of: { readonly generation: Generation; readonly upTo: Version }): number {
    const learned: Learned = { settled: '', touched: new Set() };
    const gone = this.#transaction(opened, () => {
      if (look(opened) !== of.generation) return undefined;
      learned.settled = laterOf(opened.settled, of.upTo);
      let dropped = 0;
      for (const key of keys) {
        const cell = new EmbeddedCell(opened.tables, key);
        dropped += settleCell(cell, learned.settled);
        learned.touched.add(cell.bucket);
      }
      note(opened, learned);
      return dropped;
    });
    if (gone === undefined)
      throw new WmbError(
        'MARK_MOVED',
        `${this.#file} came back from an older copy or was changed by somebody else; it is swept by its own marks`,
      );
    remember(opened, learned);
    return gone;
  }

  #transaction<T>(opened: Opened, work: () => T): T {
    try {
      const result = inTransaction(opened.db, work);
      opened.checkpoints.committed();
      return result;
    } catch (cause) {
      throw storeError(cause, this.#file);
    }
  }

  #open(): Opened {
    const opened = this.#opened;
    if (opened === undefined) throw new WmbError('STORE_UNAVAILABLE', `${this.#file} is not open`);
    const inode = inodeOf(this.#file);
    if (inode === undefined)
      throw new WmbError(
        'STORE_UNAVAILABLE',
        `${this.#file} is gone; put a copy there by rename, or restart the collector to begin with an empty cache`,
      );
    return inode === opened.place.inode && opened.db.isOpen ? opened : this.#takeOver(opened, inode);
  }

  /** Another file has come in the place of the one that was open. Where it is none of ours every call fails until another one comes. */
  #takeOver(before: Opened, inode: number): Opened {
    void before.checkpoints.close();
    if (before.db.isOpen) before.db.close();
    let db: DatabaseSync | undefined;
    try {
      removeLeftBeside(this.#file, before.place);
      db = new DatabaseSync(this.#file);
      // One that is being copied would be taken for a new one and filled.
      if (!hasCacheTables(db))
        throw new WmbError(
          'STORE_UNAVAILABLE',
          `what has come in the place of ${this.#file} is no cache of this version of WMB; put a copy of one there by rename`,
        );
      this.#opened = this.#prepare(db, { ...before, inode });
      return this.#opened;
    } catch (cause) {
      db?.close();
      throw storeError(cause, this.#file);
    }
  }
}

interface Preparing {
  readonly lock: DatabaseLock;
  /** As of placeOf. */
  readonly inode: number | undefined;
  /** Of the file in whose place this one came. */
  readonly revisions?: Revisions;
}

/** What a transaction learns beside its rows. */
interface Learned {
  settled: Version;
  readonly touched: Set<number>;
}

function applyWrites(tables: CacheTables, writes: readonly (readonly Effect[])[], { settled, touched }: Learned): CacheOutcome[] {
  const cells = new Map<string, EmbeddedCell>();
  const outcomes: CacheOutcome[] = [];
  let results: EffectResult[] = [];
  for (const effects of writes) {
    results = [];
    for (const effect of effects) {
      let cell = cells.get(effect.key);
      if (cell === undefined) {
        cell = new EmbeddedCell(tables, effect.key);
        cells.set(effect.key, cell);
      }
      results.push(applyEffect(cell, effect, settled));
    }
    outcomes.push(outcomeOf(results));
  }
  for (const cell of cells.values()) {
    cell.flush();
    touched.add(cell.bucket);
  }
  return outcomes;
}

/** Returns how many rows went. */
function settleCell(cell: EmbeddedCell, settled: Version): number {
  const forgotten = settleKey(cell, settled);
  if (forgotten) cell.forget();
  else cell.flush();
  return cell.dropped;
}

/** Writes what was learned into the transaction; most batches learn nothing new. */
function note(opened: Opened, { settled, touched }: Learned): void {
  opened.revisions.put();
  if (settled !== opened.settled) opened.tables.settledPut.run(settled);
  for (const bucket of touched) if (!opened.dirty.has(bucket)) opened.tables.bucketPut.run(bucket);
}

/** After the commit. */
function remember(opened: Opened, { settled, touched }: Learned): void {
  opened.revisions.committed();
  opened.settled = settled;
  for (const bucket of touched) opened.dirty.add(bucket);
}

/**
 * Within a transaction: the generation that the file is in. In a new one nothing of what was kept in memory counts, and any bucket may differ from what
 * somebody has seen of it.
 */
function look(opened: Opened): Generation {
  const { revisions, tables, dirty } = opened;
  if (revisions.isOther()) {
    opened.settled = String(tables.settled.get()?.['settled'] ?? '');
    tables.bucketsPut.run(BUCKETS);
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) dirty.add(bucket);
  }
  return revisions.generation;
}

function laterOf(a: Version, b: Version): Version {
  return a > b ? a : b;
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (cause) {
    throw new WmbError('STORE_READONLY', `the directory ${directory} cannot be made: ${(cause as Error).message}`, { cause });
  }
}
