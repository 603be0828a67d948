/** `wmb collector`: takes frames from every room's reship, this one's included, and applies them to this room's stores. */
import type { Config } from '../core/config/types.ts';
import { systemRuntime } from '../core/runtime.ts';
import { runProcess } from '../daemon/process.ts';
import { wireShares } from './shares/wiring.ts';
import { wireCollector } from './wiring.ts';

/** Runs until SIGTERM or Ctrl-C; ends the process. */
export function runCollector(config: Config): Promise<void> {
  const wire = (config.room.collector?.shares ?? 1) > 1 ? wireShares : wireCollector;
  return runProcess({ name: 'collector', config, runtime: systemRuntime, wire });
}
