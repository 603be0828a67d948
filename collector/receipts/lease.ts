/**
 * Who has a share of the room (docs/adr/0013): a row in the share's receipt book, which is good for a while and has to be renewed. Whoever writes into the book looks, in the same transaction, whether
 * it is still his. Moments are those of the one machine on which the book lies.
 */
import type { DatabaseSync } from 'node:sqlite';
import type { Runtime } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import { bookError, openBookFile } from './schema.ts';

/** A collector that stands still for longer loses its shares. */
export const LEASE_MS = 4_000;

export interface LeaseOptions {
  readonly file: string;
  readonly room: RoomId;
  readonly owner: string;
  readonly runtime: Runtime;
}

export class ShareLease {
  readonly #options: LeaseOptions;
  readonly #db: DatabaseSync;

  /** STORE_FOREIGN or STORE_UNAVAILABLE. Makes the book where there is none. */
  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#db = openBookFile(options.file, options.room, true).db;
  }

  /** True: it is this owner's now. */
  take(): boolean {
    const nowMs = this.#nowMs();
    return this.#changes(
      `INSERT INTO lease VALUES (1, ?1, ?2) ON CONFLICT (one) DO UPDATE SET owner = ?1, until_ms = ?2 WHERE owner = ?1 OR until_ms < ?3`,
      [this.#options.owner, nowMs + LEASE_MS, nowMs],
    );
  }

  /** False: somebody else has taken it. */
  renew(): boolean {
    return this.#changes('UPDATE lease SET until_ms = ?2 WHERE owner = ?1', [this.#options.owner, this.#nowMs() + LEASE_MS]);
  }

  /** The next one need not wait. */
  release(): void {
    this.#changes('UPDATE lease SET until_ms = 0 WHERE owner = ?1', [this.#options.owner]);
  }

  close(): void {
    this.#db.close();
  }

  #nowMs(): number {
    return Math.floor(this.#options.runtime.nowMs());
  }

  #changes(sql: string, params: readonly (string | number)[]): boolean {
    try {
      return Number(this.#db.prepare(sql).run(...params).changes) === 1;
    } catch (cause) {
      throw bookError(cause, this.#options.file);
    }
  }
}
