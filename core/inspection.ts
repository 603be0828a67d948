/**
 * What a room can say of its lanes and receipts: the words that the collector answers in and that the checkers of two rooms compare. They stand here
 * because the collector, the daemons' wire and the checker may not import each other.
 */
import type { Effect } from './converge/effects.ts';
import { NO_STAMP, type Stamp, type Version } from './stamp.ts';
import type { Lane, LogEpoch, Outcome, RoomId, Seq } from './words.ts';

/** A room keeps the receipts of at least so many of the newest frames of a lane, and of older ones while something of them is parked. */
export const RECEIPT_FRAMES_KEPT = 100_000;

/** How far a room is in one `writes` lane. */
export interface LanePlace extends Lane {
  readonly epoch: LogEpoch;
  /** Every seq up to it has a receipt. -1: none. */
  readonly mark: Seq;
  /** Everything of the lane stamped up to here has its receipt in this room; empty: not known. */
  readonly seen: Stamp;
  /**
   * Link state (docs/link-states.md) and its reason. Empty for lanes without a link of their own (derived ones): their reason says why the effects that
   * they follow stand, where they do.
   */
  readonly state: string;
  readonly reason: string;
  readonly lagWrites: number;
  /** In a slave room whose database follows by the servers' own replication: the master's mark that has arrived in it; -1: none. Undefined elsewhere. */
  readonly databaseSeq?: Seq | undefined;
}

export interface Horizon {
  /** The room's wall clock. */
  readonly nowMs: number;
  /** One for every origin and partition that this room takes, its own included. */
  readonly lanes: readonly LanePlace[];
}

/**
 * How a room's cache stands in one lane of write requests or of effects: what a copy of it stands for, or what a copy has to bring (docs/adr/0009). Of its own effect log the master room
 * says how far it is in its own cache, which has no mark of it.
 */
export interface CachePlace extends Lane {
  readonly epoch: LogEpoch;
  /** The cache's mark; -1: none. */
  readonly cache: Seq;
  /** The least mark of the room's other sinks. */
  readonly others: Seq;
  /** Everything up to here is in the cache: by its mark and the book's, and without what is parked and what came after. */
  readonly applied: Seq;
  /** Everything of the lane stamped up to here is within `applied`; empty: not known. */
  readonly seen: Stamp;
  /** As of LanePlace; of a derived lane those of the effects that it follows. */
  readonly state: string;
  readonly reason: string;
  /** Of a lane that stopped on missing frames: the seq at which its log goes on. -1: it has not. */
  readonly logFrom: Seq;
}

export interface CachePlaces {
  readonly room: RoomId;
  readonly nowMs: number;
  /** Another one where another collector answers, or where the cache may have changed otherwise than by frames, repairs and retries since. */
  readonly life: string;
  /** Up to here the cache may have forgotten; empty: nothing. */
  readonly settled: Version;
  readonly lanes: readonly CachePlace[];
}

/** The end of a copy: the marks of the lanes that were behind move to where the copied room was. */
export interface TakeOver {
  readonly life: string;
  /** What the copied room had forgotten by then, this cache has as well. */
  readonly settled: Version;
  /** `expected`: the cache's mark when the copy began. */
  readonly moves: readonly (Lane & { readonly epoch: LogEpoch; readonly expected: Seq; readonly next: Seq })[];
}

/** A range of seqs of one lane; both ends inclusive. */
export interface SeqRange {
  readonly lane: Lane & { readonly epoch: LogEpoch };
  readonly from: Seq;
  readonly to: Seq;
}

/**
 * Receipts of one frame. One that somebody gave up (`wmb link skip`) has no stamps: nobody can say what was in it, so its first receipt, `rejected` with the reason
 * LOG_GAP, stands for all.
 */
export interface FrameReceipts {
  readonly seq: Seq;
  readonly count: number;
  readonly stampFirst: Stamp;
  readonly stampLast: Stamp;
  /** Wall clock of the room when the frame had its receipts; 0: not known. */
  readonly appliedMs: number;
  /** Those that are not `applied`. */
  readonly exceptions: readonly ReceiptDetail[];
}

/** See FrameReceipts. */
export function isGivenUp({ stampLast }: Pick<FrameReceipts, 'stampLast'>): boolean {
  return stampLast === NO_STAMP;
}

export interface ReceiptDetail {
  readonly index: number;
  readonly requestId: string;
  readonly outcome: Outcome;
  /** Code of docs/errors.md, or empty. */
  readonly code: string;
  /** Parked ones only. */
  readonly parkedMs: number;
  readonly attempts: number;
}

export interface DerivedWrite {
  readonly stamp: Stamp;
  /** Undefined where the processor fails; `error` says why. */
  readonly effects: readonly Effect[] | undefined;
  readonly error: string;
}
