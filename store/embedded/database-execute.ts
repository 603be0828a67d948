/**
 * Batches of write requests as one transaction of the master's database.
 *
 * Each write request with statements has a savepoint of its own: what the database refuses undoes that write request only. Two things
 * undo more than they should, and then all of it is run again with what was learned:
 * - a statement that rolls the whole transaction back (INSERT OR ROLLBACK, RAISE(ROLLBACK)): its write request is refused beforehand;
 * - changes that do not fit one frame: each write request gets a frame of its own, and one that does not fit even so is refused.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import { STAMP_DIGITS, type Stamp } from '../../core/stamp.ts';
import type { LogEpoch, RoomId, Seq } from '../../core/words.ts';
import { encodeFrame, FRAME_BYTES_MAX } from '../../link/frame.ts';
import { appendFrames, readPartition } from '../../log/embedded/schema.ts';
import type { FrameDraft } from '../../log/log.ts';
import type { DatabaseBatch, DatabaseOutcome, DatabaseResult, DatabaseWrite } from '../database.ts';
import { BEHIND_REFUSED, COMMITTED, type RequestRecord } from '../request-record.ts';
import { ChangeRecorder } from './database-changes.ts';
import { refusalReason } from './database-errors.ts';
import type { SqlGuard } from './database-guard.ts';
import type { Tables } from './database-schema.ts';
import { Statements } from './database-statements.ts';
import { inTransaction, type MarkTable, type RequestTable } from './database-tables.ts';

/** Of a changeset: leaves room for what else is in a frame's body. */
const CHANGES_BYTES_MAX = FRAME_BYTES_MAX - 1_024;
const PARTITION = 0;

export interface BatchRunnerOptions {
  readonly db: DatabaseSync;
  readonly guard: SqlGuard;
  readonly tables: Tables;
  readonly marks: MarkTable;
  readonly requests: RequestTable;
  readonly room: RoomId;
  /** Of the changes log. */
  readonly epoch: LogEpoch;
}

export interface GroupRun {
  /** One per batch. */
  readonly results: readonly DatabaseResult[];
  /** Frames went into the changes log. */
  readonly changed: boolean;
}

/** One attempt, with what earlier ones have taught. */
interface Attempt {
  readonly recorder: ChangeRecorder;
  /** Finished changesets, one per frame. */
  readonly changes: Uint8Array[];
  readonly lessons: Lessons;
}

interface Lessons {
  readonly refused: Map<DatabaseWrite, string>;
  framePerWrite: boolean;
}

/** Thrown to undo an attempt and make another. */
class RunAgain extends Error {}

export class BatchRunner {
  readonly #options: BatchRunnerOptions;
  readonly #statements: Statements;
  readonly #savepoint: StatementSync;
  readonly #release: StatementSync;

  constructor(options: BatchRunnerOptions) {
    const { db, guard, tables } = options;
    this.#options = options;
    this.#statements = new Statements(db, guard, tables);
    this.#savepoint = db.prepare('SAVEPOINT wmb_write');
    this.#release = db.prepare('RELEASE wmb_write');
  }

