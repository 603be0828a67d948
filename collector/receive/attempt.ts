/** One attempt of a lane to take frames over a session; a new one begins after each failure. */
import type { BoundedQueue } from '../../core/flow/bounded-queue.ts';
import type { Seq } from '../../core/words.ts';
import type { LinkFrame, LinkSession } from '../../link/link.ts';
import type { LaneCredit } from './lane-credit.ts';

export interface Attempt {
  readonly session: LinkSession;
  readonly queue: BoundedQueue<LinkFrame>;
  readonly credit: LaneCredit;
  /** Frames of an earlier attempt may still arrive on this session. */
  readonly repeated: boolean;
  readonly sinceMs: number;
  /** Frames that came before the answer to `resume`; control and frames are streams of their own. */
  early: LinkFrame[];
  earlyBytes: number;
  /** The next seq; undefined until the origin has answered. */
  expected: Seq | undefined;
  liveFrom: Seq;
  /** The first frame that was waited for has come. */
  begun: boolean;
  /** The first frame that came instead of it. */
  ahead: Seq | undefined;
}
