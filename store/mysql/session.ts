/**
 * One connection to the server. It is never repaired: after a failure of the connection whoever holds it makes another, and what the server made of the
 * last transaction is read from the marks in it.
 *
 * SQL that this folder writes goes out as text with its values in it, many rows in one statement; SQL of users goes through the server's own prepared
 * statements, where a value is never text and a second statement behind a semicolon is refused by the server.
 */
import { readFileSync } from 'node:fs';
import { connect, isIP, type Socket } from 'node:net';
import mysql, { type Connection, type ConnectionOptions, type ResultSetHeader, type SslOptions } from 'mysql2/promise';
import { parseAddress } from '../../core/config/address.ts';
import { WmbError } from '../../core/errors.ts';
import type { Runtime, Timer } from '../../core/runtime.ts';
import type { Parameter } from '../statement-checks.ts';
import { isFatal, storeError } from './errors.ts';

const CONNECT_MS_MAX = 5_000;
/** A server that says nothing for so long is gone: longer than any lock is waited for. */
const ANSWER_MS_MAX = 60_000;
const LOCK_WAIT_SECONDS_MAX = 5;
/** As long as a lock is waited for: then it is free. */
const SILENCE_SECONDS_MAX = 5;
const SIGN_MS = 1_000;
const PREPARED_MAX = 256;
const IN_TRANSACTION = 1;

export interface ServerAddress {
  /** host:port */
  readonly address: string;
  /** Undefined: none is chosen. */
  readonly schema: string | undefined;
  readonly user: string;
  readonly password: string;
  readonly tls: { readonly caFile: string; readonly certFile?: string | undefined; readonly keyFile?: string | undefined } | undefined;
}

export type Cell = string | number | bigint | null | Uint8Array;
export type CellRow = Readonly<Record<string, Cell>>;

/** READ COMMITTED: batches lock the rows that they write and no gaps between them. */
const SETTINGS = [
  `sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'`,
  `time_zone = '+00:00'`,
  `innodb_lock_wait_timeout = ${LOCK_WAIT_SECONDS_MAX}`,
  'foreign_key_checks = 1',
  'unique_checks = 1',
].join(', ');

export function placeOf({ address, schema }: ServerAddress): string {
  return schema === undefined ? `the database server at ${address}` : `the database ${schema} at ${address}`;
}

export class Session {
  readonly #connection: Connection;
  readonly #runtime: Runtime;
  #isOpen = true;
  #sign: Timer | undefined;

  /** STORE_UNAVAILABLE, STORE_DENIED, STORE_UNPREPARED where there is no such schema. */
  static async open(server: ServerAddress, runtime: Runtime): Promise<Session> {
    try {
      const session = new Session(await mysql.createConnection(optionsOf(server)), runtime);
      await session.query(`SET SESSION ${SETTINGS}`);
      await session.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
      return session;
    } catch (cause) {
      throw storeError(cause, placeOf(server));
    }
  }

  private constructor(connection: Connection, runtime: Runtime) {
    this.#connection = connection;
    this.#runtime = runtime;
    // Only noted: whoever waits for an answer is told by the library, unless the connection is destroyed before.
    connection.on('error', () => this.#lost());
    connection.on('end', () => this.#lost());
  }

  #lost(): void {
    this.#isOpen = false;
    this.#sign?.cancel();
  }

  /**
   * From now on the server ends the connection, and undoes its transaction, when it has heard nothing for a few seconds. A process that stands still in the middle of one, or whose machine is gone,
   * would hold the rows of its marks, and nobody could go on in its place. One that runs says something often enough.
   */
  async boundSilence(): Promise<void> {
    await this.query(`SET SESSION wait_timeout = ${SILENCE_SECONDS_MAX}`);
    this.#giveSigns();
  }

  #giveSigns(): void {
    if (!this.#isOpen) return;
    const give = () => this.query('DO 0').then(() => this.#giveSigns());
    this.#sign = this.#runtime.after(SIGN_MS, () => void give().catch(() => {}), true);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** A transaction has ended that should not have. */
  #checkTransaction(header: ResultSetHeader, inTransaction: boolean): void {
    if (!inTransaction || header.serverStatus === undefined || (header.serverStatus & IN_TRANSACTION) !== 0) return;
    this.destroy();
    throw new WmbError('INTERNAL', 'a statement has ended the transaction; nothing more is written over this connection');
  }

  /** Rows of one statement of this folder's own. */
  async rows(sql: string): Promise<readonly CellRow[]> {
    const [rows] = await this.#guarded(() => this.#connection.query(sql));
    return rows as readonly CellRow[];
  }

  /** One statement of this folder's own. Returns how many rows it found or changed. */
  async query(sql: string, inTransaction = false): Promise<number> {
    const [header] = await this.#guarded(() => this.#connection.query(sql));
    this.#checkTransaction(header as ResultSetHeader, inTransaction);
    return (header as ResultSetHeader).affectedRows;
  }

  /** A user's statement, within a transaction. */
  async execute(sql: string, params: readonly Parameter[]): Promise<void> {
    const values = params.map(typed);
    const [header] = await this.#guarded(() => this.#connection.execute({ sql, values }));
    if (!Array.isArray(header)) this.#checkTransaction(header as ResultSetHeader, true);
  }

  async #guarded<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await this.#answered(call());
    } catch (cause) {
      if (isFatal(cause)) this.destroy();
      throw cause;
    }
  }

