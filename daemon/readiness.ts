/**
 * Whether a daemon is ready for traffic, and why not: asked by /readyz and by the gRPC health service. The daemon moves the phase;
 * the services answer for themselves while it runs.
 */
import type { Service } from './service.ts';

export type Phase = 'starting' | 'running' | 'draining';

export interface UnreadyReason {
  readonly service: string;
  readonly reason: string;
}

export class Readiness {
  #phase: Phase = 'starting';
  #services: readonly Service[] = [];

  /** Called by runDaemon. */
  watch(services: readonly Service[]): void {
    this.#services = services;
  }

  enter(phase: Phase): void {
    this.#phase = phase;
  }

  /** Empty when the daemon is ready. */
  reasons(): readonly UnreadyReason[] {
    if (this.#phase !== 'running') return [{ service: 'daemon', reason: this.#phase }];
    return this.#services.flatMap((service) => {
      const reason = service.unready?.();
      return reason === undefined ? [] : [{ service: service.name, reason }];
    });
  }
}
