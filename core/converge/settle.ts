/**
 * Settling forgets what only effects up to the floor could still ask for. It never changes what is visible, now or after any effect that may
 * still come, so rooms settle when they like.
 */
import type { Version } from '../stamp.ts';
import type { KeyCell } from './cell.ts';
import { settleExpiries } from './expiry.ts';
import { foldIncrements } from './value.ts';

/** Settles one key up to the version `settled`. True: nothing is left worth remembering. */
export function settleKey(cell: KeyCell, settled: Version): boolean {
  if (settled === '') return false;
  settleExpiries(cell, settled);
  settleIncrements(cell, settled);
  settleTombstones(cell, settled);
  const { head } = cell;
  if (head.type !== 'none' && cell.top() === '') {
    head.type = 'none';
    cell.headChanged();
  }
  return head.type === 'none' && head.kill <= settled && cell.expiries().length === 0;
}

/** Those up to `settled` become registers. */
export function settleIncrements(cell: KeyCell, settled: Version): void {
  for (const [name, increments] of [...cell.increments(settled)]) {
    const version = increments.at(-1)?.version ?? '';
    cell.setRegister(name, { version, value: foldIncrements(cell.register(name)?.value ?? null, increments) });
    cell.dropIncrements(name, version);
  }
}

/**
 * While the key has expiries its greatest tombstone stays: an effect of another type kills everything up to it, expiries included, and
 * must do so in every room.
 */
function settleTombstones(cell: KeyCell, settled: Version): void {
  const tombstones = cell.tombstones(settled);
  if (tombstones.length === 0) return;
  const guard = cell.expiries().length > 0 ? cell.top() : '';
  for (const [name, version] of tombstones) if (version !== guard) cell.dropRegister(name);
}
