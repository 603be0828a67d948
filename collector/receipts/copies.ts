/** A directory for the copies of receipts that one process works with. What a killed one has left is removed by the next one that starts beside it. */
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type DatabaseLock, lockDatabase } from '../../store/embedded/database-lock.ts';

const OWNED = 'owner';
/** Begins the name of a directory that is being made. */
const NEW = '.';

export interface Copies {
  readonly directory: string;
  remove(): void;
}

/** STORE_READONLY, STORE_FULL. */
export function openCopies(parent: string, owner: string): Copies {
  mkdirSync(parent, { recursive: true });
  for (const name of readdirSync(parent)) if (!name.startsWith(NEW)) removeDead(join(parent, name));
  const directory = join(parent, owner);
  // Under its name it is there with its lock only: others that start at this moment look for what nobody has locked.
  const made = join(parent, `${NEW}${owner}`);
  mkdirSync(made);
  const lock = lockDatabase(join(made, OWNED));
  renameSync(made, directory);
  return { directory, remove: () => remove(directory, lock) };
}

function removeDead(directory: string): void {
  try {
    remove(directory, lockDatabase(join(directory, OWNED)));
  } catch {
    // Somebody works with it, or has removed it.
  }
}

/** Others that start at this moment remove it too: what stays is gone with the next start. */
function remove(directory: string, lock: DatabaseLock): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    // As above.
  }
  lock.release();
}
