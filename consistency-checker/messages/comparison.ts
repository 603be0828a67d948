/**
 * L1: what two rooms say they did with the same write requests. Windows of receipts are compared by digests; where those differ the receipts themselves, seq by seq and
 * index by index. What differs is a suspect, and a drift only if it still differs after the grace period, below both rooms' marks.
 *
 * A write request that is parked in both rooms makes no digest differ; so this room's own new receipts are looked through for what is parked.
 */

import { WmbError } from '../../core/errors.ts';
import { type FrameReceipts, type Horizon, isGivenUp, type LanePlace, RECEIPT_FRAMES_KEPT, type SeqRange } from '../../core/inspection.ts';
import type { Runtime } from '../../core/runtime.ts';
import { formatPosition, laneKey, type Position, type RoomId } from '../../core/words.ts';
import type { RoomView } from '../room.ts';
import { areDifferent, type ReceiptSide, sideOf } from './sides.ts';
import { LaneWindows, WINDOW_SEQS, type Window, type WindowResult } from './windows.ts';

export type { ReceiptSide };

export interface ConfirmedReceipt {
  readonly position: Position;
  /** Empty where neither room's receipt names it. */
  readonly requestId: string;
  readonly mine: ReceiptSide;
  readonly theirs: ReceiptSide;
  /** Wall clock of this room. */
  readonly firstSeenMs: number;
}

export interface ReceiptRound {
  /** Both directions, as far as it can be told here. */
  readonly bytes: number;
  /** Those that were confirmed before are looked at again for as long as they differ, and are no suspects any more. */
  readonly suspects: number;
  /** Lanes that were compared. */
  readonly lanes: number;
  /** Lanes that cannot be compared now, each with the reason. */
  readonly incomparable: readonly string[];
  /** Found again in a later round for as long as they stay. */
  readonly confirmed: readonly ConfirmedReceipt[];
}

const SUSPECTS_MAX = 10_000;
/** Windows whose receipts are fetched in one round. */
const DETAILS_MAX = 32;
/** Frames whose suspects are looked at again in one round. */
const CONFIRM_FRAMES_MAX = 256;
/** What a call has compared stays compared when the next one runs out of time. */
const RANGES_PER_CALL = 64;
/** A frame has no more: what a damaged row says beyond that is not followed. */
const FRAME_WRITES_MAX = 65_535;
const RANGE_BYTES = 48;
const LANE_BYTES = 90;
const FRAME_BYTES = 64;
const EXCEPTION_BYTES = 56;
/** Frames by which a mark may have moved on, and old rows have gone, since it was asked for. */
const MOVED_FRAMES_MAX = 4_096;

interface Suspect {
  readonly position: Position;
  readonly firstSeenMs: number;
  /** Monotonic. */
  readonly since: number;
}

/** A lane that both rooms have, in the same log epoch. */
interface Pair {
  readonly key: string;
  readonly lane: SeqRange['lane'];
  readonly upTo: number;
  /** From here on the rooms still have their receipts. One that is far behind takes frames of which the other keeps none any more. */
  readonly keptFrom: readonly [mine: number, theirs: number];
  readonly windows: LaneWindows;
}

interface Planned {
  readonly pair: Pair;
  readonly window: Window;
  readonly range: SeqRange;
}

interface Tally {
  bytes: number;
  readonly incomparable: string[];
}

/** Links of a room that somebody has paused, or that a gap has stopped: what they hold back is no lag that ends by itself, and nobody has to guess why. */
function standingLinks(room: RoomId, lanes: readonly LanePlace[]): string[] {
  const told = new Set<string>();
  for (const { log, origin, partition, state, reason } of lanes) {
    if (state === 'paused') told.add(`${room} has paused its link from ${origin} (\`wmb link resume ${origin} ${room}\`)`);
    if (state === '' && reason !== '') told.add(`${room}: ${reason}`);
    if (state === 'stopped-on-gap') told.add(`${room} is stopped on a gap of ${laneKey({ log, origin, partition })}: ${reason}`);
  }
  return [...told];
}

