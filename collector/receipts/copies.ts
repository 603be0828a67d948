/** A directory for the copies of receipts that one process works with. What a killed one has left is removed by the next one that starts beside it. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { asWmbError } from '../../core/errors.ts';
import { lockDatabase } from '../../store/embedded/database-lock.ts';

const OWNED = 'owner';

export interface Copies {
  readonly directory: string;
  remove(): void;
}

/** STORE_UNAVAILABLE. */
export function openCopies(parent: string, owner: string): Copies {
  mkdirSync(parent, { recursive: true });
  for (const name of readdirSync(parent)) removeDead(join(parent, name));
  const directory = join(parent, owner);
  mkdirSync(directory);
  const lock = lockDatabase(join(directory, OWNED));
  return {
    directory,
    remove: () => {
      lock.release();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function removeDead(directory: string): void {
  try {
    lockDatabase(join(directory, OWNED)).release();
  } catch (cause) {
    if (asWmbError(cause).code === 'STORE_LOCKED') return;
    throw cause;
  }
  rmSync(directory, { recursive: true, force: true });
}
