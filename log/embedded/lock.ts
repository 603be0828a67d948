/**
 * One process may write a log directory. The lock is an exclusive SQLite transaction on a file of its own that nobody ever commits:
 * the kernel lets go of it however the process ends, SIGKILL included. The holder's pid lies beside it, for the message only.
 */
import { accessSync, constants, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import { isBusy, logError } from './sqlite.ts';

export interface DirectoryLock {
  release(): void;
}

/** LOG_LOCKED, with the holder's pid, where another log has the directory; LOG_READONLY where it cannot be written. */
export function lockDirectory(directory: string): DirectoryLock {
  requireWritable(directory);
  const pidFile = join(directory, 'lock.pid');
  const db = new DatabaseSync(join(directory, 'lock.db'), { timeout: 0 });
  try {
    db.exec('BEGIN EXCLUSIVE');
    writeFileSync(pidFile, `${process.pid}\n`);
  } catch (cause) {
    db.close();
    throw isBusy(cause) ? locked(directory, pidFile) : logError(cause, directory);
  }
  return {
    release() {
      rmSync(pidFile, { force: true });
      db.close();
    },
  };
}

function requireWritable(directory: string): void {
  try {
    accessSync(directory, constants.W_OK);
  } catch (cause) {
    throw new WmbError('LOG_READONLY', `${directory} cannot be written; check its permissions and mount options`, { cause });
  }
}

function locked(directory: string, pidFile: string): WmbError {
  const pid = readPid(pidFile);
  const holder = pid === process.pid ? `this process (${pid})` : `process ${pid}`;
  return new WmbError('LOG_LOCKED', `${directory} is open for writing in ${holder}; stop it, or give this room another directory`);
}

function readPid(pidFile: string): number | string {
  try {
    return Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
  } catch {
    // The holder is between taking the lock and writing its pid, or about to let go.
    return 'unknown';
  }
}
