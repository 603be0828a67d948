/** States of the lanes' links, in the receipt book's file: one file less, and they belong to the same collector. */

import type { Transport } from '../../core/config/types.ts';
import { type LogName, laneKey, type RoomId } from '../../core/words.ts';
import type { LinkState } from '../../link/machine.ts';
import type { LinkStateRow, LinkStateStore } from '../receive/state-store.ts';
import type { EmbeddedBook } from './embedded.ts';

export class EmbeddedLinkStates implements LinkStateStore {
  readonly #book: EmbeddedBook;

  /** `book` must be open when the states are used. */
  constructor(book: EmbeddedBook) {
    this.#book = book;
  }

  load(): readonly LinkStateRow[] {
    const rows = this.#book.guarded((db) => db.prepare('SELECT log, origin, partition, state, reason, since_ms FROM link_states').all());
    return rows.map((row) => ({
      lane: { log: row['log'] as LogName, origin: String(row['origin']), partition: Number(row['partition']) },
      state: row['state'] as LinkState,
      reason: String(row['reason']),
      sinceMs: Number(row['since_ms']),
    }));
  }

  save({ lane, state, reason, sinceMs }: LinkStateRow): void {
    this.#book.change(
      (db) =>
        void db
          .prepare('INSERT OR REPLACE INTO link_states VALUES (?, ?, ?, ?, ?, ?, ?)')
          .run(laneKey(lane), lane.log, lane.origin, lane.partition, state, reason, sinceMs),
    );
  }

  transports(): ReadonlyMap<RoomId, Transport> {
    const rows = this.#book.guarded((db) => db.prepare('SELECT origin, transport FROM link_transports').all());
    return new Map(rows.map((row) => [String(row['origin']), row['transport'] as Transport]));
  }

  saveTransport(origin: RoomId, transport: Transport): void {
    this.#book.change((db) => void db.prepare('INSERT OR REPLACE INTO link_transports VALUES (?, ?)').run(origin, transport));
  }

  durable(): Promise<void> {
    return this.#book.durable();
  }
}
