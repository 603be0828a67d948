/**
 * Which file lies where a database was opened. A copy that is put in its place by rename leaves whoever has it open at the file that was there before, which has no name any more:
 * SQLite goes on reading and writing that one, and nobody else ever sees it.
 *
 * The WAL and its index are found by name, though, so those of the old file lie beside the new one. They must go before anybody opens it: their pages are none of its.
 */
import { rmSync, statSync } from 'node:fs';

const BESIDE = ['-wal', '-shm'] as const;

export interface Place {
  /** Undefined: there is no file. */
  readonly inode: number | undefined;
  /** Of what SQLite keeps beside it. */
  readonly beside: readonly (number | undefined)[];
}

/**
 * Call it when the database is open and was read. `inode`: of the file just before it was opened, undefined where it was made; one that comes in between is then
 * taken for another at the next look. While somebody has a file open its inode is nobody else's.
 */
export function placeOf(file: string, inode: number | undefined): Place {
  return { inode: inode ?? inodeOf(file), beside: BESIDE.map((suffix) => inodeOf(`${file}${suffix}`)) };
}

/** Undefined: there is no such file. */
export function inodeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.ino;
}

/** What of the file that was here lies beside the one that is here now; what came with the new one stays. */
export function removeLeftBeside(file: string, before: Place): void {
  for (const [at, suffix] of BESIDE.entries()) {
    const inode = inodeOf(`${file}${suffix}`);
    if (inode !== undefined && inode === before.beside[at]) rmSync(`${file}${suffix}`, { force: true });
  }
}

/** Whether the WAL beside the file that is here now is still that of the one before it. */
export function isLeftBeside(file: string, before: Place): boolean {
  return hasWal(before) && isSameWal(file, before);
}

/** Whoever opened a file with the WAL of another, in the moment before its owner took it away, must open it anew. */
export function isSameWal(file: string, { beside: [wal] }: Place): boolean {
  return inodeOf(`${file}${BESIDE[0]}`) === wal;
}

function hasWal({ beside: [wal] }: Place): boolean {
  return wal !== undefined;
}
