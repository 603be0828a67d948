/** What other rooms than the two that differ say: a majority, where there are three. */
import type { RoomId } from '../../core/words.ts';
import { elementDifferences } from '../cache/elements.ts';
import type { ElementDifference } from '../drift.ts';
import type { RoomView, StateAnswer } from '../room.ts';
import { type Part, partOf } from './parts.ts';
import type { Sources } from './sources.ts';
import type { SideIndex } from './verdict.ts';

interface Asked {
  readonly key: string;
  readonly rooms: readonly [RoomId, RoomId];
  readonly answers: readonly [StateAnswer, StateAnswer];
  readonly nowMs: number;
  readonly sources: Sources;
  readonly difference: ElementDifference;
  readonly part: Part;
}

export interface Vote {
  readonly wrong: SideIndex;
  readonly rooms: readonly RoomId[];
}

/** Third rooms that agree with one side, when none agrees with the other. */
export async function thirdRooms(at: Asked): Promise<Vote | undefined> {
  const { topology, rooms } = at.sources.options;
  const votes: [RoomId[], RoomId[]] = [[], []];
  for (const { id } of topology.rooms) {
    const view = at.rooms.includes(id) ? undefined : rooms(id);
    const state = view === undefined ? undefined : await stateIn(view, at.key);
    if (state === undefined) continue;
    for (const side of [0, 1] as const) {
      const differs = elementDifferences(at.answers[side].state, state.state, at.nowMs).some(
        (it) => it.name === at.difference.name && partOf(it, [at.answers[side].state, state.state]) === at.part,
      );
      if (!differs) votes[side].push(id);
    }
  }
  if (votes[0].length > 0 === votes[1].length > 0) return undefined;
  return votes[0].length > 0 ? { wrong: 1, rooms: votes[0] } : { wrong: 0, rooms: votes[1] };
}

async function stateIn(view: RoomView, key: string): Promise<StateAnswer | undefined> {
  try {
    return (await view.states([key]))[0];
  } catch {
    return undefined;
  }
}
