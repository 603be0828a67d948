/** For the tests of intake: a room whose log, clock and peers do what the test says. */

import { HybridClock } from '../../core/clock.ts';
import type { IntakeLimits, Topology } from '../../core/config/types.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import { NO_STAMP, type Stamp } from '../../core/stamp.ts';
import type { Seq, StampedWrite } from '../../core/words.ts';
import { decodeFrame } from '../../link/frame.ts';
import type { ReceiptException } from '../../link/link.ts';
import type { FrameDraft, Log } from '../../log/log.ts';
import type { IncomingWrite, WaitFor, WriteResult } from './call.ts';
import { Intake } from './intake.ts';
import { PACE } from './pack.ts';

export const EPOCH = '0123456789abcdef';
export const PARTITIONS = 4;

/** A runtime whose time moves only when told. */
export class ManualRuntime implements Runtime {
  #nowMs = 1_700_000_000_000;
  #elapsedMs = 0;
  #seed = 1;
  readonly #timers = new Set<{ readonly atMs: number; readonly task: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, task: () => void): Timer {
    const timer = { atMs: this.#elapsedMs + delayMs, task };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  async turn(): Promise<void> {}

  random(): number {
    this.#seed = (this.#seed * 48_271) % 2_147_483_647;
    return this.#seed / 2_147_483_647;
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => Math.floor(this.random() * 256));
  }

  get timers(): number {
    return this.#timers.size;
  }

  jumpWall(byMs: number): void {
    this.#nowMs += byMs;
  }

  /** Time passes that no wall clock shows and no timer was set for. */
  elapse(byMs: number): void {
    this.#elapsedMs += byMs;
  }

  advance(byMs: number): void {
    this.#nowMs += byMs;
    this.elapse(byMs);
    for (const timer of [...this.#timers].sort((a, b) => a.atMs - b.atMs)) {
      if (timer.atMs <= this.#elapsedMs && this.#timers.delete(timer)) timer.task();
    }
  }
}

/** A log in memory whose appends wait for the test while it is held. */
export class FakeLog implements Pick<Log, 'append' | 'epoch'> {
  readonly epoch = EPOCH;
  /** Durable frames by partition; the seq is the index. */
  readonly frames: StampedWrite[][][] = Array.from({ length: PARTITIONS }, () => []);
  readonly bytes: number[] = [];
  /** Drafts of each append so far, also of those in flight. */
  readonly appends: (readonly FrameDraft[])[] = [];
  failure: Error | undefined;
  /** How long an append takes. As long as the longest pace of appends, so that none has to wait where the clock is the test's. */
  appendMs: number = PACE.msMax;
  runtime: ManualRuntime | undefined;
  #held = false;
  #waiting: (() => void)[] = [];
  #called: (() => void)[] = [];

  hold(): void {
    this.#held = true;
  }

  /** Lets the append that is in flight go on; the next one is held again. */
  step(): void {
    this.#waiting.shift()?.();
  }

  release(): void {
    this.#held = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Resolves when `count` appends have begun. */
  async begun(count: number): Promise<void> {
    while (this.appends.length < count) await new Promise<void>((resolve) => this.#called.push(resolve));
  }

  async append(drafts: readonly FrameDraft[]): Promise<readonly Seq[]> {
    this.appends.push(drafts);
    for (const resolve of this.#called.splice(0)) resolve();
    if (this.#held) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.runtime?.elapse(this.appendMs);
    if (this.failure !== undefined) throw this.failure;
    return drafts.map((draft) => {
      const lane = this.frames[draft.partition] as StampedWrite[][];
      this.bytes.push(draft.bytes.length);
      return lane.push([...decodeFrame(draft.bytes).writes]) - 1;
    });
  }

  /** Every durable write request, in the order of its partition. */
  get writes(): StampedWrite[] {
    return this.frames.flat(2);
  }

  get stampLast(): Stamp {
    const stamps = this.writes.map(({ stamp }) => stamp).sort();
    return stamps[stamps.length - 1] ?? NO_STAMP;
  }
}

export const LIMITS: IntakeLimits = {
  pendingWritesMax: 1_000,
  pendingBytesMax: 1_000_000,
  waitingMax: 100,
  waitMsDefault: 5_000,
  frameBytesMax: 64 * 1024,
  frameWritesMax: 100,
};

export interface TestRoom {
  readonly runtime: ManualRuntime;
  readonly log: FakeLog;
  readonly intake: Intake;
  ack(room: string, partition: number, seq: Seq, exceptions?: readonly ReceiptException[]): void;
}

/** Room `beijing` of two; `log` and `runtime` are given to start it again on what it left. */
export function openRoom(
  options: { limits?: Partial<IntakeLimits>; log?: FakeLog; runtime?: ManualRuntime; lease?: number } = {},
): TestRoom {
  const { log = new FakeLog(), runtime = new ManualRuntime() } = options;
  log.runtime = runtime;
  const clock = new HybridClock({
    runtime,
    writer: 0x01000000 + (options.lease ?? 1),
    stampLast: log.stampLast,
    aheadMsMax: topology.limits.clockAheadMsMax,
  });
  const intake = new Intake({
    room: 'beijing',
    topology,
    limits: { ...LIMITS, ...options.limits },
    log: log as unknown as Log,
    clock,
    runtime,
  });
  return {
    runtime,
    log,
    intake,
    ack: (room, partition, seq, exceptions = []) =>
      intake.acknowledge({ room, log: 'writes', partition, epoch: EPOCH, seq, exceptionsFrom: 0, exceptions }),
  };
}

const address = { grpc: '127.0.0.1:1', http: '127.0.0.1:2' };

export const topology: Topology = {
  epoch: 1,
  mode: 'independent',
  partitions: PARTITIONS,
  rooms: [
    { id: 'beijing', number: 1, database: 'master', reship: address, collector: address },
    { id: 'guangzhou', number: 2, database: 'slave', reship: address, collector: address },
  ],
  links: [],
  kinds: {
    message: { rooms: ['beijing', 'guangzhou'], onFailure: 'park' },
    'wmb.effects': { rooms: ['beijing', 'guangzhou'], onFailure: 'park' },
  },
  limits: { payloadBytesMax: 4_096, clockAheadMsMax: 5_000, duplicateWindowWrites: 65_536 },
};

let made = 0;

export function write(fields: Partial<IncomingWrite> = {}): IncomingWrite {
  made += 1;
  return { requestId: `r-${made}`, kind: 'message', key: 'user:7', payload: Buffer.from('hello'), trace: '', ...fields };
}

export function waiting(wait: WaitFor, deadlineMs = 0): { wait: WaitFor; deadlineMs: number } {
  return { wait, deadlineMs };
}

export const LOGGED = waiting('logged');

/** Submits one write request that waits for the log alone. */
export async function submitOne(room: TestRoom, fields: Parameters<typeof write>[0] = {}): Promise<WriteResult> {
  const [result] = await room.intake.submit([write(fields)], LOGGED);
  return result as WriteResult;
}
