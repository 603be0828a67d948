/** Of a write request that one room applied and the other gave up or has no receipt of: the effects that the one still shows and the other lacks. */
import type { Effect } from '../../core/converge/effects.ts';
import { visibleOf } from '../../core/converge/state.ts';
import type { Horizon } from '../../core/inspection.ts';
import type { RoomView, StateAnswer } from '../room.ts';
import { isThere } from './witnesses.ts';

export interface LostKey {
  readonly key: string;
  readonly effects: readonly Effect[];
  readonly right: StateAnswer;
  readonly wrong: StateAnswer;
}

export interface LostEffects {
  readonly keys: readonly LostKey[];
  /** Read before the states. */
  readonly horizons: { readonly right: Horizon; readonly wrong: Horizon };
}

/** Effects that have been overwritten in the right room since are lost no more: what overwrote them went its own way. */
export async function lostEffects(
  effects: readonly Effect[],
  { right, wrong }: { readonly right: RoomView; readonly wrong: RoomView },
): Promise<LostEffects> {
  const keys = [...new Set(effects.map(({ key }) => key))];
  const [rightHorizon, wrongHorizon] = await Promise.all([right.horizon(), wrong.horizon()]);
  // The wrong room first: what it had forgotten by then, the right one had applied.
  const inWrong = new Map((await wrong.states(keys)).map((answer) => [answer.key, answer]));
  const inRight = await right.states(keys);
  const lost = inRight.flatMap((answer): LostKey[] => {
    const other = inWrong.get(answer.key);
    if (other === undefined) return [];
    const lacking = effects.filter((effect) => effect.key === answer.key && isThere(answer.state, effect) && !isThere(other.state, effect));
    const nowMs = rightHorizon.nowMs;
    const isSame = JSON.stringify(visibleOf(answer.state, nowMs)) === JSON.stringify(visibleOf(other.state, nowMs));
    return lacking.length === 0 || isSame ? [] : [{ key: answer.key, effects: lacking, right: answer, wrong: other }];
  });
  return { keys: lost, horizons: { right: rightHorizon, wrong: wrongHorizon } };
}
