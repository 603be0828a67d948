/**
 * The parking lot as people use it: retry and discard, oldest first per key and lane. When the oldest of a key leaves, those behind
 * it are retried in order until one fails again. What heals by itself (a stamp ahead of the clock, a processor that was late) is
 * retried by itself, after pauses that the lanes chose.
 */
import { asWmbError, type ErrorCode } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import { formatPosition, type Lane, laneKey, type Outcome } from '../../core/words.ts';
import type { ParkedPlace, ParkedWrite, ReceiptBook } from './receipts.ts';
import { Serial } from './serial.ts';

const TICK_MS = 1_000;
/** Retried by themselves per tick. */
const DUE_MAX = 100;
/** Of `all`, taken by one call; the caller goes on behind them. */
const STEP_WRITES = 200;
/** Of one key, retried in a row; the next is retried by itself a moment later. */
const FOLLOW_WRITES = 1_000;
/** Longer than all steps of a `discard --all`: then what it left behind is retried. */
const LEFT_BEHIND_MS = 60_000;

export interface Selection {
  /** Positions or request ids. */
  readonly writes: readonly string[];
  readonly all: boolean;
  /** Of `all`: those behind this position, in the order of their lanes; empty: from the first. */
  readonly after?: string;
}

export interface Step {
  /** Of those selected, and of those that followed. */
  readonly outcomes: readonly ParkedOutcome[];
  /** Of `all`: where the next step begins; empty: nothing is left. */
  readonly next: string;
}

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
      for (const place of await book.due(runtime.nowMs(), DUE_MAX)) {
        const row = await book.find(place.position);
        const oldest = await book.firstOfKey(place.position, place.key);
        if (row === undefined || oldest === undefined) continue;
        if (isSame(oldest, row)) await this.#follow(row, new Map());
        // It follows the one in front of it, and need not be looked at until then.
        else await book.failAgain({ ...row, retryMs: undefined });
      }
    });
  }

  list(after: string, limit: number): Promise<readonly ParkedWrite[]> {
    return this.#options.book.list(after, limit);
  }

  total(): number {
    return this.#options.book.parkedTotal();
  }

  bytes(): number {
    return this.#options.book.parkedBytes();
  }

  /** Says for each selected write request, and for those that followed, what became of it. Rejects where a store is away. */
  retry(selection: Selection): Promise<Step> {
    return this.#serial.run(async () => {
      const selected = await this.#select(selection);
      const outcomes = new Map<string, ParkedOutcome>();
      for (const place of selected) {
        if (outcomes.has(formatPosition(place.position))) continue;
        const oldest = await this.#options.book.firstOfKey(place.position, place.key);
        if (oldest === undefined || !isSame(oldest, place))
          note(outcomes, place, { outcome: 'parked', code: 'BEHIND_PARKED', message: behind(oldest) });
        else await this.#follow(oldest, outcomes);
      }
      return stepOf(selection, selected, outcomes);
    });
  }

  /** Gives the selected write requests up, except those whose retry has begun, which is finished instead; what stood behind them is retried. */
  discard(selection: Selection): Promise<Step> {
    return this.#serial.run(async () => {
      const { book, lanes, logger } = this.#options;
      const selected = await this.#select(selection);
      const outcomes = new Map<string, ParkedOutcome>();
      for (const place of selected) {
        const row = await book.find(place.position);
        if (row === undefined) continue;
        const discarded = await lanes(place.position).discard(row);
        note(outcomes, place, discarded);
        logger.info({ position: formatPosition(place.position), outcome: discarded.outcome, code: row.code }, 'a discard was asked for');
      }
      for (const place of firstPerKey(selected)) {
        const next = await book.firstOfKey(place.position, place.key);
        if (next === undefined || !isBefore(place, next)) continue;
        // Of `all` it is up for a later step; what comes in between is not left behind for ever.
        if (selection.all) await book.failAgain({ ...next, retryMs: this.#options.runtime.nowMs() + LEFT_BEHIND_MS });
        else await this.#follow(next, outcomes);
      }
      return stepOf(selection, selected, outcomes);
    });
  }

  #select({ writes, all, after = '' }: Selection): Promise<readonly ParkedPlace[]> {
    return all ? this.#options.book.page(after, STEP_WRITES) : this.#options.book.select(writes);
  }

  /** Retries the oldest of a key, and then those behind it until one fails. */
  async #follow(first: ParkedWrite, outcomes: Map<string, ParkedOutcome>): Promise<void> {
    const { book, lanes, logger, runtime } = this.#options;
    const lane = lanes(first.position);
    let count = 0;
    for (let row: ParkedWrite | undefined = first; row !== undefined; row = await book.firstOfKey(first.position, first.write.key)) {
      if (count === FOLLOW_WRITES) return book.failAgain({ ...row, retryMs: runtime.nowMs() });
      count += 1;
      const retried = await lane.retry(row);
      note(outcomes, { position: row.position, requestId: row.write.requestId }, retried);
      logger.info(
        { position: formatPosition(row.position), outcome: retried.outcome, code: retried.code },
        'a parked write request was retried',
      );
      if (retried.outcome === 'parked') return;
    }
  }
}

type Placed = Pick<ParkedPlace, 'position'>;

function stepOf(selection: Selection, selected: readonly ParkedPlace[], outcomes: ReadonlyMap<string, ParkedOutcome>): Step {
  const last = selected.at(-1);
  const next = selection.all && last !== undefined && selected.length === STEP_WRITES ? formatPosition(last.position) : '';
  return { outcomes: [...outcomes.values(), ...notFound(selection, selected)], next };
}

function note(outcomes: Map<string, ParkedOutcome>, place: Omit<ParkedPlace, 'key'>, retried: Retried): void {
  const position = formatPosition(place.position);
  outcomes.set(position, { position, requestId: place.requestId, ...retried });
}

function notFound(selection: Selection, selected: readonly ParkedPlace[]): ParkedOutcome[] {
  if (selection.all) return [];
  const found = new Set(selected.flatMap((row) => [row.requestId, formatPosition(row.position)]));
  const missing = selection.writes.filter((name) => !found.has(name));
  return missing.map((name) => ({
    position: '',
    requestId: name,
    outcome: 'applied',
    code: 'NOT_FOUND',
    message: `nothing is parked under “${name}”`,
  }));
}

function firstPerKey(places: readonly ParkedPlace[]): ParkedPlace[] {
  const first = new Map<string, ParkedPlace>();
  for (const place of places) {
    const name = `${laneKey(place.position)}@${place.position.epoch} ${place.key}`;
    if (!first.has(name)) first.set(name, place);
  }
  return [...first.values()];
}

function isSame(a: Placed, b: Placed): boolean {
  return a.position.seq === b.position.seq && a.position.index === b.position.index;
}

function isBefore(a: Placed, b: Placed): boolean {
  return a.position.seq < b.position.seq || (a.position.seq === b.position.seq && a.position.index < b.position.index);
}

function behind(oldest: ParkedWrite | undefined): string {
  return oldest === undefined
    ? 'it is parked no longer'
    : `it stands behind ${formatPosition(oldest.position)} (${oldest.code}); retry or discard that one first`;
}
