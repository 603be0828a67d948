/** What SQLite says, told in WMB's words. The only place that looks at SQLite's result codes for the database. */
import { WmbError } from '../../core/errors.ts';
import { Refusal } from '../statement-checks.ts';

/** Primary result codes (https://sqlite.org/rescode.html) that blame the statement or its data; all others blame the store. */
const STATEMENT_AT_FAULT = new Set([
  1, // ERROR: syntax, no such table or column, RAISE in a trigger
  18, // TOOBIG
  19, // CONSTRAINT
  20, // MISMATCH
  23, // AUTH: the guard said no
  25, // RANGE: more parameters than placeholders
]);
const BUSY = 5;
const READONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;
/** The index of the WAL could not grow: what a full disk looks like before the first write reaches it. */
const IOERR_SHMSIZE = 4874;

/** SQLite's primary result code, or undefined where `cause` does not come from SQLite. */
function resultCode(cause: unknown): number | undefined {
  if (!(cause instanceof Error) || !('errcode' in cause) || typeof cause.errcode !== 'number') return undefined;
  return cause.errcode === IOERR_SHMSIZE ? FULL : cause.errcode & 0xff;
}

/** SQLite's code for what the file system said to us ourselves, beside the database. */
function fileSystemCode(cause: unknown): number | undefined {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOSPC' || code === 'EDQUOT') return FULL;
  return code === 'EROFS' || code === 'EACCES' || code === 'EPERM' ? READONLY : undefined;
}

export function isBusy(cause: unknown): boolean {
  return resultCode(cause) === BUSY;
}

/** Why the statement is refused, or undefined where it is the store that failed (or a defect) and the batch must not go on. */
export function refusalReason(cause: unknown): string | undefined {
  if (cause instanceof Refusal) return cause.message;
  const code = resultCode(cause);
  return code !== undefined && STATEMENT_AT_FAULT.has(code) ? (cause as Error).message : undefined;
}

/** Turns a failure of SQLite, or of the file system, on `file` into a WmbError; other errors come back as they are. */
export function storeError(cause: unknown, file: string): unknown {
  const code = resultCode(cause) ?? fileSystemCode(cause);
  if (code === undefined) return cause;
  const said = (cause as Error).message;
  if (code === FULL)
    return new WmbError('STORE_FULL', `no space is left for ${file} (${said}); nothing of the batch was committed`, { cause });
  if (code === BUSY) return new WmbError('STORE_UNAVAILABLE', `${file} is busy: another program holds its write lock (${said})`, { cause });
  if (code === READONLY || code === CANTOPEN) {
    return new WmbError('STORE_READONLY', `${file} cannot be opened for writing (${said})`, { cause });
  }
  if (code === CORRUPT || code === NOTADB) return new WmbError('STORE_CORRUPT', `${file} is damaged (${said})`, { cause });
  return new WmbError('STORE_UNAVAILABLE', `${file} failed: ${said}`, { cause });
}
