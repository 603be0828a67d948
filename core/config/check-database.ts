/** What `database` must fulfil beyond its schema: which keys go with which adapter, and passwords that are there. */
import type { RoomCheck } from './check-room.ts';
import { checkPasswordSet, checkTlsPair } from './check-server.ts';

const SERVER_KEYS = ['address', 'name', 'user', 'password'] as const;
const SERVER_ONLY = [...SERVER_KEYS, 'tls', 'replication'] as const;

export function checkDatabaseAdapter(check: RoomCheck): void {
  const { room, topology, report } = check;
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
  checkPasswordSet(check, ['database', 'password'], database.password);
  checkPasswordSet(check, ['database', 'replication', 'password'], database.replication?.password);
}

function reportServerKeys({ has, report }: RoomCheck): void {
  for (const key of SERVER_ONLY) {
    const path = ['database', key];
    if (has(path)) report(path, 'is set for an embedded database; allowed: only with adapter: mysql', 'key');
  }
}

function reportMissingKeys(check: RoomCheck): void {
  const { has, report } = check;
  for (const key of SERVER_KEYS) {
    if (!has(['database', key])) report(['database', key], 'is missing, and adapter: mysql needs it; allowed: as the reference says');
  }
  if (has(['database', 'replication']) && !has(['database', 'replication', 'password'])) {
    report(['database', 'replication', 'password'], 'is missing; allowed: a mapping { env: NAME } that names an environment variable');
  }
  checkTlsPair(check, ['database']);
}
