/**
 * What a key must look like by the write logs: every effect of it that they have, under the rules of convergence. Which of them removes what is thereby
 * decided as the rooms decide it: an expiry counts when its moment has come and nothing was in time to change it, a value of another type takes
 * the place of all.
 */

import type { Topology } from '../../core/config/types.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { allExpiries } from '../../core/converge/expiry.ts';
import { MemoryCell } from '../../core/converge/memory-cell.ts';
import { applyEffect } from '../../core/converge/rules.ts';
import { exportState, type KeyState } from '../../core/converge/state.ts';
import { lastDeath, liveElements } from '../../core/converge/visible.ts';
import type { Horizon } from '../../core/inspection.ts';
import type { Version } from '../../core/stamp.ts';
import { compareStates } from '../cache/elements.ts';
import { settledBy } from '../cache/settled.ts';
import type { ElementDifference } from '../drift.ts';
import type { Deed } from './key-history.ts';
import type { Part, States } from './parts.ts';

/** The version with which an element stands at `nowMs` after these effects; undefined: it does not stand. */
export function standing(effects: readonly Effect[], name: string, nowMs: number): Version | undefined {
  return live(cellAfter(effects), name, nowMs);
}

/** The last of `deeds` that took away what `made` had made; undefined: none did. */
export function takerOf(made: Effect, deeds: readonly Deed[], of: { readonly name: string; readonly nowMs: number }): Deed | undefined {
  const cell = new MemoryCell();
  applyEffect(cell, made, '');
  let taker: Deed | undefined;
  // Effects do in any order what they do in theirs; so each removal shows when it comes.
  for (const deed of deeds) {
    const before = live(cell, of.name, of.nowMs);
    applyEffect(cell, deed.effect, '');
    if (before !== undefined && live(cell, of.name, of.nowMs) === undefined) taker = deed;
  }
  return taker;
}

function live(cell: MemoryCell, name: string, nowMs: number): Version | undefined {
  if (cell.head.type === 'none') return undefined;
  const death = lastDeath(allExpiries(cell.head, cell.expiries()), nowMs);
  return liveElements(cell, death).find((element) => element.name === name)?.version;
}

function cellAfter(effects: readonly Effect[]): MemoryCell {
  const cell = new MemoryCell();
  for (const effect of effects) applyEffect(cell, effect, '');
  return cell;
}

export interface Expected {
  readonly state: KeyState | undefined;
  /** Whether a side shows of the part what it must. */
  readonly matches: readonly [boolean, boolean];
}

/** `deeds`: all of the key that there ever were. */
export function expectedOf(
  deeds: readonly Deed[],
  of: {
    readonly key: string;
    readonly states: States;
    readonly horizons: readonly [Horizon, Horizon];
    readonly topology: Topology;
    readonly nowMs: number;
    readonly difference: ElementDifference;
    readonly part: Part;
  },
): Expected {
  const state = exportState(of.key, cellAfter(deeds.map(({ effect }) => effect)));
  const settled = settledBy(of.topology, of.horizons);
  const matches = ([0, 1] as const).map((side) => {
    const found = compareStates({ mine: state, theirs: of.states[side], nowMs: of.nowMs, settled });
    return !found.some(({ name, passage }) => passage !== 'ahead' && concerns(of, name));
  });
  return { state, matches: [matches[0] === true, matches[1] === true] };
}

/** What is said of the key as a whole is said of all of its elements. */
function concerns({ part, difference }: { readonly part: Part; readonly difference: ElementDifference }, name: string): boolean {
  return part === 'whole' || name === '' || name === difference.name;
}
