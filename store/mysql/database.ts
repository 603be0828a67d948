/**
 * The database of a room on a MySQL or MariaDB server that is there already.
 *
 * In the master room every batch is one transaction: the statements of its write requests, what became of each, and the marks. Slaves follow by the
 * server's own replication; in a slave room this adapter only reads, and its marks are the master's, as far as they have come.
 *
 * A commit whose answer was lost is nothing special: the lanes resume from the marks that the server has, and where the transaction is still under
 * way there, whoever looks at its marks next waits for the locks that it holds.
 */
import { WmbError } from '../../core/errors.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Lane, Mark, RoomId, Seq } from '../../core/words.ts';
import type { DatabaseBatch, DatabaseResult, DatabaseStore, Row } from '../database.ts';
import { refusedIn } from '../request-record.ts';
import { isContended, storeError } from './errors.ts';
import { RunAgain, runTransaction } from './execute.ts';
import { checkIdentity, readMarks, readRecord } from './own-tables.ts';
import { Checker } from './plan.ts';
import { readRows } from './rows.ts';
import { checkPrivileges, checkServer } from './server.ts';
import { placeOf, type ServerAddress, Session } from './session.ts';
import { readTables, type Tables } from './user-tables.ts';

/** A transaction that lost against others is made again so often. */
const ATTEMPTS_MAX = 8;
const PAUSE_MS_MIN = 5;

export interface MysqlDatabaseOptions extends ServerAddress {
  readonly schema: string;
  readonly role: 'master' | 'slave';
  /** The master room of the topology. */
  readonly master: RoomId;
  /** The topology has slave rooms. */
  readonly replicates: boolean;
  readonly runtime: Runtime;
}

interface Group {
  readonly batches: DatabaseBatch[];
  readonly results: Promise<readonly DatabaseResult[]>;
}

/** A connection, and what is known of the server behind it. */
interface Writer {
  readonly session: Session;
  readonly checker: Checker;
  readonly packetBytesMax: number;
}

export class MysqlDatabase implements DatabaseStore {
  readonly #options: MysqlDatabaseOptions;
  readonly #place: string;
  #isOpen = false;
  #writer: Promise<Writer> | undefined;
  #reader: Promise<Session> | undefined;
  #tables: Tables = new Map();
  /** Batches that wait for the next commit. */
  #next: Group | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: MysqlDatabaseOptions) {
    this.#options = options;
    this.#place = placeOf(options);
  }

  /** STORE_UNAVAILABLE, STORE_DENIED, STORE_UNFIT, STORE_UNPREPARED, STORE_FOREIGN, STORE_READONLY, SCHEMA_INVALID. */
  async open(): Promise<void> {
    const { role, master, schema } = this.#options;
    this.#isOpen = true;
    await this.#guard(async () => {
      const session = await this.#read();
      const remedy =
        role === 'master' ? 'run `wmb db init` once' : 'run `wmb db replicate --apply` once, after `wmb db init` in the master room';
      await checkIdentity(session, master, this.#place, remedy);
      this.#tables = await readTables(session, schema);
      if (role === 'master') await this.#write();
    });
  }

  async marks(): Promise<readonly Mark[]> {
    return this.#guard(async () => readMarks(await this.#read()));
  }

  async execute(batch: DatabaseBatch): Promise<DatabaseResult> {
    if (this.#options.role !== 'master')
      throw new WmbError('INTERNAL', `${this.#place} is a slave database: statements run in the master room only`);
    this.#next ??= this.#openGroup();
    const group = this.#next;
    const at = group.batches.push(batch) - 1;
    return (await group.results)[at] as DatabaseResult;
  }

  /** Batches that come while a transaction is under way share the next: the sync of a commit is what costs, and the lanes wait for it together. */
  #openGroup(): Group {
    const batches: DatabaseBatch[] = [];
    const results = this.#last.then(async () => {
      await this.#options.runtime.turn();
      this.#next = undefined;
      return this.#guard(() => this.#commit(batches));
    });
    this.#last = results.catch(() => {});
    return { batches, results };
  }

  async #commit(batches: readonly DatabaseBatch[]): Promise<readonly DatabaseResult[]> {
    const { runtime } = this.#options;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await runTransaction(await this.#write(), batches);
      } catch (cause) {
        if (attempt >= ATTEMPTS_MAX || !(cause instanceof RunAgain || isContended(cause))) throw cause;
        await sleep(runtime, PAUSE_MS_MIN * 2 ** attempt * (0.5 + runtime.random()));
      }
    }
  }

  async recorded(lane: Lane, seq: Seq): Promise<ReadonlyMap<number, string>> {
    return this.#guard(async () => refusedIn(await readRecord(await this.#read(), lane, seq)));
  }

  async applyChanges(): Promise<never> {
    throw new WmbError('INTERNAL', `${this.#place} follows the master’s binlog: it takes no changes over links`);
  }

  async tables(): Promise<readonly string[]> {
    return [...this.#tables.values()].map((table) => table.name).sort();
  }

  async *rows(table: string): AsyncIterable<Row> {
    const known = this.#tables.get(table.toLowerCase());
    if (known === undefined) throw new WmbError('NOT_FOUND', `${this.#place} has no table ${table}`);
    try {
      yield* readRows(() => this.#read(), known);
    } catch (cause) {
      throw storeError(cause, this.#place);
    }
  }

  async close(): Promise<void> {
    this.#isOpen = false;
    await this.#last;
    const sessions = [this.#reader, this.#writer?.then((writer) => writer.session)];
    this.#reader = undefined;
    this.#writer = undefined;
    for (const session of sessions) await (await session?.catch(() => undefined))?.close();
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw storeError(cause, this.#place);
    }
  }

  /** The connection for reading, made anew where it was lost. */
  async #read(): Promise<Session> {
    this.#checkOpen();
    const known = await this.#reader?.catch(() => undefined);
    if (known?.isOpen) return known;
    this.#reader = Session.open(this.#options, this.#options.runtime);
    return this.#reader;
  }

  async #write(): Promise<Writer> {
    this.#checkOpen();
    const known = await this.#writer?.catch(() => undefined);
    if (known?.session.isOpen) return known;
    this.#writer = this.#makeWriter();
    return this.#writer;
  }

  /** Behind the same address there may be another server by now: it is looked at again. */
  async #makeWriter(): Promise<Writer> {
    const { master, schema, replicates } = this.#options;
    const session = await Session.open(this.#options, this.#options.runtime);
    try {
      const { dialect, packetBytesMax, isReadOnly } = await checkServer(session, this.#place, replicates);
      if (isReadOnly) throw readOnly(this.#place);
      await checkIdentity(session, master, this.#place, 'run `wmb db init` once');
      await checkPrivileges(session);
      await session.boundSilence();
      this.#tables = await readTables(session, schema);
      const checker = new Checker({ tables: this.#tables, dialect, packetBytesMax });
      return { session, checker, packetBytesMax };
    } catch (cause) {
      await session.close();
      throw cause;
    }
  }

  #checkOpen(): void {
    if (!this.#isOpen) throw new WmbError('STORE_UNAVAILABLE', `${this.#place} is not open`);
  }
}

function readOnly(place: string): WmbError {
  return new WmbError(
    'STORE_UNAVAILABLE',
    `${place} is read-only, and this is the master room: where it is meant to take writes, SET GLOBAL super_read_only = OFF, read_only = OFF`,
  );
}
