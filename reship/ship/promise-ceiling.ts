/**
 * A pulse promises that no later write request has a stamp up to the settled one. Peers forget tombstones by that promise, so it must hold
 * over a restart too. But an idle clock runs with the wall clock and with the stamps that peers gave, and of these the log knows nothing:
 * a reship that comes back, with the wall clock corrected or before its collector has told it of the peers' stamps, would stamp below the promise.
 *
 * So what may be promised is reserved in the log, a little ahead, and the next writer's clock begins above the reservation. It is small
 * against `aheadMsMax` and counted from the wall clock, never from the last stamp: however often reship restarts, its stamps begin at most that little
 * ahead of the wall clock. A clock that was taken further ahead by a peer's stamps promises less than it could until the wall clock gets there.
 */
import { asWmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime } from '../../core/runtime.ts';
import { formatStamp, NO_STAMP, type Stamp, stampMs } from '../../core/stamp.ts';
import type { Log } from '../../log/log.ts';

const RESERVED_MS = 2_000;

export interface PromiseCeilingOptions {
  readonly log: Pick<Log, 'promise'>;
  /** As it came with the writer's lease: so far a promise holds. */
  readonly stampLast: Stamp;
  /** See ClockOptions. */
  readonly aheadMsMax: number;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export class PromiseCeiling {
  readonly #options: PromiseCeilingOptions;
  readonly #reservedMs: number;
  #ceiling: Stamp;
  #reserving: Promise<void> | undefined;
  #failing = false;

  constructor(options: PromiseCeilingOptions) {
    this.#options = options;
    this.#ceiling = options.stampLast;
    this.#reservedMs = Math.min(RESERVED_MS, Math.floor(options.aheadMsMax / 2));
  }

  /**
   * `settled`, or what of it would hold over a restart. It never waits for the disk: while that is slow or full the promises stand still,
   * and pulses go on. NO_STAMP where nothing was promised yet.
   */
  cap(settled: Stamp): Stamp {
    if (this.#isLow()) this.#reserving ??= this.#reserve();
    return settled < this.#ceiling ? settled : this.#ceiling;
  }

  /** Half of the reservation is used up. */
  #isLow(): boolean {
    return this.#ceiling === NO_STAMP || stampMs(this.#ceiling) - this.#options.runtime.nowMs() <= this.#reservedMs / 2;
  }

  async #reserve(): Promise<void> {
    const { log, runtime, logger } = this.#options;
    const stamp = formatStamp({ ms: Math.floor(runtime.nowMs()) + this.#reservedMs, counter: 0, writer: 1 });
    try {
      await log.promise(stamp);
      this.#ceiling = stamp;
      this.#failing = false;
    } catch (cause) {
      const { code, message } = asWmbError(cause);
      if (!this.#failing)
        logger.warn({ code, reason: message }, 'no further stamps can be promised: the floor stands still until the log can be written');
      this.#failing = true;
    }
    this.#reserving = undefined;
  }
}
