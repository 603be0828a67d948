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
  /** Every write request behind the mark has a greater stamp; empty where that is not known. */
  through: Stamp = NO_STAMP;
  parked = 0;
  #end: LaneEnd | undefined;
  /** The last moment, by the origin's stamps, at which nothing was missing here. */
  #completeAt: Stamp = NO_STAMP;
  /** The same by this room's clock; before a pulse has found nothing missing, when the first one came. 0: none has. */
  #completeMs = 0;
  #wasComplete = false;

  /** What the stores say at a resume. */
  set(state: {
    readonly epoch: LogEpoch;
    readonly mark: Seq;
    readonly writes: number;
    readonly through: Stamp;
    readonly parked: number;
  }): void {
    this.epoch = state.epoch;
    this.mark = state.mark;
    this.writes = state.writes;
    this.through = state.through;
    this.parked = state.parked;
  }

  /** `nowMs`: wall clock of this room. */
  pulse(end: LaneEnd, nowMs: number): void {
    // Behind a range that was given up the number is not known until the lane has caught up.
    if (end.epoch === this.epoch && end.seq === this.mark) this.writes = end.writes;
    this.#end = end;
    const isComplete = end.epoch === this.epoch && this.mark >= end.seq;
    if (isComplete) this.#completeAt = end.stamp;
    if (isComplete || this.#completeMs === 0) this.#completeMs = nowMs;
    this.#wasComplete ||= isComplete;
  }

  /** Everything of the lane stamped up to here has been seen; empty where that is not known. */
  seen(): Stamp {
    const end = this.#end;
    const caughtUp = end !== undefined && (end.epoch === this.epoch || end.seq === NOTHING_SEEN) && this.mark >= end.seq;
    return caughtUp && end.stamp > this.through ? end.stamp : this.through;
  }

  report(nowMs: number): LaneProgress {
    const end = this.#end;
    const lagWrites = end === undefined || end.epoch !== this.epoch ? 0 : Math.max(0, end.writes - this.writes);
    return {
      epoch: this.epoch,
      mark: this.mark,
      parked: this.parked,
      lagWrites,
      lagMs: lagWrites > 0 ? Math.max(0, nowMs - this.#sinceMs(nowMs)) : 0,
    };
  }

  /**
   * After a quiet night the newest write request applied is old, but nothing has been missing for as long. The end of a `writes` lane is stamped
   * anew with every pulse; that of the other logs is as old as their last frame: of them this room's clock says when a pulse found nothing missing.
   */
  #sinceMs(nowMs: number): number {
    const since = this.#completeAt > this.through ? this.#completeAt : this.through;
    const stampedMs = since === NO_STAMP ? nowMs : stampMs(since);
    if (this.#end?.log === 'writes' || this.#completeMs === 0) return stampedMs;
    if (this.#wasComplete) return since === NO_STAMP ? this.#completeMs : Math.max(this.#completeMs, stampedMs);
    return Math.min(this.#completeMs, stampedMs);
  }
}
