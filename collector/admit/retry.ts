/**
 * A parked write request's second chance: processed again with its original stamp and position, and applied without moving a mark.
 * Processing runs beside the lane (its key is held anyway, and a slow processor holds up nobody else); what it changes in the stores
 * and in the book happens in the lane's own turn.
 *
 * The stores come first and the book last: after a crash in between it is still parked, and retrying it again changes nothing in them. Before
 * the first store is touched the book is told that a retry has begun: from then on it can be finished, but not be discarded, because what one
 * store or a slave room has already cannot be taken back.
 */
import { asWmbError, type ErrorCode } from '../../core/errors.ts';
import { stampMs } from '../../core/stamp.ts';
import type { Outcome, Position } from '../../core/words.ts';
import { parks } from '../process/processors.ts';
import type { Retried } from '../receipts/parked.ts';
import type { ParkedWrite } from '../receipts/receipts.ts';
import type { Serial } from '../receipts/serial.ts';
import { effectsToKeep } from './again.ts';
import type { Context } from './context.ts';
import { isForRoom } from './round.ts';
import { appendEffects, applyWorks, entryOf, executeWorks, replayed, retryAt, settleInCache } from './steps.ts';
import { aheadOfClock, decide, newWork, type Work } from './work.ts';

/**
 * After a crash between parking and the mark, the lane takes the frame again, and what is parked must be parked then: were it settled before, its
 * statements would run a second time.
 */
const AHEAD: Retried = {
  outcome: 'parked',
  code: 'LANE_BEHIND',
  message: 'its lane has not passed it yet and is going to take its frame again; retry or discard it when the lane has gone on',
};

const BEGUN = 'a retry of it began and did not finish; what it has reached cannot be taken back, so it is finished and not discarded';

function isBegun({ code }: ParkedWrite): boolean {
  return code === 'RETRY_BEGUN';
}

/**
 * While it is parked no floor passes it. Where one has all the same, it was applied here before: the cache was lost since, its frame was taken again and parked this time, and the cache that
 * was copied from a peer has it and has forgotten it (docs/adr/0009). Of what was parked for being late, or has begun, that is not known.
 */
function holdsFloor({ code }: ParkedWrite): boolean {
  return code !== 'WRITE_LATE' && code !== 'RETRY_BEGUN';
}

export interface RetryHost {
  readonly serial: Serial;
  /** The lane does not take the frame of this position again. Called in the lane's turn. */
  readonly hasPassed: (position: Position) => Promise<boolean>;
  /** The parking lot has let go of it. Called in the lane's turn. */
  readonly settled: (parked: ParkedWrite) => Promise<void>;
}

export class Retry {
  readonly #context: Context;
  readonly #host: RetryHost;

  constructor(context: Context, host: RetryHost) {
    this.#context = context;
    this.#host = host;
  }

  /** Rejects where a store or a processor service is away: then nothing has changed. */
  async retry(parked: ParkedWrite): Promise<Retried> {
    const work = newWork(parked.write, parked.position.seq, parked.position.index);
    work.inDatabase = parked.inDatabase;
    await this.#process(work);
    return this.#host.serial.run(async () => {
      if (!(await this.#host.hasPassed(parked.position))) return AHEAD;
      if (work.outcome === '') await this.#apply(parked, work);
      else if (isBegun(parked)) decide(work, 'parked', 'RETRY_BEGUN', `${BEGUN}, and now ${work.message}`);
      return this.#finish(parked, work);
    });
  }

  /** One whose retry has begun is finished instead: the answer says what became of it. */
  discard(parked: ParkedWrite): Promise<Retried> {
    if (isBegun(parked)) return this.retry(parked);
    return this.#host.serial.run(async () => {
      if (!(await this.#host.hasPassed(parked.position))) return AHEAD;
      const work = newWork(parked.write, parked.position.seq, parked.position.index);
      decide(work, 'rejected', parked.code, 'discarded');
      await this.#tellSlaves(parked, work);
      return this.#finish(parked, work);
    });
  }

  async #process(work: Work): Promise<void> {
    const { config, runtime, processors } = this.#context;
    const nowMs = runtime.nowMs();
    if (stampMs(work.write.stamp) > nowMs + config.topology.limits.clockAheadMsMax) {
      return decide(work, 'parked', 'STAMP_FUTURE', aheadOfClock(work.write.stamp, nowMs));
    }
    if (!isForRoom(this.#context, work.write.kind)) return;
    try {
      Object.assign(work, await processors.run(work.write));
    } catch (cause) {
      const error = asWmbError(cause);
      if (!parks(error.code)) throw error;
      decide(work, 'parked', error.code, error.message);
    }
  }

  async #apply(parked: ParkedWrite, work: Work): Promise<void> {
    if (!isBegun(parked)) await this.#begin(parked);
    if (this.#context.executes && work.statements.length > 0 && !work.inDatabase) {
      const [outcome] = await executeWorks(this.#context, parked.position, [], [work]);
      if (outcome?.status === 'refused') return decide(work, 'parked', 'STATEMENT_FAILED', `the database refused it: ${outcome.reason}`);
      work.inDatabase = true;
    }
    await this.#tellSlaves(parked, work);
    const place = { lane: parked.position, generation: this.#context.view.generation, moves: [] };
    const [outcome] = await applyWorks(this.#context, place, work.effects.length > 0 ? [work] : []);
    settleInCache(work, holdsFloor(parked) ? replayed(outcome) : outcome);
  }

  #begin(parked: ParkedWrite): Promise<void> {
    const begun = { ...parked, code: 'RETRY_BEGUN' as const, message: BEGUN };
    const { book, runtime, config } = this.#context;
    return book.failAgain({ ...begun, retryMs: retryAt(begun, config.topology.limits.clockAheadMsMax, runtime) });
  }

  async #tellSlaves(parked: ParkedWrite, work: Work): Promise<void> {
    const { effectLog } = this.#context;
    if (effectLog !== undefined)
      await appendEffects(this.#context, effectLog, parked.position.partition, [[entryOf(parked.position, work)]]);
  }

  async #finish(parked: ParkedWrite, work: Work): Promise<Retried> {
    const { book, runtime, config } = this.#context;
    const { outcome, code, message } = work;
    if (outcome === 'parked') {
      const again = { ...parked, code: code as ErrorCode, message, attempts: parked.attempts + 1, inDatabase: work.inDatabase };
      await book.failAgain({ ...again, retryMs: retryAt(again, config.topology.limits.clockAheadMsMax, runtime) });
    } else {
      const touched = outcome !== 'rejected' && work.effects.length > 0;
      await book.settle({
        position: parked.position,
        requestId: parked.write.requestId,
        outcome: outcome as Exclude<Outcome, 'parked'>,
        code,
        effects: touched ? await effectsToKeep(this.#context, parked.position, work.commands) : undefined,
      });
      await this.#host.settled(parked);
    }
    return { outcome: outcome as Outcome, code, message };
  }
}
