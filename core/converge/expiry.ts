/**
 * Expiries. Each holds until the next one; where its moment comes before the next one's version, the key died at that moment, and what has
 * a version below it is dead. The last one kills when the clock gets there. An element written at or after the moment lives and has no
 * expiry. Whether a death stands is known for certain only when the floor has passed its moment, because an expiry that cancels it may still
 * be on its way; until then nothing is removed for it.
 */
import type { Version } from '../stamp.ts';
import { versionAt } from '../stamp.ts';
import type { Expiry, KeyCell } from './cell.ts';
import { raiseKill } from './kill.ts';

/** The expiries of a key in version order; the first is the one that came with the `set`. */
export function allExpiries(head: { readonly kill: Version; readonly expireAtMs: number }, expiries: readonly Expiry[]): readonly Expiry[] {
  return head.expireAtMs === 0 ? expiries : [{ version: head.kill, atMs: head.expireAtMs }, ...expiries];
}

/** The moment, as a version, at which the key died by the expiry at `index`; '' where the next one came in time. */
export function deathOf(expiries: readonly Expiry[], index: number): Version {
  const expiry = expiries[index];
  if (expiry === undefined || expiry.atMs === 0) return '';
  const death = versionAt(expiry.atMs);
  const next = expiries[index + 1];
  return next === undefined || death <= next.version ? death : '';
}

/** The next moment after `nowMs` at which something dies; 0: none. */
export function nextDeathMs(expiries: readonly Expiry[], nowMs: number): number {
  let next = 0;
  for (const [index, { atMs }] of expiries.entries()) {
    if (atMs > nowMs && (next === 0 || atMs < next) && deathOf(expiries, index) !== '') next = atMs;
  }
  return next;
}

/** Keeps the last expiry below `settled` unless it has done its work, and all above; deaths become kills. */
export function settleExpiries(cell: KeyCell, settled: Version): void {
  const expiries = allExpiries(cell.head, cell.expiries());
  const last = expiries.findLastIndex((expiry) => expiry.version <= settled);
  if (last < 0) return;
  let death = '';
  for (let index = 0; index <= last; index++) {
    const at = deathOf(expiries, index);
    if (at > death && at <= settled) death = at;
  }
  if (death > cell.head.kill) raiseKill(cell, death);
  const kept = expiries[last];
  const previous = expiries[last - 1]?.version ?? '';
  const upTo = kept?.atMs === 0 ? kept.version : previous;
  if (upTo === '') return;
  cell.dropExpiries(upTo);
  if (cell.head.expireAtMs === 0 || upTo < cell.head.kill) return;
  cell.head.expireAtMs = 0;
  cell.headChanged();
}
