/**
 * The log in memory, for the simulator and for tests: the same contract, no timers, no threads. What would be on disk is a
 * MemoryLogDisk of its own, so that a process can end and another can open the same log.
 */
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import { NO_STAMP, type Stamp } from '../../core/stamp.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../../core/words.ts';
import { gapError } from '../gap.ts';
import { Listeners } from '../listeners.ts';
import type { Extent, FrameDraft, Log, RetentionFloor, RetentionPolicy, StampBounds, StoredFrame } from '../log.ts';
import { planTrim, type TrimStep, type TrimView } from '../retention.ts';

interface MemoryFrame extends StoredFrame {
  readonly stampLast: Stamp;
  readonly bounds: StampBounds;
  /** Number of write requests in the partition before this frame. */
  readonly before: number;
}

interface MemoryPartition {
  first: Seq;
  /** frames[i] has seq `first + i`. */
  frames: MemoryFrame[];
  writes: number;
  stampLast: Stamp;
  through: Stamp;
}

/** What outlives a process. Several logs may be open on one disk: they see each other's appends. */
export class MemoryLogDisk {
  epoch: LogEpoch = '';
  leases = 0;
  promised: Stamp = NO_STAMP;
  readonly partitions: MemoryPartition[] = [];
  readonly listeners = new Listeners();
}

export interface MemoryLogOptions {
  readonly disk: MemoryLogDisk;
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partitions: number;
  readonly runtime: Runtime;
}

export class MemoryLog implements Log {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partitions: number;
  readonly #disk: MemoryLogDisk;
  readonly #runtime: Runtime;
  readonly #stops = new Set<() => void>();
  #opened = false;

  constructor(options: MemoryLogOptions) {
    this.log = options.log;
    this.origin = options.origin;
    this.partitions = options.partitions;
    this.#disk = options.disk;
    this.#runtime = options.runtime;
  }

  get epoch(): LogEpoch {
    return this.#disk.epoch;
  }

  async open(): Promise<void> {
    const disk = this.#disk;
    if (disk.epoch === '') {
      disk.epoch = Buffer.from(this.#runtime.bytes(8)).toString('hex');
      for (let i = 0; i < this.partitions; i += 1) disk.partitions.push({ first: 0, frames: [], writes: 0, stampLast: '', through: '' });
    }
    this.#opened = true;
  }

  extent(partition: number): Extent {
    const { first, frames, writes, stampLast, through } = this.#partition(partition);
    return { partition, first, next: first + frames.length, writes, stampLast, through };
  }

  async read(partition: number, from: Seq, bytesMax: number): Promise<readonly StoredFrame[]> {
    const { first, frames } = this.#partition(partition);
    const next = first + frames.length;
    if (from < first || from > next) throw gapError(this, { partition, from, first, next });
    const found: StoredFrame[] = [];
    let bytes = 0;
    for (let i = from - first; i < frames.length; i += 1) {
      const frame = frames[i] as MemoryFrame;
      bytes += frame.bytes.length;
      if (found.length > 0 && bytes > bytesMax) break;
      found.push(frame);
    }
    return found;
  }

  async seqBack(partition: number, before: Seq, writes: number): Promise<Seq> {
    return this.#seqBack(partition, before, writes);
  }

  async writesUpTo(partition: number, seq: Seq): Promise<number> {
    return this.#writesBefore(partition, seq + 1);
  }

  async stampsAt(partition: number, seq: Seq): Promise<StampBounds | undefined> {
    const { first, frames } = this.#partition(partition);
    return frames[seq - first]?.bounds;
  }

  async catchUp(): Promise<void> {}

  onAppend(listener: (partition: number) => void): () => void {
    const stop = this.#disk.listeners.add(listener);
    this.#stops.add(stop);
    return stop;
  }

  async append(drafts: readonly FrameDraft[]): Promise<readonly Seq[]> {
    const partitions = drafts.map((draft) => this.#partition(draft.partition));
    const seqs = drafts.map((draft, i) => appendTo(partitions[i] as MemoryPartition, draft));
    for (const partition of new Set(drafts.map((draft) => draft.partition))) this.#disk.listeners.call(partition);
    return seqs;
  }

  async leaseWriter(_holder: string): Promise<{ readonly lease: number; readonly stampLast: Stamp }> {
    this.#disk.leases += 1;
    const stamps = [this.#disk.promised, ...this.#disk.partitions.map((lane) => lane.stampLast)];
    return { lease: this.#disk.leases, stampLast: stamps.sort().at(-1) ?? NO_STAMP };
  }

  async promise(stamp: Stamp): Promise<void> {
    if (stamp > this.#disk.promised) this.#disk.promised = stamp;
  }

  async trim(
    policy: RetentionPolicy,
    floors: readonly RetentionFloor[],
    nowMs: number,
  ): Promise<{ readonly frames: number; readonly bytes: number }> {
    const went = { frames: 0, bytes: 0 };
    for (;;) {
      const step = planTrim(this.#view(), { policy, floors, nowMs });
      if (step === undefined) return went;
      this.#remove(step);
      went.frames += step.frames;
      went.bytes += step.bytes;
    }
  }

  bytes(): number {
    return this.#view()
      .partitions()
      .reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get trouble(): undefined {
    return undefined;
  }

  async close(): Promise<void> {
    this.#opened = false;
    for (const stop of this.#stops) stop();
  }

  #partition(partition: number): MemoryPartition {
    if (!this.#opened) throw new WmbError('LOG_UNAVAILABLE', `the ${this.log} log of room ${this.origin} is not open`);
    const found = this.#disk.partitions[partition];
    if (found === undefined) throw new WmbError('INTERNAL', `the log has no partition ${partition}`);
    return found;
  }

  #seqBack(partition: number, before: Seq, writes: number): Seq {
    const { first, frames } = this.#partition(partition);
    const end = Math.min(before, first + frames.length);
    const target = this.#writesBefore(partition, end) - writes;
    let seq = Math.max(first, end);
    while (seq > first && this.#writesBefore(partition, seq) > target) seq -= 1;
    return seq;
  }

  #writesBefore(partition: number, seq: Seq): number {
    const { first, frames, writes } = this.#partition(partition);
    if (seq <= 0) return 0;
    return frames[Math.max(0, seq - first)]?.before ?? writes;
  }

  #view(): TrimView {
    return {
      partitions: () =>
        this.#disk.partitions.map(({ first, frames }, partition) => ({
          partition,
          first,
          next: first + frames.length,
          bytes: frames.reduce((sum, frame) => sum + frame.bytes.length, 0),
        })),
      seqBack: (partition, before, writes) => this.#seqBack(partition, before, writes),
      oldest: (partition, end, framesMax) => {
        const { first, frames } = this.#partition(partition);
        return frames
          .slice(0, Math.min(framesMax, end - first))
          .map(({ seq, bytes, stampLast }) => ({ seq, bytes: bytes.length, stampLast }));
      },
    };
  }

  #remove({ partition, frames }: TrimStep): void {
    const lane = this.#partition(partition);
    lane.frames = lane.frames.slice(frames);
    lane.first += frames;
  }
}

function appendTo(lane: MemoryPartition, draft: FrameDraft): Seq {
  const { partition, bytes, count, stampLast, through = stampLast } = draft;
  const seq = lane.first + lane.frames.length;
  if (stampLast > lane.stampLast) lane.stampLast = stampLast;
  if (through > lane.through) lane.through = through;
  const bounds = { greatest: lane.stampLast, through: lane.through };
  lane.frames.push({ partition, seq, bytes, count, stampLast, bounds, before: lane.writes });
  lane.writes += count;
  return seq;
}
