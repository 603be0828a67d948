/**
 * Frames as they come off a link, made into batches: checked, decoded and cut. Small frames go into one batch, because one
 * transaction for many writes is what makes the stores fast; a batch never lies across a mark, because what is below a mark is only
 * replayed.
 */
import { WmbError } from '../../core/errors.ts';
import { type Lane, type LogEpoch, laneKey, type Seq } from '../../core/words.ts';
import { decodeFrame, type Frame } from '../../link/frame.ts';
import type { LinkFrame } from '../../link/link.ts';
import type { FrameReceipt } from '../receipts/receipts.ts';

/** A batch takes frames until it has this many write requests; more keeps the event loop waiting and gains nothing. */
const BATCH_WRITES = 512;
const BATCH_BYTES_MAX = 2 * 1024 * 1024;

export interface SeqFrame extends Frame {
  readonly seq: Seq;
}

export interface Cut {
  /** Consecutive frames. */
  readonly batch: readonly SeqFrame[];
  /** Where in the list to go on. */
  readonly at: number;
}

/** What the book keeps of frames that have their receipts now. */
export function receiptsOf(frames: readonly SeqFrame[], appliedMs: number): FrameReceipt[] {
  return frames.map(({ seq, header }) => ({
    seq,
    count: header.count,
    stampFirst: header.stampFirst,
    stampLast: header.stampLast,
    through: header.through,
    appliedMs,
  }));
}

/** Decodes a frame and checks that it is the lane's. FRAME_CORRUPT with the seq and what is wrong. */
export function openFrame(lane: Lane, epoch: LogEpoch, item: LinkFrame): SeqFrame {
  const wrong = (what: string, cause?: unknown) =>
    new WmbError('FRAME_CORRUPT', `frame ${item.seq} of ${laneKey(lane)} ${what}`, cause === undefined ? {} : { cause });
  let frame: Frame;
  try {
    frame = decodeFrame(item.bytes);
  } catch (cause) {
    if (cause instanceof WmbError && cause.code === 'FRAME_CORRUPT') throw wrong(`cannot be used: ${cause.message}`, cause);
    throw cause;
  }
  const { header } = frame;
  // Only writes that entered in the origin are in its logs: whatever else comes along here came round a ring, and ends here.
  if (header.origin !== lane.origin) throw wrong(`says that it is of ${header.origin}, not of ${lane.origin}`);
  if (header.log !== lane.log) throw wrong(`is of the log ${header.log}, not of ${lane.log}`);
  if (header.partition !== lane.partition) throw wrong(`is of partition ${header.partition}, not of ${lane.partition}`);
  if (header.epoch !== epoch) throw wrong(`is of log epoch ${header.epoch}, not of ${epoch}`);
  return { seq: item.seq, header, writes: frame.writes };
}

/**
 * The next batch of `items` from `at` on, beginning with seq `next`. Older frames are dropped, a skipped seq is PEER_GARBAGE (I4: the
 * lane resumes at its mark). No batch holds frames on both sides of one of `marks`.
 */
export function cutBatch(
  from: { readonly lane: Lane; readonly epoch: LogEpoch; readonly items: readonly LinkFrame[]; readonly at: number },
  next: Seq,
  marks: readonly Seq[],
): Cut {
  const batch: SeqFrame[] = [];
  let at = from.at;
  let expected = next;
  let writes = 0;
  let bytes = 0;
  for (let item = from.items[at]; item !== undefined; item = from.items[at]) {
    if (item.history || item.seq < expected) {
      at += 1;
      continue;
    }
    if (item.seq > expected) {
      throw new WmbError(
        'PEER_GARBAGE',
        `${laneKey(from.lane)}: frame ${item.seq} came where ${expected} was due; the lane resumes at its mark`,
      );
    }
    if (batch.length > 0 && (writes >= BATCH_WRITES || bytes + item.bytes.length > BATCH_BYTES_MAX || marks.includes(expected - 1))) break;
    const frame = openFrame(from.lane, from.epoch, item);
    batch.push(frame);
    writes += frame.writes.length;
    bytes += item.bytes.length;
    at += 1;
    expected += 1;
  }
  return { batch, at };
}
