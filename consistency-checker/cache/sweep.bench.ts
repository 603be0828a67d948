/**
 * `node consistency-checker/cache/sweep.bench.ts [string|hash] [KEYS] [SECONDS] [DELAY_MS] [BUILD_SECONDS_MAX]`: what a checker costs the Redis of its room, by the server's own INFO CPU: while nobody looks, while the digest tree is built, and while
 * everything is swept and nothing is written. DELAY_MS: so far away is the server, there and back.
 */
import { Redis } from 'ioredis';
import type { Effect } from '../../core/converge/effects.ts';
import { silentLogger } from '../../core/logger.ts';
import { sleep, systemRuntime } from '../../core/runtime.ts';
import { formatStamp, type Version, versionOf } from '../../core/stamp.ts';
import { RedisCache } from '../../store/redis/cache.ts';
import { RedisCacheInspector } from '../../store/redis/cache-inspector.ts';
import { startRedis } from '../../test/containers/redis.ts';
import { TcpProxy } from '../../test/harness/proxy.ts';
import { LeafKeeper } from './keeper.ts';

const [kind = 'string', ...numbers] = process.argv.slice(2);
const [keys = 100_000, seconds = 60, delayMs = 0, buildSecondsMax = 900] = numbers.map(Number);
const VALUE = 'v'.repeat(100);
const HASH_FIELDS = 50;
const BATCH = 512;
/** As a room's configuration has it. */
const SWEEP_MS = 300_000;

const say = (text: string) => process.stdout.write(`${text}\n`);

function effectsOf(key: string, version: Version): readonly Effect[] {
  if (kind === 'string') return [{ op: 'set', key, value: VALUE, expireAtMs: 0, version }];
  return Array.from({ length: HASH_FIELDS }, (_, field) => ({ op: 'hset', key, field: `field${field}`, value: 'v'.repeat(20), version }));
}

async function fill(cache: RedisCache): Promise<void> {
  const { generation } = await cache.marks();
  for (let from = 0; from < keys; from += BATCH) {
    const writes = Array.from({ length: Math.min(BATCH, keys - from) }, (_, index): readonly Effect[] => {
      const stamp = formatStamp({ ms: 1_700_000_000_000 + from + index, counter: 0, writer: 0x0100_0001 });
      return effectsOf(`user:${from + index}:profile`, versionOf(stamp, 0));
    });
    await cache.apply({ generation, moves: [], writes, floor: '', nowMs: systemRuntime.nowMs() });
  }
}

interface Used {
  readonly atMs: number;
  readonly serverMs: number;
  readonly ownMs: number;
}

async function used(client: Redis): Promise<Used> {
  const info = await client.info('cpu');
  const of = (name: string) => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)?.[1]) * 1_000;
  const own = process.cpuUsage();
  return { atMs: performance.now(), serverMs: of('used_cpu_user') + of('used_cpu_sys'), ownMs: (own.user + own.system) / 1_000 };
}

async function during(what: string, client: Redis, run: () => Promise<unknown>): Promise<void> {
  const before = await used(client);
  await run();
  const after = await used(client);
  const share = (ms: number) => `${((100 * ms) / (after.atMs - before.atMs)).toFixed(1)} %`;
  const took = ((after.atMs - before.atMs) / 1_000).toFixed(0);
  say(
    `${what.padEnd(34)} ${took.padStart(4)} s   Redis ${share(after.serverMs - before.serverMs).padStart(6)}   checker ${share(after.ownMs - before.ownMs).padStart(6)}`,
  );
}

const server = await startRedis({ hostNetwork: true });
const client = new Redis(server.port, server.host);
const proxy = new TcpProxy(server);
if (delayMs > 0) proxy.delay(delayMs / 2);
const address = delayMs > 0 ? `127.0.0.1:${await proxy.listen()}` : server.address;
const nodes = [{ address: server.address, user: undefined, password: undefined, tls: undefined, database: 0 }];
const cache = new RedisCache({ nodes, room: 'beijing', runtime: systemRuntime });
try {
  await cache.open();
  await fill(cache);
  say(`${keys} keys, each a ${kind === 'string' ? 'string of 100 bytes' : `hash of ${HASH_FIELDS} fields`}, ${delayMs} ms away`);
  await during('nobody looks', client, () => sleep(systemRuntime, seconds * 1_000));
  const inspector = new RedisCacheInspector({
    nodes: nodes.map((node) => ({ ...node, address })),
    room: 'beijing',
    runtime: systemRuntime,
  });
  const keeper = new LeafKeeper({
    inspector,
    takeDirty: (max) => cache.takeDirty(max),
    runtime: systemRuntime,
    sweepMs: SWEEP_MS,
    logger: silentLogger,
  });
  keeper.start();
  const untilMs = performance.now() + buildSecondsMax * 1_000;
  await during('the digest tree is built', client, async () => {
    while (keeper.keys < keys && performance.now() < untilMs) await sleep(systemRuntime, 100);
  });
  say(`${' '.repeat(34)} ${(100 * keeper.built).toFixed(1)} % built, ${keeper.keys} keys`);
  await during('everything is swept', client, () => sleep(systemRuntime, seconds * 1_000));
  await keeper.stop();
} finally {
  await cache.close();
  client.disconnect();
  await proxy.close();
  await server.remove();
}
