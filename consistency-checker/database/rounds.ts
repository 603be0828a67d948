/**
 * A slave room's database compared with the master's in the background (L4), in rounds that read for a short time each, so that it costs both servers little. A pass over all tables goes on from
 * round to round. What differs is looked at again after the grace period, at a later equal transaction id, and only what still differs in the same way is drift. See comparison.ts for why lag never is.
 *
 * It is the slave's checker that compares and repairs: it knows both servers. Each round has connections of its own, so tables are seen as they are now, and a repair never meets a round in a transaction.
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Service } from '../../daemon/service.ts';
import type { ReplicaStatus } from '../../store/replica.ts';
import type { ComparableDatabase, DifferingRow, RowKey, RowRepair } from '../../store/row-comparison.ts';
import type { Drift } from '../drift.ts';
import type { DatabaseMeters, RoundMeters } from '../meters.ts';
import { ago } from '../report/pair.ts';
import { plural } from '../report/phrases.ts';
import { type DatabaseRooms, type FoundRow, rowDrift, stampOf } from '../report/row.ts';
import type { WatchedBook } from '../report/watched-book.ts';
import { type ConfirmedRow, compareChunk, confirm, isSameDifference, unlikeShapes } from './comparison.ts';
import { repairRows, whyNotTaken } from './repair.ts';
import { parseRowName, rowName } from './row-name.ts';

export interface OpenDatabases {
  readonly master: ComparableDatabase & RowRepair;
  readonly slave: ComparableDatabase;
}

export interface DatabaseRoundsOptions {
  readonly rooms: DatabaseRooms;
  /** Whoever opens them closes them. */
  readonly open: () => Promise<OpenDatabases>;
  readonly replica: () => Promise<ReplicaStatus>;
  /** The way of a write request, by its stamp. */
  readonly stamped: (stamp: string) => Promise<Drift['write']>;
  readonly book: WatchedBook;
  readonly meters: RoundMeters & DatabaseMeters;
  readonly settings: { readonly roundMs: number; readonly workMsMax: number };
  readonly graceMs: number;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** A digest of so many rows is one question to each server. */
const CHUNK_ROWS = 5_000;
/** How long a slave may take to come as far as the master before the round is given up. */
const BEHIND_MS_MAX = 5_000;
/** Rows that are followed at once, suspects and open drifts. Where more differ it searches no further: the database has to be made anew. */
const ROWS_MAX = 1_000;
const CONFIRMED_AT_ONCE = 50;
const LOOKED_AGAIN_MAX = 32;

interface Suspect {
  readonly row: ConfirmedRow;
  readonly since: number;
  readonly firstSeenMs: number;
}

/** Where a pass stands. */
interface Place {
  readonly table: string;
  readonly after: RowKey | undefined;
}

interface Round extends OpenDatabases {
  readonly behindMsMax: number;
  readonly inBoth: readonly string[];
  /** Tables that both have with the same columns, in order. */
  readonly tables: readonly string[];
  /** Which tables cannot be compared, for people; empty: none. */
  readonly lacking: string;
  readonly replica: ReplicaStatus;
  /** Whether time is left in it. */
  readonly hasTime: () => boolean;
}

export class DatabaseRounds implements Service {
  readonly name = 'database rounds';
  readonly #options: DatabaseRoundsOptions;
  readonly #stopped = new AbortController();
  readonly #suspects = new Map<string, Suspect>();
  #running: Promise<void> = Promise.resolve();
  #place: Place | undefined;
  /** Why what was read is not all; empty: it is. */
  #reason = '';
  #unsettled = 0;
  /** End of the last whole pass; undefined: there was none. */
  #passed: { readonly monotonic: number; readonly unsettled: number } | undefined;

