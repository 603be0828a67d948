/**
 * The newest frames of all partitions, in memory: peers that keep up are served from here, without SQLite and without a checksum.
 * Bounded in bytes over all partitions; the oldest frame of all goes first. A peer that falls behind reads from disk.
 */
import type { Seq } from '../core/words.ts';
import type { StoredFrame } from './log.ts';

/** What a frame costs beyond its bytes: objects and slots. Keeps a tail of tiny frames within its bound too. */
const FRAME_OVERHEAD_BYTES = 256;
/** Arrays are cut when this many frames at their front are gone. */
const SLACK = 1024;

interface Lane {
  /** Seq of frames[gone]. */
  start: Seq;
  next: Seq;
  gone: number;
  frames: (StoredFrame | undefined)[];
}

export class Tail {
  readonly #bytesMax: number;
  readonly #lanes: readonly Lane[];
  /** Partitions of the kept frames, oldest first; an evicted frame is always the oldest of its partition. */
  #order: number[] = [];
  #orderGone = 0;
  #bytes = 0;

  /** `next` holds the next seq of each partition. */
  constructor(bytesMax: number, next: readonly Seq[]) {
    this.#bytesMax = bytesMax;
    this.#lanes = next.map((seq) => ({ start: seq, next: seq, gone: 0, frames: [] }));
  }

  add(frame: StoredFrame): void {
    const lane = this.#lane(frame.partition);
    lane.frames.push(frame);
    lane.next = frame.seq + 1;
    this.#order.push(frame.partition);
    this.#bytes += frame.bytes.length + FRAME_OVERHEAD_BYTES;
    while (this.#bytes > this.#bytesMax) this.#evictOldest();
  }

  /** The frames from `from` on as LogReader.read gives them; undefined where `from` is not within the tail. */
  read(partition: number, from: Seq, bytesMax: number): StoredFrame[] | undefined {
    const lane = this.#lane(partition);
    if (from < lane.start || from > lane.next) return undefined;
    const found: StoredFrame[] = [];
    let bytes = 0;
    for (let i = lane.gone + from - lane.start; i < lane.frames.length; i += 1) {
      const frame = lane.frames[i] as StoredFrame;
      bytes += frame.bytes.length;
      if (found.length > 0 && bytes > bytesMax) break;
      found.push(frame);
    }
    return found;
  }

  /** Forgets the frames before `first`, which are no longer in the log. */
  forget(partition: number, first: Seq): void {
    while (this.#lane(partition).start < first && this.#orderGone < this.#order.length) this.#evictOldest();
  }

  #evictOldest(): void {
    const lane = this.#lane(this.#order[this.#orderGone] ?? 0);
    this.#orderGone += 1;
    const frame = lane.frames[lane.gone];
    lane.frames[lane.gone] = undefined;
    lane.gone += 1;
    lane.start += 1;
    this.#bytes -= (frame?.bytes.length ?? 0) + FRAME_OVERHEAD_BYTES;
    if (lane.gone >= SLACK) {
      lane.frames = lane.frames.slice(lane.gone);
      lane.gone = 0;
    }
    if (this.#orderGone >= SLACK && this.#orderGone * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#orderGone);
      this.#orderGone = 0;
    }
  }

  #lane(partition: number): Lane {
    const lane = this.#lanes[partition];
    if (lane === undefined) throw new RangeError(`no partition ${partition}`);
    return lane;
  }
}
