/** Opening SQLite for a log, and what its failures mean. The only place that looks at SQLite's result codes. */
import { DatabaseSync } from 'node:sqlite';
import { type ErrorCode, WmbError } from '../../core/errors.ts';

/** How long a statement waits for another process' short write transaction before it gives up. */
const BUSY_MS_MAX = 10_000;
/** The WAL file is cut back to this after a burst. */
const WAL_BYTES_KEPT = 64 * 1024 * 1024;

/** Opens `file` so that a commit is durable when it returns: WAL, with an fsync of the WAL in every commit. */
export function openForWriting(file: string): DatabaseSync {
  const db = new DatabaseSync(file, { timeout: BUSY_MS_MAX });
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = ${WAL_BYTES_KEPT}`);
  return db;
}

export function openForReading(file: string): DatabaseSync {
  return new DatabaseSync(file, { readOnly: true, timeout: BUSY_MS_MAX });
}

/** Runs `work` in one transaction that takes the write lock at once; whatever it throws undoes all of it. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (cause) {
    // A full disk may already have made SQLite roll back by itself.
    if (db.isTransaction) db.exec('ROLLBACK');
    throw cause;
  }
}

const BUSY = 5;
const READONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANNOT_OPEN = 14;
const CONSTRAINT = 19;
const NOT_A_DATABASE = 26;
/** The shared-memory index of the WAL could not grow: what a full disk looks like before the first write reaches it. */
const IOERR_SHMSIZE = 4874;

/** `cause` as the error of the log in `place`. */
export function logError(cause: unknown, place: string): WmbError {
  if (cause instanceof WmbError) return cause;
  const detail = cause instanceof Error ? cause.message : String(cause);
  const [code, what] = meaning(resultCode(cause));
  return new WmbError(code, `log ${place}: ${what} (${detail})`, { cause });
}

export function isBusy(cause: unknown): boolean {
  return (resultCode(cause) & 0xff) === BUSY;
}

function meaning(result: number): readonly [ErrorCode, string] {
  if (result === IOERR_SHMSIZE) return ['LOG_FULL', FULL_MESSAGE];
  switch (result & 0xff) {
    case FULL:
      return ['LOG_FULL', FULL_MESSAGE];
    case READONLY:
      return ['LOG_READONLY', 'it cannot be written; check the permissions and mount options of its directory'];
    case CORRUPT:
    case NOT_A_DATABASE:
      return ['LOG_CORRUPT', 'its SQLite file is damaged; restore it from a copy'];
    case CONSTRAINT:
      return ['LOG_CORRUPT', 'its counters are behind its frames, as after a restore of parts of it; restore the whole directory'];
    case CANNOT_OPEN:
      return ['LOG_UNAVAILABLE', 'its SQLite file cannot be opened'];
    case BUSY:
      return ['LOG_UNAVAILABLE', `another process kept it busy for ${BUSY_MS_MAX} ms`];
    default:
      return ['LOG_UNAVAILABLE', 'it failed to answer'];
  }
}

const FULL_MESSAGE = 'no space is left; nothing was appended, and appends work again when there is space';

function resultCode(cause: unknown): number {
  if (cause instanceof Error && 'errcode' in cause && typeof cause.errcode === 'number') return cause.errcode;
  return 0;
}
