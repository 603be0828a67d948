/** The receipt book in SQLite: `book.db` in the room's directory. One process has it open. */
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { type ErrorCode, WmbError } from '../../core/errors.ts';
import { NO_STAMP } from '../../core/stamp.ts';
import {
  type Lane,
  type LogName,
  type Mark,
  NOTHING_SEEN,
  type Outcome,
  type Position,
  parsePosition,
  type RoomId,
  type Seq,
} from '../../core/words.ts';
import type {
  BookEntry,
  EpochLane,
  ExceptionReceipt,
  FrameReceipt,
  LaneSummary,
  ParkedWrite,
  ReceiptBook,
  Selection,
  Settlement,
} from './receipts.ts';
import { bookError, openBookFile } from './schema.ts';

type Row = Record<string, SQLOutputValue>;

/** Frames whose rows are kept, per lane; the checker compares within them. */
export const FRAMES_KEPT = 100_000;
/** Taken out of the parking lot by one `all`: they are held in memory meanwhile. */
const SELECT_MAX = 10_000;
/** Old rows go this many frames at a time, not with every batch. */
const TRIM_EVERY_FRAMES = 512;
const SELECT_PARKED = 'SELECT parked.*, log, origin, partition, epoch FROM parked JOIN lanes ON lanes.id = parked.lane';

export class EmbeddedBook implements ReceiptBook {
  readonly #file: string;
  readonly #room: RoomId;
  readonly #framesKept: number;
  readonly #statements = new Map<string, StatementSync>();
  readonly #laneIds = new Map<string, number>();
  #db: DatabaseSync | undefined;
  #parkedTotal = 0;

  /** `framesKept`: see {@link FRAMES_KEPT}; tests keep fewer. */
  constructor(options: { readonly file: string; readonly room: RoomId; readonly framesKept?: number }) {
    this.#file = options.file;
    this.#room = options.room;
    this.#framesKept = options.framesKept ?? FRAMES_KEPT;
  }

  async open(): Promise<void> {
    this.#db = openBookFile(this.#file, this.#room);
    this.#parkedTotal = Number(this.#sql('SELECT count(*) AS total FROM parked').get()?.['total']);
  }

