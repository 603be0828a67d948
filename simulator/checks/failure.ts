/** What a run can fail with. */
import type { Lane, LogEpoch } from '../../core/words.ts';

/** As in DESIGN's table of invariants. `L`: after everything was healed, the rooms did not come to rest. */
export type Invariant = 'I1' | 'I2' | 'I3' | 'I4' | 'I5' | 'I6' | 'I7' | 'I8' | 'I9' | 'I10' | 'I11' | 'I12' | 'L';

export interface Failure {
  readonly invariant: Invariant;
  readonly expected: string;
  readonly found: string;
}

export interface EpochLane extends Lane {
  readonly epoch: LogEpoch;
}

export function failure(invariant: Invariant, expected: string, found: string): Failure {
  return { invariant, expected, found };
}
