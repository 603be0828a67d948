/**
 * Batches of write requests as one transaction.
 *
 * All of a transaction's write requests are first sent together, as few statements of many rows. What the server refuses undoes what was sent, back to a
 * savepoint, and each half is sent by itself, until the one that is refused stands alone: refusals are rare, and cost a few statements each.
 */
import { type Lane, laneKey, type Mark, NOTHING_SEEN, type Seq } from '../../core/words.ts';
import type { MarkMove } from '../cache.ts';
import type { DatabaseBatch, DatabaseOutcome, DatabaseResult, DatabaseWrite } from '../database.ts';
import { BEHIND_REFUSED, COMMITTED, isRecorded, mergedRecord, type RecordRow, type RequestRecord } from '../request-record.ts';
import { isDuplicateKey, refusalReason } from './errors.ts';
import { type FrameRecord, forgetRecords, lockMarks, lockRecords, trimRecords, writeMarks, writeRecords } from './own-tables.ts';
import { type Checked, type Checker, runStatements } from './plan.ts';
import type { Session } from './session.ts';

/** A lane's records are trimmed when its mark has passed so many frames. */
const TRIM_FRAMES = 1_024;

export interface RunOptions {
  readonly session: Session;
  readonly checker: Checker;
  readonly packetBytesMax: number;
}

/** Of a batch: the keys that a refused write request holds up, from which place on. */
type Held = Map<string, number>;

/** A write request whose statements are to run. */
interface Ready {
  readonly write: DatabaseWrite;
  readonly statements: readonly Checked[];
  /** Where its outcome goes. */
  readonly outcomes: DatabaseOutcome[];
  readonly place: number;
  readonly held: Held;
}

/** Thrown where a mark that was not there has been made by another collector meanwhile: the transaction is to be made again. */
export class RunAgain extends Error {}

/** One transaction. Throws what the server said where it failed as a whole; nothing is committed then, or it is not known. */
export async function runTransaction(options: RunOptions, batches: readonly DatabaseBatch[]): Promise<readonly DatabaseResult[]> {
  const { session } = options;
  await session.query('START TRANSACTION');
  try {
    const results = await new Transaction(options).run(batches);
    await session.query('COMMIT');
    return results;
  } catch (cause) {
    if (session.isOpen) await session.query('ROLLBACK').catch(() => session.destroy());
    throw cause;
  }
}

class Transaction {
  readonly #options: RunOptions;
  readonly #marks = new Map<string, Mark>();
  readonly #moves = new Map<string, { move: MarkMove; isNew: boolean }>();
  readonly #records = new Map<string, RecordRow>();
  readonly #changed = new Map<string, FrameRecord>();

  constructor(options: RunOptions) {
    this.#options = options;
  }

  async run(batches: readonly DatabaseBatch[]): Promise<readonly DatabaseResult[]> {
    const { session } = this.#options;
    for (const [name, mark] of await lockMarks(
      session,
      batches.flatMap(({ moves }) => moves),
    ))
      this.#marks.set(name, mark);
    for (const [name, row] of await lockRecords(session, retriedFrames(batches))) this.#records.set(name, row);
    const ready: Ready[] = [];
    const results: DatabaseResult[] = [];
    for (const batch of batches) results.push(await this.#begin(batch, ready));
    if (ready.length > 0) await this.#runAll(ready, 0);
    batches.forEach((batch, at) => {
      const result = results[at];
      if (result?.moved) this.#record(batch, result.outcomes);
    });
    await this.#writeOwn();
    return results;
  }

  /** Moves the batch's marks and says which of its write requests are to run; the outcomes of the others are there. */
  async #begin(batch: DatabaseBatch, ready: Ready[]): Promise<DatabaseResult> {
    const stale = batch.moves.find((move) => !this.#isExpected(move));
    if (stale !== undefined) return { moved: false, stored: this.#marks.get(laneKey(stale)) };
    for (const move of batch.moves) await this.#move(move);
    const outcomes: DatabaseOutcome[] = [];
    const held: Held = new Map();
    batch.writes.forEach((write, place) => {
      const checked = this.#check(batch, write, held);
      outcomes.push('status' in checked ? checked : COMMITTED);
      if ('status' in checked) hold(held, { write, place }, checked);
      else ready.push({ write, statements: checked, outcomes, place, held });
    });
    return { moved: true, outcomes };
  }

  #isExpected(move: MarkMove): boolean {
    const stored = this.#marks.get(laneKey(move));
    return move.expected === (stored?.epoch === move.epoch ? stored.seq : NOTHING_SEEN);
  }

  async #move(move: MarkMove): Promise<void> {
    const { session } = this.#options;
    const name = laneKey(move);
    const stored = this.#marks.get(name);
    // Other write requests will have these seqs.
    if (stored !== undefined && (stored.epoch !== move.epoch || stored.seq > move.next)) await forgetRecords(session, move);
    else if (Math.floor(move.next / TRIM_FRAMES) !== Math.floor(move.expected / TRIM_FRAMES)) {
      await trimRecords(session, { lane: move, seq: move.next });
    }
    const isNew = stored === undefined || this.#moves.get(name)?.isNew === true;
    this.#moves.set(name, { move, isNew });
    this.#marks.set(name, { log: move.log, origin: move.origin, partition: move.partition, epoch: move.epoch, seq: move.next });
  }

