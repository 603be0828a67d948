/**
 * What the collectors of a room tell each other, where there are several (docs/adr/0013): `shares.db` in the room's directory. Nothing in it is needed for what is right; it says who is there,
 * where each can be asked, and what each has seen of its shares.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';

/** Who has not said anything for so long is not there. */
export const SILENCE_MS_MAX = 3_000;
const WAIT_MS = 2_000;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS room (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, shares INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS collectors (name TEXT PRIMARY KEY, address TEXT NOT NULL, heard_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shares (
  share INTEGER PRIMARY KEY, owner TEXT NOT NULL, seen TEXT NOT NULL, rests_on TEXT NOT NULL, heard_ms INTEGER NOT NULL
);
`;

export interface Fellow {
  readonly name: string;
  readonly address: string;
}

/** What the owner of a share says. */
export interface ShareNews {
  readonly share: number;
  /** What it has seen of every `writes` lane of the share; empty: not known. */
  readonly seen: Stamp;
  /** What it had left in the cache by then (CacheStore.left). */
  readonly restsOn: string;
}

export interface Registered {
  /** Those who are there, this one included, in the order of their names. */
  readonly collectors: readonly Fellow[];
  /** Of shares whose owner is there. */
  readonly shares: ReadonlyMap<number, ShareNews & { readonly owner: string }>;
}

export interface ShareRegistryOptions {
  readonly file: string;
  readonly room: RoomId;
  readonly shares: number;
  readonly runtime: Runtime;
}

/** Made where it is new. */
export function openRegistryFile(file: string, waitMs = WAIT_MS): DatabaseSync {
  mkdirSync(dirname(file), { recursive: true });
  const db = new DatabaseSync(file, { timeout: waitMs });
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
  db.exec(SCHEMA);
  return db;
}

/** How many shares the room has; undefined: it was not divided yet. STORE_FOREIGN where the file is another room's. */
export function dividedInto(db: DatabaseSync, file: string, room: RoomId): number | undefined {
  const row = db.prepare('SELECT id, shares FROM room').get();
  if (row === undefined) return undefined;
  if (row['id'] !== room)
    throw new WmbError('STORE_FOREIGN', `${file} is of room ${String(row['id'])}; give this room (${room}) its own directory`);
  return Number(row['shares']);
}

/** Names of those that were heard of a moment ago. */
export function liveCollectors(db: DatabaseSync, nowMs: number): readonly string[] {
  const rows = db
    .prepare('SELECT name FROM collectors WHERE heard_ms BETWEEN ?1 - ?2 AND ?1 + ?2 ORDER BY name')
    .all(Math.floor(nowMs), SILENCE_MS_MAX);
  return rows.map(({ name }) => String(name));
}

/** What was said of other shares is forgotten. */
export function setDivision(db: DatabaseSync, room: RoomId, shares: number): void {
  db.exec('DELETE FROM collectors; DELETE FROM shares');
  db.prepare('INSERT OR REPLACE INTO room VALUES (1, ?, ?)').run(room, shares);
}

export class ShareRegistry {
  readonly #options: ShareRegistryOptions;
  readonly #db: DatabaseSync;

  /** Of a room that is divided (division.ts). STORE_FOREIGN where it is another room's, or divided otherwise. */
  constructor(options: ShareRegistryOptions) {
    this.#options = options;
    this.#db = openRegistryFile(options.file);
    try {
      this.#demandDivision();
    } catch (cause) {
      this.#db.close();
      throw cause;
    }
  }

  /** Looked at with every beat: somebody may have divided the room anew while this collector stood still. */
  #demandDivision(): void {
    const { file, room, shares } = this.#options;
    const found = dividedInto(this.#db, file, room);
    if (found === shares) return;
    throw new WmbError(
      'STORE_FOREIGN',
      `the room is divided into ${found} shares by ${file}, and this collector has collector.shares ${shares}; start it again with the same number as the others`,
    );
  }

  /** Says what this collector has, and returns what all have said. `counts`: it is one of those among whom the shares are divided. */
  beat(self: Fellow, own: readonly ShareNews[], counts = true): Registered {
    const nowMs = Math.floor(this.#options.runtime.nowMs());
    const db = this.#db;
    db.exec('BEGIN IMMEDIATE');
    try {
      this.#demandDivision();
      if (counts || own.length > 0) db.prepare('INSERT OR REPLACE INTO collectors VALUES (?, ?, ?)').run(self.name, self.address, nowMs);
      else db.prepare('DELETE FROM collectors WHERE name = ?').run(self.name);
      db.prepare('DELETE FROM collectors WHERE heard_ms NOT BETWEEN ?1 - ?2 AND ?1 + ?2').run(nowMs, SILENCE_MS_MAX);
      const put = db.prepare('INSERT OR REPLACE INTO shares VALUES (?, ?, ?, ?, ?)');
      for (const { share, seen, restsOn } of own) put.run(share, self.name, seen, restsOn, nowMs);
      const has = own.map(({ share }) => share);
      for (const row of db.prepare('SELECT share FROM shares WHERE owner = ?').all(self.name))
        if (!has.includes(Number(row['share']))) db.prepare('DELETE FROM shares WHERE share = ?').run(Number(row['share']));
      db.prepare('DELETE FROM shares WHERE owner NOT IN (SELECT name FROM collectors)').run();
      db.exec('COMMIT');
    } catch (cause) {
      if (db.isTransaction) db.exec('ROLLBACK');
      if (cause instanceof WmbError) throw cause;
      throw new WmbError('STORE_UNAVAILABLE', `${this.#options.file} failed: ${cause instanceof Error ? cause.message : String(cause)}`, {
        cause,
      });
    }
    return this.#read();
  }

  /** This collector goes, and says so. */
  leave(name: string): void {
    this.#db.prepare('DELETE FROM collectors WHERE name = ?').run(name);
    this.#db.prepare('DELETE FROM shares WHERE owner = ?').run(name);
  }

  close(): void {
    this.#db.close();
  }

  #read(): Registered {
    const collectors = this.#db.prepare('SELECT name, address FROM collectors ORDER BY name').all();
    const shares = this.#db.prepare('SELECT share, owner, seen, rests_on FROM shares').all();
    return {
      collectors: collectors.map((row) => ({ name: String(row['name']), address: String(row['address']) })),
      shares: new Map(
        shares.map((row) => {
          const share = Number(row['share']);
          return [share, { share, owner: String(row['owner']), seen: String(row['seen']), restsOn: String(row['rests_on']) }];
        }),
      ),
    };
  }
}
