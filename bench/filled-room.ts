/** A room's cache with many keys, put straight into its store, and the side of a comparison that its checker would be. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as pause } from 'node:timers/promises';
import { LeafKeeper } from '../consistency-checker/cache/keeper.ts';
import type { RoomView } from '../consistency-checker/room.ts';
import { bucketOf } from '../core/converge/bucket.ts';
import { WmbError } from '../core/errors.ts';
import { silentLogger } from '../core/logger.ts';
import { type Runtime, systemRuntime } from '../core/runtime.ts';
import { formatStamp, versionOf } from '../core/stamp.ts';
import { CACHE_FILE, EmbeddedCache } from '../store/embedded/cache.ts';
import { EmbeddedCacheInspector } from '../store/embedded/cache-inspector.ts';

const SWEEP_MS = 300_000;
const VALUE = 'x'.repeat(160);
/** Of a room that no topology names: such a version is never on its way. */
const WRITER = 9 << 24;

/**
 * The real time, except that while `hurries` nobody waits: the clocks jump to the moment at which the timer is due. So what has a limited share of the processor is done at once.
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

/**
 * Adds the keys numbered `from` up to below `to` to the cache in `directory`, the same in every room: its rows, as the store would write them. The index is made afterwards,
 * because a million keys in the order of their buckets touch every page of it again and again.
 */
export async function fill(directory: string, from: number, to: number): Promise<void> {
  const cache = new EmbeddedCache({ directory, room: 'beijing', runtime: systemRuntime });
  await cache.open();
  await cache.close();
  const database = new DatabaseSync(join(directory, CACHE_FILE));
  database.function('bucket_of', (key) => bucketOf(String(key)));
  database.function('version_of', (n) => versionAt(Number(n)));
  database.exec('BEGIN; DROP INDEX keys_by_bucket');
  database.prepare(ADD_KEYS).run(from, to - 1, VALUE);
  database.exec('COMMIT');
  database.close();
  // Makes the index again.
  await cache.open();
  await cache.close();
}

const ADD_KEYS = `WITH RECURSIVE numbered (n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM numbered WHERE n < ?2), named AS (SELECT n, printf('user:%08d:profile', n) AS key FROM numbered)
  INSERT INTO keys (key, bucket, type, kill, version, value, expire_at, parts, timeline) SELECT key, bucket_of(key), 1, '', version_of(n), ?3, 0, 0, NULL FROM named`;

/** Ascending, as they are added. */
export function keyOf(n: number): string {
  return `user:${String(n).padStart(8, '0')}:profile`;
}

function versionAt(n: number): string {
  return versionOf(formatStamp({ ms: 1_700_000_000_000 + (n >>> 12), counter: n & 4_095, writer: WRITER }), 0);
}

export interface BuiltRoom {
  readonly view: RoomView;
  /** Of this process, until everything was read. */
  readonly buildCpuSeconds: number;
  close(): Promise<void>;
}

/** Builds the digest tree of the cache in `directory`. */
export async function build(room: string, directory: string): Promise<BuiltRoom> {
  const runtime = new Hurry();
  const cache = new EmbeddedCache({ directory, room: 'beijing', runtime });
  await cache.open();
  const inspector = new EmbeddedCacheInspector({ directory, runtime });
  const keeper = new LeafKeeper({
    inspector,
    takeDirty: (max) => cache.takeDirty(max),
    runtime,
    sweepMs: SWEEP_MS,
    workPercentMax: 5,
    logger: silentLogger,
  });
  const before = process.cpuUsage();
  keeper.start();
  while (keeper.built < 1) await pause(1);
  const used = process.cpuUsage(before);
  runtime.hurries = false;
  const close = async () => {
    await keeper.stop();
    await cache.close();
  };
  return { view: viewOf(room, keeper, inspector), buildCpuSeconds: (used.user + used.system) / 1e6, close };
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
