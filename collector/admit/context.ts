/** What all lanes of a room share. */
import type { Config } from '../../core/config/types.ts';
import { WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Stamp } from '../../core/stamp.ts';
import { type Lane, type LogEpoch, laneKey, type Mark, NOTHING_SEEN, type Seq, type StampedWrite } from '../../core/words.ts';
import type { Log } from '../../log/log.ts';
import type { CacheStore } from '../../store/cache.ts';
import type { DatabaseStore } from '../../store/database.ts';
import type { Processed } from '../process/processors.ts';
import type { ReceiptBook } from '../receipts/receipts.ts';
import type { Acks, Hints } from './acks.ts';
import type { CacheView } from './cache-view.ts';
import type { Meters } from './meters.ts';
import type { SharedCommits } from './shared-commits.ts';

/** The part of Processors that the lanes use. */
export interface Processing {
  run(write: StampedWrite): Processed | Promise<Processed>;
}

export interface Context {
  readonly config: Config;
  readonly cache: CacheStore;
  /** The cache's marks are read here. */
  readonly view: CacheView;
  /** Undefined in a cache-only room. */
  readonly database: DatabaseStore | undefined;
  /** This is the master room: it executes statements, and its database carries marks of the `writes` lanes. */
  readonly executes: boolean;
  readonly book: ReceiptBook;
  /** Batches go to the cache and the book through here. */
  readonly shared: SharedCommits;
  readonly processors: Processing;
  /** Master room of a master–slave topology only. */
  readonly effectLog: Log | undefined;
  readonly acks: Acks;
  readonly hints: Hints;
  /** What every room has applied, as far as this room has seen it too. */
  readonly floor: () => Stamp;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly meters: Meters;
  /** Between two batches of what a lane took at once: links and heartbeats have the event loop. DRAINING where the collector stops: the rest is taken again at its next start. */
  readonly breathe: () => Promise<void>;
}

/**
 * The mark of `lane` among `marks`; -1 where there is none. LOG_GAP where it belongs to another log epoch than the origin offers:
 * nobody can say what of the old epoch is missing here, so somebody must decide.
 */
export function markOf(lane: Lane, epoch: LogEpoch, sink: { readonly name: string; readonly marks: readonly Mark[] }): Seq {
  const mark = sink.marks.find((it) => it.log === lane.log && it.origin === lane.origin && it.partition === lane.partition);
  if (mark === undefined || mark.seq === NOTHING_SEEN) return NOTHING_SEEN;
  if (mark.epoch === epoch) return mark.seq;
  throw new WmbError(
    'LOG_GAP',
    `${laneKey(lane)}: the mark in the ${sink.name} is ${mark.seq} of log epoch ${mark.epoch}, but ${lane.origin} offers log epoch ${epoch}: ` +
      'its log was made anew, and what this room missed of the old one cannot be told; rebuild the room from a peer, or accept the loss',
  );
}

/** The cache is another one than the caller knew. */
export function cacheWentBack(lane: Lane): WmbError {
  return new WmbError(
    'MARK_MOVED',
    `${laneKey(lane)}: the cache is not as it was left (it came back from an older copy, or another collector works on it); work resumes from the mark that it holds`,
  );
}

/** A store refused to move a mark. The lane resumes from what is stored. */
export function markMoved(lane: Lane, sink: string, expected: Seq, stored: Mark | undefined): WmbError {
  const found = stored === undefined ? 'none' : `${stored.seq} of log epoch ${stored.epoch}`;
  return new WmbError(
    'MARK_MOVED',
    `${laneKey(lane)}: the ${sink} holds the mark ${found} where ${expected} was expected; work resumes from the stored mark`,
  );
}
