/** What was found out about one differing part of a key. */
import type { Effect } from '../../core/converge/effects.ts';
import type { DriftCause, DriftKind, ElementDifference } from '../drift.ts';
import type { FoundWrite } from '../room.ts';
import type { Part } from './parts.ts';

/** Index of a side in the differences' order: 0 is this room, 1 the peer. */
export type SideIndex = 0 | 1;

export interface ElementVerdict {
  readonly difference: ElementDifference;
  readonly part: Part;
  /** Undefined: it cannot be told. */
  readonly wrong: SideIndex | undefined;
  readonly kind: Extract<DriftKind, 'missing' | 'stale' | 'extra' | 'value'>;
  /** Proven by a write request, or by its absence. Otherwise `--from` may say something else. */
  readonly certain: boolean;
  /** A whole sentence without its full stop. */
  readonly why: string;
  /** The write request behind what is right, where it was found, and its effect on this part. */
  readonly write: FoundWrite | undefined;
  readonly effect: Effect | undefined;
  /** The side that is not wrong shows something else than `effect` made, too: its value must not be copied. */
  readonly contradicted?: boolean;
}

export interface CauseFound {
  readonly cause: DriftCause;
  readonly text: string;
}
