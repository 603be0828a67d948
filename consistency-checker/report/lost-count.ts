/** An increment deletes nothing: where one side shows nothing of its version, and no expiry can have come, the value was taken out of its store. */
import type { RoomId } from '../../core/words.ts';
import type { ElementDifference } from '../drift.ts';
import { isIncrement, type Part, type States } from './parts.ts';
import { showing, whoMade } from './showing.ts';
import type { ElementVerdict } from './verdict.ts';

interface Subject {
  readonly rooms: readonly [RoomId, RoomId];
  readonly nowMs: number;
  readonly difference: ElementDifference;
  readonly part: Part;
  readonly name: string;
}

/** Undefined: it is not so. `by`: whose version both sides show. */
export function lostCount(at: Subject, states: States, by: Pick<ElementVerdict, 'write' | 'effect'>): ElementVerdict | undefined {
  const { difference, part, rooms, nowMs } = at;
  if (by.effect === undefined || !isIncrement(by.effect)) return undefined;
  const wrong = difference.values[0] === null ? 0 : 1;
  if (difference.values[wrong] !== null || difference.values[1 - wrong] === null || states.some(expires)) return undefined;
  const why = `${rooms[wrong]} shows ${showing(at, wrong)} in the version of ${whoMade(by, nowMs)}; that deletes nothing`;
  return { ...by, difference, part, kind: 'value', wrong, certain: true, why };
}

function expires(state: States[number]): boolean {
  return state !== undefined && (state.expiries.length > 0 || state.expireAtMs !== 0);
}
