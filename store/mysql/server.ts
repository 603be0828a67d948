/** What the server must be like, looked at once for every connection that writes: STORE_UNFIT says which setting and what to do. */
import { WmbError } from '../../core/errors.ts';
import { type Dialect, dialectOf, isOlder } from './dialect.ts';
import type { CellRow, Session } from './session.ts';

export interface Server {
  readonly dialect: Dialect;
  readonly packetBytesMax: number;
  readonly isReadOnly: boolean;
  /** Also for users with privileges, as far as the server can. */
  readonly isSealed: boolean;
  readonly serverId: string;
}

/** Smaller packets do not hold the records of one batch. */
const PACKET_BYTES_MIN = 1024 * 1024;

/** `replicates`: there are slave rooms, which need row events and GTIDs. */
export async function checkServer(session: Session, place: string, replicates: boolean): Promise<Server> {
  const row = (await session.rows('SELECT VERSION() AS version'))[0];
  const dialect = dialectOf(String(row?.version));
  if (isOlder(dialect.version, dialect.versionMin)) {
    unfit(
      place,
      `is ${dialect.product}`,
      `at least ${dialect.flavour === 'mysql' ? 'MySQL' : 'MariaDB'} ${dialect.versionMin.join('.')} is needed: upgrade it`,
    );
  }
  const variables = await readVariables(session);
  const packetBytesMax = Number(variables.get('max_allowed_packet'));
  if (packetBytesMax < PACKET_BYTES_MIN) {
    unfit(
      place,
      `has max_allowed_packet = ${packetBytesMax}`,
      remedyIn(dialect, `SET PERSIST max_allowed_packet = ${64 * PACKET_BYTES_MIN} (at least ${PACKET_BYTES_MIN})`),
    );
  }
  if (replicates) checkReplicates(place, dialect, variables);
  const [readOnly = 'OFF', superReadOnly = readOnly] = [variables.get('read_only'), variables.get('super_read_only')];
  const isReadOnly = readOnly !== 'OFF' || superReadOnly !== 'OFF';
  return { dialect, packetBytesMax, isReadOnly, isSealed: superReadOnly !== 'OFF', serverId: String(variables.get('server_id')) };
}

const VARIABLES = [
  'max_allowed_packet',
  'binlog_format',
  'log_bin',
  'gtid_mode',
  'enforce_gtid_consistency',
  'binlog_row_image',
  'read_only',
  'super_read_only',
  'server_id',
];

/** Only those that the server has. */
async function readVariables(session: Session): Promise<ReadonlyMap<string, string>> {
  const names = VARIABLES.map((name) => `'${name}'`).join(', ');
  const rows = await session.rows(`SHOW GLOBAL VARIABLES WHERE Variable_name IN (${names})`);
  return new Map(rows.map((row: CellRow) => [String(row.Variable_name), String(row.Value)]));
}

/** MariaDB keeps no setting over a restart by itself. */
function remedyIn({ flavour }: Dialect, remedy: string): string {
  return flavour === 'mysql' ? remedy : remedy.replace('SET PERSIST', 'SET GLOBAL (and in its configuration)');
}

function checkReplicates(place: string, dialect: Dialect, variables: ReadonlyMap<string, string>): void {
  const wanted: (readonly [name: string, value: string, remedy: string])[] = [
    ['log_bin', 'ON', 'start it with --log-bin'],
    ['binlog_format', 'ROW', "SET PERSIST binlog_format = 'ROW'"],
    ['binlog_row_image', 'FULL', "SET PERSIST binlog_row_image = 'FULL'"],
  ];
  if (dialect.flavour === 'mysql') {
    wanted.push(['enforce_gtid_consistency', 'ON', 'start it with --enforce-gtid-consistency=ON']);
    wanted.push(['gtid_mode', 'ON', 'start it with --gtid-mode=ON --enforce-gtid-consistency=ON']);
  }
  for (const [name, value, remedy] of wanted) {
    const found = variables.get(name);
    if (found === undefined || found.toUpperCase() === value) continue;
    const is = `has ${name} = ${found}, and the topology has slave rooms, whose databases follow its binlog`;
    unfit(place, is, remedyIn(dialect, remedy));
  }
}

function unfit(place: string, is: string, remedy: string): never {
  throw new WmbError('STORE_UNFIT', `${place} ${is}; ${remedy}`);
}

/** Writes and undoes a little of everything: the server says then which privilege is missing, by way of roles too. */
export async function checkPrivileges(session: Session): Promise<void> {
  await session.query('START TRANSACTION');
  try {
    await session.query('INSERT INTO wmb_heartbeat SELECT * FROM wmb_heartbeat WHERE 1 = 0', true);
    await session.query('UPDATE wmb_heartbeat SET at_ms = at_ms WHERE 1 = 0', true);
    await session.query('DELETE FROM wmb_heartbeat WHERE 1 = 0', true);
  } finally {
    if (session.isOpen) await session.query('ROLLBACK');
  }
}
