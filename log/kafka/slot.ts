/** Where a process keeps its index: several may have the same log open on one machine, each with an index of its own. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import { type DirectoryLock, lockDirectory } from '../embedded/lock.ts';

const SLOTS_MAX = 64;

export interface Slot {
  readonly file: string;
  /** A name of this place that no other one has, here or on another machine: whoever has it next knows that the one before is dead. */
  readonly seat: string;
  readonly lock: DirectoryLock;
}

export function slotFile(directory: string, slot: number): string {
  return join(directory, `index-${slot}`, 'index.db');
}

/** The first that nobody has: an index that another process has left is as good as any. LOG_READONLY, LOG_LOCKED where all are taken. */
export function takeSlot(directory: string, runtime: Runtime): Slot {
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
      const lock = lockDirectory(home);
      return { file, lock, seat: seatOf(home, runtime) };
    } catch (cause) {
      if (!(cause instanceof WmbError && cause.code === 'LOG_LOCKED')) throw cause;
      taken = cause;
    }
  }
  throw taken;
}

/** A file that has lost its name with a machine's power gets a new one: two places with the same would take each other for one. */
function seatOf(home: string, runtime: Runtime): string {
  const file = join(home, 'seat');
  const known = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (/^[0-9a-f]{24}$/.test(known)) return known;
  const seat = Buffer.from(runtime.bytes(12)).toString('hex');
  writeFileSync(file, seat);
  return seat;
}
