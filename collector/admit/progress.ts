/** How far this room is in one lane: for acks, for status, and for its share of the floor. */
import { NO_STAMP, type Stamp, stampMs } from '../../core/stamp.ts';
import { type LogEpoch, NOTHING_SEEN, type Seq } from '../../core/words.ts';
import type { LaneEnd } from '../../link/link.ts';
import type { LaneProgress } from '../lane.ts';

export class Progress {
  epoch: LogEpoch = '';
  mark: Seq = NOTHING_SEEN;
  /** Write requests up to the mark. */
  writes = 0;
  /** Stamp of the newest write request up to the mark; empty where it is not known. */
  stampLast: Stamp = NO_STAMP;
  parked = 0;
  #end: LaneEnd | undefined;
  /** The last moment, by the origin's stamps, at which nothing was missing here. */
  #completeAt: Stamp = NO_STAMP;

  /** What the stores say at a resume. */
  set(state: {
    readonly epoch: LogEpoch;
    readonly mark: Seq;
    readonly writes: number;
    readonly stampLast: Stamp;
    readonly parked: number;
  }): void {
    this.epoch = state.epoch;
    this.mark = state.mark;
    this.writes = state.writes;
    this.stampLast = state.stampLast;
    this.parked = state.parked;
  }

  pulse(end: LaneEnd): void {
    // Behind a range that was given up the number is not known until the lane has caught up.
    if (end.epoch === this.epoch && end.seq === this.mark) this.writes = end.writes;
    this.#end = end;
    if (end.epoch === this.epoch && this.mark >= end.seq) this.#completeAt = end.stamp;
  }

  /** Everything of the lane stamped up to here has been seen; empty where that is not known. */
  seen(): Stamp {
    const end = this.#end;
    const caughtUp = end !== undefined && (end.epoch === this.epoch || end.seq === NOTHING_SEEN) && this.mark >= end.seq;
    return caughtUp && end.stamp > this.stampLast ? end.stamp : this.stampLast;
  }

  report(nowMs: number): LaneProgress {
    const end = this.#end;
    const lagWrites = end === undefined || end.epoch !== this.epoch ? 0 : Math.max(0, end.writes - this.writes);
    // After a quiet night the newest write request applied is old, but nothing has been missing for as long.
    const since = this.#completeAt > this.stampLast ? this.#completeAt : this.stampLast;
    const lagMs = lagWrites > 0 && since !== NO_STAMP ? Math.max(0, nowMs - stampMs(since)) : 0;
    return { epoch: this.epoch, mark: this.mark, parked: this.parked, lagWrites, lagMs };
  }
}
