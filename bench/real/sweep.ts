/**
 * What a checker costs the Redis of its room, by the server's own INFO CPU: while nobody looks, while the digest tree is read for the first time, and while everything is swept and
 * nothing is written. Near, and 20 ms away, where waiting must not be taken for work.
 */
import { Redis } from 'ioredis';
import { LeafKeeper } from '../../consistency-checker/cache/keeper.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { silentLogger } from '../../core/logger.ts';
import { sleep, systemRuntime } from '../../core/runtime.ts';
import { formatStamp, versionOf } from '../../core/stamp.ts';
import { RedisCache } from '../../store/redis/cache.ts';
import { RedisCacheInspector } from '../../store/redis/cache-inspector.ts';
import { serverAt } from '../../store/redis/redis-kit.ts';
import { type RedisServer, startRedis } from '../../test/containers/redis.ts';
import { TcpProxy } from '../../test/harness/proxy.ts';
import type { Row } from '../report.ts';
import { removeAll } from './servers.ts';

const VALUE = 'v'.repeat(100);
const BATCH = 512;
const BUILD_SECONDS_MAX = 400;
const POLL_MS = 100;
const IDLE_SHARE = 1 / 6;
/** The default of `checker.sweepMs`. */
const SWEEP_MS = 300_000;
const AWAY_MS = 20;
const TARGET_PERCENT = 5;

export interface SweepScale {
  readonly keys: readonly number[];
  readonly seconds: number;
}

export async function measureSweep({ keys, seconds }: SweepScale): Promise<Row[]> {
  const rows: Row[] = [];
  for (const count of keys) rows.push(...(await measure({ keys: count, seconds, awayMs: 0 })));
  rows.push(...(await measure({ keys: keys[0] ?? 0, seconds, awayMs: AWAY_MS })));
  return rows;
}

interface Scene {
  readonly keys: number;
  readonly seconds: number;
  readonly awayMs: number;
}

async function measure(scene: Scene): Promise<Row[]> {
  const server = await startRedis({ hostNetwork: true });
  const proxy = new TcpProxy(server);
  proxy.delay(scene.awayMs / 2);
  const address = scene.awayMs > 0 ? `127.0.0.1:${await proxy.listen()}` : server.address;
  const cache = new RedisCache({ nodes: [serverAt(server.address)], room: 'beijing', runtime: systemRuntime });
  try {
    await cache.open();
    await fill(cache, scene.keys);
    return await watched(scene, { server, address, cache });
  } finally {
    await cache.close();
    await proxy.close();
    await removeAll([server]);
  }
}

async function fill(cache: RedisCache, keys: number): Promise<void> {
  const { generation } = await cache.marks();
  for (let from = 0; from < keys; from += BATCH) {
    const writes = Array.from({ length: Math.min(BATCH, keys - from) }, (_, index): readonly Effect[] => {
      const stamp = formatStamp({ ms: 1_700_000_000_000 + from + index, counter: 0, writer: 0x0100_0001 });
      return [{ op: 'set', key: `user:${from + index}:profile`, value: VALUE, expireAtMs: 0, version: versionOf(stamp, 0) }];
    });
    await cache.apply({ generation, moves: [], writes, floor: '', nowMs: systemRuntime.nowMs() });
  }
}

interface Watched {
  readonly server: RedisServer;
  /** As the checker reaches it. */
  readonly address: string;
  readonly cache: RedisCache;
}

async function watched({ keys, seconds, awayMs }: Scene, { server, address, cache }: Watched): Promise<Row[]> {
  const client = new Redis(server.port, server.host);
  const where = `${keys.toLocaleString('en')} keys${awayMs > 0 ? `, ${awayMs} ms away` : ''}`;
  const inspector = new RedisCacheInspector({ nodes: [serverAt(address)], room: 'beijing', runtime: systemRuntime });
  const takeDirty = (max: number) => cache.takeDirty(max);
  const keeper = new LeafKeeper({
    inspector,
    takeDirty,
    runtime: systemRuntime,
    sweepMs: SWEEP_MS,
    workPercentMax: TARGET_PERCENT,
    logger: silentLogger,
  });
  try {
    const idle = await costs(client, () => sleep(systemRuntime, seconds * IDLE_SHARE * 1_000));
    keeper.start();
    const building = await costs(client, () => untilRead(keeper, keys));
    const swept = await costs(client, () => sleep(systemRuntime, seconds * 1_000));
    return [
      { what: `Redis while nobody looks, ${where}`, value: idle.serverPercent, unit: '% of a core' },
      { what: `the tree is read for the first time, ${where}`, value: building.seconds, unit: 's' },
      percentRow('  Redis meanwhile', building.serverPercent),
      { what: '  the checker meanwhile', value: building.ownPercent, unit: '% of a core' },
      percentRow('  Redis while everything is swept', swept.serverPercent),
      { what: '  the checker meanwhile', value: swept.ownPercent, unit: '% of a core' },
    ];
  } finally {
    await keeper.stop();
    client.disconnect();
  }
}

function percentRow(what: string, value: number): Row {
  return { what, value, unit: '% of a core', target: { text: `< ${TARGET_PERCENT}`, met: value < TARGET_PERCENT } };
}

async function untilRead(keeper: LeafKeeper, keys: number): Promise<void> {
  const untilMs = performance.now() + BUILD_SECONDS_MAX * 1_000;
  while (keeper.keys < keys) {
    if (performance.now() > untilMs) throw new Error(`${keeper.keys} of ${keys} keys were read within ${BUILD_SECONDS_MAX} s`);
    await sleep(systemRuntime, POLL_MS);
  }
}

interface Costs {
  readonly seconds: number;
  readonly serverPercent: number;
  readonly ownPercent: number;
}

async function costs(client: Redis, run: () => Promise<void>): Promise<Costs> {
  const before = await used(client);
  await run();
  const after = await used(client);
  const seconds = (after.atMs - before.atMs) / 1_000;
  const percent = (more: number) => (100 * more) / seconds;
  return {
    seconds,
    serverPercent: percent(after.serverSeconds - before.serverSeconds),
    ownPercent: percent(after.ownSeconds - before.ownSeconds),
  };
}

async function used(client: Redis) {
  const info = await client.info('cpu');
  const of = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1]);
  const { user, system } = process.cpuUsage();
  return {
    atMs: performance.now(),
    serverSeconds: of('used_cpu_user') + of('used_cpu_sys'),
    ownSeconds: (user + system) / 1e6,
  };
}
