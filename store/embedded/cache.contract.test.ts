import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRuntime } from '../../core/runtime.ts';
import { cacheContract } from '../cache.contract.ts';
import { EmbeddedCache } from './cache.ts';

cacheContract('the embedded cache', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-cache-'));
  const open = async () => {
    const store = new EmbeddedCache({ directory, room: 'beijing', runtime: systemRuntime });
    await store.open();
    return store;
  };
  let current = await open();
  const reopen = async () => {
    await current.close();
    current = await open();
    return current;
  };
  const cleanup = async () => {
    await current.close();
    rmSync(directory, { recursive: true });
  };
  return { store: current, reopen, cleanup };
});
