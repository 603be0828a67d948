/** One write request on its way through a batch: what was decided about it so far. */
import type { Effect } from '../../core/converge/effects.ts';
import type { ErrorCode } from '../../core/errors.ts';
import { NO_STAMP, type Stamp, stampMs } from '../../core/stamp.ts';
import type { Outcome, Seq, StampedWrite } from '../../core/words.ts';
import type { Statement } from '../../store/database.ts';
import type { EpochLane, ExceptionReceipt, ParkedWrite } from '../receipts/receipts.ts';

export interface Work {
  readonly write: StampedWrite;
  readonly seq: Seq;
  readonly index: number;
  /** Empty while it is still on its way to the stores. */
  outcome: Outcome | '';
  code: ErrorCode | '';
  message: string;
  /** The book said so before this batch; the parking lot has it already if it is parked. */
  kept: boolean;
  /** Its statements are committed. */
  inDatabase: boolean;
  commands: readonly (readonly string[])[];
  effects: readonly Effect[];
  statements: readonly Statement[];
}

const NONE: readonly never[] = [];
const DONE: readonly (Outcome | '')[] = ['applied', 'superseded'];

export function newWork(write: StampedWrite, seq: Seq, index: number): Work {
  return {
    write,
    seq,
    index,
    outcome: '',
    code: '',
    message: '',
    kept: false,
    inDatabase: false,
    commands: NONE,
    effects: NONE,
    statements: NONE,
  };
}

export function decide(work: Work, outcome: Outcome, code: ErrorCode | '' = '', message = ''): void {
  work.outcome = outcome;
  work.code = code;
  work.message = message;
}

export function exceptionOf(work: Work): ExceptionReceipt {
  return {
    seq: work.seq,
    index: work.index,
    requestId: work.write.requestId,
    outcome: work.outcome === '' ? 'applied' : work.outcome,
    code: work.code,
  };
}

/** The row of the parking lot for a work that was parked in this batch. */
export function parkedOf(work: Work, lane: EpochLane, nowMs: number, retryMs: number | undefined): ParkedWrite {
  return {
    position: { log: lane.log, origin: lane.origin, partition: lane.partition, epoch: lane.epoch, seq: work.seq, index: work.index },
    write: work.write,
    code: work.code === '' ? 'INTERNAL' : work.code,
    message: work.message,
    attempts: 1,
    parkedMs: nowMs,
    retryMs,
    inDatabase: work.inDatabase,
  };
}

/** Of those that were done. */
export function newestStamp(works: readonly Work[]): Stamp {
  let newest = NO_STAMP;
  for (const { outcome, write } of works) if (write.stamp > newest && DONE.includes(outcome)) newest = write.stamp;
  return newest;
}

/** Why a stamp is parked. */
export function aheadOfClock(stamp: Stamp, nowMs: number): string {
  return `its stamp is ${stampMs(stamp) - nowMs} ms ahead of this room’s clock; it is retried when the clock has come up to it`;
}
