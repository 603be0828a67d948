/**
 * Checkpoints of a WAL beside the thread that writes.
 *
 * A checkpoint fsyncs the WAL and writes its pages into the database file: 30 to 50 ms for a WAL of 32 MiB, and SQLite does it within whichever commit
 * reaches the limit. Here another thread does it, which SQLite allows beside a writer. What is committed meanwhile is left for its next round, each time about
 * a tenth of what there was; when so little is left that nobody notices, the writing thread checkpoints the rest. Only then, with nothing left
 * over, does the next commit begin the WAL from its start again instead of making it longer.
 *
 * Only the length of the WAL depends on it: SQLite's own checkpoint within a commit remains as the limit for a thread that is too slow or has died.
 */
import { extname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';

/** So many pages are checkpointed on the writing thread. */
const REST_PAGES_MAX = 64;
/** Where writing is as fast as checkpointing the rest does not get small; it is tried again when the WAL has grown by as much again. */
const ROUNDS_MAX = 6;
/** SQLite's own checkpoint comes when the WAL has grown to this many times the limit. */
const BACKSTOP = 8;

export interface CheckpointsOptions {
  /** The writer's connection. */
  readonly db: DatabaseSync;
  readonly file: string;
  /** The length of the WAL at which a checkpoint begins. */
  readonly pages: number;
}

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  readonly #state: StatementSync;
  readonly #rest: StatementSync;
  /** Made at the first checkpoint: most files of a quiet room never need one. */
  #worker: Worker | undefined;
  /** Of the checkpoint under way; 0: there is none. */
  #rounds = 0;
  /** The next begins when so many pages are left. */
  #from: number;
  #over = false;

  constructor(options: CheckpointsOptions) {
    const { db, pages } = options;
    this.#options = options;
    this.#from = pages;
    db.exec(`PRAGMA wal_autocheckpoint = ${BACKSTOP * pages}`);
    this.#state = db.prepare('PRAGMA wal_checkpoint(NOOP)');
    this.#rest = db.prepare('PRAGMA wal_checkpoint(PASSIVE)');
  }

  /** Call it after each commit: where there is nothing to do it takes a microsecond. */
  committed(): void {
    if (this.#rounds === 0 && !this.#over && this.#left() >= this.#from) this.#round();
  }

  /** Before the writer's connection is closed, so that it is the last one and removes the WAL. */
  async close(): Promise<void> {
    this.#over = true;
    await this.#worker?.terminate();
  }

  #round(): void {
    this.#worker ??= this.#startWorker();
    this.#rounds += 1;
    this.#worker.postMessage(undefined);
  }

  #startWorker(): Worker {
    const { file } = this.#options;
    // The same extension as this file's: .ts from source, .js from dist/.
    const worker = new Worker(new URL(`./checkpoint-worker${extname(import.meta.url)}`, import.meta.url), { workerData: file });
    worker.unref();
    worker.on('message', () => this.#roundDone());
    worker.on('error', () => {
      this.#over = true;
    });
    return worker;
  }

  #roundDone(): void {
    if (this.#over) return;
    const left = this.#left();
    const isSmall = left <= REST_PAGES_MAX;
    if (!isSmall && this.#rounds < ROUNDS_MAX) {
      this.#round();
      return;
    }
    this.#rounds = 0;
    this.#from = this.#options.pages + (isSmall ? 0 : left);
    if (isSmall) this.#finish();
  }

  #finish(): void {
    try {
      this.#rest.get();
    } catch {
      // A disk that is full or broken: the next commit meets it too, and says so to somebody who can act on it.
    }
  }

  /** Pages of the WAL that are not in the database file yet. */
  #left(): number {
    const state = this.#state.get();
    return Number(state?.log) - Number(state?.checkpointed);
  }
}
