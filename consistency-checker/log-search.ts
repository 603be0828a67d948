/**
 * Finds write requests in this room's own write log, whose frames are in the order of their stamps in each partition (see StampBounds) and which has no index on anything but the seq: by stamp with a binary search
 * over the frames, by position at once, by request id by looking through it from the newest back.
 */
import { WmbError } from '../core/errors.ts';
import type { Runtime } from '../core/runtime.ts';
import type { Stamp } from '../core/stamp.ts';
import type { Position, Seq } from '../core/words.ts';
import { decodeFrame } from '../link/frame.ts';
import type { LogReader, StampBounds, StoredFrame } from '../log/log.ts';
import type { FoundWrite, WriteQuery } from './room.ts';

export interface LogSearchOptions {
  readonly log: LogReader;
  /** A request id that came again within so many write requests of its partition is the same write request. */
  readonly duplicateWindowWrites: number;
  readonly runtime: Runtime;
}

/** Frames looked through before others have their turn. */
const FRAMES_PER_STEP = 32;
const STEP_BYTES_MAX = 4 * 1024 * 1024;
const LOOKUPS_PER_TURN = 64;
/** Read together where frames are asked for that follow each other; Kafka sends so much anyway. */
const AHEAD_BYTES_MAX = 64 * 1024;

/** Looking through a partition from `before` (exclusive) back to `first`. */
interface Backwards {
  readonly partition: number;
  first: Seq;
  before: Seq;
}

export class LogSearch {
  readonly #options: LogSearchOptions;

  constructor(options: LogSearchOptions) {
    this.#options = options;
  }

  /** In no particular order, except by request id: the oldest first, which is the one that counts. */
  async find(query: WriteQuery): Promise<readonly FoundWrite[]> {
    switch (query.by) {
      case 'stamp':
        return this.#byStamps(query.stamps);
      case 'position':
        return this.#byPositions(query.positions);
      case 'request':
        await this.#options.log.catchUp();
        return this.#byRequest(query.requestId, this.#options.runtime.monotonicMs() + query.limitMs);
    }
  }

