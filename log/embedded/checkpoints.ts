/**
 * Checkpoints of a WAL beside the thread that writes.
 *
 * A checkpoint fsyncs the WAL and writes its pages into the database file: 30 to 50 ms for a WAL of 32 MiB, and SQLite does it within whichever commit
 * reaches the limit. Here another thread does it, which SQLite allows beside a writer, and in small steps: while one file's megabytes are
 * fsynced, the fsyncs of every other file on that disk wait, and one of them is the write log's. What is committed during a round is left for the next.
 *
 * The WAL begins from its start again only with a commit that finds nothing left over. So when it is long the rounds follow one another, each with about a tenth
 * of what there was before it, and when so little is left that nobody notices, the writing thread checkpoints the rest.
 *
 * Only the length of the WAL depends on it: SQLite's own checkpoint within a commit remains as the limit for a thread that is too slow or has died.
 */
import { extname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';

/** A round begins when so many pages are not in the database file yet, or an eighth of the limit: 4 MiB are fsynced in a few milliseconds. */
const STEP_PAGES_MAX = 1_024;
const STEPS_MIN = 8;
/** So many pages are checkpointed on the writing thread. */
const REST_PAGES_MAX = 256;
/** Where writing is as fast as checkpointing the rest does not get small; it is tried again after the next step. */
const ROUNDS_MAX = 6;
/** SQLite's own checkpoint comes when the WAL has grown to this many times the limit. */
const BACKSTOP = 4;

export interface CheckpointsOptions {
  /** The writer's connection. */
  readonly db: DatabaseSync;
  readonly file: string;
  /** The length from which on the WAL is to begin anew. */
  readonly pages: number;
  /** Of the file, where another one may come in its place: that one is left alone, because the WAL beside it is not its own. */
  readonly inode?: number | undefined;
}

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  readonly #state: StatementSync;
  readonly #rest: StatementSync;
  /** Made at the first checkpoint: most files of a quiet room never need one. */
  #worker: Worker | undefined;
  #isRunning = false;
  /** Since the WAL has been long enough to begin anew. */
  #rounds = 0;
  readonly #step: number;
  /** The next round begins when so many pages are left. */
  #from: number;
  #over = false;

  constructor(options: CheckpointsOptions) {
    const { db, pages } = options;
    this.#options = options;
    this.#step = Math.min(STEP_PAGES_MAX, pages / STEPS_MIN);
    this.#from = this.#step;
    db.exec(`PRAGMA wal_autocheckpoint = ${BACKSTOP * pages}`);
    this.#state = db.prepare('PRAGMA wal_checkpoint(NOOP)');
    this.#rest = db.prepare('PRAGMA wal_checkpoint(PASSIVE)');
  }

  /** Call it after each commit: where there is nothing to do it takes a microsecond. */
  committed(): void {
    if (!this.#isRunning && !this.#over && this.#lengths().left >= this.#from) this.#round();
  }

  /** Before the writer's connection is closed, so that it is the last one and removes the WAL. */
  async close(): Promise<void> {
    this.#over = true;
    await this.#worker?.terminate();
  }

  #round(): void {
    this.#worker ??= this.#startWorker();
    this.#isRunning = true;
    this.#worker.postMessage(undefined);
  }

  #startWorker(): Worker {
    const { file, inode } = this.#options;
    // The same extension as this file's: .ts from source, .js from dist/.
    const worker = new Worker(new URL(`./checkpoint-worker${extname(import.meta.url)}`, import.meta.url), { workerData: { file, inode } });
    worker.unref();
    worker.on('message', () => this.#roundDone());
    worker.on('error', () => {
      this.#over = true;
    });
    return worker;
  }

  #roundDone(): void {
    this.#isRunning = false;
    if (this.#over) return;
    const { pages } = this.#options;
    const { log, left } = this.#lengths();
    // What a reader still needs stays: not every commit shall ask for it again.
    this.#from = left + this.#step;
    if (log < pages) return;
    if (left > REST_PAGES_MAX && this.#rounds < ROUNDS_MAX) {
      this.#rounds += 1;
      this.#round();
      return;
    }
    this.#rounds = 0;
    if (left <= REST_PAGES_MAX) this.#finish();
  }

  #finish(): void {
    try {
      this.#rest.get();
    } catch {
      // A disk that is full or broken: the next commit meets it too, and says so to somebody who can act on it.
    }
  }

  /** Pages of the WAL, and those of them that are not in the database file yet. */
  #lengths(): { readonly log: number; readonly left: number } {
    const state = this.#state.get();
    const log = Number(state?.log);
    return { log, left: log - Number(state?.checkpointed) };
  }
}
