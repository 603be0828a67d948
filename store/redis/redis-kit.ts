/** What the tests of this folder share: a cache on a real server, with the server's clock far behind the tests', so that nothing expires by itself. */
import { Redis } from 'ioredis';
import { systemRuntime } from '../../core/runtime.ts';
import { RedisCache } from './cache.ts';
import type { RedisServer } from './connection.ts';

/** The tests' clocks stand at the beginning of time. */
export const SHIFT_MS = 4_000_000_000_000;

/** The server that WMB_TEST_REDIS names, as host:port. Its data are deleted. Undefined: tests that need it are skipped. */
export function testServer(): string | undefined {
  return process.env['WMB_TEST_REDIS'] || undefined;
}

export function serverAt(address: string, more: Partial<RedisServer> = {}): RedisServer {
  return { address, user: undefined, password: undefined, tls: undefined, database: 0, ...more };
}

export function clientAt(address: string): Redis {
  const [host = '', port = ''] = address.split(':');
  return new Redis(Number(port), host);
}

export interface RedisUnderTest {
  readonly store: RedisCache;
  readonly clients: readonly Redis[];
  reopen(): Promise<RedisCache>;
  copy(): Promise<() => Promise<void>>;
  cleanup(): Promise<void>;
}

/** Empties the servers first. */
export async function cacheAt(addresses: readonly string[], shiftMs = SHIFT_MS): Promise<RedisUnderTest> {
  const clients = addresses.map(clientAt);
  for (const client of clients) await client.flushall();
  const open = async () => {
    const store = new RedisCache({
      nodes: addresses.map((address) => serverAt(address)),
      room: 'beijing',
      runtime: systemRuntime,
      shiftMs,
    });
    await store.open();
    return store;
  };
  let current = await open();
  const reopen = async () => {
    await current.close();
    current = await open();
    return current;
  };
  const copy = async () => {
    const copies = await Promise.all(clients.map(dump));
    return async () => {
      for (const [index, client] of clients.entries()) await restore(client, copies[index] ?? []);
    };
  };
  const cleanup = async () => {
    await current.close();
    for (const client of clients) client.disconnect();
  };
  return { store: current, clients, reopen, copy, cleanup };
}

interface Dumped {
  readonly key: Buffer;
  readonly bytes: Buffer;
  readonly expireAtMs: number;
}

async function dump(client: Redis): Promise<readonly Dumped[]> {
  const dumped: Dumped[] = [];
  for (const key of await client.keysBuffer('*')) {
    const bytes = await client.dumpBuffer(key);
    if (bytes !== null) dumped.push({ key, bytes, expireAtMs: Math.max(0, await client.pexpiretime(key)) });
  }
  return dumped;
}

/** In one transaction, as a server that comes back with another file. */
async function restore(client: Redis, dumped: readonly Dumped[]): Promise<void> {
  const transaction = client.multi().flushall();
  for (const { key, bytes, expireAtMs } of dumped) transaction.restore(key, expireAtMs, bytes, 'ABSTTL');
  await transaction.exec();
}
