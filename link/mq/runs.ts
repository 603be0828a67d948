/**
 * What is known of one lane's records in an inbox. Seqs ascend with the offsets, but for four cases: a reship that was restarted may repeat what it has sent; one that
 * was asked for older frames goes back to them; a log that was made anew begins at 0 under another epoch; and one that lost its tail gives the same seqs to other frames. A
 * **run** is a stretch of records in which no seq is missing; repetitions within it count for nothing. Records say in which run they are. Only the newest run goes on.
 */
import type { LogEpoch, Seq } from '../../core/words.ts';

/** Places that are remembered stand so many write requests apart: so much more history must be here than is wanted, for it to be found from any seq on. */
export const CHECKPOINT_WRITES = 1024;

export interface RunRecord {
  readonly offset: number;
  readonly run: number;
  readonly epoch: LogEpoch;
  readonly seq: Seq;
  /** Number of write requests in it; 0 for one that only begins a run. */
  readonly count: number;
}

interface Checkpoint {
  readonly offset: number;
  readonly seq: Seq;
  /** Write requests of the run before it. */
  readonly writes: number;
}

interface Run {
  readonly number: number;
  readonly epoch: LogEpoch;
  readonly checkpoints: Checkpoint[];
  next: Seq;
  writes: number;
}

export interface Wanted {
  readonly epoch: LogEpoch;
  readonly after: Seq;
  /** Write requests up to `after` that must be there too. */
  readonly historyWrites: number;
  /** There is no older history than from this seq on, so that less is enough. */
  readonly historyFrom: Seq | undefined;
}

export interface Place {
  readonly offset: number;
  readonly seq: Seq;
}

export class LaneRuns {
  #run: Run | undefined;

  /** False: it came late, and belongs to a run that is over. */
  add(record: RunRecord): boolean {
    const { offset, run: number, epoch, seq, count } = record;
    const run = this.#run;
    if (run !== undefined && number < run.number) return false;
    if (count === 0) this.#run = beginning({ number, epoch, offset, seq: seq + 1 });
    else if (run === undefined || number > run.number || epoch !== run.epoch || seq > run.next || seq < firstOf(run).seq) {
      this.#run = beginning({ number, epoch, offset, seq });
      this.#extend(this.#run, record);
    } else if (seq === run.next) this.#extend(run, record);
    return true;
  }

  /** Where to begin to read so that nothing of what is wanted is left out; undefined where it is not here. `next` may be still to come. */
  locate({ epoch, after, historyWrites, historyFrom }: Wanted): Place | undefined {
    const run = this.#run;
    if (run === undefined || run.epoch !== epoch || after + 1 < firstOf(run).seq || after + 1 > run.next) return undefined;
    const first = firstOf(run);
    const [before, writes] = this.#upTo(run, after);
    if (historyWrites <= 0 || after < 0) return before;
    const from = run.checkpoints.findLast((each) => each.writes <= writes - historyWrites);
    if (from !== undefined) return from;
    return first.seq === 0 || (historyFrom !== undefined && first.seq <= historyFrom) ? first : undefined;
  }

  /** The offset before which nothing is needed by whoever has applied everything up to `mark` and wants that much history; undefined where all is needed. */
  needlessBefore(epoch: LogEpoch, mark: Seq, historyWrites: number): number | undefined {
    const run = this.#run;
    if (run === undefined || run.epoch !== epoch || mark + 1 < firstOf(run).seq || mark >= run.next) return undefined;
    const [, writes] = this.#upTo(run, mark);
    // Whoever reads it anew remembers other places, each up to so many write requests away.
    const from = run.checkpoints.findLastIndex((each) => each.writes <= writes - historyWrites - 2 * CHECKPOINT_WRITES);
    if (from <= 0) return from === 0 ? firstOf(run).offset : undefined;
    run.checkpoints.splice(0, from);
    return run.checkpoints[0]?.offset;
  }

  /** The last place remembered at or before the frame after `seq`, and how many write requests of the run lie before that frame, or somewhat less. */
  #upTo(run: Run, seq: Seq): readonly [Checkpoint, number] {
    const before = run.checkpoints.findLast((each) => each.seq <= seq + 1) as Checkpoint;
    return [before, seq + 1 === run.next ? run.writes : before.writes];
  }

  #extend(run: Run, { offset, seq, count }: RunRecord): void {
    const last = run.checkpoints.at(-1) as Checkpoint;
    if (run.writes - last.writes + count > CHECKPOINT_WRITES) run.checkpoints.push({ offset, seq, writes: run.writes });
    run.next = seq + 1;
    run.writes += count;
  }
}

function beginning({ number, epoch, offset, seq }: { number: number; epoch: LogEpoch; offset: number; seq: Seq }): Run {
  return { number, epoch, checkpoints: [{ offset, seq, writes: 0 }], next: seq, writes: 0 };
}

/** There is always one. */
function firstOf({ checkpoints }: Run): Checkpoint {
  return checkpoints[0] as Checkpoint;
}