export class ReceiptComparison {
  readonly #mine: RoomView;
  readonly #theirs: RoomView;
  readonly #graceMs: number;
  readonly #runtime: Runtime;
  readonly #lanes = new Map<string, LaneWindows>();
  readonly #suspects = new Map<string, Suspect>();
  /** Of what was confirmed and not found equal since, the newest. */
  readonly #known = new Set<string>();
  #rounds = 0;

  constructor(options: { readonly mine: RoomView; readonly theirs: RoomView; readonly graceMs: number; readonly runtime: Runtime }) {
    this.#mine = options.mine;
    this.#theirs = options.theirs;
    this.#graceMs = options.graceMs;
    this.#runtime = options.runtime;
  }

  /** Rejects where a room does not answer; the next round goes on where this one was. */
  async round(): Promise<ReceiptRound> {
    const [mine, theirs] = await Promise.all([this.#mine.horizon(), this.#theirs.horizon()]);
    const standing = [...standingLinks(this.#mine.room, mine.lanes), ...standingLinks(this.#theirs.room, theirs.lanes)];
    const tally: Tally = { bytes: LANE_BYTES * theirs.lanes.length, incomparable: standing };
    const pairs = this.#pairUp(mine, theirs, tally);
    await this.#compare(pairs, tally);
    for (const pair of pairs) await this.#lookThrough(pair);
    const confirmed = await this.#confirm(new Map(pairs.map((pair) => [pair.key, pair])), tally);
    this.#rounds += 1;
    const suspects = [...this.#suspects.keys()].filter((key) => !this.#known.has(key)).length;
    return { bytes: tally.bytes, suspects, lanes: pairs.length, incomparable: tally.incomparable, confirmed };
  }

  /** Whether both rooms have let go of their receipts of a frame because they are old: then nobody can tell any more whether they differed. */
  async areForgotten(position: Position): Promise<boolean> {
    const both = await this.#details({ lane: laneOf(position), from: position.seq, to: position.seq });
    return both.every((frames) => frames.length === 0);
  }

  /**
   * Whether the receipts of one write request differ now, without any grace. Undefined: they do not. LANE_BEHIND where that cannot be told yet, because a room is
   * taking that part of the lane again.
   */
  async differs(position: Position): Promise<ConfirmedReceipt | undefined> {
    const horizons = await Promise.all([this.#mine.horizon(), this.#theirs.horizon()]);
    for (const [side, horizon] of horizons.entries()) {
      const place = horizon.lanes.find((lane) => laneKey(lane) === laneKey(position));
      if (place === undefined || place.epoch !== position.epoch || place.mark >= position.seq) continue;
      const room = side === 0 ? this.#mine.room : this.#theirs.room;
      throw new WmbError(
        'LANE_BEHIND',
        `${formatPosition(position)} stands ahead of the mark of ${room} (${place.mark}), which takes its frame again`,
      );
    }
    const [mine, theirs] = await this.#details({ lane: laneOf(position), from: position.seq, to: position.seq });
    return confirmedAt(position, { mine: mine[0], theirs: theirs[0], firstSeenMs: this.#runtime.nowMs() });
  }

  #pairUp(mine: Horizon, theirs: Horizon, tally: Tally): Pair[] {
    const others = new Map(theirs.lanes.map((place) => [laneKey(place), place]));
    const pairs: Pair[] = [];
    for (const place of mine.lanes) {
      const other = others.get(laneKey(place));
      others.delete(laneKey(place));
      const reason = this.#whyIncomparable(place, other);
      if (reason === undefined && other !== undefined) pairs.push(this.#pair(place, other));
      else if (reason !== undefined) tally.incomparable.push(reason);
    }
    for (const other of others.values()) {
      tally.incomparable.push(`${nameOf(other)}: only ${this.#theirs.room} takes this lane so far`);
    }
    return pairs;
  }

  #whyIncomparable(mine: LanePlace, theirs: LanePlace | undefined): string | undefined {
    if (theirs === undefined) return `${nameOf(mine)}: only ${this.#mine.room} takes this lane so far`;
    // A room that has taken nothing yet may not know the epoch; there is nothing to compare, and nothing wrong.
    if (mine.epoch === theirs.epoch || mine.mark < 0 || theirs.mark < 0) return undefined;
    const epochs = `${this.#mine.room} is in log epoch ${mine.epoch}, ${this.#theirs.room} in ${theirs.epoch}`;
    return `${nameOf(mine)}: ${epochs}; the log of ${mine.origin} was made anew, and one of them has not taken the new one up yet`;
  }

  #pair(place: LanePlace, other: LanePlace): Pair {
    const key = laneKey(place);
    const upTo = Math.min(place.mark, other.mark);
    let windows = this.#lanes.get(key);
    if (windows === undefined || windows.epoch !== place.epoch) {
      windows = new LaneWindows(place.epoch, upTo);
      this.#lanes.set(key, windows);
    }
    return { key, lane: laneOf(place), upTo, keptFrom: [keptFrom(place), keptFrom(other)], windows };
  }

  async #compare(pairs: readonly Pair[], tally: Tally): Promise<void> {
    // Another lane is first each time, so that none is put off for ever where the details of a round run out.
    const first = pairs.length === 0 ? 0 : this.#rounds % pairs.length;
    const planned = [...pairs.slice(first), ...pairs.slice(0, first)].flatMap((pair) =>
      pair.windows
        .plan(pair.upTo)
        .map((window): Planned => ({ pair, window, range: { lane: pair.lane, from: window.from, to: window.to } })),
    );
    let details = DETAILS_MAX;
    for (let at = 0; at < planned.length; at += RANGES_PER_CALL) {
      const chunk = planned.slice(at, at + RANGES_PER_CALL);
      const ranges = chunk.map(({ range }) => range);
      const [mine, theirs] = await Promise.all([this.#mine.receiptDigests(ranges), this.#theirs.receiptDigests(ranges)]);
      tally.bytes += RANGE_BYTES * ranges.length;
      for (const [place, item] of chunk.entries()) {
        const digests: Digests = [mine[place] ?? '', theirs[place] ?? ''];
        const isDetailed = digests[0] !== digests[1] || digests[0] === '';
        const result = isDetailed && details === 0 ? 'put-off' : await this.#compareWindow(item, digests, tally);
        if (isDetailed && details > 0) details -= 1;
        item.pair.windows.done(item.window, result);
      }
    }
  }

  async #compareWindow({ pair, window, range }: Planned, [mine, theirs]: Digests, tally: Tally): Promise<WindowResult> {
    // Empty on both sides: each lacks frames of it, which need not be the same ones.
    if (mine === theirs && mine !== '') {
      if (window.part === 'sweep') this.#suspectParked(pair, await this.#mine.receipts(range));
      return 'compared';
    }
    const both = await this.#details(range, tally);
    const [ours, others] = both;
    // Also where the other room keeps nothing of the frame any more.
    this.#suspectParked(pair, ours);
    const oldest = window.part === 'sweep' ? await this.#oldestKept(range, both) : window.from;
    if (oldest === undefined) return 'gone';
    const [ourSeqs, otherSeqs] = [bySeq(ours), bySeq(others)];
    for (let seq = oldest; seq <= range.to; seq += 1)
      this.#compareFrame(pair, { seq, mine: ourSeqs.get(seq), theirs: otherSeqs.get(seq) }, tally);
    return 'compared';
  }

  /**
   * Rows of old frames leave the receipt books from the old end, in each room when it likes: from where on both rooms keep theirs. Where a room has older ones
   * still, what it lacks of the range did not leave like that. Undefined: a room keeps nothing of the range any more.
   */
  async #oldestKept({ lane, from, to }: SeqRange, both: readonly (readonly FrameReceipts[])[]): Promise<number | undefined> {
    let oldest = from;
    for (const [side, frames] of both.entries()) {
      const first = frames[0]?.seq ?? to + 1;
      if (first === from) continue;
      const older = { lane, from: Math.max(0, from - WINDOW_SEQS), to: from - 1 };
      const room = side === 0 ? this.#mine : this.#theirs;
      if (from === 0 || (await room.receipts(older)).length === 0) oldest = Math.max(oldest, first);
    }
    return oldest > to ? undefined : oldest;
  }

  #compareFrame(pair: Pair, frame: FramePair, tally: Tally): void {
    const { seq, mine, theirs } = frame;
    if ((mine === undefined && theirs === undefined) || isGone(pair, frame)) return;
    if (mine !== undefined && theirs !== undefined && !isSameFrame(mine, theirs)) {
      const position = formatPosition({ ...pair.lane, seq, index: 0 });
      tally.incomparable.push(
        `${position}: the two rooms hold different frames at this seq (${this.#mine.room}: ${frameText(mine)}; ${this.#theirs.room}: ${frameText(theirs)}); one of them took it from another copy of the log`,
      );
      return;
    }
    for (let index = 0; index < toCompare(mine, theirs); index += 1) {
      if (areDifferent(sideOf(mine, index), sideOf(theirs, index))) this.#suspect({ ...pair.lane, seq, index });
    }
  }

  async #lookThrough(pair: Pair): Promise<void> {
    const range = pair.windows.toLookThrough(pair.upTo);
    if (range === undefined) return;
    this.#suspectParked(pair, await this.#mine.receipts({ lane: pair.lane, ...range }));
    pair.windows.lookedThrough(range.to);
  }

  #suspectParked({ lane }: Pair, frames: readonly FrameReceipts[]): void {
    for (const { seq, exceptions } of frames) {
      for (const { index, outcome } of exceptions) if (outcome === 'parked') this.#suspect({ ...lane, seq, index });
    }
  }

  #suspect(position: Position): void {
    const key = formatPosition(position);
    if (this.#suspects.has(key) || this.#suspects.size >= SUSPECTS_MAX) return;
    this.#suspects.set(key, { position, firstSeenMs: this.#runtime.nowMs(), since: this.#runtime.monotonicMs() });
  }

  /** Looks at what is old enough again: receipts are read fresh, below marks that were read before. */
  async #confirm(pairs: ReadonlyMap<string, Pair>, tally: Tally): Promise<ConfirmedReceipt[]> {
    const confirmed: ConfirmedReceipt[] = [];
    for (const suspects of this.#dueByFrame(pairs)) {
      const { position } = suspects[0];
      const [mine, theirs] = await this.#details({ lane: laneOf(position), from: position.seq, to: position.seq }, tally);
      for (const suspect of suspects) {
        const key = formatPosition(suspect.position);
        this.#suspects.delete(key);
        this.#known.delete(key);
        const { firstSeenMs } = suspect;
        const found = confirmedAt(suspect.position, { mine: mine[0], theirs: theirs[0], firstSeenMs });
        if (found === undefined) continue;
        confirmed.push(found);
        this.#remember(key);
      }
    }
    return confirmed;
  }

  #remember(key: string): void {
    this.#known.add(key);
    const [oldest] = this.#known;
    if (this.#known.size > SUSPECTS_MAX && oldest !== undefined) this.#known.delete(oldest);
  }

  #dueByFrame(pairs: ReadonlyMap<string, Pair>): [Suspect, ...Suspect[]][] {
    const dueSince = this.#runtime.monotonicMs() - this.#graceMs;
    const frames = new Map<string, [Suspect, ...Suspect[]]>();
    for (const [key, suspect] of this.#suspects) {
      if (suspect.since > dueSince) continue;
      const { position } = suspect;
      const pair = pairs.get(laneKey(position));
      // A log that was made anew has other positions; what is left of the old one is not comparable any more.
      if (pair !== undefined && pair.lane.epoch !== position.epoch) this.#suspects.delete(key);
      if (pair === undefined || pair.lane.epoch !== position.epoch || pair.upTo < position.seq) continue;
      const frame = formatPosition({ ...position, index: 0 });
      const listed = frames.get(frame);
      if (listed !== undefined) listed.push(suspect);
      else if (frames.size < CONFIRM_FRAMES_MAX) frames.set(frame, [suspect]);
    }
    return [...frames.values()];
  }

  async #details(range: SeqRange, tally?: Tally): Promise<readonly [readonly FrameReceipts[], readonly FrameReceipts[]]> {
    const both = await Promise.all([this.#mine.receipts(range), this.#theirs.receipts(range)]);
    if (tally !== undefined) for (const frame of both[1]) tally.bytes += FRAME_BYTES + EXCEPTION_BYTES * frame.exceptions.length;
    return both;
  }
}

type Digests = readonly [mine: string, theirs: string];

interface FramePair {
  readonly seq: number;
  readonly mine: FrameReceipts | undefined;
  readonly theirs: FrameReceipts | undefined;
}

function confirmedAt(
  position: Position,
  found: { readonly mine: FrameReceipts | undefined; readonly theirs: FrameReceipts | undefined; readonly firstSeenMs: number },
): ConfirmedReceipt | undefined {
  const { index } = position;
  const [mine, theirs] = [sideOf(found.mine, index), sideOf(found.theirs, index)];
  if (!areDifferent(mine, theirs)) return undefined;
  const named = [found.mine, found.theirs].flatMap((frame) => frame?.exceptions ?? []).find((it) => it.index === index);
  return { position, requestId: named?.requestId ?? '', mine, theirs, firstSeenMs: found.firstSeenMs };
}

function keptFrom({ mark }: LanePlace): number {
  return mark - RECEIPT_FRAMES_KEPT + MOVED_FRAMES_MAX;
}

/** Whether a room may have let go of its receipts of the frame because they are old. */
function isGone(pair: Pair, { seq, mine, theirs }: FramePair): boolean {
  return (mine === undefined && seq < pair.keptFrom[0]) || (theirs === undefined && seq < pair.keptFrom[1]);
}

function bySeq(frames: readonly FrameReceipts[]): ReadonlyMap<number, FrameReceipts> {
  return new Map(frames.map((frame) => [frame.seq, frame]));
}

/** Its last stamp names a frame, as in the digests. What was in one that was given up nobody knows. */
function isSameFrame(a: FrameReceipts, b: FrameReceipts): boolean {
  return a.stampLast === b.stampLast || isGivenUp(a) || isGivenUp(b);
}

/** Write requests of a frame. Where one book counts more of them than the other, the first of those stands for all: a count may say anything. */
function toCompare(mine: FrameReceipts | undefined, theirs: FrameReceipts | undefined): number {
  const counts = [mine, theirs].flatMap((frame) => (frame === undefined || isGivenUp(frame) ? [] : [frame.count]));
  if (counts.length === 0) return 0;
  const fewest = Math.min(...counts, FRAME_WRITES_MAX);
  return counts.every((count) => count === counts[0]) ? fewest : fewest + 1;
}

function frameText({ count, stampFirst }: FrameReceipts): string {
  return `${count} write requests from stamp ${stampFirst}`;
}

function nameOf({ origin, partition }: { readonly origin: string; readonly partition: number }): string {
  return `${origin}/${partition}`;
}

function laneOf({ log, origin, partition, epoch }: SeqRange['lane']): SeqRange['lane'] {
  return { log, origin, partition, epoch };
}
