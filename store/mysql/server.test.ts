import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkServer } from './server.ts';
import type { Session } from './session.ts';

/** A server of this version, with settings that do. */
function saying(version: string): Session {
  const settings = {
    ...{ max_allowed_packet: '67108864', log_bin: 'ON', binlog_format: 'ROW', binlog_row_image: 'FULL' },
    ...{ gtid_mode: 'ON', enforce_gtid_consistency: 'ON', read_only: 'OFF', server_id: '1' },
  };
  const variables = Object.entries(settings).map(([name, value]) => ({ Variable_name: name, Value: value }));
  return { rows: async (sql: string) => (sql.includes('VERSION()') ? [{ version }] : variables) } as unknown as Session;
}

for (const [version, message] of [
  ['5.7.44', /is MySQL 5\.7; at least MySQL 8\.4 is needed: upgrade it/],
  ['8.0.41', /is MySQL 8\.0; at least MySQL 8\.4 is needed/],
  ['10.6.21-MariaDB-log', /is MariaDB 10\.6; at least MariaDB 10\.11 is needed/],
] as const)
  test(`a server of version ${version} is refused`, () =>
    assert.rejects(checkServer(saying(version), 'the server', true), { code: 'STORE_UNFIT', message }));

for (const version of ['8.4.3', '9.7.4-2', '10.11.6-MariaDB-0+deb12u1', '11.8.3-MariaDB-0+deb13u1'])
  test(`a server of version ${version} does`, async () => {
    assert.ok(version.startsWith((await checkServer(saying(version), 'the server', true)).dialect.version.join('.')));
  });
