/** What a key costs in Redis, a row in a database's files and binlogs, and a write request in the rooms' logs and books: the figures for docs/redis.md, docs/mysql.md and docs/write-log.md. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Effect } from '../../core/converge/effects.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp, type Version, versionOf } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import { makeSchema, opened } from '../../store/mysql/database-kit.ts';
import type { Session } from '../../store/mysql/session.ts';
import { RedisAdministration } from '../../store/redis/administration.ts';
import { RedisCache } from '../../store/redis/cache.ts';
import { serverAt } from '../../store/redis/redis-kit.ts';
import { type SqlServer, startMariadb, startMysql } from '../../test/containers/mysql.ts';
import { startRedis } from '../../test/containers/redis.ts';
import { openLoop } from '../latency.ts';
import type { Row } from '../report.ts';
import { fullSpeed, type Load } from '../throughput.ts';
import { execute, TABLE } from './database.ts';
import { RealRooms } from './real-rooms.ts';
import { removeAll } from './servers.ts';

const ROOM: RoomId = 'beijing';
const BATCH = 256;
const FIELDS = 10;
const QUIET_PER_SECOND = 100;
/** Every write request counts: what the files hold is divided by their number. */
const LOAD: Load = { batchWrites: 256, onTheWay: 24, connections: 1, warmShare: 0 };

export interface SizingScale {
  readonly keys: number;
  readonly writes: number;
  /** Of quiet traffic. */
  readonly seconds: number;
}

export async function measureSizing(directory: string, scale: SizingScale): Promise<Row[]> {
  const databases = { MySQL: startMysql, MariaDB: startMariadb };
  const rows = await redisRows(scale.keys);
  for (const [product, start] of Object.entries(databases)) {
    const server = await start({ hostNetwork: true });
    try {
      rows.push(...(await databaseRows(product, server, scale.writes)));
    } finally {
      await removeAll([server]);
    }
  }
  return [...rows, ...(await diskRows(directory, scale))];
}

// ── memory of Redis, by `wmb cache footprint` ──

type Maker = (key: string, version: Version) => readonly Effect[];

const elements = (make: (name: string) => { readonly op: string }): Maker => {
  return (key, version) => Array.from({ length: FIELDS }, (_, at) => ({ key, version, ...make(`element-of-20-byte-${at}`) }) as Effect);
};
const SHAPES: Readonly<Record<string, Maker>> = {
  'a string of 20 B': (key, version) => [{ op: 'set', key, value: 'v'.repeat(20), expireAtMs: 0, version }],
  'a string of 100 B': (key, version) => [{ op: 'set', key, value: 'v'.repeat(100), expireAtMs: 0, version }],
  'a string of 1,000 B': (key, version) => [{ op: 'set', key, value: 'v'.repeat(1_000), expireAtMs: 0, version }],
  'a counter': (key, version) => [{ op: 'incr', key, delta: '1', version }],
  [`a hash of ${FIELDS} fields with 20 B each`]: elements((field) => ({ op: 'hset', field, value: 'v'.repeat(20) })),
  [`a set of ${FIELDS} members`]: elements((member) => ({ op: 'sadd', member })),
  [`a sorted set of ${FIELDS} members`]: elements((member) => ({ op: 'zadd', member, score: 1.5 })),
};

async function redisRows(keys: number): Promise<Row[]> {
  const server = await startRedis({ hostNetwork: true });
  const options = { nodes: [serverAt(server.address)], room: ROOM, runtime: systemRuntime };
  const rows: Row[] = [];
  try {
    for (const [shape, make] of Object.entries(SHAPES)) {
      await server.cli('FLUSHALL');
      const cache = new RedisCache(options);
      await cache.open();
      await fill(cache, keys, make);
      await cache.close();
      const [weighed] = await new RedisAdministration(options).footprint(keys);
      const { dataBytesPerKey = 0, headBytesPerKey = 0, elementBytesPerKey = 0 } = weighed ?? {};
      rows.push({ what: `memory of ${shape}: the application’s key`, value: dataBytesPerKey, unit: 'B / key' });
      rows.push({ what: `memory of ${shape}: beside it`, value: headBytesPerKey + elementBytesPerKey, unit: 'B / key' });
    }
    return rows;
  } finally {
    await removeAll([server]);
  }
}

async function fill(cache: RedisCache, keys: number, make: Maker): Promise<void> {
  const { generation } = await cache.marks();
  for (let from = 0; from < keys; from += BATCH) {
    const writes = Array.from({ length: Math.min(BATCH, keys - from) }, (_, at) => {
      const stamp = formatStamp({ ms: 1_700_000_000_000 + from + at, counter: 0, writer: 0x0100_0001 });
      return make(`user:${from + at}:profile`, versionOf(stamp, 0));
    });
    await cache.apply({ generation, moves: [], writes, floor: '', nowMs: systemRuntime.nowMs() });
  }
}

// ── files of a database ──

async function databaseRows(product: string, server: SqlServer, count: number): Promise<Row[]> {
  const made = await makeSchema(server, TABLE);
  const session = await made.admin();
  const store = await opened(made.options);
  try {
    const before = await binlogBytes(session);
    await execute(store, 1, count);
    const after = await binlogBytes(session);
    const row = (what: string, bytes: number): Row => ({ what: `a row of ${product}: ${what}`, value: bytes / count, unit: 'B / write' });
    return [
      row('its table', await tableBytes(session, 'messages')),
      row('the records of write requests', await tableBytes(session, 'wmb_requests')),
      row('binlog', after - before),
    ];
  } finally {
    await store.close();
    await session.close();
    await made.remove();
  }
}

async function binlogBytes(session: Session): Promise<number> {
  return (await session.rows('SHOW BINARY LOGS')).reduce((sum, row) => sum + Number(row.File_size), 0);
}

async function tableBytes(session: Session, table: string): Promise<number> {
  await session.rows(`ANALYZE TABLE ${table}`);
  const [row] = await session.rows(
    `SELECT DATA_LENGTH + INDEX_LENGTH AS bytes FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '${table}'`,
  );
  return Number(row?.bytes);
}

// ── files of the daemons ──

async function diskRows(directory: string, { writes, seconds }: SizingScale): Promise<Row[]> {
  const real = await RealRooms.open(directory);
  try {
    await fullSpeed(real.scene, writes, LOAD);
    const fast = rowsOfDisk('at full speed', real, (bytes) => bytes / writes);
    await real.emptied();
    await openLoop(real.scene, QUIET_PER_SECOND, seconds);
    return [...fast, ...rowsOfDisk(`at ${QUIET_PER_SECOND}/s`, real, (bytes) => bytes / (QUIET_PER_SECOND * seconds))];
  } finally {
    await real.close();
  }
}

function rowsOfDisk(when: string, { scene }: RealRooms, each: (bytes: number) => number): Row[] {
  const { directory } = scene.rooms.room(0);
  return [
    { what: `write log of the room, ${when}`, value: each(bytesOf(join(directory, 'writes', 'log.db'))), unit: 'B / write' },
    { what: `receipt book of the room, ${when}`, value: each(bytesOf(join(directory, 'book.db'))), unit: 'B / write' },
  ];
}

/** Of a file of SQLite, with what stands in its WAL and not in itself. */
function bytesOf(file: string): number {
  const db = new DatabaseSync(file, { readOnly: true });
  const of = (name: string) => Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0]);
  const bytes = (of('page_count') - of('freelist_count')) * of('page_size');
  db.close();
  return bytes;
}
