/**
 * The parking lot as people use it: retry and discard, oldest first per key and lane. When the oldest of a key leaves, those behind
 * it are retried in order until one fails again. What heals by itself (a stamp ahead of the clock, a processor that was late) is
 * retried by itself, after pauses that the lanes chose.
 */
import { asWmbError, type ErrorCode } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import { formatPosition, type Lane, laneKey, type Outcome } from '../../core/words.ts';
import type { ParkedWrite, ReceiptBook, Selection } from './receipts.ts';
import { Serial } from './serial.ts';

const TICK_MS = 1_000;
/** Retried by themselves per tick. */
const DUE_MAX = 100;

export interface Retried {
  readonly outcome: Outcome;
  readonly code: ErrorCode | '';
  readonly message: string;
}

/** What a lane does for a parked write request of its own. */
export interface Retryable {
  retry(parked: ParkedWrite): Promise<Retried>;
  discard(parked: ParkedWrite): Promise<Retried>;
}

export interface ParkedOutcome extends Retried {
  /** Empty where nothing was found under the name. */
  readonly position: string;
  readonly requestId: string;
}

export interface ParkingOptions {
  readonly book: ReceiptBook;
  readonly lanes: (lane: Lane) => Retryable;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export class Parking {
  readonly #options: ParkingOptions;
  /** One retry at a time: two on one key would overtake each other. */
  readonly #serial = new Serial();
  #timer: Timer | undefined;
  #stopped = true;

  constructor(options: ParkingOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    this.#schedule();
  }

  /** Resolves when no retry is under way any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#serial.run(async () => undefined);
  }

  #schedule(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.runtime.after(TICK_MS, () => void this.#tick(), true);
  }

  async #tick(): Promise<void> {
    try {
      if (this.#options.book.parkedTotal() > 0) await this.retryDue();
    } catch (cause) {
      this.#options.logger.warn({ error: asWmbError(cause).message }, 'parked write requests could not be retried; they are tried again');
    }
    this.#schedule();
  }

  /** Retries what is due by now. */
  retryDue(): Promise<void> {
    return this.#serial.run(async () => {
      const { book, runtime } = this.#options;
      for (const row of await book.due(runtime.nowMs(), DUE_MAX)) {
        const oldest = await book.firstOfKey(row.position, row.write.key);
        if (oldest !== undefined && isSame(oldest, row)) await this.#follow(row, new Map());
        // It follows the one in front of it, and need not be looked at until then.
        else if (oldest !== undefined) await book.failAgain({ ...row, retryMs: undefined });
      }
    });
  }

  list(after: string, limit: number): Promise<readonly ParkedWrite[]> {
    return this.#options.book.list(after, limit);
  }

  total(): number {
    return this.#options.book.parkedTotal();
  }

  /** Says for each selected write request, and for those that followed, what became of it. Rejects where a store is away. */
  retry(selection: Selection): Promise<readonly ParkedOutcome[]> {
    return this.#serial.run(async () => {
      const selected = await this.#options.book.select(selection);
      const outcomes = new Map<string, ParkedOutcome>();
      for (const row of selected) {
        if (outcomes.has(formatPosition(row.position))) continue;
        const oldest = await this.#options.book.firstOfKey(row.position, row.write.key);
        if (oldest === undefined || !isSame(oldest, row))
          note(outcomes, row, { outcome: 'parked', code: 'BEHIND_PARKED', message: behind(oldest) });
        else await this.#follow(row, outcomes);
      }
      return [...outcomes.values(), ...notFound(selection, selected)];
    });
  }

  /** Gives the selected write requests up; what stood behind them is retried. */
  discard(selection: Selection): Promise<readonly ParkedOutcome[]> {
    return this.#serial.run(async () => {
      const selected = await this.#options.book.select(selection);
      const outcomes = new Map<string, ParkedOutcome>();
      for (const row of selected) {
        note(outcomes, row, await this.#options.lanes(row.position).discard(row));
        this.#options.logger.info({ position: formatPosition(row.position), code: row.code }, 'a parked write request was discarded');
      }
      for (const row of firstPerKey(selected)) {
        const next = await this.#options.book.firstOfKey(row.position, row.write.key);
        if (next !== undefined && isBefore(row, next)) await this.#follow(next, outcomes);
      }
      return [...outcomes.values(), ...notFound(selection, selected)];
    });
  }

  /** Retries the oldest of a key, and then those behind it until one fails. */
  async #follow(first: ParkedWrite, outcomes: Map<string, ParkedOutcome>): Promise<void> {
    const { book, lanes, logger } = this.#options;
    const lane = lanes(first.position);
    for (let row: ParkedWrite | undefined = first; row !== undefined; row = await book.firstOfKey(first.position, first.write.key)) {
      const retried = await lane.retry(row);
      note(outcomes, row, retried);
      logger.info(
        { position: formatPosition(row.position), outcome: retried.outcome, code: retried.code },
        'a parked write request was retried',
      );
      if (retried.outcome === 'parked') return;
    }
  }
}

function note(outcomes: Map<string, ParkedOutcome>, row: ParkedWrite, retried: Retried): void {
  const position = formatPosition(row.position);
  outcomes.set(position, { position, requestId: row.write.requestId, ...retried });
}

function notFound(selection: Selection, selected: readonly ParkedWrite[]): ParkedOutcome[] {
  if (selection.all) return [];
  const found = new Set(selected.flatMap((row) => [row.write.requestId, formatPosition(row.position)]));
  const missing = selection.writes.filter((name) => !found.has(name));
  return missing.map((name) => ({
    position: '',
    requestId: name,
    outcome: 'applied',
    code: 'NOT_FOUND',
    message: `nothing is parked under “${name}”`,
  }));
}

function firstPerKey(rows: readonly ParkedWrite[]): ParkedWrite[] {
  const first = new Map<string, ParkedWrite>();
  for (const row of rows) {
    const name = `${laneKey(row.position)}@${row.position.epoch} ${row.write.key}`;
    if (!first.has(name)) first.set(name, row);
  }
  return [...first.values()];
}

function isSame(a: ParkedWrite, b: ParkedWrite): boolean {
  return a.position.seq === b.position.seq && a.position.index === b.position.index;
}

function isBefore(a: ParkedWrite, b: ParkedWrite): boolean {
  return a.position.seq < b.position.seq || (a.position.seq === b.position.seq && a.position.index < b.position.index);
}

function behind(oldest: ParkedWrite | undefined): string {
  return oldest === undefined
    ? 'it is parked no longer'
    : `it stands behind ${formatPosition(oldest.position)} (${oldest.code}); retry or discard that one first`;
}
