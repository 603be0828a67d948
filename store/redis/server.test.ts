import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Connection } from './connection.ts';
import { checkServer } from './server.ts';

/** A server that says this of itself. */
function saying(info: Readonly<Record<string, string>>): Connection {
  const lines = Object.entries(info).map(([name, value]) => `${name}:${value}\r\n`);
  const command = async (name: string) =>
    name === 'INFO' ? Buffer.from(`# Server\r\n${lines.join('')}`) : [Buffer.from(''), Buffer.from('536870912')];
  return { place: 'the Redis server at 10.0.0.1:6379', command } as unknown as Connection;
}

test('servers that are too old, and those that are no plain servers, are refused with what to do', async () => {
  const refused = (info: Readonly<Record<string, string>>, message: RegExp) =>
    assert.rejects(checkServer(saying(info)), { code: 'STORE_UNFIT', message });
  await refused(
    { redis_version: '6.2.14', redis_mode: 'standalone' },
    /is Redis 6\.2\.14; at least Redis 7 or Valkey is needed: upgrade it/,
  );
  await refused({ redis_version: '7.4.1', redis_mode: 'cluster' }, /runs in cluster mode; list plain servers/);
  await refused({ redis_version: '7.4.1', redis_mode: 'sentinel' }, /runs in sentinel mode; list plain servers/);
});

test('a Valkey is known by its own version, not by the one of Redis that it names for old clients', async () => {
  const facts = await checkServer(saying({ redis_version: '7.2.4', valkey_version: '8.1.1', redis_mode: 'standalone' }));
  assert.equal(facts.product, 'Valkey 8.1.1');
});
