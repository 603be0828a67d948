/**
 * The checker's own records in SQLite: `checker.db` in the room's directory. One process has it open.
 *
 * Drifts are few and are written seldom, so every commit is fsynced: an audit row that says `begun` is there after any crash of the repair that follows it.
 *
 * Format history: 1 — the first.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import type { RoomId } from '../../core/words.ts';
import type { AuditEntry, Drift, DriftBook, DriftStatus, KeptAudit } from '../drift.ts';

const FORMAT = 1;
/** Closed drifts and audit entries are history: the newest are kept. What is open is never forgotten. */
const CLOSED_KEPT = 10_000;
const AUDITS_KEPT = 100_000;
/** History is cut back once in so many writes. */
const TRIM_EVERY = 256;

const TABLES = `
CREATE TABLE IF NOT EXISTS checker (one INTEGER PRIMARY KEY CHECK (one = 1), format INTEGER NOT NULL, room TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS drifts (
  id TEXT PRIMARY KEY, status TEXT NOT NULL, confirmed_ms INTEGER NOT NULL, closed_ms INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS drifts_status ON drifts (status, confirmed_ms);
CREATE INDEX IF NOT EXISTS drifts_confirmed ON drifts (confirmed_ms);
CREATE TABLE IF NOT EXISTS audits (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, drift_id TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
  result TEXT NOT NULL, by TEXT NOT NULL, detail TEXT NOT NULL
) STRICT;
`;

export interface EmbeddedDriftBookOptions {
  readonly file: string;
  readonly room: RoomId;
  /** Tests keep fewer. */
  readonly closedKept?: number;
  readonly auditsKept?: number;
}

export class EmbeddedDriftBook implements DriftBook {
  readonly #options: EmbeddedDriftBookOptions;
  #db: DatabaseSync | undefined;
  #writes = 0;

  constructor(options: EmbeddedDriftBookOptions) {
    this.#options = options;
  }

  /** STORE_LOCKED, STORE_FOREIGN, STORE_READONLY or STORE_UNAVAILABLE, naming the file. */
  async open(): Promise<void> {
    this.#db = openFile(this.#options);
    this.#trim();
  }

  async put(drifts: readonly Drift[]): Promise<void> {
    if (drifts.length === 0) return;
    this.#write((db) => {
      const insert = db.prepare('INSERT OR REPLACE INTO drifts VALUES (?, ?, ?, ?, ?)');
      for (const drift of drifts) insert.run(drift.id, drift.status, drift.confirmedMs, drift.closedMs, JSON.stringify(drift));
    });
  }

  async get(id: string): Promise<Drift | undefined> {
    const row = this.#read((db) => db.prepare('SELECT body FROM drifts WHERE id = ?').get(id));
    return row && driftOf(row);
  }

  async list({ status, limit }: { readonly status: DriftStatus | 'all'; readonly limit: number }): Promise<readonly Drift[]> {
    const order = 'ORDER BY confirmed_ms DESC, id LIMIT ?';
    const rows = this.#read((db) =>
      status === 'all'
        ? db.prepare(`SELECT body FROM drifts ${order}`).all(limit)
        : db.prepare(`SELECT body FROM drifts WHERE status = ? ${order}`).all(status, limit),
    );
    return rows.map(driftOf);
  }

  async counts(): Promise<{ readonly open: number; readonly repaired: number; readonly healed: number }> {
    const rows = this.#read((db) => db.prepare('SELECT status, count(*) AS n FROM drifts GROUP BY status').all());
    const count = (status: DriftStatus) => Number(rows.find((row) => row['status'] === status)?.['n'] ?? 0);
    return { open: count('open'), repaired: count('repaired'), healed: count('healed') };
  }

  async audit(entry: AuditEntry): Promise<number> {
    const { atMs, driftId, action, subject, result, by, detail } = entry;
    const sql = 'INSERT INTO audits (at_ms, drift_id, action, subject, result, by, detail) VALUES (?, ?, ?, ?, ?, ?, ?)';
    return this.#write((db) => Number(db.prepare(sql).run(Math.floor(atMs), driftId, action, subject, result, by, detail).lastInsertRowid));
  }

  async settleAudit(id: number, result: AuditEntry['result'], detail: string): Promise<void> {
    this.#write((db) => db.prepare('UPDATE audits SET result = ?, detail = ? WHERE id = ?').run(result, detail, id));
  }

  async audits(limit: number): Promise<readonly KeptAudit[]> {
    return this.#read((db) => db.prepare('SELECT * FROM audits ORDER BY id DESC LIMIT ?').all(limit)).map(auditOf);
  }

  async close(): Promise<void> {
    this.#db?.close();
    this.#db = undefined;
  }

  #read<T>(question: (db: DatabaseSync) => T): T {
    try {
      return question(this.#opened());
    } catch (cause) {
      throw bookError(cause, this.#options.file);
    }
  }

  #write<T>(work: (db: DatabaseSync) => T): T {
    const result = this.#inTransaction(work);
    this.#writes += 1;
    if (this.#writes % TRIM_EVERY === 0) this.#trim();
    return result;
  }

  #inTransaction<T>(work: (db: DatabaseSync) => T): T {
    const db = this.#opened();
    try {
      db.exec('BEGIN IMMEDIATE');
      const result = work(db);
      db.exec('COMMIT');
      return result;
    } catch (cause) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw bookError(cause, this.#options.file);
    }
  }

  #trim(): void {
    const { closedKept = CLOSED_KEPT, auditsKept = AUDITS_KEPT } = this.#options;
    this.#inTransaction((db) => {
      const closed = "SELECT rowid FROM drifts WHERE status <> 'open' ORDER BY closed_ms DESC LIMIT -1 OFFSET ?";
      db.prepare(`DELETE FROM drifts WHERE rowid IN (${closed})`).run(closedKept);
      db.prepare('DELETE FROM audits WHERE id <= (SELECT max(id) FROM audits) - ?').run(auditsKept);
    });
  }

  #opened(): DatabaseSync {
    if (this.#db === undefined) throw new WmbError('STORE_UNAVAILABLE', `the checker's records ${this.#options.file} are not open`);
    return this.#db;
  }
}