  /** What is not found may be so new that this process has not heard of it yet: only then it is certain that it is not there. */
  async #byStamps(stamps: readonly Stamp[]): Promise<readonly FoundWrite[]> {
    const find = (some: readonly Stamp[]) => this.#each(some, (stamp) => this.#byStamp(stamp));
    const found = await find(stamps);
    const known = new Set(found.map(({ write }) => write.stamp));
    const missing = stamps.filter((stamp) => !known.has(stamp));
    if (missing.length === 0) return found;
    await this.#options.log.catchUp();
    return [...found, ...(await find(missing))];
  }

  async #each<T>(items: readonly T[], find: (item: T) => Promise<FoundWrite | undefined>): Promise<readonly FoundWrite[]> {
    const found: FoundWrite[] = [];
    for (const [at, item] of items.entries()) {
      if (at % LOOKUPS_PER_TURN === LOOKUPS_PER_TURN - 1) await this.#options.runtime.turn();
      const write = await find(item);
      if (write !== undefined) found.push(write);
    }
    return found;
  }

  /** A stamp does not tell its partition: each may have it. */
  async #byStamp(stamp: Stamp): Promise<FoundWrite | undefined> {
    const { log } = this.#options;
    for (let partition = 0; partition < log.partitions; partition += 1) {
      const { first, next, stampLast } = log.extent(partition);
      if (first === next || stampLast < stamp) continue;
      // One frame, where one process appended.
      const from = await this.#firstSeq(partition, 'greatest', stamp);
      const to = await this.#firstSeq(partition, 'through', stamp);
      for (let seq = from; seq <= to; seq += 1) {
        const frame = await this.#frame(partition, seq);
        const [found] = frame ? this.#in(frame, (write) => write.stamp === stamp) : [];
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  /** The first frame with a bound that is not below `stamp`, or the last one. */
  async #firstSeq(partition: number, bound: keyof StampBounds, stamp: Stamp): Promise<Seq> {
    const { log } = this.#options;
    const { first, next } = log.extent(partition);
    let [low, high] = [first, next - 1];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      // What was trimmed meanwhile lies below.
      const bounds = await log.stampsAt(partition, middle);
      if ((bounds?.[bound] ?? '') < stamp) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Frame by frame in the order of the log: each is read and decoded once, and neighbours are read together. */
  async #byPositions(positions: readonly Position[]): Promise<readonly FoundWrite[]> {
    const { log } = this.#options;
    const here = positions.filter((position) => this.#isHere(position)).sort((a, b) => a.partition - b.partition || a.seq - b.seq);
    if (here.some(({ partition, seq }) => seq >= log.extent(partition).next)) await log.catchUp();
    let ahead: readonly StoredFrame[] = [];
    let last: { readonly partition: number; readonly seq: Seq; readonly writes: readonly FoundWrite[] } | undefined;
    return this.#each(here, async ({ partition, seq, index }) => {
      if (last?.partition !== partition || last.seq !== seq) {
        const isAhead = (frame: StoredFrame) => frame.partition === partition && frame.seq === seq;
        if (!ahead.some(isAhead)) ahead = await this.#frames(partition, seq, last?.partition === partition && last.seq === seq - 1);
        const frame = ahead.find(isAhead);
        last = { partition, seq, writes: frame === undefined ? [] : this.#in(frame, () => true) };
      }
      return last.writes[index];
    });
  }

  #isHere({ log, origin, epoch, partition }: Position): boolean {
    const own = this.#options.log;
    return log === own.log && origin === own.origin && epoch === own.epoch && partition < own.partitions;
  }

  async #byRequest(requestId: string, untilMs: number): Promise<readonly FoundWrite[]> {
    const { log, runtime, duplicateWindowWrites } = this.#options;
    let parts = Array.from({ length: log.partitions }, (_, partition): Backwards => {
      const { first, next } = log.extent(partition);
      return { partition, first, before: next };
    });
    const found: FoundWrite[] = [];
    while (runtime.monotonicMs() < untilMs) {
      const part = await this.#newest(parts);
      if (part === undefined) break;
      const hits = await this.#lookBack(part, requestId);
      found.unshift(...hits);
      // A retry of the same write request is in the same partition, within the window; the original is what was applied.
      const [oldest] = hits;
      if (oldest !== undefined && parts.length > 1) parts = [part];
      if (oldest !== undefined) part.first = await log.seqBack(part.partition, oldest.position.seq, duplicateWindowWrites);
      await runtime.turn();
    }
    return found;
  }

  /** Of the partitions that have something left, the one whose next frame is the newest. */
  async #newest(parts: readonly Backwards[]): Promise<Backwards | undefined> {
    let newest: { readonly part: Backwards; readonly stamp: Stamp } | undefined;
    for (const part of parts) {
      if (part.before <= part.first) continue;
      const stamp = (await this.#options.log.stampsAt(part.partition, part.before - 1))?.greatest ?? '';
      if (newest === undefined || stamp > newest.stamp) newest = { part, stamp };
    }
    return newest?.part;
  }

  /** A step back in one partition. The hits are in the order of the log. */
  async #lookBack(part: Backwards, requestId: string): Promise<readonly FoundWrite[]> {
    const { log } = this.#options;
    const from = Math.max(part.first, part.before - FRAMES_PER_STEP, log.extent(part.partition).first);
    const hits: FoundWrite[] = [];
    // Trimmed meanwhile.
    if (from >= part.before) part.first = part.before;
    for (let at = from; at < part.before; ) {
      const frames = (await log.read(part.partition, at, STEP_BYTES_MAX)).filter((frame) => frame.seq < part.before);
      if (frames.length === 0) break;
      for (const frame of frames) hits.push(...this.#in(frame, (write) => write.requestId === requestId));
      at += frames.length;
    }
    part.before = Math.min(from, part.before);
    return hits;
  }

  /** Undefined where it is not, or no longer, in the log. */
  async #frame(partition: number, seq: Seq): Promise<StoredFrame | undefined> {
    return (await this.#frames(partition, seq, false))[0];
  }

  /** The frame, where it is in the log, and with `more` some of those after it. */
  async #frames(partition: number, seq: Seq, more: boolean): Promise<readonly StoredFrame[]> {
    const { log } = this.#options;
    const { first, next } = log.extent(partition);
    if (seq < first || seq >= next) return [];
    try {
      return await log.read(partition, seq, more ? AHEAD_BYTES_MAX : 0);
    } catch (cause) {
      if (cause instanceof WmbError && cause.code === 'LOG_GAP') return [];
      throw cause;
    }
  }

  #in(frame: StoredFrame, matches: (write: FoundWrite['write'], index: number) => boolean): FoundWrite[] {
    const { log, origin, epoch } = this.#options.log;
    return decodeFrame(frame.bytes).writes.flatMap((write, index) => {
      if (!matches(write, index)) return [];
      return [{ position: { log, origin, partition: frame.partition, epoch, seq: frame.seq, index }, write }];
    });
  }
}