  constructor(options: DatabaseRoundsOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    if (this.#options.settings.roundMs > 0) this.#running = this.#run();
    else this.#reason = 'checker.database.roundMs is 0';
  }

  /** The round under way is finished. */
  async drain(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
  }

  /** Since the end of the last pass over all tables; undefined: there was none. */
  get unverifiedMs(): number | undefined {
    return this.#passed && this.#options.runtime.monotonicMs() - this.#passed.monotonic;
  }

  /** How it stands, for people. */
  get text(): string {
    const what = `database of ${this.#options.rooms.master}`;
    const agoMs = this.unverifiedMs;
    const last = agoMs === undefined ? 'never yet as a whole' : `last as a whole ${ago(agoMs)}`;
    if (this.#reason !== '') return `not compared with the ${what} (${last}): ${this.#reason}`;
    const place = this.#place === undefined ? '' : `, now in table ${this.#place.table}`;
    const hot = this.#passed?.unsettled ?? 0;
    return `compared with the ${what}, ${last}${place}${hot === 0 ? '' : `; ${plural(hot, 'row')} changed between two looks`}`;
  }

  /** Both sides of a row read now, at an equal transaction id; undefined: they agree. */
  differs({ subject }: Pick<Drift, 'subject'>): Promise<FoundRow | undefined> {
    const named = parseRowName(subject.name);
    if (named === undefined) throw new WmbError('NOT_FOUND', `${subject.name} is no row of a database`);
    return this.#inRound(async (round) => {
      const { found, unsettled } = await this.#look(round, named.table, [named.key]);
      if (unsettled > 0) throw new WmbError('STORE_UNAVAILABLE', `${subject.name} is being written; look again when it rests`);
      return found[0];
    });
  }

