/** Receipts of one room, in memory: what the tests of the checker put into a room's book and ask back through a RoomView. */
import { createHash } from 'node:crypto';
import { WmbError } from '../../core/errors.ts';
import type { FrameReceipts, Horizon, LanePlace, ReceiptDetail, SeqRange } from '../../core/inspection.ts';
import { formatStamp, type Stamp } from '../../core/stamp.ts';
import { laneKey, type Outcome, type RoomId } from '../../core/words.ts';
import type { RoomView } from '../room.ts';

export const EPOCH = 'e0e0e0e0e0e0e0e0';
const START_MS = 1_700_000_000_000;

export function testStamp(ms: number, counter = 0, writer = 0x01000001): Stamp {
  return formatStamp({ ms, counter, writer });
}

export function laneOfTest(origin: RoomId, partition = 0, epoch = EPOCH): SeqRange['lane'] {
  return { log: 'writes', origin, partition, epoch };
}

export function exception(index: number, outcome: Outcome, more: Partial<ReceiptDetail> = {}): ReceiptDetail {
  return { index, requestId: `request-${index}`, outcome, code: '', parkedMs: 0, attempts: 0, ...more };
}

/** Of a frame that somebody gave up with `wmb link skip`. */
export const GIVEN_UP: Partial<FrameReceipts> = {
  count: 1,
  stampFirst: '',
  stampLast: '',
  exceptions: [exception(0, 'rejected', { requestId: '', code: 'LOG_GAP' })],
};

/** A place and a book of one lane, both open to be changed by a test. */
export interface FakeLane {
  place: LanePlace;
  readonly frames: Map<number, FrameReceipts>;
}

export class FakeReceipts {
  readonly room: RoomId;
  readonly lanes = new Map<string, FakeLane>();
  nowMs: () => number = () => START_MS;
  /** It answers nothing. */
  silent = false;
  /** What was asked, in order. */
  readonly asked: { readonly what: 'digests' | 'receipts'; readonly ranges: readonly SeqRange[] }[] = [];

  constructor(room: RoomId) {
    this.room = room;
  }

  lane(lane: SeqRange['lane']): FakeLane {
    const key = laneKey(lane);
    const known = this.lanes.get(key);
    if (known !== undefined && known.place.epoch === lane.epoch) return known;
    const made: FakeLane = {
      place: { ...lane, mark: -1, seen: '', state: 'streaming', reason: '', lagWrites: 0 },
      frames: new Map(),
    };
    this.lanes.set(key, made);
    return made;
  }

  /** Writes the receipts of `frames` frames of `count` write requests each, all applied, from where the mark is. */
  applied(lane: SeqRange['lane'], frames: number, count = 2): void {
    for (let done = 0; done < frames; done += 1) this.receipt(lane, this.lane(lane).place.mark + 1, { count });
  }

  /** Writes, or replaces, the receipts of one frame; the mark moves if it is the next. */
  receipt(lane: SeqRange['lane'], seq: number, frame: Partial<FrameReceipts> = {}): void {
    const held = this.lane(lane);
    const stampFirst = testStamp(START_MS + seq * 10);
    const stampLast = testStamp(START_MS + seq * 10 + 5);
    held.frames.set(seq, { seq, count: 2, stampFirst, stampLast, appliedMs: START_MS + seq * 10 + 90, exceptions: [], ...frame });
    if (seq === held.place.mark + 1) held.place = { ...held.place, mark: seq, seen: frame.stampLast ?? stampLast };
  }

  change(lane: SeqRange['lane'], place: Partial<LanePlace>): void {
    const held = this.lane(lane);
    held.place = { ...held.place, ...place };
  }

  horizon(): Horizon {
    this.answer();
    return { nowMs: this.nowMs(), lanes: [...this.lanes.values()].map(({ place }) => place) };
  }

  receiptDigests(ranges: readonly SeqRange[]): string[] {
    this.answer();
    this.asked.push({ what: 'digests', ranges });
    return ranges.map((range) => this.#digest(range));
  }

  receipts(range: SeqRange): FrameReceipts[] {
    this.answer();
    this.asked.push({ what: 'receipts', ranges: [range] });
    return this.#frames(range);
  }

  answer(): void {
    if (this.silent) throw new WmbError('PEER_UNREACHABLE', `${this.room} does not answer`);
  }

  #frames(range: SeqRange): FrameReceipts[] {
    const held = this.lanes.get(laneKey(range.lane));
    if (held === undefined || held.place.epoch !== range.lane.epoch) return [];
    return [...held.frames.values()].filter(({ seq }) => seq >= range.from && seq <= range.to).sort((a, b) => a.seq - b.seq);
  }

  #digest(range: SeqRange): string {
    const frames = this.#frames(range);
    if (frames.length !== range.to - range.from + 1) return '';
    const told = frames.map(({ seq, count, stampFirst, stampLast, exceptions }) => [
      seq,
      count,
      stampFirst,
      stampLast,
      exceptions.filter(({ outcome }) => outcome !== 'superseded').map(({ index, outcome }) => [index, outcome]),
    ]);
    return createHash('sha1').update(JSON.stringify(told)).digest('hex').slice(0, 16);
  }
}

/** A RoomView of receipts alone; a test that asks for more is wrong. */
export function receiptsView(fake: FakeReceipts): RoomView {
  const never = (): never => {
    throw new Error('not part of this test');
  };
  return {
    room: fake.room,
    horizon: async () => fake.horizon(),
    receiptDigests: async (ranges) => fake.receiptDigests(ranges),
    receipts: async (range) => fake.receipts(range),
    nodes: never,
    entries: never,
    states: never,
    findWrites: never,
    derive: never,
  };
}
