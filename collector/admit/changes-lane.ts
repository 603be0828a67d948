/** The consumer of a `changes` lane: the embedded master's row changes go into this room's slave database, together with the mark. */
import { WmbError } from '../../core/errors.ts';
import { NO_STAMP } from '../../core/stamp.ts';
import { type Lane, type LogEpoch, laneKey, NOTHING_SEEN, type Seq } from '../../core/words.ts';
import type { LaneEnd, LinkFrame } from '../../link/link.ts';
import type { DatabaseStore } from '../../store/database.ts';
import type { LaneConsumer, LaneProgress } from '../lane.ts';
import type { EpochLane } from '../receipts/receipts.ts';
import { Serial } from '../receipts/serial.ts';
import { type Context, markMoved, markOf } from './context.ts';
import { cutBatch, type SeqFrame } from './frames.ts';
import { Progress } from './progress.ts';

export class ChangesLane implements LaneConsumer {
  readonly #lane: Lane;
  readonly #context: Context;
  readonly #database: DatabaseStore;
  readonly #serial = new Serial();
  readonly #progress = new Progress();
  #at: EpochLane | undefined;

  constructor(lane: Lane, context: Context, database: DatabaseStore) {
    this.#lane = { log: lane.log, origin: lane.origin, partition: lane.partition };
    this.#context = context;
    this.#database = database;
  }

  resume(offer: { readonly epoch: LogEpoch }): Promise<{ readonly after: Seq; readonly historyWrites: number }> {
    return this.#serial.run(async () => {
      this.#at = undefined;
      const lane = { ...this.#lane, epoch: offer.epoch };
      const mark = markOf(lane, offer.epoch, { name: 'database', marks: await this.#database.marks() });
      // Each frame of a changes log is one transaction: the mark counts them.
      this.#progress.set({ epoch: offer.epoch, mark, writes: mark + 1, through: NO_STAMP, parked: 0 });
      this.#at = lane;
      this.#context.acks.publish(lane, { seq: mark, parkedSeq: NOTHING_SEEN }, []);
      return { after: mark, historyWrites: 0 };
    });
  }

  take(frames: readonly LinkFrame[]): Promise<void> {
    return this.#serial.run(async () => {
      const lane = this.#at;
      if (lane === undefined) throw new WmbError('LOG_UNAVAILABLE', `${laneKey(this.#lane)} must be resumed before it takes frames`);
      this.#at = undefined;
      for (let place = 0; place < frames.length; ) {
        const cut = cutBatch({ lane, epoch: lane.epoch, items: frames, at: place }, this.#progress.mark + 1, []);
        place = cut.at;
        if (cut.batch.length > 0) await this.#batch(lane, cut.batch);
        if (place < frames.length) await this.#context.breathe();
      }
      this.#at = lane;
    });
  }

  /** CHANGES_CONFLICT stops the lane: this database is not the master's any more. */
  async #batch(lane: EpochLane, frames: readonly SeqFrame[]): Promise<void> {
    const startedMs = this.#context.runtime.monotonicMs();
    const expected = this.#progress.mark;
    const last = frames.at(-1);
    const next = last?.seq ?? expected;
    const changes = frames.flatMap((frame) => frame.writes.map((write) => write.payload));
    const { moved, stored } = await this.#database.applyChanges({ ...lane, expected, next }, changes);
    if (!moved) throw markMoved(lane, 'database', expected, stored);
    if (last !== undefined) this.#progress.reach(last);
    this.#progress.writes += changes.length;
    this.#context.acks.publish(lane, { seq: next, parkedSeq: NOTHING_SEEN }, []);
    this.#context.meters.batch(
      this.#lane,
      frames,
      changes.map(() => ({ outcome: 'applied' as const })),
      startedMs,
    );
  }

  async skipGap(): Promise<never> {
    throw new WmbError(
      'LOG_GAP',
      `${laneKey(this.#lane)} cannot be skipped: this room's database would miss row changes for good; restore it from the master's ` +
        '(docs/databases.md, “When a slave has to be restored”)',
    );
  }

  pulse(end: LaneEnd, sentMs: number): void {
    this.#progress.pulse(end, sentMs);
  }

  progress(): LaneProgress {
    return this.#progress.report(this.#context.runtime.nowMs());
  }
}
