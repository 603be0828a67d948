/**
 * L0: a write request that means nothing, into every partition of this room's write log, for ever. It goes the whole way that users' write requests go (intake, log,
 * link, admission, receipt), so that silence on a lane is never mistaken for health: where canaries do not arrive, nothing would.
 */
import { canaryKeys } from '../../core/canary.ts';
import { asWmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';

export interface CanaryOptions {
  readonly partitions: number;
  /** Hands write requests of the kind `wmb.canary` to this room's intake. */
  readonly submit: (writes: readonly { readonly key: string }[]) => Promise<void>;
  /** 0: none are sent. */
  readonly canaryMs: number;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export class Canaries {
  readonly #options: CanaryOptions;
  readonly #writes: readonly { readonly key: string }[];
  #timer: Timer | undefined;
  #running = false;
  #failing = false;

  constructor(options: CanaryOptions) {
    this.#options = options;
    this.#writes = options.canaryMs > 0 ? canaryKeys(options.partitions).map((key) => ({ key })) : [];
  }

  start(): void {
    if (this.#running || this.#options.canaryMs === 0) return;
    this.#running = true;
    void this.#send();
  }

  stop(): void {
    this.#running = false;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** One call at a time: an intake that answers slowly gets fewer canaries, not a queue of them. */
  async #send(): Promise<void> {
    const { runtime, canaryMs, submit } = this.#options;
    const startedMs = runtime.monotonicMs();
    try {
      await submit(this.#writes);
      this.#said(undefined);
    } catch (cause) {
      this.#said(asWmbError(cause).message);
    }
    if (!this.#running) return;
    const spentMs = runtime.monotonicMs() - startedMs;
    this.#timer = runtime.after(Math.max(0, canaryMs - spentMs), () => void this.#send(), true);
  }

  /** Once when it begins to fail and once when it works again: an intake that is down says so itself, every second is too often. */
  #said(error: string | undefined): void {
    const failing = error !== undefined;
    if (failing === this.#failing || !this.#running) return;
    this.#failing = failing;
    const { logger } = this.#options;
    if (failing) logger.warn({ error }, 'canaries cannot be submitted; the lanes of this room will look silent in every room');
    else logger.info({}, 'canaries are submitted again');
  }
}
