/** A room's cache with many keys, put straight into its store, and the side of a comparison that its checker would be. */
import { setTimeout as pause } from 'node:timers/promises';
import { LeafKeeper } from '../consistency-checker/cache/keeper.ts';
import type { RoomView } from '../consistency-checker/room.ts';
import { WmbError } from '../core/errors.ts';
import { silentLogger } from '../core/logger.ts';
import { type Runtime, systemRuntime } from '../core/runtime.ts';
import { formatStamp, versionOf } from '../core/stamp.ts';
import { EmbeddedCache } from '../store/embedded/cache.ts';
import { EmbeddedCacheInspector } from '../store/embedded/cache-inspector.ts';

const FILL_BATCH = 8_192;
const SWEEP_MS = 300_000;
const VALUE = 'x'.repeat(160);
/** Of a room that no topology names: such a version is never on its way. */
const WRITER = 9 << 24;

/**
 * The real time, except that while `hurries` nobody waits: the clocks jump to the moment at which the timer is due. What is worked takes as long as it does, so that
 * a clock says how long something with a limited share of the processor would have taken.
 */
export class Hurry implements Runtime {
  hurries = true;
  readonly turn = systemRuntime.turn;
  readonly random = systemRuntime.random;
  readonly bytes = systemRuntime.bytes;
  #skippedMs = 0;

  nowMs(): number {
    return systemRuntime.nowMs() + Math.round(this.#skippedMs);
  }

  monotonicMs(): number {
    return systemRuntime.monotonicMs() + this.#skippedMs;
  }

  after(delayMs: number, task: () => void, background?: boolean) {
    if (!this.hurries) return systemRuntime.after(delayMs, task, background);
    const dueMs = this.monotonicMs() + delayMs;
    const handle = setImmediate(() => {
      this.#skippedMs += Math.max(0, dueMs - this.monotonicMs());
      task();
    });
    return { cancel: () => clearImmediate(handle) };
  }
}

/** Adds the keys numbered `from` up to below `to` to the cache in `directory`, the same in every room. */
export async function fill(directory: string, from: number, to: number): Promise<void> {
  const cache = new EmbeddedCache({ directory, room: 'beijing', runtime: systemRuntime });
  await cache.open();
  const { generation } = await cache.marks();
  for (let at = from; at < to; at += FILL_BATCH) {
    const numbers = Array.from({ length: Math.min(FILL_BATCH, to - at) }, (_, index) => at + index);
    const writes = numbers.map((n) => [{ op: 'set', key: keyOf(n), value: VALUE, expireAtMs: 0, version: versionAt(n) } as const]);
    await cache.apply({ generation, moves: [], writes, floor: '', nowMs: systemRuntime.nowMs() });
    await systemRuntime.turn();
  }
  await cache.close();
}

/** Ascending, as they come: a B-tree is filled fastest so. */
export function keyOf(n: number): string {
  return `user:${String(n).padStart(8, '0')}:profile`;
}

function versionAt(n: number): string {
  return versionOf(formatStamp({ ms: 1_700_000_000_000 + (n >>> 12), counter: n & 4_095, writer: WRITER }), 0);
}

export interface BuiltRoom {
  readonly view: RoomView;
  /** How long the checker would have taken, with its share of a processor, until it had read everything. */
  readonly builtMs: number;
  close(): Promise<void>;
}

/** Builds the digest tree of the cache in `directory`. */
export async function build(room: string, directory: string): Promise<BuiltRoom> {
  const runtime = new Hurry();
  const cache = new EmbeddedCache({ directory, room: 'beijing', runtime });
  await cache.open();
  const inspector = new EmbeddedCacheInspector({ directory, runtime });
  const keeper = new LeafKeeper({ inspector, takeDirty: (max) => cache.takeDirty(max), runtime, sweepMs: SWEEP_MS, logger: silentLogger });
  const startedMs = runtime.monotonicMs();
  keeper.start();
  while (keeper.built < 1) await pause(1);
  const builtMs = runtime.monotonicMs() - startedMs;
  runtime.hurries = false;
  const close = async () => {
    await keeper.stop();
    await cache.close();
  };
  return { view: viewOf(room, keeper, inspector), builtMs, close };
}

function viewOf(room: string, keeper: LeafKeeper, inspector: EmbeddedCacheInspector): RoomView {
  const notAsked = () => Promise.reject(new WmbError('NOT_FOUND', 'the bench compares keys only'));
  return {
    room,
    horizon: async () => ({ nowMs: systemRuntime.nowMs(), lanes: [] }),
    nodes: (query) => keeper.nodes(query),
    entries: (buckets) => keeper.entries(buckets),
    states: async (keys) => (await inspector.states(keys)).map((state, at) => ({ key: keys[at] ?? '', state, changedBehindMs: 0 })),
    receiptDigests: notAsked,
    receipts: notAsked,
    findWrites: notAsked,
    derive: notAsked,
  };
}
