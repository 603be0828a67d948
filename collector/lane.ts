/**
 * The seam inside the collector between receiving and applying.
 *
 * `receive/` keeps one session per origin and one link state machine per lane. It hands each lane's frames, in order, to that lane's
 * consumer in `admit/`, which answers when they have their receipts. What the room has done so far is published on the ack board, from
 * which `receive/` tells each origin, over whatever session it has with it.
 */
import type { Stamp } from '../core/stamp.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../core/words.ts';
import type { LaneEnd, LinkFrame, ReceiptException } from '../link/link.ts';
import type { SkipDraft } from './receipts/receipts.ts';

export interface LaneConsumer {
  /**
   * Called at every (re)connect with the epoch that the origin offers now: where to go on. Rejects with LOG_GAP where the room's mark
   * belongs to another epoch: somebody must decide, the lane stops loudly.
   */
  resume(offer: { readonly epoch: LogEpoch }): Promise<{ readonly after: Seq; readonly historyWrites: number }>;
  /**
   * Takes frames in lane order (history frames first, flagged). Resolves when the others have their receipts and the mark has moved.
   * Rejects with a WmbError: retry `now` or `later`: the lane backs off and resumes; `never`: it stops until somebody resumes it.
   */
  take(frames: readonly LinkFrame[]): Promise<void>;
  /** True: a store came back from an older copy since it was resumed. It takes nothing until it is resumed again, though nothing failed. */
  readonly isStale?: boolean;
  /** The origin's newest pulse for this lane, and its wall clock when it was sent. */
  pulse(end: LaneEnd, sentMs: number): void;
  /**
   * Of a lane that stopped on a gap: what would be lost, and, where it is `confirmed`, the end of waiting for it: the marks move to where the lane can go on.
   * Rejects with the reason where that must not be done. A consumer without it never skips.
   */
  skipGap?(gap: LaneGap, confirmed: boolean): Promise<SkipDraft>;
  /** What the room has applied of this lane, for status. */
  progress(): LaneProgress;
}

/** Why a lane stopped. */
export interface LaneGap {
  /** Of the log that the origin offers now. */
  readonly epoch: LogEpoch;
  /** Inclusive; undefined where the mark is of another epoch. */
  readonly missing: { readonly from: Seq; readonly to: Seq } | undefined;
}

export interface LaneProgress {
  readonly epoch: LogEpoch;
  readonly mark: Seq;
  /** Write requests of this lane in the parking lot. */
  readonly parked: number;
  readonly lagWrites: number;
  /** While there is a lag, how long at most something has been missing: since the newest write request applied or since nothing was missing; otherwise 0. */
  readonly lagMs: number;
}

/** Makes (or returns) the consumer of a lane. */
export type LaneConsumers = (lane: { readonly log: LogName; readonly origin: RoomId; readonly partition: number }) => LaneConsumer;

export interface AckState {
  readonly log: LogName;
  readonly partition: number;
  readonly epoch: LogEpoch;
  readonly seq: Seq;
  readonly parkedSeq: Seq;
  /** See link/link.ts. */
  readonly databaseSeq?: Seq | undefined;
}

export interface Ack extends AckState {
  /** The exceptions are all there are from this seq up to `seq`. */
  readonly exceptionsFrom: Seq;
  readonly exceptions: readonly ReceiptException[];
}

/** What this room has to tell each origin about that origin's own lanes. */
export interface AckBoard {
  /** What changed since the last call, with the receipts that are not `applied`. At most 4,096 exceptions are kept for an origin that is away; the oldest go first. */
  take(origin: RoomId): readonly Ack[];
  /** As `take`, with the lanes that did not change too: what to say at a connect. */
  takeAll(origin: RoomId): readonly Ack[];
  /** Calls back when there is something to take for `origin`. Returns how to stop. */
  onChange(origin: RoomId, listener: () => void): () => void;
}

/** Hints for the local reship, sent over the local link. */
export interface LocalHints {
  /** The greatest stamp applied from peers. */
  onObserved(listener: (stamp: Stamp) => void): () => void;
  /** The collector appended to a log of this room that reship serves. */
  onAppended(listener: (log: LogName, partition: number) => void): () => void;
}

/**
 * `floor()`: everything stamped up to here has been applied in every room, by what all origins' pulses say; empty until all have said so.
 * Implemented in receive/, read by admit/.
 */
export interface FloorSource {
  floor(): Stamp;
}
