/**
 * An expiry that one room shows, or has died of, and the other does not know, because there something newer has killed all that the key was: a delete, or a value of another
 * type. Then the expiry is genuine and gone all the same, and what the first room lacks is the killer.
 */

import type { ElementDifference } from '../drift.ts';
import { type Case, other } from './judge.ts';
import { partName, partOf, type States } from './parts.ts';
import { showing, whoMade } from './showing.ts';
import type { ElementVerdict, SideIndex } from './verdict.ts';

/** Undefined: nothing of the kind, or the write request that killed is not to be found. */
export async function byKiller(of: Case, difference: ElementDifference): Promise<ElementVerdict | undefined> {
  const states: States = [of.answers[0].state, of.answers[1].state];
  if (partOf(difference, states) !== 'expiry') return undefined;
  for (const side of [0, 1] as const) {
    const kill = states[side]?.kill ?? '';
    const [own, theirs] = [difference.versions[side], difference.versions[other(side)]];
    if (theirs === '' || own > theirs || kill < theirs || kill === (states[other(side)]?.kill ?? '')) continue;
    return await killedBy(of, { difference, right: side, kill });
  }
  return undefined;
}

async function killedBy(
  of: Case,
  { difference, right, kill }: { readonly difference: ElementDifference; readonly right: SideIndex; readonly kill: string },
): Promise<ElementVerdict | undefined> {
  const finding = (await of.sources.find([kill])).get(kill);
  const effect = finding?.status === 'found' ? finding.effects?.find((it) => it.version === kill && it.key === of.key) : undefined;
  if (finding?.status !== 'found' || effect === undefined) return undefined;
  const by = { write: finding.found, effect };
  const wrong = other(right);
  const name = partName(of.key, difference.name, 'expiry', [of.answers[0].state, of.answers[1].state]);
  const shows = showing({ difference, part: 'expiry', name, nowMs: of.nowMs }, wrong);
  return {
    ...{ ...by, difference, part: 'expiry', wrong, kind: 'stale', certain: true },
    why: `${of.rooms[wrong]} shows ${shows}; ${whoMade(by, of.nowMs)}, which ended what had it`,
  };
}