  /** The library's own limit would keep the process alive after the connection is gone. */
  #answered<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = () => {
        this.destroy();
        reject(new WmbError('STORE_UNAVAILABLE', `the database server gave no answer within ${ANSWER_MS_MAX} ms`));
      };
      const timer = this.#runtime.after(ANSWER_MS_MAX, late, true);
      answer.then(resolve, reject).finally(() => timer.cancel());
    });
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#lost();
    await this.#connection.end().catch(() => {});
  }

  /** Without a word to the server, which undoes what is not committed. */
  destroy(): void {
    this.#lost();
    this.#connection.destroy();
  }
}

function optionsOf({ address, schema, user, password, tls }: ServerAddress): ConnectionOptions {
  const { host, port } = parseAddress(address) ?? { host: address, port: 3306 };
  return {
    host: nameOf(host),
    port,
    stream: () => dial(host, port),
    user,
    password,
    ...(schema === undefined ? {} : { database: schema }),
    ...(tls === undefined ? {} : { ssl: sslOf(tls) }),
    charset: 'UTF8MB4_BIN',
    connectTimeout: CONNECT_MS_MAX,
    maxPreparedStatements: PREPARED_MAX,
    flags: ['-LOCAL_FILES', 'FOUND_ROWS'],
    supportBigNumbers: true,
    dateStrings: true,
    jsonStrings: true,
    typeCast,
    // Statements come here whole: the library would look through each of them for placeholders all the same.
    queryFormat: (sql) => sql,
  };
}

/**
 * The library compares a certificate with the name that it connects to, but with an address it compares nothing. With a dot at its end an address is a name
 * to it, and Node, which drops the dot, looks for the address in the certificate. Dialling is done here, so that nobody looks it up.
 */
function nameOf(host: string): string {
  return isIP(host) === 0 ? host : `${host}.`;
}

function dial(host: string, port: number): Socket {
  return connect({ host, port, noDelay: true, keepAlive: true });
}

function sslOf({ caFile, certFile, keyFile }: NonNullable<ServerAddress['tls']>): SslOptions {
  return {
    ca: readFileSync(caFile),
    ...(certFile === undefined ? {} : { cert: readFileSync(certFile) }),
    ...(keyFile === undefined ? {} : { key: readFileSync(keyFile) }),
    verifyIdentity: true,
  };
}

/** 64-bit integers as numbers where they fit; everything else that JavaScript would bend (decimals, dates, JSON) stays the text that the server sent. */
function typeCast(field: { readonly type: string; string(): string | null }, next: () => unknown): unknown {
  if (field.type !== 'LONGLONG') return next();
  const said = field.string();
  if (said === null) return null;
  const number = Number(said);
  return Number.isSafeInteger(number) ? number : BigInt(said);
}

/** Whole numbers go as 64-bit integers: as doubles they would bend beyond 15 digits. */
function typed(value: Parameter) {
  if (typeof value === 'bigint') return mysql.TypedParameter.LONGLONG(value);
  return value instanceof Uint8Array && !Buffer.isBuffer(value) ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value;
}
