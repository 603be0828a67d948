/** What the tests of this folder share: a cache on a real server, with the server's clock far behind the tests', so that nothing expires by itself. */
import { after } from 'node:test';
import { Redis } from 'ioredis';
import { systemRuntime } from '../../core/runtime.ts';
import { containersAvailable } from '../../test/containers/engine.ts';
import { startRedis } from '../../test/containers/redis.ts';
import { RedisCache } from './cache.ts';
import type { RedisServer } from './connection.ts';

/** The tests' clocks stand at the beginning of time. */
export const SHIFT_MS = 4_000_000_000_000;

export interface TestServer {
  readonly product: string;
  readonly address: string;
}

/** A Redis and a Valkey; or the one server that WMB_TEST_REDIS names, as host:port, whose data are deleted. None: the tests are skipped. */
export async function testServers(): Promise<readonly TestServer[]> {
  const named = process.env['WMB_TEST_REDIS'];
  if (named) return [{ product: `the server ${named}`, address: named }];
  if (!(await containersAvailable())) return [];
  return Promise.all([started('Redis', 'redis:8'), started('Valkey', 'valkey/valkey:8')]);
}

/** More of them, for tests that need several; removed when the file is done. */
export async function started(product: string, image = 'redis:8', flags: readonly string[] = []): Promise<TestServer> {
  const server = await startRedis({ image, flags });
  after(() => server.remove());
  return { product, address: server.address };
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
export async function cacheAt(addresses: readonly string[], shiftMs = SHIFT_MS, share?: number): Promise<RedisUnderTest> {
  const clients = addresses.map(clientAt);
  for (const client of clients) await client.flushall();
  const open = async () => {
    const store = new RedisCache({
      nodes: addresses.map((address) => serverAt(address)),
      room: 'beijing',
      runtime: systemRuntime,
      shiftMs,
      share,
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
