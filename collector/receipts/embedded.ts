/** The receipt book in SQLite: `book.db` in the room's directory. One process has it open, or the book of a share that one which has its lease. */
import type { DatabaseSync } from 'node:sqlite';
import type { ErrorCode } from '../../core/errors.ts';
import { type FrameReceipts, RECEIPT_FRAMES_KEPT, type SeqRange } from '../../core/inspection.ts';
import { NO_STAMP, type Stamp } from '../../core/stamp.ts';
import { type Lane, type Mark, NOTHING_SEEN, type Outcome, type Position, type Seq } from '../../core/words.ts';
import { BookFile, type BookFileOptions, laneOf } from './book-file.ts';
import { FrameRows } from './frame-rows.ts';
import { PARKING_LIMITS, type ParkingLimits, ParkingLot, RETRIED_LIMITS, type RetriedLimits } from './parking-lot.ts';
import type {
  BookEntry,
  EpochLane,
  ExceptionReceipt,
  FrameReceipt,
  LaneSummary,
  ParkedPlace,
  ParkedWrite,
  ReceiptBook,
  RetriedWrite,
  Settlement,
  Skip,
  SkipDraft,
} from './receipts.ts';
import { Skips } from './skips.ts';

/** Old rows go this many frames at a time, not with every batch. */
const TRIM_EVERY_FRAMES = 512;
const PUT_FRAME = `INSERT INTO frames (lane, seq, count, stamp_first, stamp_last, applied_ms) VALUES (?, ?, ?, ?, ?, ?)
  ON CONFLICT (lane, seq) DO UPDATE SET count = excluded.count, stamp_first = excluded.stamp_first, stamp_last = excluded.stamp_last`;

export interface EmbeddedBookOptions extends BookFileOptions {
  /** See {@link RECEIPT_FRAMES_KEPT}; tests keep fewer, as with the limits. */
  readonly framesKept?: number;
  readonly parking?: ParkingLimits;
  readonly retried?: RetriedLimits;
}

export class EmbeddedBook implements ReceiptBook {
  readonly #file: BookFile;
  readonly #lot: ParkingLot;
  readonly #skips: Skips;
  readonly #rows: FrameRows;
  readonly #framesKept: number;

  constructor(options: EmbeddedBookOptions) {
    this.#file = new BookFile(options);
    this.#lot = new ParkingLot(this.#file, options.parking ?? PARKING_LIMITS, options.retried ?? RETRIED_LIMITS);
    this.#skips = new Skips(this.#file);
    this.#framesKept = options.framesKept ?? RECEIPT_FRAMES_KEPT;
    this.#rows = new FrameRows(this.#file, this.#framesKept);
  }

  async open(): Promise<void> {
    await this.#file.open();
    this.#lot.recount();
  }

