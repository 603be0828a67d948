/**
 * One batch's way through the processors: in order per key, at the same time across keys, and a failure holds up its own key only (I7).
 */
import { CANARY_KIND } from '../../core/canary.ts';
import type { KindEntry } from '../../core/config/types.ts';
import { asWmbError, type ErrorCode, type WmbError } from '../../core/errors.ts';
import { parks } from '../process/processors.ts';
import type { Context } from './context.ts';
import { ParkedKeys } from './parked-keys.ts';
import { decide, type Work } from './work.ts';

const BEHIND = 'an earlier write request of this key is parked; it follows when that one is retried or discarded';

export class Round {
  readonly #context: Context;
  /** Parked before this batch. */
  readonly #parked: ParkedKeys;
  /** Parked in this batch. */
  readonly #parkedHere = new ParkedKeys();
  /** Keys that wait for a processor. */
  readonly #chains = new Map<string, Promise<void>>();
  #down: WmbError | undefined;

  constructor(context: Context, parked: ParkedKeys) {
    this.#context = context;
    this.#parked = parked;
  }

  /** Rejects with PROCESSOR_UNAVAILABLE where no write request of a kind can be processed now: then nothing is decided. */
  async process(works: readonly Work[]): Promise<void> {
    for (const work of works) {
      const chain = this.#chains.get(work.write.key);
      const pending = chain === undefined ? this.#step(work) : chain.then(() => this.#step(work));
      if (pending !== undefined) this.#chains.set(work.write.key, pending);
    }
    if (this.#chains.size > 0) await Promise.all(this.#chains.values());
    if (this.#down !== undefined) throw this.#down;
  }

  #step(work: Work): Promise<void> | undefined {
    if (this.#down !== undefined) return undefined;
    if (work.outcome !== '') {
      if (work.outcome === 'parked') this.#parkedHere.add(work.write.key, work);
      return undefined;
    }
    if (this.#isHeld(work)) {
      decide(work, 'parked', 'BEHIND_PARKED', BEHIND);
      return undefined;
    }
    if (!isForRoom(this.#context, work.write.kind)) {
      decide(work, 'applied');
      return undefined;
    }
    try {
      const processed = this.#context.processors.run(work.write);
      if (processed instanceof Promise)
        return processed.then(
          (done) => void Object.assign(work, done),
          (cause: unknown) => this.#processFailed(work, cause),
        );
      work.commands = processed.commands;
      work.effects = processed.effects;
      work.statements = processed.statements;
    } catch (cause) {
      this.#processFailed(work, cause);
    }
    return undefined;
  }

  #isHeld(work: Work): boolean {
    return this.#isHeldHere(work) || (this.#parked.holds(work.write.key, work) && !isCanary(work));
  }

  #isHeldHere(work: Work): boolean {
    return this.#parkedHere.holds(work.write.key, work) && !isCanary(work);
  }

  #processFailed(work: Work, cause: unknown): void {
    const error = asWmbError(cause);
    if (parks(error.code)) this.fail(work, error.code, error.message);
    else this.#down ??= error;
  }

  /** Parks the write request, or passes it over where its kind says so and nothing of its key was parked in front of it. */
  fail(work: Work, code: ErrorCode, message: string): void {
    if (this.#parkedHere.holds(work.write.key, work)) decide(work, 'parked', 'BEHIND_PARKED', BEHIND);
    else if (this.#kind(work)?.onFailure === 'pass') decide(work, 'rejected', code, message);
    else {
      decide(work, 'parked', code, message);
      this.#parkedHere.add(work.write.key, work);
    }
  }

  /** After failures that came later than processing: what stands behind them in its key waits. */
  holdLater(works: readonly Work[]): void {
    for (const work of works) {
      if (work.outcome === '' && this.#isHeldHere(work)) decide(work, 'parked', 'BEHIND_PARKED', BEHIND);
    }
  }

  #kind(work: Work): KindEntry | undefined {
    return this.#context.config.topology.kinds[work.write.kind];
  }
}

/** They are held up by nothing: they tell whether the lane moves, not whether a key does. */
function isCanary(work: Work): boolean {
  return work.write.kind === CANARY_KIND;
}

/** Whether the processors of this room handle the kind; elsewhere it gets its receipt without effects. */
export function isForRoom(context: Context, kind: string): boolean {
  const entry = context.config.topology.kinds[kind];
  return entry === undefined || entry.rooms.includes(context.config.room.id);
}
