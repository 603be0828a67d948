import { cacheContract } from '../cache.contract.ts';
import type { CacheStore } from '../cache.ts';
import { MemoryCache } from './cache.ts';

cacheContract('the cache in memory', async () => {
  let current = new MemoryCache();
  /** Whatever cache is in place now. */
  const store = new Proxy<CacheStore>(current, {
    get(_, name) {
      const found: unknown = Reflect.get(current, name);
      return typeof found === 'function' ? found.bind(current) : found;
    },
  });
  const copy = async () => {
    const taken = current.copy(0);
    return async () => {
      current = taken.copy((await current.marks()).generation + 1);
    };
  };
  return { store, reopen: async () => store, copy, cleanup: async () => {} };
});