  /** Writes a row anew in the master, unchanged. */
  rewrite(row: DifferingRow): Promise<void> {
    return this.#inRound(async (round) => {
      for await (const _ of repairRows({ ...round, dryRun: false }, [row]));
    });
  }

  async #run(): Promise<void> {
    const { runtime, settings } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await this.#roundOrFailure();
      await sleep(runtime, settings.roundMs, signal);
    }
  }

  async #roundOrFailure(): Promise<void> {
    const { meters, logger } = this.#options;
    const before = this.#reason;
    try {
      this.#reason = await this.#inRound((round) => this.#round(round));
      meters.databaseRound('');
    } catch (cause) {
      const { code, message } = asWmbError(cause);
      this.#reason = `${code}: ${message}`;
      meters.databaseRound(code);
    }
    if ((before === '') === (this.#reason === '')) return;
    if (this.#reason === '') logger.info({}, 'the database is compared with the master’s again');
    else logger.warn({ reason: this.#reason }, 'the database cannot be compared with the master’s');
  }

  async #inRound<T>(work: (round: Round) => Promise<T>): Promise<T> {
    const { open, replica: ask, runtime, settings } = this.#options;
    const replica = await ask();
    if (replica.state === 'stopped' || replica.state === 'not-set-up')
      throw new WmbError('STORE_UNAVAILABLE', `replication is ${replica.state}: ${replica.reason}`);
    const databases = await open();
    const endsMs = runtime.monotonicMs() + settings.workMsMax;
    const hasTime = () => !this.#stopped.signal.aborted && runtime.monotonicMs() < endsMs;
    try {
      const [all, theirs] = await Promise.all([databases.master.tables(), databases.slave.tables()]);
      const unlike = new Map<string, string>();
      for (const table of all.filter((name) => theirs.includes(name))) unlike.set(table, await unlikeShapes(databases, table));
      const tables = [...unlike].filter(([, how]) => how === '').map(([table]) => table);
      const lacking = [missingTables(all, theirs), ...unlike.values()].filter((text) => text !== '').join('; ');
      return await work({ ...databases, behindMsMax: BEHIND_MS_MAX, inBoth: [...unlike.keys()], tables, lacking, replica, hasTime });
    } finally {
      await Promise.all([databases.master.close(), databases.slave.close()]);
    }
  }

  /** Why it is not all; empty: it is. */
  async #round(round: Round): Promise<string> {
    await this.#confirmSuspects(round);
    await this.#lookAgain(round);
    const rows = this.#suspects.size + this.#openRows().length;
    if (rows >= ROWS_MAX) return `${rows} rows differ, and no more are looked for: make the database anew (docs/mysql.md)`;
    await this.#search(round);
    if (round.lacking !== '') return round.lacking;
    return round.replica.state === 'diverged' ? round.replica.reason : '';
  }

  #openRows(): readonly Drift[] {
    return [...this.#options.book.openDrifts.values()].filter(isRow);
  }

  /** At least one chunk, so that it comes to its end whatever else there is to do. */
  async #search(round: Round): Promise<void> {
    const { runtime } = this.#options;
    do {
      const place = placeIn(round.tables, this.#place);
      const { differing, unsettled, upTo } =
        place === undefined ? NOTHING : await compareChunk({ ...round, chunkRows: CHUNK_ROWS }, place.table, place.after);
      for (const row of differing) this.#suspect(row);
      this.#unsettled += unsettled;
      this.#place = place && nextPlace(round.tables, place, upTo);
      if (this.#place !== undefined) continue;
      this.#passed = { monotonic: runtime.monotonicMs(), unsettled: this.#unsettled };
      this.#unsettled = 0;
      return;
    } while (round.hasTime() && this.#suspects.size < ROWS_MAX);
  }

  /** Rows that are known to differ are looked at by name. */
  #suspect(row: ConfirmedRow): void {
    const { book, runtime } = this.#options;
    const name = rowName(row.table, row.key);
    if (this.#suspects.has(name) || this.#suspects.size >= ROWS_MAX) return;
    if ([...book.openDrifts.values()].some((drift) => isRow(drift) && drift.subject.name === name)) return;
    this.#suspects.set(name, { row, since: runtime.monotonicMs(), firstSeenMs: runtime.nowMs() });
  }

  async #confirmSuspects(round: Round): Promise<void> {
    const { runtime, graceMs } = this.#options;
    const due = [...this.#suspects].filter(([, { since }]) => runtime.monotonicMs() - since >= graceMs);
    for (const [table, some] of Map.groupBy(due, ([, { row }]) => row.table)) {
      for (let at = 0; at < some.length && round.hasTime(); at += CONFIRMED_AT_ONCE)
        await this.#confirmSome(round, table, some.slice(at, at + CONFIRMED_AT_ONCE));
    }
  }

  async #confirmSome(round: Round, table: string, some: readonly (readonly [name: string, suspect: Suspect])[]): Promise<void> {
    const keys = some.map(([, { row }]) => row.key);
    const { found } = round.tables.includes(table) ? await this.#look(round, table, keys) : { found: [] };
    const byName = new Map(found.map((it) => [rowName(table, it.row.key), it]));
    for (const [name, { row, firstSeenMs }] of some) {
      this.#suspects.delete(name);
      const now = byName.get(name);
      if (now === undefined) continue;
      // It differs in another way than before: that may be a write under way as well.
      if (isSameDifference(now.row, row)) await this.#record(now, firstSeenMs);
      else this.#suspect(now.row);
    }
  }

  /** Rows as both sides have them, of those that differ before and after they are read in the same way. */
  async #look(
    round: Round,
    table: string,
    keys: readonly RowKey[],
  ): Promise<{ readonly found: readonly FoundRow[]; readonly unsettled: number }> {
    const before = await confirm(round, table, keys);
    const read: Omit<FoundRow, 'replica'>[] = [];
    for (const row of before.differing) {
      const rows = [await round.master.row(table, row.key), await round.slave.row(table, row.key)] as const;
      read.push({ row, rows, ...(await planOf(round, row)) });
    }
    const keysRead = before.differing.map(({ key }) => key);
    const after = await confirm(round, table, keysRead);
    const still = new Map(after.differing.map((row) => [rowName(table, row.key), row]));
    const found = read.filter(({ row }) => {
      const now = still.get(rowName(table, row.key));
      return now !== undefined && isSameDifference(row, now);
    });
    const moved = after.differing.length - found.length;
    return { found: found.map((it) => ({ ...it, replica: round.replica })), unsettled: before.unsettled + after.unsettled + moved };
  }

  async #record(found: FoundRow, firstSeenMs: number): Promise<void> {
    const { rooms, book, meters, stamped, runtime, logger } = this.#options;
    const write = await stamped(stampOf(found.rows[0]));
    const drift = rowDrift(found, { ...rooms, firstSeenMs, nowMs: runtime.nowMs(), write });
    if (!(await book.found(drift))) return;
    meters.found(drift);
    logger.warn({ drift: drift.id, kind: drift.kind, subject: drift.subject.name, wrong: drift.wrong, cause: drift.cause }, 'drift found');
  }

  /** What is equal again has been repaired by somebody, or was written anew. */
  async #lookAgain(round: Round): Promise<void> {
    const { book } = this.#options;
    const looked = new Set<string>();
    while (looked.size < LOOKED_AGAIN_MAX && round.hasTime()) {
      const [drift] = book.rotate(1, isRow);
      if (drift === undefined || looked.has(drift.id)) return;
      looked.add(drift.id);
      await this.#lookAt(round, drift);
    }
  }

  async #lookAt(round: Round, drift: Drift): Promise<void> {
    const { table = '', key = [] } = parseRowName(drift.subject.name) ?? {};
    if (!round.inBoth.includes(table)) return await this.#settle(drift, `the two databases do not both have a table ${table} any more`);
    if (!round.tables.includes(table)) return;
    const { differing, unsettled } = await confirm(round, table, [key]);
    if (differing[0] === undefined && unsettled === 0) return await this.#settle(drift, 'both databases show the same again');
    if (differing[0] === undefined || isAsRecorded(drift, differing[0], this.#options.rooms)) return;
    const { found } = await this.#look(round, table, [key]);
    if (found[0] !== undefined) await this.#record(found[0], drift.firstSeenMs);
  }

  async #settle({ id, kind, subject }: Drift, note: string): Promise<void> {
    const { book, meters, runtime, logger } = this.#options;
    if (!(await book.settle(id, { status: 'healed', closedMs: runtime.nowMs(), note }))) return;
    meters.closed({ kind, status: 'healed' });
    logger.info({ drift: id, kind, subject: subject.name }, 'a drift is gone');
  }
}

