/**
 * The newest frames of all lanes that a room has receipts of, from the newest back. Receipts are read a step at a time, and no further back than somebody asks: of a
 * quiet lane a step is a minute, of a busy one a moment.
 */
import { type FrameReceipts, isGivenUp, type LanePlace } from '../../core/inspection.ts';
import type { Version } from '../../core/stamp.ts';
import type { Seq } from '../../core/words.ts';
import type { RoomView } from '../room.ts';

const FRAMES_PER_STEP = 64;

export interface TailFrame {
  readonly lane: LanePlace;
  readonly receipt: FrameReceipts;
}

export interface LaneRange {
  readonly lane: LanePlace;
  /** Nothing before it is read. */
  readonly from: Seq;
  /** Nothing before `from` is wanted. */
  readonly whole: boolean;
}

interface Tail extends LaneRange {
  /** Read and not taken, newest first. */
  readonly frames: FrameReceipts[];
  /** Read from here on. */
  readFrom: Seq;
  /** From here on none is missing. */
  runFrom: Seq;
  /** Of the frame at `runFrom`. */
  stampFirst: string;
  broken: boolean;
}

export class LaneTails {
  readonly #view: Pick<RoomView, 'receipts'>;
  readonly #tails: readonly Tail[];
  #above: Version = '';

  constructor(view: Pick<RoomView, 'receipts'>, ranges: readonly LaneRange[]) {
    this.#view = view;
    this.#tails = ranges.map((range) => {
      const end = range.lane.mark + 1;
      return { ...range, frames: [], readFrom: end, runFrom: end, stampFirst: 'f'.repeat(24), broken: false };
    });
  }

  /** Everything stamped above it has been taken; '': all that is wanted. */
  get above(): Version {
    const left = this.#tails.map(({ frames: [head] }) => (head === undefined ? '' : `${head.stampLast}ffff`));
    return [this.#above, ...left].reduce(later);
  }

  /** The newest of what is left: `writesMax` write requests of it, or one frame. Empty: nothing is left. */
  async take(writesMax: number): Promise<readonly TailFrame[]> {
    const taken: TailFrame[] = [];
    for (let writes = 0; ; ) {
      await this.#refill();
      const tail = newest(this.#tails);
      const head = tail?.frames[0];
      if (tail === undefined || head === undefined || (writes > 0 && writes + head.count > writesMax)) return taken;
      writes += head.count;
      taken.push({ lane: tail.lane, receipt: head });
      tail.frames.shift();
    }
  }

  /** Lanes of which little is left are asked for with those of which nothing is: they are about to be. */
  async #refill(): Promise<void> {
    const open = this.#tails.filter(({ readFrom, from }) => readFrom > from);
    if (!open.some(({ frames }) => frames.length === 0)) return;
    await Promise.all(open.filter(({ frames }) => frames.length < FRAMES_PER_STEP / 2).map((tail) => this.#readBack(tail)));
    await this.#refill();
  }

  async #readBack(tail: Tail): Promise<void> {
    const { lane, readFrom } = tail;
    const from = Math.max(tail.from, readFrom - FRAMES_PER_STEP);
    const receipts = (await this.#view.receipts({ lane, from, to: readFrom - 1 })).filter((receipt) => !isGivenUp(receipt));
    tail.readFrom = from;
    for (const receipt of receipts.toReversed()) {
      if (receipt.seq !== tail.runFrom - 1) this.#break(tail);
      if (!tail.broken) Object.assign(tail, { runFrom: receipt.seq, stampFirst: receipt.stampFirst });
      tail.frames.push(receipt);
    }
    if (from === tail.from && !(tail.whole && tail.runFrom === from)) this.#break(tail);
  }

  /** What lies before is not known, or not all of it. */
  #break(tail: Tail): void {
    if (!tail.broken) this.#above = later(this.#above, tail.stampFirst);
    tail.broken = true;
  }
}

function newest(tails: readonly Tail[]): Tail | undefined {
  return tails.reduce((best: Tail | undefined, tail) => (stampOf(tail) > stampOf(best) ? tail : best), undefined);
}

function stampOf(tail: Tail | undefined): string {
  return tail?.frames[0]?.stampLast ?? '';
}

export function later(a: Version, b: Version): Version {
  return a > b ? a : b;
}
