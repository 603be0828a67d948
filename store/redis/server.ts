/** What the server must be like, looked at when it is opened: STORE_UNFIT says which setting and what to do. */
import { WmbError } from '../../core/errors.ts';
import type { Connection } from './connection.ts';

export interface ServerFacts {
  /** `Redis 8.0.2`, `Valkey 8.1.1`. */
  readonly product: string;
  /** Keys with an expiry may be evicted before it. */
  readonly evicts: boolean;
  readonly policy: string;
  readonly argumentBytesMax: number;
}

const MAJOR_MIN = 7;
/** A batch is one argument. */
const ARGUMENT_BYTES_MIN = 64 * 1024 * 1024;
const ARGUMENT_BYTES_DEFAULT = 512 * 1024 * 1024;

export async function checkServer(connection: Connection): Promise<ServerFacts> {
  const { place } = connection;
  const info = new Map(
    String(await connection.command('INFO'))
      .split('\r\n')
      .map((line) => line.split(':', 2) as [string, string]),
  );
  const valkey = info.get('valkey_version');
  const version = valkey ?? info.get('redis_version') ?? '';
  const product = `${valkey === undefined ? 'Redis' : 'Valkey'} ${version}`;
  if (Number.parseInt(version, 10) < MAJOR_MIN)
    unfit(place, `is ${product}`, `at least Redis ${MAJOR_MIN} or Valkey is needed: upgrade it`);
  const mode = info.get('redis_mode') ?? 'standalone';
  if (mode !== 'standalone' || info.get('cluster_enabled') === '1') {
    unfit(place, `runs in ${mode} mode`, 'list plain servers as `nodes`, one master each: WMB spreads the keys over them itself');
  }
  const policy = info.get('maxmemory_policy') ?? 'noeviction';
  const bounded = Number(info.get('maxmemory') ?? 0) > 0;
  checkPolicy(place, policy);
  const argumentBytesMax = await argumentBytes(connection);
  if (argumentBytesMax < ARGUMENT_BYTES_MIN) {
    unfit(
      place,
      `has proto-max-bulk-len = ${argumentBytesMax}`,
      `CONFIG SET proto-max-bulk-len ${ARGUMENT_BYTES_DEFAULT} (at least ${ARGUMENT_BYTES_MIN})`,
    );
  }
  return { product, policy, evicts: bounded && policy.startsWith('volatile-'), argumentBytesMax };
}

/** The versions and tombstones have no expiry: only a policy that takes any key would take them, and deleted keys would come back. */
function checkPolicy(place: string, policy: string): void {
  if (!policy.startsWith('allkeys-')) return;
  unfit(
    place,
    `has maxmemory-policy ${policy}, which would evict what WMB remembers of the keys as well`,
    'CONFIG SET maxmemory-policy volatile-lru (or another volatile- policy, or noeviction), and in its configuration file',
  );
}

export async function argumentBytes(connection: Connection): Promise<number> {
  try {
    const [, value] = (await connection.command('CONFIG', 'GET', 'proto-max-bulk-len')) as Buffer[];
    return value === undefined ? ARGUMENT_BYTES_DEFAULT : Number(value.toString());
  } catch (cause) {
    // Where CONFIG is kept from the user it is as it comes.
    if (cause instanceof WmbError && (cause.code === 'STORE_DENIED' || /unknown command/.test(cause.message)))
      return ARGUMENT_BYTES_DEFAULT;
    throw cause;
  }
}

function unfit(place: string, is: string, remedy: string): never {
  throw new WmbError('STORE_UNFIT', `${place} ${is}; ${remedy}`);
}
