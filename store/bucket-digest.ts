/** What the inspector of any store says of the keys of a bucket (inspection.ts). */
import { hash } from 'node:crypto';
import type { KeyCell } from '../core/converge/cell.ts';
import { allExpiries, nextDeathMs } from '../core/converge/expiry.ts';
import { entryHash, entryText } from '../core/converge/state.ts';
import { visible } from '../core/converge/visible.ts';
import type { BucketDigest, EntryDigest } from './inspection.ts';

/** Ascending by compareText. */
export type BucketCells = Iterable<readonly [key: string, cell: Pick<KeyCell, 'head' | 'registers' | 'increments' | 'expiries'>]>;

export function digestOf(bucket: number, cells: BucketCells, nowMs: number): BucketDigest {
  let text = '';
  let keys = 0;
  let expiresMs = 0;
  for (const [key, cell] of cells) {
    const entry = visible(key, cell, nowMs);
    if (entry === undefined) continue;
    text += entryText(entry);
    keys += 1;
    const deathMs = nextDeathMs(allExpiries(cell.head, cell.expiries()), nowMs);
    if (deathMs !== 0 && (expiresMs === 0 || deathMs < expiresMs)) expiresMs = deathMs;
  }
  if (keys === 0) return { bucket, high: 0, low: 0, keys, expiresMs };
  const bytes = hash('sha1', text, 'buffer');
  return { bucket, high: bytes.readUInt32BE(0), low: bytes.readUInt32BE(4), keys, expiresMs };
}

export function entriesOf(cells: BucketCells, nowMs: number): EntryDigest[] {
  const entries: EntryDigest[] = [];
  for (const [key, cell] of cells) {
    const entry = visible(key, cell, nowMs);
    if (entry === undefined) continue;
    entries.push({ key, version: entry.version, hash: entryHash(entry), expireAtMs: entry.expireAtMs });
  }
  return entries;
}
