/**
 * A collector with a defect, which only the demo starts: its cache says that it has applied the effects of messages from one user, and has not. It stands for every
 * adapter, driver or proxy that swallows a batch; receipts and marks say that all is well.
 */
import { wireCollector } from '../../../collector/wiring.ts';
import { loadConfig } from '../../../core/config/load.ts';
import { systemRuntime } from '../../../core/runtime.ts';
import { runProcess } from '../../../daemon/process.ts';
import type { CacheStore } from '../../../store/cache.ts';

/** Nobody in the file has this number. */
export const LOST_SENDER = 1_000_010;

function losing(cache: CacheStore): CacheStore {
  const apply: CacheStore['apply'] = (batch) => {
    const isLost = (effects: (typeof batch.writes)[number]) => effects.some(({ key }) => key === `contacts:${LOST_SENDER}`);
    return cache.apply({ ...batch, writes: batch.writes.map((effects) => (isLost(effects) ? [] : effects)) });
  };
  return new Proxy(cache, {
    get(target, name) {
      if (name === 'apply') return apply;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const config = loadConfig(process.argv.at(-1) ?? '');
  await runProcess({ name: 'collector', config, runtime: systemRuntime, wire: (parts) => wireCollector(parts, losing) });
}
