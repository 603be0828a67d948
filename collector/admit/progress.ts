/** How far this room is in one lane: for acks, for status, and for its share of the floor. */
import { NO_STAMP, type Stamp, stampMs } from '../../core/stamp.ts';
import { type LogEpoch, NOTHING_SEEN, type Seq } from '../../core/words.ts';
import type { FrameHeader } from '../../link/frame.ts';
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
  /** Stamp of the newest write request up to the mark; empty where that is not known. */
  newest: Stamp = NO_STAMP;
  #end: LaneEnd | undefined;
  /** The last moment, by the origin's clock, at which nothing was missing here; before a pulse has found nothing missing, when the first one was sent. 0: none was. */
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
    this.newest = state.through;
    this.parked = state.parked;
  }

  /** The room has applied the lane's frames up to this one. */
  reach({ seq, header }: { readonly seq: Seq; readonly header: Pick<FrameHeader, 'stampLast' | 'through'> }): void {
    this.mark = seq;
    this.through = header.through;
    this.newest = header.stampLast;
  }

  /** `sentMs`: the origin's clock when it said so. */
  pulse(end: LaneEnd, sentMs: number): void {
    // Behind a range that was given up the number is not known until the lane has caught up.
    if (end.epoch === this.epoch && end.seq === this.mark) this.writes = end.writes;
    this.#end = end;
    const isComplete = end.epoch === this.epoch && this.mark >= end.seq;
    if (isComplete || this.#completeMs === 0) this.#completeMs = sentMs;
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
   * After a quiet night the newest write request applied is old, but nothing has been missing for as long. Neither `through` nor the stamp of the end would do: for as long as a dead reship is waited
   * for, both stand still, though everything that the others take is applied at once.
   */
  #sinceMs(nowMs: number): number {
    const newestMs = this.newest === NO_STAMP ? undefined : stampMs(this.newest);
    if (this.#wasComplete) return Math.max(this.#completeMs, newestMs ?? 0);
    if (this.#completeMs === 0) return newestMs ?? nowMs;
    return Math.min(this.#completeMs, newestMs ?? this.#completeMs);
  }
}
