/** How a slave server follows its master: what the server says of its threads and transaction ids, told in one status. */
import type { ReplicaState, ReplicaStatus } from '../replica.ts';
import type { Dialect } from './dialect.ts';
import { gtidDifference } from './gtids.ts';
import type { CellRow, Session } from './session.ts';

/** The applier met a row that is not as it should be, or the master no longer has, or never had, what comes next. */
const DIVERGED_ERRORS: ReadonlySet<number> = new Set([1032, 1062, 1236, 1452, 13114, 13121]);

export const REMEDY = 'make this database anew from the master’s (docs/mysql.md, “When a slave has diverged”)';

export interface Threads {
  /** `host:port` */
  readonly source: string;
  readonly receives: boolean;
  readonly applies: boolean;
  readonly errno: number;
  readonly error: string;
}

/** Whether one of the threads has ended for what only another database mends. */
export function isDiverged({ receives, applies, errno }: Threads): boolean {
  return DIVERGED_ERRORS.has(errno) && !(receives && applies);
}

/** Undefined: the server follows nobody. */
export async function readThreads(session: Session, { flavour }: Dialect): Promise<Threads | undefined> {
  const row = (await session.rows(flavour === 'mysql' ? 'SHOW REPLICA STATUS' : 'SHOW ALL SLAVES STATUS'))[0];
  if (row === undefined) return undefined;
  const [source, thread] = flavour === 'mysql' ? ['Source', 'Replica'] : ['Master', 'Slave'];
  const [io, sql] = [String(row.Last_IO_Error ?? ''), String(row.Last_SQL_Error ?? '')];
  return {
    source: `${row[`${source}_Host`]}:${row[`${source}_Port`]}`,
    receives: row[`${thread}_IO_Running`] === 'Yes',
    applies: row[`${thread}_SQL_Running`] === 'Yes',
    errno: Number(sql === '' ? row.Last_IO_Errno : row.Last_SQL_Errno),
    error: sql === '' ? io : sql,
  };
}

export interface Ids {
  /** What the server has committed, its own and what it follows. */
  readonly executed: string;
  /** What it has written itself. */
  readonly own: string;
}

/** Anybody may read them. */
export async function readIds(session: Session, { flavour }: Dialect): Promise<Ids> {
  if (flavour === 'mysql') {
    const row = (await session.rows('SELECT @@GLOBAL.gtid_executed AS executed, @@GLOBAL.server_uuid AS server'))[0];
    const executed = String(row?.executed).replace(/\s/g, '');
    return {
      executed,
      own: executed
        .split(',')
        .filter((set) => set.startsWith(String(row?.server)))
        .join(','),
    };
  }
  const row = (
    await session.rows('SELECT @@GLOBAL.gtid_binlog_state AS state, @@GLOBAL.gtid_slave_pos AS slave, @@GLOBAL.server_id AS server')
  )[0];
  const own = String(row?.state)
    .split(',')
    .filter((id) => id.split('-')[1] === String(row?.server));
  return { executed: [row?.state, row?.slave].filter((it) => it !== '').join(','), own: own.join(',') };
}

export interface Observed {
  readonly threads: Threads | undefined;
  readonly here: Ids;
  /** Read after `here`; undefined where the master cannot be asked. */
  readonly master: Ids | undefined;
  readonly heartbeatMs: number | undefined;
}

export function replicaStatus({ flavour }: Dialect, { threads, here, master, heartbeatMs }: Observed): ReplicaStatus {
  const missing = master === undefined ? undefined : gtidDifference(flavour, master.executed, here.executed).count;
  const of = (state: ReplicaState, reason: string): ReplicaStatus => ({ state, reason, missing, heartbeatMs });
  const errant = gtidDifference(flavour, here.own, master?.executed ?? '').text;
  if (errant !== '') return of('diverged', `it has committed by itself what the master does not have (${errant}); ${REMEDY}`);
  if (threads === undefined) return of('not-set-up', 'its server follows nobody; run `wmb db replicate --apply`');
  if (isDiverged(threads)) return of('diverged', `${threads.error}; ${REMEDY}`);
  if (threads.receives && threads.applies) return of('following', '');
  const which = threads.receives ? 'applies' : 'receives';
  return of(
    'stopped',
    `its server ${which} nothing from ${threads.source}: ${threads.error || 'the thread was stopped'}; START REPLICA when that is mended`,
  );
}

export async function readHeartbeat(session: Session): Promise<number | undefined> {
  const row: CellRow | undefined = (await session.rows('SELECT at_ms FROM wmb_heartbeat WHERE id = 1'))[0];
  return row === undefined ? undefined : Number(row.at_ms);
}
