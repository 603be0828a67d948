/**
 * One process owns a database. Ownership is an exclusive SQLite transaction on a file of its own beside the database that nobody ever
 * commits: the kernel lets go of it however the process ends, SIGKILL included. The database itself stays open to readers. The owner's
 * pid lies beside it, for the message only.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import { isBusy, storeError } from './database-errors.ts';

export interface DatabaseLock {
  release(): void;
}

/** STORE_LOCKED, with the owner's pid, where `file` has an owner. */
export function lockDatabase(file: string): DatabaseLock {
  const pidFile = `${file}.pid`;
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(`${file}.lock`, { timeout: 0 });
    db.exec('BEGIN EXCLUSIVE');
    writeFileSync(pidFile, `${process.pid}\n`);
    return { release: release(db, pidFile) };
  } catch (cause) {
    db?.close();
    if (isBusy(cause)) throw locked(file, pidFile, cause);
    throw storeError(cause, file);
  }
}

function release(db: DatabaseSync, pidFile: string): () => void {
  return () => {
    rmSync(pidFile, { force: true });
    db.close();
  };
}

function locked(file: string, pidFile: string, cause: unknown): WmbError {
  const pid = readPid(pidFile);
  const owner = pid === String(process.pid) ? `this process (${pid})` : `process ${pid}`;
  return new WmbError('STORE_LOCKED', `${file} is open in ${owner}; stop it, or give this room another directory`, { cause });
}

function readPid(pidFile: string): string {
  try {
    return readFileSync(pidFile, 'utf8').trim();
  } catch {
    // The owner is between taking the lock and writing its pid, or about to let go.
    return 'unknown';
  }
}
