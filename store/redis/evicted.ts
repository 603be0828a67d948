/**
 * Evictions. A server with a `maxmemory` and a `volatile-` policy takes away keys with an expiry before it has come. WMB's own keys have none and stay: so the
 * value of a key is gone, while its head says that it should be there. That is a miss like any other of a cache, and no deletion: the room says so
 * instead of saying that it lacks the key.
 */
import { MemoryCell } from '../../core/converge/memory-cell.ts';
import { visible } from '../../core/converge/visible.ts';
import { decodeElement, decodeExpiries, EXPIRIES_FIELD } from './elements.ts';
import { decodeHead } from './head.ts';
import { registerValue } from './shown.ts';
import type { StoredKey } from './stored-key.ts';

/** The key as it would be seen, with any value; undefined where it is not evicted. */
export function evictedKey({ key, head, fields, shown }: StoredKey, nowMs: number): MemoryCell | undefined {
  if (shown.type !== 'none' || head.length === 0) return undefined;
  const decoded = decodeHead(head);
  const cell = new MemoryCell();
  if (decoded.kind === 'plain') {
    if (decoded.expireAtMs === 0) return undefined;
    Object.assign(cell.head, { type: 'string', kill: decoded.version, expireAtMs: decoded.expireAtMs });
    cell.setRegister('', { version: decoded.version, value: '' });
  } else if (decoded.kind === 'elements' && decoded.type !== 'none') {
    const times = decodeExpiries(fields.get(EXPIRIES_FIELD) ?? Buffer.alloc(0));
    if (times === undefined || times.toldMs === 0) return undefined;
    Object.assign(cell.head, { type: decoded.type, kill: decoded.kill, expireAtMs: times.expireAtMs });
    for (const expiry of times.expiries) cell.addExpiry(expiry);
    fillElements(cell, fields);
  }
  return visible(key, cell, nowMs) === undefined ? undefined : cell;
}

function fillElements(cell: MemoryCell, fields: ReadonlyMap<string, Buffer>): void {
  for (const [field, bytes] of fields) {
    const element = field.startsWith('e') ? decodeElement(bytes) : undefined;
    if (element === undefined) continue;
    const { register, increments, isPlain } = element;
    const name = field.slice(1);
    if (register !== undefined) cell.setRegister(name, isPlain ? { ...register, value: registerValue(cell.head.type, '0') } : register);
    for (const increment of increments) cell.addIncrement(name, increment);
  }
}
