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
