/** `wmb db replicate`: makes this room's server follow the master room's by global transaction ids, and read-only. */
import { parseAddress } from '../../core/config/address.ts';
import { WmbError } from '../../core/errors.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Dialect } from './dialect.ts';
import { storeError } from './errors.ts';
import { gtidDifference } from './gtids.ts';
import { text } from './literals.ts';
import { isDiverged, REMEDY, readIds, readThreads } from './replica.ts';
import { checkServer, type Server } from './server.ts';
import { placeOf, type ServerAddress, Session } from './session.ts';

export interface Source {
  /** host:port, as this room's server reaches it. */
  readonly source: string;
  readonly user: string;
  readonly password: string;
}

export interface ReplicateOptions {
  readonly server: ServerAddress & { readonly schema: string };
  readonly source: Source;
  readonly dryRun: boolean;
  readonly runtime: Runtime;
}

/** The threads run, or say why not, within this. */
const START_MS_MAX = 15_000;
const LOOK_MS = 200;
/** So often in a row, the threads are believed to run. */
const RUNNING_SEEN = 3;
/** A slave whose master was away tries again so often. */
const RECONNECT_SECONDS = 5;

/** One line for each thing that is done, as it is done. REPLICA_DIVERGED where this server has what the master lacks. */
export async function* replicateDatabase(options: ReplicateOptions): AsyncGenerator<string> {
  const { server, source, dryRun } = options;
  const place = placeOf({ ...server, schema: undefined });
  const session = await Session.open({ ...server, schema: undefined }, options.runtime);
  try {
    const found = await checkServer(session, place, true);
    yield `${place} is ${found.dialect.product}`;
    yield* compare(session, { ...options, place, found });
    const threads = await readThreads(session, found.dialect);
    if (threads?.source === source.source && threads.receives && threads.applies) yield `it follows ${source.source} already`;
    else {
      const order = { source, follows: threads !== undefined, encrypted: server.tls !== undefined };
      for (const { shown, sql } of statementsFor(found.dialect, order)) {
        yield shown;
        if (!dryRun) await session.query(sql);
      }
      if (!dryRun) yield await started(session, found.dialect, options.runtime);
    }
    for (const sql of readOnlyStatements(found)) {
      yield sql;
      if (!dryRun) await session.query(sql);
    }
  } catch (cause) {
    throw storeError(cause, place);
  } finally {
    await session.close();
  }
}

interface Compared extends ReplicateOptions {
  readonly place: string;
  readonly found: Server;
}

/** That what this server has is a beginning of what the master has, and that the master still has the rest. */
async function* compare(session: Session, { server, source, place, found, runtime }: Compared): AsyncGenerator<string> {
  const { dialect } = found;
  const master = await openSource(server, source, runtime);
  if (master === undefined)
    yield `the master’s server ${source.source} cannot be reached from here; the servers compare themselves when they meet`;
  try {
    const there = master === undefined ? undefined : await checkServer(master, `the master’s server ${source.source}`, true);
    if (there !== undefined) checkPair(place, found, there);
    const here = await readIds(session, dialect);
    const theirs = master === undefined ? undefined : (await readIds(master, dialect)).executed;
    const errant = gtidDifference(dialect.flavour, theirs === undefined ? here.own : here.executed, theirs ?? '');
    if (errant.text !== '') throw diverged({ place, dialect, errant: errant.text, isEmpty: await isEmpty(session, server.schema) });
    if (here.executed === '' && !(await isEmpty(session, server.schema))) throw foreignData(place, server.schema);
    if (master !== undefined) await checkPurged(master, { dialect, executed: here.executed, source: source.source });
    if (theirs !== undefined)
      yield `of the master’s ${there?.dialect.product} it lacks ${gtidDifference(dialect.flavour, theirs, here.executed).count} transactions`;
  } finally {
    await master?.close();
  }
}

/** Undefined where its address means something to this room's server only. STORE_DENIED. */
async function openSource(server: ServerAddress, { source, user, password }: Source, runtime: Runtime): Promise<Session | undefined> {
  try {
    return await Session.open({ ...server, address: source, schema: undefined, user, password }, runtime);
  } catch (cause) {
    if (cause instanceof WmbError && cause.code === 'STORE_UNAVAILABLE') return undefined;
    throw cause;
  }
}

function checkPair(place: string, here: Server, there: Server): void {
  if (here.dialect.flavour !== there.dialect.flavour) {
    throw new WmbError(
      'STORE_UNFIT',
      `${place} is ${here.dialect.product} and the master’s is ${there.dialect.product}; their transaction ids do not go together`,
    );
  }
  if (here.serverId === there.serverId) {
    throw new WmbError(
      'STORE_UNFIT',
      `${place} has server_id = ${here.serverId}, as the master’s server has; give each server one of its own`,
    );
  }
}

