/** All parts of one key that differ, judged: what explaining and repairing both go by. */
import type { Horizon } from '../../core/inspection.ts';
import type { RoomId } from '../../core/words.ts';
import type { StateAnswer } from '../room.ts';
import type { CauseFound, ElementVerdict, SideIndex } from './verdict.ts';

export interface PartVerdict extends ElementVerdict {
  /** Its write request is parked on the wrong side, or not for one of the rooms: no drift of the key, and left alone by a repair. */
  readonly apart: boolean;
  /** A timeline's member that is shown or not according to others that differ: no side is wrong about it, and a repair of those puts it right as well. */
  readonly follows: boolean;
}

export interface KeyVerdict {
  readonly key: string;
  /** This room and the peer. */
  readonly rooms: readonly [RoomId, RoomId];
  readonly answers: readonly [StateAnswer, StateAnswer];
  readonly horizons: readonly [Horizon, Horizon];
  readonly nowMs: number;
  readonly parts: readonly PartVerdict[];
  /** One of `parts`, of the side that is taken for the wrong one. */
  readonly main: PartVerdict;
  readonly cause: CauseFound;
  /** Of all parts that are wrong on the main one's side. */
  readonly certain: boolean;
  /** Parts beyond those that were looked into one by one. */
  readonly unjudged: number;
}

/** The parts that a repair of `wrong` would change. */
export function partsOf({ parts }: KeyVerdict, wrong: SideIndex): readonly PartVerdict[] {
  return parts.filter((part) => !part.apart && part.wrong === wrong);
}
