/**
 * The receipt book: what this room did with every write request, and the parking lot.
 *
 * Nearly all write requests are `applied`, so the book keeps one row a frame and a row for each exception. Its mark moves in the
 * same transaction as the receipts and never passes a seq that has none (invariant I3). It is the last of the lane's sinks: after a
 * crash the lane resumes from the smallest mark of all, and what was done already is done again without effect.
 *
 * Rows of frames leave from the old end; what is parked stays until somebody retries or discards it.
 */
import type { ErrorCode } from '../../core/errors.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { Lane, LogEpoch, Mark, Outcome, Position, Seq, StampedWrite } from '../../core/words.ts';

/** A lane within one log epoch. */
export interface EpochLane extends Lane {
  readonly epoch: LogEpoch;
}

/** A frame whose write requests all have their receipts. */
export interface FrameReceipt {
  readonly seq: Seq;
  /** Number of write requests. */
  readonly count: number;
  readonly stampFirst: Stamp;
  readonly stampLast: Stamp;
}

/** A receipt that is not `applied`. */
export interface ExceptionReceipt {
  readonly seq: Seq;
  readonly index: number;
  readonly requestId: string;
  readonly outcome: Outcome;
  /** Empty where the outcome needs no reason. */
  readonly code: ErrorCode | '';
}

export interface ParkedWrite {
  readonly position: Position;
  readonly write: StampedWrite;
  readonly code: ErrorCode;
  readonly message: string;
  /** How often it was tried. */
  readonly attempts: number;
  readonly parkedMs: number;
  /** Wall clock from which it is retried without being asked; undefined: somebody must ask. */
  readonly retryMs: number | undefined;
  /** The database has committed its statements already; only its cache effects are missing. */
  readonly inDatabase: boolean;
}

/** Receipts of one lane. `frames` may be empty: then the exceptions lie ahead of the mark, or change older receipts. */
export interface BookEntry {
  readonly lane: EpochLane;
  /** Ascending. The mark moves to the last one if it lies ahead of the mark. */
  readonly frames: readonly FrameReceipt[];
  readonly exceptions: readonly ExceptionReceipt[];
  /** New in the parking lot; one that is there already keeps its attempts and its time. */
  readonly parked: readonly ParkedWrite[];
}

/** What the book knows of a lane as a whole. */
export interface LaneSummary {
  readonly epoch: LogEpoch;
  /** -1: nothing. */
  readonly seq: Seq;
  /** Number of write requests up to the mark. */
  readonly writes: number;
  /** Last stamp of the frame at the mark; empty where it is not known. */
  readonly stampLast: Stamp;
  /** Seq of the oldest write request whose receipt is `parked`; -1: none. */
  readonly parkedSeq: Seq;
  /** Write requests of the lane in the parking lot. */
  readonly parked: number;
  /** The greatest seq that anything is written about; exceptions may lie ahead of the mark. */
  readonly knownSeq: Seq;
}

/** The end of one parked write request's time in the parking lot. */
export interface Settlement {
  readonly position: Position;
  readonly requestId: string;
  readonly outcome: Exclude<Outcome, 'parked'>;
  readonly code: ErrorCode | '';
}

export interface Selection {
  /** Positions or request ids. */
  readonly writes: readonly string[];
  readonly all: boolean;
}

export interface ReceiptBook {
  open(): Promise<void>;
  /** The newest mark of every lane. */
  marks(): Promise<readonly Mark[]>;
  summary(lane: EpochLane): Promise<LaneSummary>;
  /** All of it in one transaction. */
  record(entries: readonly BookEntry[]): Promise<void>;
  /** The exceptions of the frames `from` to `to`, inclusive. */
  exceptions(lane: EpochLane, from: Seq, to: Seq): Promise<readonly ExceptionReceipt[]>;
  /** Key and place of every parked write request of the lane, oldest first. */
  parkedKeys(lane: EpochLane): Promise<readonly { readonly key: string; readonly seq: Seq; readonly index: number }[]>;
  /** In the order of parking, after the position `after` (empty: from the first), at most `limit`. */
  list(after: string, limit: number): Promise<readonly ParkedWrite[]>;
  /** The parked write requests that a selection names, in the order of their lanes; of `all` at most 10,000 at a time. */
  select(selection: Selection): Promise<readonly ParkedWrite[]>;
  /** The oldest parked write request of a key in a lane. */
  firstOfKey(lane: EpochLane, key: string): Promise<ParkedWrite | undefined>;
  /** Those whose `retryMs` is due, oldest first, at most `limit`. */
  due(nowMs: number, limit: number): Promise<readonly ParkedWrite[]>;
  /** Takes a write request out of the parking lot and writes its final receipt, in one transaction. */
  settle(settlement: Settlement): Promise<void>;
  /** It failed again: new reason, one attempt more. */
  failAgain(parked: ParkedWrite): Promise<void>;
  /** Write requests in the parking lot. */
  parkedTotal(): number;
  close(): Promise<void>;
}