  async marks(): Promise<readonly Mark[]> {
    const rows = this.#read(
      'SELECT log, origin, partition, epoch, seq FROM lanes WHERE id IN (SELECT max(id) FROM lanes GROUP BY log, origin, partition) AND seq >= 0',
    );
    return rows.map((row) => ({ ...laneOf(row), seq: Number(row['seq']) }));
  }

  async summary(lane: EpochLane): Promise<LaneSummary> {
    const id = this.#findLane(lane);
    const row = id === undefined ? undefined : this.#read('SELECT seq, writes, stamp_last FROM lanes WHERE id = ?', id)[0];
    if (id === undefined || row === undefined) {
      return {
        epoch: lane.epoch,
        seq: NOTHING_SEEN,
        writes: 0,
        stampLast: NO_STAMP,
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
      stampLast: String(row['stamp_last']),
      parkedSeq: this.#number(`SELECT min(seq) AS n FROM exceptions WHERE lane = ? AND outcome = 'parked'`, id),
      parked: this.#number('SELECT count(*) AS n FROM parked WHERE lane = ?', id),
      knownSeq: Math.max(seq, this.#number('SELECT max(seq) AS n FROM exceptions WHERE lane = ?', id)),
    };
  }

  async record(entries: readonly BookEntry[]): Promise<void> {
    const before = this.#parkedTotal;
    try {
      this.#transaction(() => {
        for (const entry of entries) this.#recordEntry(entry);
      });
    } catch (cause) {
      this.#parkedTotal = before;
      throw cause;
    }
  }

  #recordEntry(entry: BookEntry): void {
    const lane = this.#laneId(entry.lane);
    const mark = this.#read('SELECT seq, writes, stamp_last FROM lanes WHERE id = ?', lane)[0];
    const stored = Number(mark?.['seq']);
    let writes = Number(mark?.['writes']);
    for (const frame of entry.frames) {
      this.#sql('INSERT OR REPLACE INTO frames VALUES (?, ?, ?, ?, ?)').run(
        lane,
        frame.seq,
        frame.count,
        frame.stampFirst,
        frame.stampLast,
      );
      // What an earlier run wrote about the frame gives way to what is written now.
      if (frame.seq <= stored) this.#sql('DELETE FROM exceptions WHERE lane = ? AND seq = ?').run(lane, frame.seq);
      else writes += frame.count;
    }
    for (const it of entry.exceptions) this.#putException(lane, it);
    for (const it of entry.parked) this.#park(lane, it);
    const last = entry.frames.at(-1);
    if (last === undefined || last.seq <= stored) return;
    this.#sql('UPDATE lanes SET seq = ?, writes = ?, stamp_last = ? WHERE id = ?').run(last.seq, writes, last.stampLast, lane);
    this.#trim(lane, stored, last);
  }

  #putException(lane: number, it: ExceptionReceipt): void {
    if (it.outcome === 'applied') this.#sql('DELETE FROM exceptions WHERE lane = ? AND seq = ? AND place = ?').run(lane, it.seq, it.index);
    else
      this.#sql('INSERT OR REPLACE INTO exceptions VALUES (?, ?, ?, ?, ?, ?)').run(
        lane,
        it.seq,
        it.index,
        it.requestId,
        it.outcome,
        it.code,
      );
  }

  #park(lane: number, it: ParkedWrite): void {
    const { write, position } = it;
    const { changes } = this.#sql(
      `INSERT INTO parked (lane, seq, place, request_id, kind, key, stamp, trace, payload, code, message, attempts, parked_ms, retry_ms, in_database)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (lane, seq, place) DO NOTHING`,
    ).run(
      lane,
      position.seq,
      position.index,
      write.requestId,
      write.kind,
      write.key,
      write.stamp,
      write.trace,
      write.payload,
      it.code,
      it.message,
      it.attempts,
      it.parkedMs,
      it.retryMs ?? null,
      it.inDatabase ? 1 : 0,
    );
    this.#parkedTotal += Number(changes);
  }

  #trim(lane: number, stored: Seq, last: FrameReceipt): void {
    if (Math.floor(stored / TRIM_EVERY_FRAMES) === Math.floor(last.seq / TRIM_EVERY_FRAMES)) return;
    const below = last.seq - this.#framesKept;
    this.#sql('DELETE FROM frames WHERE lane = ? AND seq <= ?').run(lane, below);
    this.#sql(`DELETE FROM exceptions WHERE lane = ? AND seq <= ? AND outcome <> 'parked'`).run(lane, below);
  }

  async exceptions(lane: EpochLane, from: Seq, to: Seq): Promise<readonly ExceptionReceipt[]> {
    const id = this.#findLane(lane);
    if (id === undefined) return [];
    const rows = this.#read(
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

  async parkedKeys(lane: EpochLane): Promise<readonly { key: string; seq: Seq; index: number }[]> {
    const id = this.#findLane(lane);
    if (id === undefined) return [];
    const rows = this.#read('SELECT key, seq, place FROM parked WHERE lane = ? ORDER BY seq, place', id);
    return rows.map((row) => ({ key: String(row['key']), seq: Number(row['seq']), index: Number(row['place']) }));
  }

  async list(after: string, limit: number): Promise<readonly ParkedWrite[]> {
    const position = parsePosition(after);
    const found = position === undefined ? undefined : this.#findLane(position);
    const from =
      position === undefined || found === undefined
        ? 0
        : this.#number('SELECT max(id) AS n FROM parked WHERE lane = ? AND (seq, place) <= (?, ?)', found, position.seq, position.index);
    return this.#read(`${SELECT_PARKED} WHERE parked.id > ? ORDER BY parked.id LIMIT ?`, from, limit).map(parkedOf);
  }

  async select(selection: Selection): Promise<readonly ParkedWrite[]> {
    if (selection.all) return this.#read(`${SELECT_PARKED} ORDER BY parked.lane, parked.seq, place LIMIT ?`, SELECT_MAX).map(parkedOf);
    const rows = selection.writes.flatMap((name) => this.#selectOne(name));
    rows.sort(
      (a, b) => Number(a['lane']) - Number(b['lane']) || Number(a['seq']) - Number(b['seq']) || Number(a['place']) - Number(b['place']),
    );
    return rows.map(parkedOf);
  }

  #selectOne(name: string): Row[] {
    const position = parsePosition(name);
    if (position === undefined) return this.#read(`${SELECT_PARKED} WHERE request_id = ?`, name);
    const lane = this.#findLane(position);
    return lane === undefined
      ? []
      : this.#read(`${SELECT_PARKED} WHERE parked.lane = ? AND parked.seq = ? AND place = ?`, lane, position.seq, position.index);
  }

  async firstOfKey(lane: EpochLane, key: string): Promise<ParkedWrite | undefined> {
    const id = this.#findLane(lane);
    if (id === undefined) return undefined;
    return this.#read(`${SELECT_PARKED} WHERE parked.lane = ? AND key = ? ORDER BY parked.seq, place LIMIT 1`, id, key).map(parkedOf)[0];
  }

  async due(nowMs: number, limit: number): Promise<readonly ParkedWrite[]> {
    return this.#read(`${SELECT_PARKED} WHERE retry_ms <= ? ORDER BY retry_ms LIMIT ?`, nowMs, limit).map(parkedOf);
  }

  async settle(it: Settlement): Promise<void> {
    const { seq, index } = it.position;
    const lane = this.#laneId(it.position);
    const gone = this.#transaction(() => {
      this.#putException(lane, { seq, index, requestId: it.requestId, outcome: it.outcome, code: it.code });
      return this.#sql('DELETE FROM parked WHERE lane = ? AND seq = ? AND place = ?').run(lane, seq, index).changes;
    });
    this.#parkedTotal -= Number(gone);
  }

  async failAgain(it: ParkedWrite): Promise<void> {
    const { seq, index } = it.position;
    const lane = this.#laneId(it.position);
    this.#transaction(() => {
      this.#sql(
        'UPDATE parked SET code = ?, message = ?, attempts = ?, retry_ms = ?, in_database = ? WHERE lane = ? AND seq = ? AND place = ?',
      ).run(it.code, it.message, it.attempts, it.retryMs ?? null, it.inDatabase ? 1 : 0, lane, seq, index);
      this.#putException(lane, { seq, index, requestId: it.write.requestId, outcome: 'parked', code: it.code });
    });
  }

  parkedTotal(): number {
    return this.#parkedTotal;
  }

  /** Runs `task` on the file, for what else is kept beside the receipts. Failures come as the book's own. */
  guarded<T>(task: (db: DatabaseSync) => T): T {
    try {
      return task(this.#open());
    } catch (cause) {
      throw bookError(cause, this.#file);
    }
  }

  #open(): DatabaseSync {
    if (this.#db === undefined) throw new WmbError('STORE_UNAVAILABLE', `the receipt book ${this.#file} is not open`);
    return this.#db;
  }

  async close(): Promise<void> {
    this.#db?.close();
    this.#db = undefined;
    this.#statements.clear();
    this.#laneIds.clear();
  }

  #laneId(lane: EpochLane): number {
    const found = this.#findLane(lane);
    if (found !== undefined) return found;
    this.#sql('INSERT INTO lanes (log, origin, partition, epoch, seq, writes, stamp_last) VALUES (?, ?, ?, ?, -1, 0, ?)').run(
      lane.log,
      lane.origin,
      lane.partition,
      lane.epoch,
      NO_STAMP,
    );
    return this.#findLane(lane) ?? 0;
  }

  #findLane(lane: EpochLane): number | undefined {
    const name = `${lane.log}/${lane.origin}/${lane.partition}@${lane.epoch}`;
    const known = this.#laneIds.get(name);
    if (known !== undefined) return known;
    const sql = 'SELECT id FROM lanes WHERE log = ? AND origin = ? AND partition = ? AND epoch = ?';
    const row = this.#read(sql, lane.log, lane.origin, lane.partition, lane.epoch)[0];
    if (row === undefined) return undefined;
    // Not within a transaction: a lane that is rolled back would be remembered.
    if (!this.#open().isTransaction) this.#laneIds.set(name, Number(row['id']));
    return Number(row['id']);
  }

  #transaction<T>(task: () => T): T {
    const db = this.#open();
    try {
      db.exec('BEGIN IMMEDIATE');
      const result = task();
      db.exec('COMMIT');
      return result;
    } catch (cause) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw bookError(cause, this.#file);
    }
  }

  #read(sql: string, ...params: (string | number)[]): Row[] {
    return this.guarded(() => this.#sql(sql).all(...params));
  }

  /** The number that `sql` names n; -1 where it is NULL. */
  #number(sql: string, ...params: (string | number)[]): number {
    return Number(this.#read(sql, ...params)[0]?.['n'] ?? NOTHING_SEEN);
  }

  #sql(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#open().prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

function laneOf(row: Row): Lane & { epoch: string } {
  return { log: row['log'] as LogName, origin: String(row['origin']), partition: Number(row['partition']), epoch: String(row['epoch']) };
}

function parkedOf(row: Row): ParkedWrite {
  const position: Position = { ...laneOf(row), seq: Number(row['seq']), index: Number(row['place']) };
  return {
    position,
    write: {
      requestId: String(row['request_id']),
      kind: String(row['kind']),
      key: String(row['key']),
      stamp: String(row['stamp']),
      trace: String(row['trace']),
      payload: row['payload'] as Uint8Array,
    },
    code: row['code'] as ErrorCode,
    message: String(row['message']),
    attempts: Number(row['attempts']),
    parkedMs: Number(row['parked_ms']),
    retryMs: row['retry_ms'] === null ? undefined : Number(row['retry_ms']),
    inDatabase: row['in_database'] === 1,
  };
}