  /** The outcome where nothing is to run, otherwise the statements. */
  #check(batch: DatabaseBatch, write: DatabaseWrite, held: Held): DatabaseOutcome | readonly Checked[] {
    if (write.key !== undefined && held.has(write.key)) return BEHIND_REFUSED;
    if (write.withheld !== undefined) return { status: 'refused', reason: write.withheld };
    if (write.statements.length === 0) return COMMITTED;
    const isRetry = batch.moves.length === 0;
    if (isRetry && isRecorded(this.#records.get(frameKey(batch.lane, write.seq)), write)) return COMMITTED;
    const statements: Checked[] = [];
    for (const statement of write.statements) {
      try {
        statements.push(this.#options.checker.check(statement, write.stamp));
      } catch (cause) {
        return refused(write, statements.length, cause);
      }
    }
    return statements;
  }

  async #runAll(ready: readonly Ready[], depth: number): Promise<void> {
    const open = ready.filter((it) => this.#isOpen(it));
    const [first] = open;
    if (first === undefined) return;
    const { session } = this.#options;
    await session.query(`SAVEPOINT wmb_${depth}`, true);
    if (open.length === 1) {
      const outcome = await this.#runOne(first);
      if (outcome.status === 'committed') return;
      await session.query(`ROLLBACK TO SAVEPOINT wmb_${depth}`, true);
      return settle(first, outcome);
    }
    if (await this.#runTogether(open)) return;
    await session.query(`ROLLBACK TO SAVEPOINT wmb_${depth}`, true);
    const half = Math.ceil(open.length / 2);
    await this.#runAll(open.slice(0, half), depth + 1);
    await this.#runAll(open.slice(half), depth + 1);
  }

  /** One that stands behind a refused one of its key is refused too. */
  #isOpen(it: Ready): boolean {
    const from = it.write.key === undefined ? undefined : it.held.get(it.write.key);
    if (from === undefined || it.place < from) return true;
    settle(it, BEHIND_REFUSED);
    return false;
  }

  /** False: something was refused. */
  async #runTogether(ready: readonly Ready[]): Promise<boolean> {
    const { session, packetBytesMax } = this.#options;
    try {
      await runStatements(
        session,
        ready.flatMap((it) => it.statements),
        packetBytesMax / 2,
      );
      return true;
    } catch (cause) {
      if (refusalReason(cause) === undefined) throw cause;
      return false;
    }
  }

  async #runOne({ write, statements }: Ready): Promise<DatabaseOutcome> {
    for (const [at, statement] of statements.entries()) {
      try {
        await runStatements(this.#options.session, [statement], this.#options.packetBytesMax);
      } catch (cause) {
        return refused(write, at, cause);
      }
    }
    return COMMITTED;
  }

  #record(batch: DatabaseBatch, outcomes: readonly DatabaseOutcome[]): void {
    const frames = new Map<Seq, RequestRecord[]>();
    batch.writes.forEach((write, at) => {
      const outcome = outcomes[at];
      if (outcome === undefined || (write.statements.length === 0 && outcome.status === 'committed')) return;
      const frame = frames.get(write.seq) ?? [];
      frame.push({ index: write.index, requestId: write.requestId, refusal: outcome.status === 'refused' ? outcome.reason : undefined });
      frames.set(write.seq, frame);
    });
    for (const [seq, requests] of frames) {
      const name = frameKey(batch.lane, seq);
      const merged = mergedRecord(this.#records.get(name), requests);
      this.#records.set(name, merged);
      this.#changed.set(name, { lane: laneKey(batch.lane), seq, ...merged });
    }
  }

  async #writeOwn(): Promise<void> {
    const { session } = this.#options;
    await writeRecords(session, [...this.#changed.values()]);
    try {
      await writeMarks(session, [...this.#moves.values()]);
    } catch (cause) {
      if (isDuplicateKey(cause)) throw new RunAgain();
      throw cause;
    }
  }
}

/** Frames that may have a record already: those of retries. What lies above a mark has none. */
function retriedFrames(batches: readonly DatabaseBatch[]): readonly { readonly lane: Lane; readonly seq: Seq }[] {
  const frames = new Map<string, { readonly lane: Lane; readonly seq: Seq }>();
  for (const { moves, lane, writes } of batches) {
    const first =
      moves.length === 0
        ? Number.POSITIVE_INFINITY
        : (moves.find((move) => laneKey(move) === laneKey(lane))?.expected ?? Number.POSITIVE_INFINITY);
    for (const { seq } of writes) if (seq <= first) frames.set(frameKey(lane, seq), { lane, seq });
  }
  return [...frames.values()];
}

function frameKey(lane: Lane, seq: Seq): string {
  return `${laneKey(lane)} ${seq}`;
}

function settle(it: Ready, outcome: DatabaseOutcome): void {
  it.outcomes[it.place] = outcome;
  hold(it.held, it, outcome);
}

function hold(held: Held, { write, place }: Pick<Ready, 'write' | 'place'>, outcome: DatabaseOutcome): void {
  if (outcome.status === 'committed' || write.key === undefined || write.passes === true) return;
  held.set(write.key, Math.min(place, held.get(write.key) ?? place));
}

/** Throws `cause` where it is not the statement's fault. */
function refused(write: DatabaseWrite, at: number, cause: unknown): DatabaseOutcome {
  const reason = refusalReason(cause);
  if (reason === undefined) throw cause;
  const statement = write.statements[at];
  const where = statement?.op === 'upsert' ? ` (upsert into ${statement.table})` : '';
  return { status: 'refused', reason: `statement ${at + 1} of ${write.statements.length}${where}: ${reason}` };
}
