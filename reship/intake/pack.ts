/**
 * Packing: write requests into frames, frames into appends. While one append is in flight the next frames fill; when it
 * is durable, all that has filled meanwhile goes in one further append. So a quiet room has frames of one write request and
 * a busy one frames of hundreds.
 *
 * Appends begin at a pace (docs/adr/0008): on a fast disk an append takes a fraction of a millisecond, and at some thousand write requests a
 * second every one of them would travel as a frame of its own, at a hundred times its cost. The more there is, the longer they may wait for each other: every
 * append costs all rooms' daemons milliseconds of processor time. The first one of a quiet room waits for nothing.
 *
 * Stamps are given here, in packing order, so that stamps ascend within a frame and from frame to frame of a partition, among those of one process. Appends follow one
 * another, so the order of a key is the order of its submits.
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { RoomId, Seq, StampedWrite } from '../../core/words.ts';
import { encodeFrame, writeBytesMax } from '../../link/frame.ts';
import type { FrameDraft, Log } from '../../log/log.ts';
import type { Call, IncomingWrite, Segment } from './call.ts';
import type { IntakeMetrics } from './metrics.ts';

/** From the beginning of an append to that of the next: so long, more for each write request in it, and never longer than that. */
export const PACE = { msMin: 4, msPerWrite: 0.1, msMax: 7 } as const;

export interface StampSource {
  next(): Stamp;
  settle(): Stamp;
  readonly last: Stamp;
}

export interface PackLimits {
  readonly pendingWritesMax: number;
  readonly pendingBytesMax: number;
  readonly frameBytesMax: number;
  readonly frameWritesMax: number;
}

/** A frame that fills, and that is encoded when it is full or when its append begins. */
export interface OpenFrame {
  readonly partition: number;
  readonly segments: Segment[];
  writes: StampedWrite[];
  bytes: number;
  draft: FrameDraft | undefined;
}

/** What goes into the log in one append. */
export interface Batch {
  readonly frames: OpenFrame[];
  readonly calls: Call[];
  /** Every stamp of the batch is greater. */
  readonly floor: Stamp;
  writes: number;
  bytes: number;
}

export interface PackerOptions {
  readonly log: Log;
  readonly origin: RoomId;
  readonly limits: PackLimits;
  readonly clock: StampSource;
  readonly runtime: Runtime;
  readonly metrics: IntakeMetrics;
  /** See FrameHeader.through, of a frame with this last stamp; left out where only this process appends. */
  readonly through?: ((stampLast: Stamp) => Stamp) | undefined;
  /** The batch is durable; the seqs are those of its frames. */
  readonly durable: (batch: Batch, seqs: readonly Seq[]) => void;
  /** The batch is not in the log, or nobody knows whether it is. */
  readonly failed: (batch: Batch, error: WmbError) => void;
}

export class Packer {
  readonly #options: PackerOptions;
  #open: Batch | undefined;
  /** Of the open batch, by partition: the frame that still takes write requests. */
  #filling: (OpenFrame | undefined)[] = [];
  #inFlight: Batch | undefined;
  /** The floor of the oldest batch whose append failed since the last that did not: it may come into the log until a later one is in it. */
  #doubtful: Stamp | undefined;
  #appending: Promise<void> | undefined;
  #appendMs = 0;

  constructor(options: PackerOptions) {
    this.#options = options;
  }

