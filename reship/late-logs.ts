/**
 * The collector of a master room writes the effect log and, with an embedded database, the changes log. They may not be there yet when reship starts, and
 * intake must not wait for them: they are offered to the peers as soon as they can be opened.
 */
import { asWmbError, type ErrorCode } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Runtime, Timer } from '../core/runtime.ts';
import type { Service } from '../daemon/service.ts';
import type { ServedLog } from '../log/log.ts';

const RETRY_MS = 250;

export interface LateLogsOptions {
  readonly logs: readonly ServedLog[];
  /** Called once with each log when it is open. */
  readonly offer: (log: ServedLog) => void;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export class LateLogs implements Service {
  readonly name = 'late logs';
  readonly #options: LateLogsOptions;
  readonly #open: ServedLog[] = [];
  readonly #told = new Map<ServedLog, ErrorCode>();
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: LateLogsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#tryAll(this.#options.logs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    for (const log of this.#open) await log.close();
  }

  async #tryAll(logs: readonly ServedLog[]): Promise<void> {
    const missing: ServedLog[] = [];
    for (const log of logs) {
      if (!(await this.#try(log))) missing.push(log);
    }
    if (missing.length === 0 || this.#stopped) return;
    this.#timer = this.#options.runtime.after(RETRY_MS, () => void this.#tryAll(missing), true);
  }

  /** LOG_UNAVAILABLE means that the collector has not made the log yet; anything else is worth a line, once. */
  async #try(log: ServedLog): Promise<boolean> {
    const { offer, logger } = this.#options;
    try {
      await log.open();
    } catch (cause) {
      const error = asWmbError(cause);
      const isNew = this.#told.get(log) !== error.code;
      this.#told.set(log, error.code);
      if (isNew && error.code !== 'LOG_UNAVAILABLE')
        logger.warn({ log: log.log, code: error.code, reason: error.message }, 'a log cannot be opened; it is tried again');
      return false;
    }
    this.#open.push(log);
    offer(log);
    logger.info({ log: log.log, epoch: log.epoch }, 'a log is offered to the peers');
    return true;
  }
}
