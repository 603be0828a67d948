/** `wmb reship`: takes this room's write requests, keeps them durable and hands them to the peers. */
import type { Config } from '../core/config/types.ts';
import { systemRuntime } from '../core/runtime.ts';
import { runProcess } from '../daemon/process.ts';
import { wireReship } from './wiring.ts';

/** Runs until SIGTERM or Ctrl-C; ends the process. */
export function runReship(config: Config): Promise<void> {
  return runProcess({ name: 'reship', config, runtime: systemRuntime, wire: wireReship });
}
