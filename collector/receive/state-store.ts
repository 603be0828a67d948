/**
 * Where the states of the lanes' links are kept over a restart: a paused link stays paused, and status can say since when. Both calls
 * are synchronous, because a state is small and must be there before the transition is acted on.
 */
import type { Lane } from '../../core/words.ts';
import type { LinkState } from '../../link/machine.ts';

export interface LinkStateRow {
  readonly lane: Lane;
  readonly state: LinkState;
  readonly reason: string;
  /** Wall clock of the transition. */
  readonly sinceMs: number;
}

export interface LinkStateStore {
  load(): readonly LinkStateRow[];
  /** Replaces what is known of the lane. */
  save(row: LinkStateRow): void;
}
