/** A room that cannot read what it has stored of a key is wrong about it: whatever it shows is a guess, and no write request can have left it so. */

import { isDamaged } from '../../core/converge/state.ts';
import type { RoomId } from '../../core/words.ts';
import type { ElementDifference } from '../drift.ts';
import type { Part, States } from './parts.ts';
import { plainText } from './phrases.ts';
import type { ElementVerdict } from './verdict.ts';

interface Subject {
  readonly key: string;
  readonly rooms: readonly [RoomId, RoomId];
  readonly difference: ElementDifference;
  readonly part: Part;
}

/** Undefined: this part can be read on both sides. Elements are rows of their own, but a string is not, nor is which of them a timeline shows. */
export function byDamage({ key, rooms, difference, part }: Subject, states: States): ElementVerdict | undefined {
  const damaged = ([0, 1] as const).filter((side) => isDamaged(states[side]));
  const [first] = damaged;
  const isReadable = part === 'element' && difference.name !== '' && !states.some((state) => state?.type === 'timeline');
  if (first === undefined || isReadable) return undefined;
  const wrong = damaged.length === 1 ? first : undefined;
  const where = wrong === undefined ? 'both rooms' : rooms[wrong];
  return {
    ...{ difference, part, wrong, kind: 'value', certain: wrong !== undefined, write: undefined, effect: undefined },
    why: `what ${where} ${wrong === undefined ? 'have' : 'has'} stored of ${plainText(key)} is damaged (its type, its expiry or the caps of its timeline cannot be read): no write request can have left it so`,
  };
}
