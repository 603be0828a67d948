/**
 * One lifecycle for everything that runs: made by `wiring.ts`, started once, drained on SIGTERM and Ctrl-C, stopped.
 * Services start in the order they are given and drain and stop in the reverse order.
 */
import type { WmbError } from '../core/errors.ts';

export interface Service {
  readonly name: string;
  /** Resolves when the service does its work (sockets bound, files open). Rejects with a WmbError otherwise. */
  start(): Promise<void>;
  /** Takes no new work and finishes what it has. Called once, before stop. The daemon waits for it up to its drain limit. */
  drain?(): Promise<void>;
  /** Lets go of everything. Called once, also after a start that failed. */
  stop(): Promise<void>;
  /** Resolves with why the daemon cannot go on. It ends at once, and whoever watches it starts it again. */
  readonly failed?: Promise<WmbError>;
  /** Why this service is not ready for traffic, or undefined when it is. */
  unready?(): string | undefined;
}
