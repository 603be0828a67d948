/**
 * Puts a key right, as store/inspection.ts tells it. Everything that a repair brings in was made by write requests, and it meets what this room has by
 * the same rules as any effect: so it never invents a version and never beats a newer one.
 *
 * What a room has forgotten (settle.ts) is the one thing that those rules cannot see, and where a repair could bring back what was deleted:
 * - Of what this room has forgotten, all lies at or below `settled`. Where the right side had passed `settled` before it was read, its state accounts for
 *   every such delete; where not, nothing is done and the repair is `outdated`.
 * - So the right side's state stands for everything up to `upTo`, and as well for everything up to `settled`: a counter that was folded
 *   here after the horizons were read is replaced as a whole, and not added to itself.
 */
import type { Version } from '../stamp.ts';
import type { KeyCell } from './cell.ts';
import type { Effect } from './effects.ts';
import { effectsOf } from './effects-of.ts';
import { applyEffect } from './rules.ts';
import { cellOf, exportState, fillCell, isDamaged, isEvicted, type KeyState, stateDigest } from './state.ts';

/** As CacheRepair of store/inspection.ts. */
export type Mending = {
  readonly key: string;
  readonly expected: string;
  readonly seen: Version;
} & (
  | { readonly action: 'push'; readonly state: KeyState; readonly upTo: Version }
  | { readonly action: 'resend'; readonly effects: readonly Effect[] }
);

/** A cell that can be emptied of all that is stored of its key, whatever its head says of it. */
export interface MendableCell extends KeyCell {
  clear(): void;
}

/** `settled`: up to where this room may have forgotten. Nothing is changed unless the outcome is `repaired`. */
export function mend(cell: MendableCell, repair: Mending, settled: Version): 'repaired' | 'unchanged' | 'overtaken' | 'outdated' {
  // Where the state to be pushed is a guess, the right side has to be read anew.
  if (settled > repair.seen || (repair.action === 'push' && (isDamaged(repair.state) || isEvicted(repair.state)))) return 'outdated';
  const own = exportState(repair.key, cell);
  if (stateDigest(own) !== repair.expected) return 'overtaken';
  const mended = repair.action === 'push' ? pushed(own, repair, settled) : resent(own, repair);
  if (stateDigest(mended) === repair.expected) return 'unchanged';
  cell.clear();
  if (mended !== undefined) fillCell(cell, mended);
  return 'repaired';
}

function pushed(own: KeyState | undefined, repair: Mending & { readonly action: 'push' }, settled: Version): KeyState | undefined {
  const known = repair.upTo < repair.seen ? repair.upTo : repair.seen;
  const upTo = known > settled ? known : settled;
  const cell = cellOf(onlyVersions(repair.state));
  // The guard against late effects is not for what is there already.
  if (own !== undefined) for (const effect of effectsOf(onlyVersions(own))) if (effect.version > upTo) applyEffect(cell, effect, '');
  return exportState(repair.key, cell);
}

function resent(own: KeyState | undefined, repair: Mending & { readonly action: 'resend' }): KeyState | undefined {
  const cell = cellOf(own ?? NOTHING);
  for (const effect of repair.effects) if (effect.key === repair.key) applyEffect(cell, effect, '');
  return exportState(repair.key, cell);
}

const NOTHING: KeyState = { key: '', type: 'none', kill: '', expireAtMs: 0, caps: [], registers: [], increments: [], expiries: [] };

const VERSION = /^[0-9a-f]{28}$/;
const isGenuine = ({ version }: { readonly version: Version }) => VERSION.test(version);

/** Without what no write request can have made. */
function onlyVersions(state: KeyState): KeyState {
  return {
    ...state,
    kill: VERSION.test(state.kill) ? state.kill : '',
    caps: state.caps.filter(isGenuine),
    registers: state.registers.filter(isGenuine),
    increments: state.increments.filter(isGenuine),
    expiries: state.expiries.filter(isGenuine),
  };
}
