/** Where a process keeps its index: several may have the same log open on one machine, each with an index of its own. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { WmbError } from '../../core/errors.ts';
import { type DirectoryLock, lockDirectory } from '../embedded/lock.ts';

const SLOTS_MAX = 64;

export interface Slot {
  readonly file: string;
  readonly lock: DirectoryLock;
}

export function slotFile(directory: string, slot: number): string {
  return join(directory, `index-${slot}`, 'index.db');
}

/** The first that nobody has: an index that another process has left is as good as any. LOG_READONLY, LOG_LOCKED where all are taken. */
export function takeSlot(directory: string): Slot {
  let taken: unknown;
  for (let slot = 0; slot < SLOTS_MAX; slot += 1) {
    const file = slotFile(directory, slot);
    const home = join(file, '..');
    try {
      mkdirSync(home, { recursive: true });
    } catch (cause) {
      throw new WmbError('LOG_READONLY', `${home} cannot be made; check the permissions and mount options above it`, { cause });
    }
    try {
      return { file, lock: lockDirectory(home) };
    } catch (cause) {
      if (!(cause instanceof WmbError && cause.code === 'LOG_LOCKED')) throw cause;
      taken = cause;
    }
  }
  throw taken;
}
