/**
 * Where the states of the lanes' links are kept over a restart: a paused link stays paused, one that was switched stays on its transport, and status can say since when. All calls
 * are synchronous, because a state is small and must be there before the transition is acted on.
 */
import type { Transport } from '../../core/config/types.ts';
import type { Lane, RoomId } from '../../core/words.ts';
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
  /** By origin, of the links whose transport somebody chose. */
  transports(): ReadonlyMap<RoomId, Transport>;
  saveTransport(origin: RoomId, transport: Transport): void;
  /** Resolves when what was saved until now is there for whoever goes on with the lanes, also where that is another machine. STORE_LOCKED, LOG_UNAVAILABLE. */
  durable(): Promise<void>;
}
