/**
 * A `writes` lane of a room that gets only the effects: a slave room of a master–slave topology. Its mark is moved by the effects lane
 * of the master; it takes no frames itself, but the origin's pulses reach it and the acks for the origin come from it.
 */
import { compileCommands } from '../../core/converge/commands.ts';
import { WmbError } from '../../core/errors.ts';
import { NO_STAMP } from '../../core/stamp.ts';
import { formatPosition, type Lane, type LogEpoch, laneKey, NOTHING_SEEN, type Seq } from '../../core/words.ts';
import type { LaneEnd } from '../../link/link.ts';
import type { LaneConsumer, LaneProgress } from '../lane.ts';
import type { Retried, Retryable } from '../receipts/parked.ts';
import type { EpochLane, ExceptionReceipt, ParkedWrite, RetriedEffects } from '../receipts/receipts.ts';
import { Serial } from '../receipts/serial.ts';
import { applyDerivedAgain, effectsToKeep } from './again.ts';
import { type Context, markOf } from './context.ts';
import { parseEntry } from './effect-entries.ts';
import { Progress } from './progress.ts';
import { applyWorks, settleInCache } from './steps.ts';
import { newWork } from './work.ts';

export class DerivedLane implements LaneConsumer, Retryable {
  readonly #lane: Lane;
  readonly #context: Context;
  readonly #serial = new Serial();
  readonly #progress = new Progress();
  /** As it was last heard of. */
  #cacheSeq: Seq = NOTHING_SEEN;

  constructor(lane: Lane, context: Context) {
    this.#lane = { log: lane.log, origin: lane.origin, partition: lane.partition };
    this.#context = context;
  }

  get progressState(): Progress {
    return this.#progress;
  }

  /** Tells what the stores hold. LOG_GAP where the cache is in another epoch. */
  async announce(epoch: LogEpoch): Promise<void> {
    const lane = { ...this.#lane, epoch };
    const { marks } = await this.#context.view.marks();
    await this.advance(lane, markOf(lane, epoch, { name: 'cache', marks }));
  }

  /** The cache may have come back from an older copy. Called in the turn of the effects lane that moves this one's marks. */
  async lookAgain(): Promise<void> {
    await this.applyAgain();
    const { epoch } = this.#progress;
    if (epoch !== '') await this.announce(epoch);
  }

  /** What was retried here and the cache may have lost. */
  applyAgain(): Promise<void> {
    return this.#serial.run(() => applyDerivedAgain(this.#context, this.#lane));
  }

  /**
   * The book or the cache has moved on: so does what the origin is told. A cache that came back from an older copy counts, though the book is
   * ahead of it: were the floor to pass what the cache still has to get, it would be late there.
   */
  async advance(
    lane: EpochLane,
    cacheSeq: Seq,
    batch?: { readonly from: Seq; readonly exceptions: readonly ExceptionReceipt[] },
  ): Promise<void> {
    this.#cacheSeq = cacheSeq;
    const summary = await this.#context.book.summary(lane);
    // Whoever called last knows best, also where he is answered first.
    const mark = Math.min(summary.seq, this.#cacheSeq);
    this.#progress.set({
      epoch: lane.epoch,
      mark,
      writes: summary.writes,
      through: mark === summary.seq ? summary.through : NO_STAMP,
      parked: summary.parked,
    });
    const told = batch?.exceptions.map(({ seq, index, outcome, code }) => ({ seq, index, outcome, reason: code })) ?? [];
    const from = batch?.from ?? mark + 1;
    this.#context.acks.publish(lane, { seq: mark, parkedSeq: summary.parkedSeq, from }, told);
  }

  async resume(): Promise<never> {
    throw this.#takesNothing();
  }

  async take(): Promise<never> {
    throw this.#takesNothing();
  }

  #takesNothing(): WmbError {
    return new WmbError('INTERNAL', `${laneKey(this.#lane)} comes to this room through the master's effect log and takes no frames itself`);
  }

  /** What is parked here was late for this room's cache: only its effects are applied again. */
  retry(parked: ParkedWrite): Promise<Retried> {
    return this.#serial.run(async () => {
      const { position, write } = parked;
      const work = newWork(write, position.seq, position.index);
      work.commands = parseEntry(write, formatPosition(position)).commands;
      work.effects = compileCommands(work.commands, write.stamp);
      const place = { lane: position, generation: this.#context.view.generation, moves: [] };
      const [outcome] = await applyWorks(this.#context, place, [work]);
      settleInCache(work, outcome);
      if (work.outcome !== 'parked') {
        const effects = await effectsToKeep(this.#context, position, work.commands);
        return this.#settle(parked, work.outcome === 'superseded' ? 'superseded' : 'applied', effects);
      }
      await this.#context.book.failAgain({ ...parked, attempts: parked.attempts + 1 });
      return { outcome: 'parked', code: parked.code, message: parked.message };
    });
  }

  discard(parked: ParkedWrite): Promise<Retried> {
    return this.#serial.run(() => this.#settle(parked, 'rejected', undefined));
  }

  async #settle(
    parked: ParkedWrite,
    outcome: 'applied' | 'superseded' | 'rejected',
    effects: RetriedEffects | undefined,
  ): Promise<Retried> {
    const code = outcome === 'rejected' ? parked.code : '';
    await this.#context.book.settle({ position: parked.position, requestId: parked.write.requestId, outcome, code, effects });
    const { log, origin, partition, epoch } = parked.position;
    if (epoch === this.#progress.epoch) await this.advance({ log, origin, partition, epoch }, this.#cacheSeq);
    return { outcome, code, message: '' };
  }

  pulse(end: LaneEnd, sentMs: number): void {
    this.#progress.pulse(end, sentMs);
  }

  progress(): LaneProgress {
    return this.#progress.report(this.#context.runtime.nowMs());
  }
}
