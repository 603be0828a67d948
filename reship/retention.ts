/**
 * Retention removes from the old end of each log what no peer needs any more. It never runs beside itself, and a failure is told and
 * tried again: a log that grows is better than a log with a hole.
 */
import type { Config } from '../core/config/types.ts';
import { asWmbError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Counter, Metrics } from '../core/metrics.ts';
import type { Runtime, Timer } from '../core/runtime.ts';
import type { LogName } from '../core/words.ts';
import type { Service } from '../daemon/service.ts';
import type { RetentionFloor, ServedLog } from '../log/log.ts';

const EVERY_MS = 10_000;

export type TrimmedLog = Pick<ServedLog, 'log' | 'trim'>;

export interface RetentionOptions {
  readonly config: Config;
  /** Read at each round: logs may join later. */
  readonly logs: () => readonly TrimmedLog[];
  readonly floors: (log: LogName) => readonly RetentionFloor[];
  /** Where several reships work in the room, one of them does this. */
  readonly isMine: () => boolean;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export class Retention implements Service {
  readonly name = 'retention';
  readonly #options: RetentionOptions;
  readonly #trimmedBytes: Counter;
  #timer: Timer | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#trimmedBytes = options.metrics.counter({
      name: 'wmb_log_trimmed_bytes_total',
      help: 'Bytes of frames that retention removed.',
      labels: ['log'],
    });
  }

  async start(): Promise<void> {
    this.#schedule();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#round;
  }

  #schedule(): void {
    this.#timer = this.#options.runtime.after(
      EVERY_MS,
      () => {
        this.#round = this.#trimAll().then(() => {
          if (!this.#stopped) this.#schedule();
        });
      },
      true,
    );
  }

  async #trimAll(): Promise<void> {
    const { config, logs, floors, runtime, logger } = this.#options;
    const policy = { ...config.room.log.retention, writesMin: config.topology.limits.duplicateWindowWrites };
    if (!this.#options.isMine()) return;
    for (const log of logs()) {
      try {
        const gone = await log.trim(policy, floors(log.log), runtime.nowMs());
        if (gone.frames === 0) continue;
        this.#trimmedBytes.add(gone.bytes, { log: log.log });
        logger.info({ log: log.log, frames: gone.frames, bytes: gone.bytes }, 'retention removed frames');
      } catch (cause) {
        const error = asWmbError(cause);
        logger.warn({ log: log.log, code: error.code, reason: error.message }, 'retention failed; it is tried again');
      }
    }
  }
}