  /** One transaction for all batches, with one frame of changes for all; whatever calls for another attempt undoes all of it. */
  runGroup(batches: readonly DatabaseBatch[]): GroupRun {
    const lessons: Lessons = { refused: new Map(), framePerWrite: false };
    for (;;) {
      try {
        return inTransaction(this.#options.db, () => this.#attempt(batches, lessons));
      } catch (cause) {
        if (!(cause instanceof RunAgain)) throw cause;
      }
    }
  }

  #attempt(batches: readonly DatabaseBatch[], lessons: Lessons): GroupRun {
    const attempt: Attempt = { lessons, recorder: new ChangeRecorder(this.#options.db), changes: [] };
    try {
      const results = batches.map((batch) => this.#runBatch(attempt, batch));
      this.#cutLastFrame(attempt);
      return { results, changed: this.#append(attempt, batches) };
    } finally {
      attempt.recorder.close();
    }
  }

  #runBatch(attempt: Attempt, batch: DatabaseBatch): DatabaseResult {
    const stale = this.#options.marks.refused(batch.moves);
    if (stale !== undefined) return { moved: false, stored: stale.stored };
    this.#moveMarks(batch);
    const held = new Set<string>();
    const outcomes = batch.writes.map((write) => {
      if (write.key !== undefined && held.has(write.key)) return BEHIND_REFUSED;
      const outcome = this.#write(attempt, batch, write);
      if (outcome.status === 'refused' && write.key !== undefined && write.passes !== true) held.add(write.key);
      return outcome;
    });
    this.#record(batch, outcomes);
    return { moved: true, outcomes };
  }

  #moveMarks(batch: DatabaseBatch): void {
    const { marks, requests } = this.#options;
    for (const move of batch.moves) {
      const stored = marks.get(move);
      // Other write requests will have these seqs.
      if (stored !== undefined && (stored.epoch !== move.epoch || stored.seq > move.next)) requests.forget(move);
      marks.move(move);
    }
  }

  #write(attempt: Attempt, batch: DatabaseBatch, write: DatabaseWrite): DatabaseOutcome {
    if (write.withheld !== undefined) return { status: 'refused', reason: write.withheld };
    if (write.statements.length === 0) return COMMITTED;
    const { lessons } = attempt;
    const isRetry = batch.moves.length === 0;
    if (isRetry && this.#options.requests.isCommitted(batch.lane, write)) return COMMITTED;
    const reason = lessons.refused.get(write) ?? this.#runInSavepoint(attempt, write);
    return reason === undefined ? COMMITTED : { status: 'refused', reason };
  }

  /** Why the write request is refused, and then undone; undefined where it is done. */
  #runInSavepoint(attempt: Attempt, write: DatabaseWrite): string | undefined {
    const { db } = this.#options;
    this.#savepoint.run();
    const reason = this.#runStatements(write) ?? sizeRefusal(attempt);
    if (reason === undefined) {
      this.#release.run();
      if (attempt.lessons.framePerWrite) attempt.changes.push(attempt.recorder.take());
      return undefined;
    }
    if (!db.isTransaction) {
      attempt.lessons.refused.set(write, `${reason} (it rolls the whole transaction back, which holds other write requests too)`);
      throw new RunAgain();
    }
    db.exec('ROLLBACK TO wmb_write; RELEASE wmb_write');
    return reason;
  }

  #runStatements(write: DatabaseWrite): string | undefined {
    let ordinal = 0;
    for (const statement of write.statements) {
      ordinal += 1;
      try {
        this.#statements.run(statement, write.stamp);
      } catch (cause) {
        const reason = refusalReason(cause);
        if (reason === undefined) throw cause;
        return `statement ${ordinal} of ${write.statements.length}${statement.op === 'upsert' ? ` (upsert into ${statement.table})` : ''}: ${reason}`;
      }
    }
    return undefined;
  }

  #record(batch: DatabaseBatch, outcomes: readonly DatabaseOutcome[]): void {
    const { requests } = this.#options;
    const frames = new Map<Seq, RequestRecord[]>();
    batch.writes.forEach((write, at) => {
      const outcome = outcomes[at];
      if (outcome === undefined || (write.statements.length === 0 && outcome.status === 'committed')) return;
      const frame = frames.get(write.seq) ?? [];
      frame.push({ index: write.index, requestId: write.requestId, refusal: outcome.status === 'refused' ? outcome.reason : undefined });
      frames.set(write.seq, frame);
    });
    for (const [seq, records] of frames) requests.record(batch.lane, seq, records);
    requests.trim();
  }

  #cutLastFrame({ recorder, changes, lessons }: Attempt): void {
    const rest = recorder.peek();
    recorder.close();
    if (rest.length > CHANGES_BYTES_MAX) {
      if (lessons.framePerWrite) throw new WmbError('INTERNAL', `the marks of one batch take ${rest.length} bytes`);
      lessons.framePerWrite = true;
      throw new RunAgain();
    }
    if (rest.length > 0) changes.push(rest);
  }

  #append({ changes }: Attempt, batches: readonly DatabaseBatch[]): boolean {
    if (changes.length === 0) return false;
    const { db, room, epoch } = this.#options;
    // Batches come from several lanes, so a later one may hold older stamps; the log's own never go back.
    let stamp = readPartition(db, PARTITION).stampLast || '0'.repeat(STAMP_DIGITS);
    for (const { writes } of batches) for (const write of writes) if (write.stamp > stamp) stamp = write.stamp;
    const drafts = changes.map((payload) => changesFrame({ room, epoch, payload, stamp }));
    appendFrames(db, drafts);
    return true;
  }
}

function sizeRefusal({ lessons, recorder }: Attempt): string | undefined {
  if (!lessons.framePerWrite) return undefined;
  const { length } = recorder.peek();
  return length > CHANGES_BYTES_MAX
    ? `its row changes take ${length} bytes; at most ${CHANGES_BYTES_MAX} can be shipped to the slave rooms`
    : undefined;
}

function changesFrame(change: { room: RoomId; epoch: LogEpoch; payload: Uint8Array; stamp: Stamp }): FrameDraft {
  const { room, epoch, payload, stamp } = change;
  const write = { requestId: '', kind: 'wmb.changes', key: '', trace: '', payload, stamp };
  const bytes = encodeFrame({ log: 'changes', origin: room, partition: PARTITION, epoch }, [write]);
  return { partition: PARTITION, bytes, count: 1, stampFirst: stamp, stampLast: stamp };
}
