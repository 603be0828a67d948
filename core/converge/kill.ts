/** The one way in which things become void. */
import type { Version } from '../stamp.ts';
import type { KeyCell } from './cell.ts';

/** Raises `kill` and prunes what it covers. */
export function raiseKill(cell: KeyCell, kill: Version): void {
  const { head } = cell;
  head.kill = kill;
  head.expireAtMs = 0;
  if (head.caps.length > 0) head.caps = head.caps.filter((cap) => cap.version > kill);
  cell.dropUpTo(kill);
  cell.headChanged();
  if (cell.top() !== '') return;
  head.type = 'none';
  head.members = 0;
}