function openFile({ file, room }: EmbeddedDriftBookOptions): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(file), { recursive: true });
    db = new DatabaseSync(file, { timeout: 0 });
    // The lock is taken at once and goes with the process, so that a second checker of the room is told at its start.
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE; COMMIT');
    requireOwn(db, { file, room });
    return db;
  } catch (cause) {
    db?.close();
    throw bookError(cause, file);
  }
}

function requireOwn(db: DatabaseSync, { file, room }: EmbeddedDriftBookOptions): void {
  const exists = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'checker'").get() !== undefined;
  const row = exists ? db.prepare('SELECT format, room FROM checker').get() : undefined;
  const foreign = (what: string) => new WmbError('STORE_FOREIGN', `${file} ${what}; give this room (${room}) its own directory`);
  if (row !== undefined && Number(row['format']) > FORMAT) throw foreign(`was written by a newer WMB (format ${Number(row['format'])})`);
  if (row !== undefined && row['room'] !== room) throw foreign(`holds the records of the checker of room ${String(row['room'])}`);
  db.exec(TABLES);
  db.prepare('INSERT OR IGNORE INTO checker VALUES (1, ?, ?)').run(FORMAT, room);
}

function driftOf(row: Record<string, SQLOutputValue>): Drift {
  return JSON.parse(String(row['body'])) as Drift;
}

function auditOf(row: Record<string, SQLOutputValue>): KeptAudit {
  return {
    id: Number(row['id']),
    atMs: Number(row['at_ms']),
    driftId: String(row['drift_id']),
    action: row['action'] as AuditEntry['action'],
    subject: String(row['subject']),
    result: row['result'] as AuditEntry['result'],
    by: String(row['by']),
    detail: String(row['detail']),
  };
}

const BUSY = 5;
const READONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANNOT_OPEN = 14;
const NOT_A_DATABASE = 26;

function bookError(cause: unknown, file: string): unknown {
  if (cause instanceof WmbError || !(cause instanceof Error)) return cause;
  const detail = cause.message;
  const error = (code: 'STORE_LOCKED' | 'STORE_READONLY' | 'STORE_CORRUPT' | 'STORE_FULL' | 'STORE_UNAVAILABLE', what: string) =>
    new WmbError(code, `the checker's records ${file} ${what} (${detail})`, { cause });
  switch ('errcode' in cause && typeof cause.errcode === 'number' ? cause.errcode & 0xff : undefined) {
    case BUSY:
      return error('STORE_LOCKED', 'are open in another process; one room has one checker');
    case READONLY:
    case CANNOT_OPEN:
      return error('STORE_READONLY', 'cannot be opened for writing; check the permissions');
    case CORRUPT:
    case NOT_A_DATABASE:
      return error('STORE_CORRUPT', 'are damaged; remove the file: open drifts are found again, closed ones and the audit are lost');
    case FULL:
      return error('STORE_FULL', 'cannot grow: no space is left');
    default:
      return 'code' in cause ? error('STORE_UNAVAILABLE', 'failed') : cause;
  }
}
