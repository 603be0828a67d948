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
import type { FrameReceipts, SeqRange } from '../../core/inspection.ts';
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
  /** Every write request of a later frame of the lane has a greater stamp. */
  readonly through: Stamp;
  /** Wall clock. Of a frame that is recorded again the first one stays. */
  readonly appliedMs: number;
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

/** Where a parked write request stands, without what it carries. */
export interface ParkedPlace {
  readonly position: Position;
  readonly requestId: string;
  readonly key: string;
}

/** What the retry of a parked write request did to the cache. */
export interface RetriedEffects {
  readonly commands: readonly (readonly string[])[];
  /** Of its lane, read when the effects were in the cache. */
  readonly cacheMark: Mark;
  readonly nowMs: number;
}

/** A write request that was retried and may have to be applied again. */
export interface RetriedWrite {
  /** Ascending in the order of the retries. */
  readonly id: number;
  readonly position: Position;
  readonly requestId: string;
  readonly stamp: Stamp;
  readonly commands: readonly (readonly string[])[];
  /** Where the cache's mark stood when the effects were there. */
  readonly cacheSeq: Seq;
}

/** Frames of a lane that a person gives up: `rejected` with the reason LOG_GAP. */
export interface SkipDraft extends EpochLane {
  readonly from: Seq;
  /** Inclusive; undefined: to the unknown end of an epoch that is over. */
  readonly to: Seq | undefined;
  /** Number of write requests; undefined: not known. */
  readonly writes: number | undefined;
  /** Where the marks are afterwards. */
  readonly next: { readonly epoch: LogEpoch; readonly seq: Seq };
  readonly skippedMs: number;
}

export interface Skip extends SkipDraft {
  readonly id: number;
  /** The marks are there. */
  readonly done: boolean;
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
  /** Every write request behind the mark has a greater stamp; empty where that is not known. */
  readonly through: Stamp;
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
  /** Kept for a while, see {@link ReceiptBook.retried}. Undefined: it touched the cache in nothing. */
  readonly effects: RetriedEffects | undefined;
}

export interface ReceiptBook {
  open(): Promise<void>;
  /** The newest mark of every lane. */
  marks(): Promise<readonly Mark[]>;
  summary(lane: EpochLane): Promise<LaneSummary>;
  /** All of it in one transaction. PARKING_FULL where the parking lot has no room for what is new in it: then nothing was recorded. */
  record(entries: readonly BookEntry[]): Promise<void>;
  /** The exceptions of the frames `from` to `to`, inclusive. */
  exceptions(lane: EpochLane, from: Seq, to: Seq): Promise<readonly ExceptionReceipt[]>;
  /** Of the frames of the range those that are known, ascending. Ask for few at a time: nearly every write request may be an exception. */
  frames(range: SeqRange): Promise<readonly FrameReceipts[]>;
  /** See receipt-digest.ts. Empty: not all frames of the range are known. */
  digest(range: SeqRange): Promise<string>;
  /** Every key of the lane with something parked, with the place of its oldest. */
  parkedKeys(lane: EpochLane): Promise<readonly { readonly key: string; readonly seq: Seq; readonly index: number }[]>;
  /** In the order of parking, after the position `after` (empty: from the first), at most `limit`, and fewer where payloads are large. */
  list(after: string, limit: number): Promise<readonly ParkedWrite[]>;
  /** In the order of their lanes, after the position `after` (empty: from the first), at most `limit`. */
  page(after: string, limit: number): Promise<readonly ParkedPlace[]>;
  /** Those with these positions or request ids, in the order of their lanes. */
  select(names: readonly string[]): Promise<readonly ParkedPlace[]>;
  find(position: Position): Promise<ParkedWrite | undefined>;
  /** The oldest parked write request of a key in a lane. */
  firstOfKey(lane: EpochLane, key: string): Promise<ParkedWrite | undefined>;
  /** Those whose `retryMs` is due, oldest first, at most `limit`. */
  due(nowMs: number, limit: number): Promise<readonly ParkedPlace[]>;
  /** Takes a write request out of the parking lot and writes its final receipt, in one transaction. */
  settle(settlement: Settlement): Promise<void>;
  /** It failed again: new reason, one attempt more. */
  failAgain(parked: ParkedWrite): Promise<void>;
  /**
   * Retried write requests of the lane that a cache whose mark is `cacheSeq` in the lane's epoch may lack, in the order of their retries
   * after the id `after`, at most `limit`. They are kept within limits of age, number and bytes.
   */
  retried(lane: EpochLane, cacheSeq: Seq, after: number, limit: number): Promise<readonly RetriedWrite[]>;
  /** Those stamped up to `upTo` need not be applied again: a cache is about to take over a peer's, which has had them. */
  forgetRetried(upTo: Stamp): Promise<void>;
  /** Puts a retried write request back into the parking lot. PARKING_FULL. */
  parkAgain(retried: RetriedWrite, why: { readonly code: ErrorCode; readonly message: string; readonly nowMs: number }): Promise<void>;
  /** Writes a decision down, before any mark moves. */
  beginSkip(draft: SkipDraft): Promise<Skip>;
  /** The other sinks have moved: moves the book's own mark, and forgets what it said of seqs behind it. */
  finishSkip(skip: Skip): Promise<void>;
  /** The decision of the lane that is not carried out yet. */
  pendingSkip(lane: Lane): Promise<Skip | undefined>;
  /** What was given up of the lane, oldest first. */
  skips(lane: Lane): Promise<readonly Skip[]>;
  /** Of the frames `from` to `to`, inclusive: write requests (undefined: not all frames are known) and how many are parked. */
  inRange(lane: EpochLane, from: Seq, to: Seq): Promise<{ readonly writes: number | undefined; readonly parked: number }>;
  /** Write requests in the parking lot. */
  parkedTotal(): number;
  /** Bytes of their payloads. */
  parkedBytes(): number;
  close(): Promise<void>;
}