  /** Taken in and not yet durable. */
  get pendingWrites(): number {
    return (this.#open?.writes ?? 0) + (this.#inFlight?.writes ?? 0);
  }

  /** The same in bytes, by the upper bound of what they take in a frame. */
  get pendingBytes(): number {
    return (this.#open?.bytes ?? 0) + (this.#inFlight?.bytes ?? 0);
  }

  get appending(): boolean {
    return this.#inFlight !== undefined;
  }

  /** Packs the write request that has place `slot` in its call and returns its stamp. OVERLOADED or CLOCK_AHEAD: it was not packed. */
  add(partition: number, write: IncomingWrite, call: Call, slot: number): Stamp {
    const bytes = writeBytesMax(write);
    this.#checkRoom(bytes);
    const floor = this.#open?.floor ?? this.#options.clock.last;
    const stamp = this.#options.clock.next();
    this.#open ??= { frames: [], calls: [], floor, writes: 0, bytes: 0 };
    const batch = this.#open;
    const frame = this.#frameFor(batch, partition, bytes);
    place(frame, call, slot);
    if (batch.calls[batch.calls.length - 1] !== call) batch.calls.push(call);
    frame.writes.push({ stamp, requestId: write.requestId, kind: write.kind, key: write.key, payload: write.payload, trace: write.trace });
    frame.bytes += bytes;
    batch.writes += 1;
    batch.bytes += bytes;
    return stamp;
  }

  /** Begins the append of what has filled, unless one is in flight: then that one's end begins the next. */
  flush(): void {
    if (this.#open !== undefined) this.#appending ??= this.#appendAll();
  }

  /** A stamp that every write request not yet durable, every one of which that is not known, and every future one exceeds. */
  settledStamp(): Stamp {
    return this.#doubtful ?? this.#inFlight?.floor ?? this.#open?.floor ?? this.#options.clock.settle();
  }

  /** Resolves when nothing is pending. */
  async idle(): Promise<void> {
    while (this.#appending !== undefined) await this.#appending;
  }

  async #appendAll(): Promise<void> {
    for (let batch = this.#open; batch !== undefined; batch = this.#open) {
      this.#open = undefined;
      this.#filling = [];
      this.#inFlight = batch;
      const startedMs = this.#options.runtime.monotonicMs();
      await this.#append(batch);
      await this.#pause(startedMs, batch.writes);
    }
    this.#appending = undefined;
  }

  async #pause(startedMs: number, writes: number): Promise<void> {
    const { runtime } = this.#options;
    const restMs = paceMs(writes) - (runtime.monotonicMs() - startedMs);
    if (restMs > 0) await sleep(runtime, restMs);
  }

  async #append(batch: Batch): Promise<void> {
    const { log, runtime, metrics, durable, failed } = this.#options;
    const startedMs = runtime.monotonicMs();
    let seqs: readonly Seq[];
    try {
      seqs = await log.append(batch.frames.map((frame) => this.#seal(frame)));
      if (seqs.length !== batch.frames.length)
        throw new WmbError('INTERNAL', `the log gave ${seqs.length} seqs to ${batch.frames.length} frames`);
    } catch (cause) {
      this.#inFlight = undefined;
      this.#doubtful ??= batch.floor;
      return failed(batch, asWmbError(cause, 'LOG_UNAVAILABLE'));
    }
    this.#appendMs = runtime.monotonicMs() - startedMs;
    metrics.appendMs.observe(this.#appendMs);
    this.#doubtful = undefined;
    // What is durable is no longer pending: whoever is answered now may submit at once.
    this.#inFlight = undefined;
    durable(batch, seqs);
  }

  #checkRoom(bytes: number): void {
    const { pendingWritesMax, pendingBytesMax } = this.#options.limits;
    const writes = this.pendingWrites;
    // A single write request always fits into an empty intake, or it could never be taken.
    if (writes === 0 || (writes < pendingWritesMax && this.pendingBytes + bytes <= pendingBytesMax)) return;
    const message = `intake holds ${writes} write requests and ${this.pendingBytes} bytes that are not yet durable; ${pendingWritesMax} and ${pendingBytesMax} are the most`;
    throw new WmbError('OVERLOADED', message, { retryAfterMs: Math.min(1_000, Math.max(10, Math.ceil(2 * this.#appendMs))) });
  }

  #frameFor(batch: Batch, partition: number, bytes: number): OpenFrame {
    const { frameBytesMax, frameWritesMax } = this.#options.limits;
    const filling = this.#filling[partition];
    if (filling !== undefined) {
      if (filling.writes.length < frameWritesMax && filling.bytes + bytes <= frameBytesMax) return filling;
      this.#seal(filling);
    }
    const frame: OpenFrame = { partition, segments: [], writes: [], bytes: 0, draft: undefined };
    this.#filling[partition] = frame;
    batch.frames.push(frame);
    return frame;
  }

  /** Encodes the frame, once, and lets go of its write requests. */
  #seal(frame: OpenFrame): FrameDraft {
    if (frame.draft !== undefined) return frame.draft;
    const { log, origin, metrics, through: throughOf } = this.#options;
    const { partition, writes } = frame;
    const stampLast = writes[writes.length - 1]?.stamp ?? '';
    const through = throughOf?.(stampLast) ?? stampLast;
    const bytes = encodeFrame({ log: 'writes', origin, partition, epoch: log.epoch }, writes, through);
    const draft = { partition, bytes, count: writes.length, stampFirst: writes[0]?.stamp ?? '', stampLast, through };
    frame.draft = draft;
    frame.writes = [];
    metrics.frameWrites.observe(draft.count);
    metrics.frameBytes.observe(bytes.length);
    return draft;
  }
}

/** How long after the beginning of an append with so many write requests the next one may begin. */
function paceMs(writes: number): number {
  return Math.min(PACE.msMax, PACE.msMin + PACE.msPerWrite * writes);
}

function place(frame: OpenFrame, call: Call, slot: number): void {
  const last = frame.segments[frame.segments.length - 1];
  if (last?.call === call) last.slots.push(slot);
  else frame.segments.push({ call, firstIndex: frame.writes.length, slots: [slot] });
}
