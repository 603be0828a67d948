import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BUCKETS } from '../../core/converge/bucket.ts';
import { inspectionContract } from '../inspection.contract.ts';
import { mendingContract } from '../mending.contract.ts';
import { MemoryCache } from './cache.ts';
import { MemoryCacheInspector } from './cache-inspector.ts';

inspectionContract('the inspector of the cache in memory', async () => {
  const store = new MemoryCache();
  return { store, inspector: new MemoryCacheInspector(() => store), cleanup: async () => {} };
});

mendingContract('the mending of the cache in memory', async () => {
  const store = new MemoryCache();
  return { store, inspector: new MemoryCacheInspector(() => store), reopen: async () => store, cleanup: async () => {} };
});

test('a cache that was put in the place of another gives every bucket as written, since any may differ', async () => {
  const store = new MemoryCache().copy(1);
  assert.equal((await store.takeDirty(BUCKETS + 1)).length, BUCKETS);
  assert.deepEqual(await store.takeDirty(BUCKETS), []);
});
