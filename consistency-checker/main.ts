/** `wmb checker`: compares this room with its peers, all the time, explains what differs, and repairs it when told to. */
import type { Config } from '../core/config/types.ts';
import { systemRuntime } from '../core/runtime.ts';
import { runProcess } from '../daemon/process.ts';
import { wireChecker } from './wiring.ts';

/** Runs until SIGTERM or Ctrl-C; ends the process. */
export function runChecker(config: Config): Promise<void> {
  return runProcess({ name: 'checker', config, runtime: systemRuntime, wire: wireChecker });
}
