import { cacheContract } from '../cache.contract.ts';
import { MemoryCache } from './cache.ts';

cacheContract('the cache in memory', async () => {
  const store = new MemoryCache();
  return { store, reopen: async () => store, cleanup: async () => {} };
});