  async marks(): Promise<readonly Mark[]> {
    const rows = this.#file.read(
      'SELECT log, origin, partition, epoch, seq FROM lanes WHERE id IN (SELECT max(id) FROM lanes GROUP BY log, origin, partition) AND seq >= 0',
    );
    return rows.map((row) => ({ ...laneOf(row), seq: Number(row['seq']) }));
  }

  async summary(lane: EpochLane): Promise<LaneSummary> {
    const id = this.#file.findLane(lane);
    const row = id === undefined ? undefined : this.#file.read('SELECT seq, writes, stamp_last FROM lanes WHERE id = ?', id)[0];
    if (id === undefined || row === undefined) {
      return {
        epoch: lane.epoch,
        seq: NOTHING_SEEN,
        writes: 0,
        through: NO_STAMP,
        parkedSeq: NOTHING_SEEN,
        parked: 0,
        knownSeq: NOTHING_SEEN,
      };
    }
    const seq = Number(row['seq']);
    return {
      epoch: lane.epoch,
      seq,
      writes: Number(row['writes']),
      through: String(row['stamp_last']),
      parkedSeq: this.#file.number(`SELECT min(seq) AS n FROM exceptions WHERE lane = ? AND outcome = 'parked'`, id),
      parked: this.#file.number('SELECT count(*) AS n FROM parked WHERE lane = ?', id),
      knownSeq: Math.max(seq, this.#file.number('SELECT max(seq) AS n FROM exceptions WHERE lane = ?', id)),
    };
  }

  record(entries: readonly BookEntry[]): Promise<void> {
    return this.#changing(() => {
      for (const entry of entries) this.#recordEntry(entry);
    });
  }

  /** A transaction that may change what is parked. */
  async #changing(task: () => void): Promise<void> {
    try {
      this.#file.transaction(task);
    } catch (cause) {
      this.#lot.recount();
      throw cause;
    }
    await this.#file.durable();
  }

  #recordEntry(entry: BookEntry): void {
    const lane = this.#file.laneId(entry.lane);
    const mark = this.#file.read('SELECT seq, writes, stamp_last FROM lanes WHERE id = ?', lane)[0];
    const stored = Number(mark?.['seq']);
    let writes = Number(mark?.['writes']);
    for (const frame of entry.frames) {
      this.#file.sql(PUT_FRAME).run(lane, frame.seq, frame.count, frame.stampFirst, frame.stampLast, frame.appliedMs);
      // What an earlier run wrote about the frame gives way to what is written now.
      if (frame.seq <= stored) this.#file.sql('DELETE FROM exceptions WHERE lane = ? AND seq = ?').run(lane, frame.seq);
      else writes += frame.count;
    }
    for (const it of entry.exceptions) this.#putException(lane, it);
    for (const it of entry.parked) this.#lot.park(lane, it);
    const last = entry.frames.at(-1);
    if (last === undefined || last.seq <= stored) return;
    this.#file.sql('UPDATE lanes SET seq = ?, writes = ?, stamp_last = ? WHERE id = ?').run(last.seq, writes, last.through, lane);
    this.#trim(lane, stored, last);
  }

  #putException(lane: number, it: ExceptionReceipt): void {
    if (it.outcome === 'applied')
      this.#file.sql('DELETE FROM exceptions WHERE lane = ? AND seq = ? AND place = ?').run(lane, it.seq, it.index);
    else
      this.#file
        .sql('INSERT OR REPLACE INTO exceptions VALUES (?, ?, ?, ?, ?, ?)')
        .run(lane, it.seq, it.index, it.requestId, it.outcome, it.code);
  }

  #trim(lane: number, stored: Seq, last: FrameReceipt): void {
    if (Math.floor(stored / TRIM_EVERY_FRAMES) === Math.floor(last.seq / TRIM_EVERY_FRAMES)) return;
    const below = last.seq - this.#framesKept;
    this.#file.sql(`DELETE FROM exceptions WHERE lane = ? AND seq <= ? AND outcome <> 'parked'`).run(lane, below);
    // Without its frame what is parked would not be told by any receipt.
    this.#file
      .sql('DELETE FROM frames WHERE lane = ?1 AND seq <= ?2 AND seq NOT IN (SELECT seq FROM exceptions WHERE lane = ?1 AND seq <= ?2)')
      .run(lane, below);
  }

  async exceptions(lane: EpochLane, from: Seq, to: Seq): Promise<readonly ExceptionReceipt[]> {
    const id = this.#file.findLane(lane);
    if (id === undefined) return [];
    const rows = this.#file.read(
      'SELECT seq, place, request_id, outcome, code FROM exceptions WHERE lane = ? AND seq BETWEEN ? AND ? ORDER BY seq, place',
      id,
      from,
      to,
    );
    return rows.map((row) => ({
      seq: Number(row['seq']),
      index: Number(row['place']),
      requestId: String(row['request_id']),
      outcome: row['outcome'] as Outcome,
      code: row['code'] as ErrorCode | '',
    }));
  }

  async frames(range: SeqRange): Promise<readonly FrameReceipts[]> {
    return this.#rows.frames(range);
  }

  async digest(range: SeqRange): Promise<string> {
    return this.#rows.digest(range);
  }

  async parkedKeys(lane: EpochLane): Promise<readonly { key: string; seq: Seq; index: number }[]> {
    const id = this.#file.findLane(lane);
    return id === undefined ? [] : this.#lot.keys(id);
  }

  async list(after: string, limit: number): Promise<readonly ParkedWrite[]> {
    return this.#lot.list(after, limit);
  }

  async page(after: string, limit: number): Promise<readonly ParkedPlace[]> {
    return this.#lot.page(after, limit);
  }

  async select(names: readonly string[]): Promise<readonly ParkedPlace[]> {
    return this.#lot.select(names);
  }

  async find(position: Position): Promise<ParkedWrite | undefined> {
    return this.#lot.find(position);
  }

  async firstOfKey(lane: EpochLane, key: string): Promise<ParkedWrite | undefined> {
    const id = this.#file.findLane(lane);
    return id === undefined ? undefined : this.#lot.firstOfKey(id, key);
  }

  async due(nowMs: number, limit: number): Promise<readonly ParkedPlace[]> {
    return this.#lot.due(nowMs, limit);
  }

  async settle({ position, requestId, outcome, code, effects }: Settlement): Promise<void> {
    const { seq, index } = position;
    const lane = this.#file.laneId(position);
    await this.#changing(() => {
      this.#putException(lane, { seq, index, requestId, outcome, code });
      this.#lot.leave(lane, position, effects);
    });
  }

  async failAgain(it: ParkedWrite): Promise<void> {
    const { seq, index } = it.position;
    const lane = this.#file.laneId(it.position);
    this.#file.transaction(() => {
      this.#lot.failAgain(lane, it);
      this.#putException(lane, { seq, index, requestId: it.write.requestId, outcome: 'parked', code: it.code });
    });
    await this.#file.durable();
  }

  async retried(lane: EpochLane, cacheSeq: Seq, after: number, limit: number): Promise<readonly RetriedWrite[]> {
    return this.#lot.retried(lane, cacheSeq, after, limit);
  }

  async forgetRetried(upTo: Stamp): Promise<void> {
    await this.#changing(() => this.#lot.forgetRetried(upTo));
  }

  async parkAgain(
    retried: RetriedWrite,
    why: { readonly code: ErrorCode; readonly message: string; readonly nowMs: number },
  ): Promise<void> {
    const lane = this.#file.laneId(retried.position);
    const { seq, index } = retried.position;
    await this.#changing(() => {
      this.#putException(lane, { seq, index, requestId: retried.requestId, outcome: 'parked', code: why.code });
      this.#lot.parkAgain(lane, retried, why);
    });
  }

  async beginSkip(draft: SkipDraft): Promise<Skip> {
    const skip = this.#skips.begin(draft);
    await this.#file.durable();
    return skip;
  }

  async finishSkip(skip: Skip): Promise<void> {
    this.#skips.finish(skip);
    await this.#file.durable();
  }

  async pendingSkip(lane: Lane): Promise<Skip | undefined> {
    return this.#skips.pending(lane);
  }

  async skips(lane: Lane): Promise<readonly Skip[]> {
    return this.#skips.all(lane);
  }

  async inRange(lane: EpochLane, from: Seq, to: Seq): Promise<{ readonly writes: number | undefined; readonly parked: number }> {
    return this.#skips.inRange(lane, from, to);
  }

  parkedTotal(): number {
    return this.#lot.total;
  }

  parkedBytes(): number {
    return this.#lot.bytes;
  }

  /** Runs `task` on the file, for what else is kept beside the receipts. Failures come as the book's own. */
  guarded<T>(task: (db: DatabaseSync) => T): T {
    return this.#file.guarded(task);
  }

  /** As `guarded`, for a task that changes something. */
  change(task: (db: DatabaseSync) => void): void {
    this.#file.transaction(() => this.#file.guarded(task));
  }

  /** Resolves when what was changed until now survives this machine, where it has to. STORE_LOCKED, LOG_UNAVAILABLE. */
  durable(): Promise<void> {
    return this.#file.durable();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
