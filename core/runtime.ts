/**
 * Time and chance come from here and from nowhere else, so that the simulator can put every daemon on virtual
 * time with seeded entropy. `systemRuntime` is the only place that touches the real ones.
 */
import { randomBytes } from 'node:crypto';

export interface Timer {
  cancel(): void;
}

export interface Runtime {
  /** Wall clock, whole milliseconds since 1970. It may jump either way. */
  nowMs(): number;
  /** Milliseconds since some fixed moment; never goes back. For durations. */
  monotonicMs(): number;
  /** Milliseconds of a processor that this thread has used: the time that passes, without waiting. Undefined where time is virtual and passes only where somebody works. */
  workedMs?(): number;
  /** Runs `task` once after `delayMs`. A pending timer does not keep the process alive when `background` is set. */
  after(delayMs: number, task: () => void, background?: boolean): Timer;
  /** Resolves when pending input and output have had their turn: work that only ever awaits itself would starve them. */
  turn(): Promise<void>;
  /** Uniform in [0, 1). */
  random(): number;
  /** `count` random bytes. */
  bytes(count: number): Uint8Array;
}

export const systemRuntime: Runtime = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  workedMs() {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1_000;
  },
  after(delayMs, task, background = false) {
    const handle = setTimeout(task, delayMs);
    if (background) handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  turn: () => new Promise((resolve) => setImmediate(resolve)),
  random: () => Math.random(),
  bytes: (count) => randomBytes(count),
};

/** What reading from a server is taken to cost there for each millisecond here: 0.6 to 1.1 was measured for Redis (docs/redis.md). */
const SERVER_SHARE = 1;

/**
 * Begins to measure what asking a server costs; what it returns says how many milliseconds of processor it was since, here and there together. Waiting for a server
 * that is far away or busy is no work; no more than the time that has passed is.
 */
export function measureWork(runtime: Runtime): () => number {
  const startedMs = runtime.monotonicMs();
  const workedMs = runtime.workedMs?.() ?? 0;
  return () => {
    const passedMs = runtime.monotonicMs() - startedMs;
    if (runtime.workedMs === undefined) return passedMs;
    return Math.min(passedMs, (runtime.workedMs() - workedMs) * (1 + SERVER_SHARE));
  };
}

/** Resolves after `delayMs`, or at once when `signal` aborts (it never rejects: look at the signal). */
export function sleep(runtime: Runtime, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = runtime.after(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** Of a {@link sleepAwake}. */
const AWAKE_MS = 250;

/**
 * As {@link sleep}, but of time in which this process runs: while it, or its machine, stands still, nobody can finish what a limit is set for. However long it stood, that counts as a moment.
 */
export async function sleepAwake(runtime: Runtime, delayMs: number, signal?: AbortSignal): Promise<void> {
  for (let leftMs = delayMs; leftMs > 0 && !signal?.aborted; leftMs -= AWAKE_MS) await sleep(runtime, Math.min(leftMs, AWAKE_MS), signal);
}

/** Names one life of one daemon, for logs, leases and locks. */
export function instanceName(room: string, runtime: Runtime): string {
  return `${room}-${process.pid}-${Buffer.from(runtime.bytes(3)).toString('hex')}`;
}
