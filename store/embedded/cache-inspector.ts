/**
 * Looks into the file of the embedded cache from a process of its own, by a connection that only reads. Each call sees one moment of the file, and holds up neither
 * the collector that writes it nor anybody who changes it behind its back.
 *
 * A file that came in the place of the one that was opened (a restored copy) is opened at the next call, as soon as the WAL of the one before has gone: with it
 * it would read as a mixture of both.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { BUCKETS } from '../../core/converge/bucket.ts';
import { compareText } from '../../core/converge/order.ts';
import { exportState, type KeyState } from '../../core/converge/state.ts';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import { digestOf, entriesOf } from '../bucket-digest.ts';
import type { BucketDigest, CacheInspector, EntryDigest } from '../inspection.ts';
import { CACHE_FILE } from './cache.ts';
import { EmbeddedCell, type HeadRow } from './cache-cell.ts';
import { hasCacheTables } from './cache-schema.ts';
import { type CacheTables, prepareCacheTables } from './cache-tables.ts';
import { storeError } from './database-errors.ts';
import { inodeOf, isLeftBeside, isSameWal, type Place, placeOf } from './database-place.ts';

/** How long a statement waits while the file is being recovered. */
const BUSY_MS_MAX = 1_000;
/** Page cache of SQLite, in KiB. */
const PAGES_KIB = 32_768;
/** Buckets between two turns of the loop, and in one read transaction: a long one would keep the WAL from being cut back. */
const BUCKETS_A_TURN = 64;
/** Above everything that a column can hold: what is no bucket at all belongs to the last one. */
const ABOVE_ALL = Buffer.alloc(64, 0xff);

interface Opened {
  readonly db: DatabaseSync;
  readonly tables: CacheTables;
  readonly place: Place;
}

export class EmbeddedCacheInspector implements CacheInspector {
  readonly #file: string;
  readonly #runtime: Runtime;
  #opened: Opened | undefined;

  /** `directory`: of the room's EmbeddedCache. */
  constructor({ directory, runtime }: { readonly directory: string; readonly runtime: Runtime }) {
    this.#file = join(directory, CACHE_FILE);
    this.#runtime = runtime;
  }

  /** STORE_UNAVAILABLE, STORE_CORRUPT. Every other call opens too where it has to. */
  async open(): Promise<void> {
    this.#read(() => {});
  }

  digests(buckets: readonly number[], nowMs: number): Promise<readonly BucketDigest[]> {
    return this.#ofEach(buckets, (cells, bucket) => digestOf(bucket, cells, nowMs));
  }

  entries(buckets: readonly number[], nowMs: number): Promise<readonly (readonly EntryDigest[])[]> {
    return this.#ofEach(buckets, (cells) => entriesOf(cells, nowMs));
  }

  keys(buckets: readonly number[]): Promise<readonly (readonly string[])[]> {
    return this.#ofEach(buckets, (cells) => cells.map(([key]) => key));
  }

  async #ofEach<T>(buckets: readonly number[], tell: (cells: ReturnType<typeof cellsOf>, bucket: number) => T): Promise<readonly T[]> {
    const told: T[] = [];
    for (let from = 0; from < buckets.length; from += BUCKETS_A_TURN) {
      if (from > 0) await this.#runtime.turn();
      const some = buckets.slice(from, from + BUCKETS_A_TURN);
      this.#read((tables) => {
        for (const bucket of some) told.push(tell(cellsOf(tables, bucket), bucket));
      });
    }
    return told;
  }

  async states(keys: readonly string[]): Promise<readonly (KeyState | undefined)[]> {
    return this.#read((tables) => keys.map((key) => exportState(key, new EmbeddedCell(tables, key))));
  }

  async close(): Promise<void> {
    this.#letGo();
  }

  /** Runs `question` at one moment of the file that is there now. */
  #read<T>(question: (tables: CacheTables) => T): T {
    try {
      return ask(this.#current(), question);
    } catch (cause) {
      const error = readError(cause, this.#file);
      // What is known of the file before is needed until its WAL has gone.
      if (!(error instanceof WmbError) || error.code !== 'STORE_UNAVAILABLE') this.#letGo();
      throw error;
    }
  }

  #letGo(): void {
    this.#opened?.db.close();
    this.#opened = undefined;
  }

  #current(): Opened {
    const inode = inodeOf(this.#file);
    const opened = this.#opened;
    if (opened !== undefined && opened.place.inode === inode && isSameWal(this.#file, opened.place)) return opened;
    if (inode === undefined) throw notYet(this.#file, 'does not exist yet');
    const isAnother = opened !== undefined && opened.place.inode !== inode;
    if (isAnother && isLeftBeside(this.#file, opened.place)) {
      throw new WmbError(
        'STORE_UNAVAILABLE',
        `another file has come in the place of ${this.#file}; the room’s collector takes it over in a moment`,
      );
    }
    this.#letGo();
    this.#opened = openFile(this.#file, inode);
    return this.#opened;
  }
}

function ask<T>({ db, tables }: Opened, question: (tables: CacheTables) => T): T {
  db.exec('BEGIN');
  try {
    return question(tables);
  } finally {
    db.exec('COMMIT');
  }
}

function openFile(file: string, inode: number): Opened {
  const db = new DatabaseSync(file, { readOnly: true, timeout: BUSY_MS_MAX });
  try {
    db.exec(`PRAGMA cache_size = -${PAGES_KIB}`);
    if (!hasCacheTables(db)) throw notYet(file, 'is not made, or not brought up to this version of WMB, yet');
    return { db, tables: prepareCacheTables(db), place: placeOf(file, inode) };
  } catch (cause) {
    db.close();
    throw cause;
  }
}

function notYet(file: string, what: string): WmbError {
  return new WmbError('STORE_UNAVAILABLE', `${file} ${what}; the room’s collector does it when it starts`);
}

function readError(cause: unknown, file: string): unknown {
  const error = storeError(cause, file);
  if (!(error instanceof WmbError) || error.code !== 'STORE_READONLY') return error;
  return new WmbError('STORE_UNAVAILABLE', `${file} cannot be read (${(cause as Error).message})`, { cause });
}

/** A row that stands in a bucket which is none counts in the one that is nearest. */
function cellsOf(tables: CacheTables, bucket: number): readonly (readonly [string, EmbeddedCell])[] {
  const from = bucket === 0 ? Number.NEGATIVE_INFINITY : bucket;
  const below = bucket === BUCKETS - 1 ? ABOVE_ALL : bucket + 1;
  const rows = tables.headsOf.all(from, below) as unknown as (HeadRow & { readonly key: string })[];
  const cells = rows.map((row) => [row.key, new EmbeddedCell(tables, row.key, row)] as const);
  // The index has them in this order but where buckets are none.
  return cells.sort(([a], [b]) => compareText(a, b));
}