const NOTHING = { differing: [], unsettled: 0, upTo: undefined };

/** What would write it anew, or why it cannot be. */
async function planOf(round: Round, row: ConfirmedRow): Promise<Pick<FoundRow, 'statements' | 'refusal'>> {
  const statements: string[] = [];
  try {
    for await (const statement of repairRows({ ...round, dryRun: true }, [row])) statements.push(statement);
    return { statements, refusal: (await whyNotTaken(round.slave, [row])) ?? '' };
  } catch (cause) {
    const error = asWmbError(cause);
    if (error.code !== 'NOT_FOUND') throw cause;
    return { statements, refusal: error.message };
  }
}

function missingTables(inMaster: readonly string[], inSlave: readonly string[]): string {
  const mine = inMaster.filter((table) => !inSlave.includes(table));
  const theirs = inSlave.filter((table) => !inMaster.includes(table));
  const told = [
    mine.length === 0 ? '' : `the slave’s database does not have what the master’s has: ${mine.join(', ')}`,
    theirs.length === 0 ? '' : `the master’s database does not have what the slave’s has: ${theirs.join(', ')}`,
  ];
  return told.filter((text) => text !== '').join('; ');
}

/** Where to read next; tables may have come and gone since. Undefined: there are none. */
function placeIn(tables: readonly string[], place: Place | undefined): Place | undefined {
  if (place !== undefined && tables.includes(place.table)) return place;
  const table = tables.find((name) => place === undefined || name > place.table);
  return table === undefined ? undefined : { table, after: undefined };
}

/** Undefined: that was the last one. */
function nextPlace(tables: readonly string[], { table }: Place, upTo: RowKey | undefined): Place | undefined {
  if (upTo !== undefined) return { table, after: upTo };
  const next = tables[tables.indexOf(table) + 1];
  return next === undefined ? undefined : { table: next, after: undefined };
}

function isRow({ subject }: Drift): boolean {
  return subject.type === 'row';
}

function isAsRecorded({ sides }: Drift, { hashes }: ConfirmedRow, { master, slave }: DatabaseRooms): boolean {
  const hashOf = (room: string) => sides.find((side) => side.room === room)?.hash;
  return hashOf(master) === hashes[0].toLowerCase() && hashOf(slave) === hashes[1].toLowerCase();
}
