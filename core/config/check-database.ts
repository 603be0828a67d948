/** What `database` must fulfil beyond its schema: which keys go with which adapter, and passwords that are there. */
import type { RoomCheck } from './check-room.ts';
import type { Path } from './problem.ts';

const SERVER_KEYS = ['address', 'name', 'user', 'password'] as const;
const SERVER_ONLY = [...SERVER_KEYS, 'tls', 'replication'] as const;

export function checkDatabaseAdapter(check: RoomCheck): void {
  const { room, topology, has, report } = check;
  const { database } = room;
  const adapter = database?.adapter;
  if (database === undefined || adapter === undefined) return;
  if (topology.databases !== undefined && adapter !== topology.databases) {
    report(
      ['database', 'adapter'],
      `is ${adapter}, but the topology says databases: ${topology.databases}; allowed: ${topology.databases}`,
    );
    return;
  }
  if (adapter === 'embedded') reportServerKeys(check);
  else reportMissingKeys(check);
  for (const path of [['database'], ['database', 'replication']]) if (has(path)) checkPassword(check, [...path, 'password']);
}

function reportServerKeys({ has, report }: RoomCheck): void {
  for (const key of SERVER_ONLY) {
    const path = ['database', key];
    if (has(path)) report(path, 'is set for an embedded database; allowed: only with adapter: mysql', 'key');
  }
}

function reportMissingKeys({ has, report }: RoomCheck): void {
  for (const key of SERVER_KEYS) {
    if (!has(['database', key])) report(['database', key], 'is missing, and adapter: mysql needs it; allowed: as the reference says');
  }
  if (has(['database', 'replication']) && !has(['database', 'replication', 'password'])) {
    report(['database', 'replication', 'password'], 'is missing; allowed: a mapping { env: NAME } that names an environment variable');
  }
  const [cert, key] = [has(['database', 'tls', 'certFile']), has(['database', 'tls', 'keyFile'])];
  if (cert !== key)
    report(
      ['database', 'tls', cert ? 'certFile' : 'keyFile'],
      'is set without the other one; allowed: both certFile and keyFile, or neither',
      'key',
    );
}

/** The value itself is never shown. */
function checkPassword({ room, env, report }: RoomCheck, path: Path): void {
  const holder = path.length === 2 ? room.database : room.database?.replication;
  const name = holder?.password?.env;
  if (name === undefined || (Object.hasOwn(env, name) && env[name] !== '')) return;
  report([...path, 'env'], `names ${name}, which is not set in the environment; allowed: a variable that holds the password`);
}