async function isEmpty(session: Session, schema: string): Promise<boolean> {
  return (await session.rows(`SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = ${text(schema)} LIMIT 1`)).length === 0;
}

interface Errant {
  readonly place: string;
  readonly dialect: Dialect;
  readonly errant: string;
  /** Nothing of the schema is here yet. */
  readonly isEmpty: boolean;
}

function diverged({ place, dialect, errant, isEmpty }: Errant): WmbError {
  const reset = dialect.flavour === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER';
  const remedy = isEmpty ? `if these only made users and the like, forget them there with ${reset}` : REMEDY;
  return new WmbError('REPLICA_DIVERGED', `${place} has committed what the master does not have (${errant}); ${remedy}`);
}

function foreignData(place: string, schema: string): WmbError {
  return new WmbError('REPLICA_DIVERGED', `${place} has tables in the schema ${schema} that came from no master: drop them, or ${REMEDY}`);
}

/** MariaDB says it itself when the receiving thread starts. */
async function checkPurged(
  master: Session,
  { dialect, executed, source }: { readonly dialect: Dialect; readonly executed: string; readonly source: string },
): Promise<void> {
  if (dialect.flavour !== 'mysql') return;
  const purged = String((await master.rows('SELECT @@GLOBAL.gtid_purged AS purged'))[0]?.purged);
  const lost = gtidDifference('mysql', purged, executed);
  if (lost.text !== '')
    throw new WmbError(
      'REPLICA_DIVERGED',
      `the master’s server ${source} no longer has ${lost.text} in its binlogs, which this one lacks; ${REMEDY}`,
    );
}

interface Shown {
  readonly sql: string;
  /** Without the password. */
  readonly shown: string;
}

interface Following {
  readonly source: Source;
  /** It follows somebody already. */
  readonly follows: boolean;
  /** Whom this room's daemons reach over TLS its server does too. Which authority it trusts, the server's own configuration says. */
  readonly encrypted: boolean;
}

function statementsFor({ flavour }: Dialect, { source: { source, user, password }, follows, encrypted }: Following): readonly Shown[] {
  const { host, port } = parseAddress(source) ?? { host: source, port: 3306 };
  const [word, thread] = flavour === 'mysql' ? ['SOURCE', 'REPLICA'] : ['MASTER', 'SLAVE'];
  // MySQL would give a master up that is away for ten minutes.
  const rest =
    flavour === 'mysql'
      ? `SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1, SOURCE_CONNECT_RETRY = ${RECONNECT_SECONDS}, SOURCE_RETRY_COUNT = 0`
      : `MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = ${RECONNECT_SECONDS}`;
  const secured = encrypted ? `, ${word}_SSL = 1` : '';
  const change = (secret: string) =>
    `CHANGE ${flavour === 'mysql' ? 'REPLICATION SOURCE' : 'MASTER'} TO ${word}_HOST = ${text(host)}, ${word}_PORT = ${port}, ` +
    `${word}_USER = ${text(user)}, ${word}_PASSWORD = ${secret}, ${rest}${secured}`;
  const plain = (sql: string): Shown => ({ sql, shown: sql });
  return [...(follows ? [plain(`STOP ${thread}`)] : []), { sql: change(text(password)), shown: change("'…'") }, plain(`START ${thread}`)];
}

/** MariaDB forgets it at a restart: it has to stand in its configuration too (docs/mysql.md). */
function readOnlyStatements({ dialect, isSealed }: Server): readonly string[] {
  if (isSealed) return [];
  return dialect.flavour === 'mysql' ? ['SET PERSIST super_read_only = ON'] : ['SET GLOBAL read_only = ON'];
}

/** STORE_UNAVAILABLE, or REPLICA_DIVERGED, with what the server says. */
async function started(session: Session, dialect: Dialect, runtime: Runtime): Promise<string> {
  const untilMs = runtime.monotonicMs() + START_MS_MAX;
  // A thread that has connected is said to run, and may be refused in its next step.
  for (let seen = 0; ; ) {
    const threads = await readThreads(session, dialect);
    seen = threads?.receives && threads.applies ? seen + 1 : 0;
    if (threads !== undefined && seen >= RUNNING_SEEN) return `it follows ${threads.source}`;
    if (threads !== undefined && isDiverged(threads)) throw new WmbError('REPLICA_DIVERGED', `${threads.error}; ${REMEDY}`);
    if (threads !== undefined && threads.errno !== 0 && !isTransient(threads.errno)) throw failed(threads.error);
    if (runtime.monotonicMs() > untilMs) throw failed(threads?.error || `its threads did not start within ${START_MS_MAX} ms`);
    await sleep(runtime, LOOK_MS);
  }
}

/** The way to the master, which the server tries again. */
function isTransient(errno: number): boolean {
  return errno >= 2000 && errno < 3000;
}

function failed(said: string): WmbError {
  return new WmbError('STORE_UNAVAILABLE', `the server was told to follow the master’s, and does not: ${said}`);
}
