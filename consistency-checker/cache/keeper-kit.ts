/** A cache with its keeper on virtual time, for tests. */
import assert from 'node:assert/strict';
import { bucketOf } from '../../core/converge/bucket.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { formatStamp, versionOf } from '../../core/stamp.ts';
import type { BucketDigest, CacheInspector } from '../../store/inspection.ts';
import { MemoryCache } from '../../store/memory/cache.ts';
import { MemoryCacheInspector } from '../../store/memory/cache-inspector.ts';
import { LeafKeeper } from './keeper.ts';
import { RoomTime } from './random-kit.ts';
import { LEAF_LEVEL, nodeAbove } from './tree.ts';

export const SWEEP_MS = 20_000;

/** A cache with its keeper. Reading and taking last, and what happens while they do is up to the test. */
export class Bench {
  readonly time = new VirtualTime();
  readonly clock = new RoomTime(this.time);
  readonly cache = new MemoryCache();
  readonly inspector: CacheInspector = new MemoryCacheInspector(() => this.cache);
  readonly keeper: LeafKeeper;
  /** By bucket: when something was changed without a mark. */
  readonly tampered = new Map<number, number>();
  read: (buckets: readonly number[]) => void = () => {};
  beforeReading = async () => {};
  afterReading = async () => {};
  beforeTaking = async () => {};
  afterTaking = async () => {};
  #counter = 0;

  constructor(sweepMs = SWEEP_MS) {
    const digests = async (buckets: readonly number[], nowMs: number): Promise<readonly BucketDigest[]> => {
      this.read(buckets);
      await this.beforeReading();
      const found = await this.inspector.digests(buckets, nowMs);
      await this.afterReading();
      return found;
    };
    const { inspector } = this;
    this.keeper = new LeafKeeper({
      inspector: {
        ...{ digests, open: () => inspector.open(), close: () => inspector.close() },
        ...{ entries: (buckets, nowMs) => inspector.entries(buckets, nowMs), states: (keys) => inspector.states(keys) },
        keys: (buckets) => inspector.keys(buckets),
      },
      takeDirty: async (max) => {
        await this.beforeTaking();
        const taken = await this.cache.takeDirty(max);
        await this.afterTaking();
        return taken;
      },
      ...{ runtime: this.clock, sweepMs, workPercentMax: 5, logger: silentLogger },
    });
  }

  async write(key: string, value: string, expireAtMs = 0): Promise<void> {
    this.#counter += 1;
    const stamp = formatStamp({ ms: this.clock.nowMs(), counter: this.#counter % 65_536, writer: 0x1000001 });
    const effect: Effect = { op: 'set', key, value, expireAtMs, version: versionOf(stamp, 0) };
    const { generation } = await this.cache.marks();
    await this.cache.apply({ moves: [], writes: [[effect]], floor: '', nowMs: this.clock.nowMs(), generation });
  }

  /** Behind the collector's back. */
  tamper(key: string, value: string): boolean {
    const register = this.cache.cell(key)?.register('');
    if (register === undefined) return false;
    this.cache.cell(key)?.setRegister('', { version: register.version, value });
    this.tampered.set(bucketOf(key), this.clock.nowMs());
    return true;
  }

  leaf(bucket: number): Promise<string> {
    return this.clock.until(this.asked(bucket));
  }

  asked(bucket: number): Promise<string> {
    const parent = nodeAbove(bucket, LEAF_LEVEL - 1);
    return this.keeper.nodes({ level: LEAF_LEVEL, parents: [parent] }).then(({ digests }) => {
      const at = (bucket % 16) * 8;
      return Buffer.from(digests.subarray(at, at + 8)).toString('hex');
    });
  }

  async stored(bucket: number): Promise<string> {
    const [digest] = await this.inspector.digests([bucket], this.clock.nowMs());
    assert.ok(digest !== undefined);
    return [digest.high, digest.low].map((half) => half.toString(16).padStart(8, '0')).join('');
  }

  async built(): Promise<void> {
    this.keeper.start();
    for (let second = 0; second < 100 && this.keeper.built < 1; second += 1) await this.time.advance(1_000);
    assert.equal(this.keeper.built, 1);
  }

  async stop(): Promise<void> {
    const stopped = this.keeper.stop();
    await this.time.advance(5_000);
    await stopped;
  }
}
