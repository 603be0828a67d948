/** Looks into a cache in memory, whichever is in place at the time. */
import type { KeyCell } from '../../core/converge/cell.ts';
import { exportState, type KeyState } from '../../core/converge/state.ts';
import { digestOf, entriesOf } from '../bucket-digest.ts';
import type { BucketDigest, CacheInspector, EntryDigest } from '../inspection.ts';
import type { MemoryCache } from './cache.ts';

export class MemoryCacheInspector implements CacheInspector {
  readonly #cache: () => MemoryCache;

  constructor(cache: () => MemoryCache) {
    this.#cache = cache;
  }

  async open(): Promise<void> {}

  async digests(buckets: readonly number[], nowMs: number): Promise<readonly BucketDigest[]> {
    return buckets.map((bucket) => digestOf(bucket, this.#cells(bucket), nowMs));
  }

  async entries(buckets: readonly number[], nowMs: number): Promise<readonly (readonly EntryDigest[])[]> {
    return buckets.map((bucket) => entriesOf(this.#cells(bucket), nowMs));
  }

  async keys(buckets: readonly number[]): Promise<readonly (readonly string[])[]> {
    return buckets.map((bucket) => this.#cache().keysOf(bucket));
  }

  async states(keys: readonly string[]): Promise<readonly (KeyState | undefined)[]> {
    return keys.map((key) => {
      const cell = this.#cache().cell(key);
      return cell && exportState(key, cell);
    });
  }

  async close(): Promise<void> {}

  *#cells(bucket: number): Iterable<readonly [string, KeyCell]> {
    const cache = this.#cache();
    for (const key of cache.keysOf(bucket)) {
      const cell = cache.cell(key);
      if (cell !== undefined) yield [key, cell];
    }
  }
}
