/**
 * The servers of one room, each a container with a proxy before it. They live in the host's network, so that the servers of two rooms and the daemons
 * reach each other at the same addresses.
 */
import { Redis } from 'ioredis';
import mysql from 'mysql2/promise';
import type { CacheValue } from '../../core/converge/effects.ts';
import type { Row } from '../../store/database.ts';
import { type SqlServer, startMysql } from '../containers/mysql.ts';
import { type RedisServer, startRedis } from '../containers/redis.ts';
import { until } from '../e2e/scene.ts';
import { TcpProxy } from '../harness/proxy.ts';
import { type Brokers, RoomKafka } from './room-kafka.ts';

export const SCHEMA = 'messages';

const ANSWER_MS_MAX = 60_000;
/** Several servers share this machine. */
const MYSQL_FLAGS = ['--innodb-buffer-pool-size=64M', '--performance-schema=OFF', '--replica-net-timeout=4'];

export interface ServersOptions {
  readonly redisFlags: readonly string[];
  /** Without it the room has no Kafka. */
  readonly brokers: Brokers | undefined;
  /** As in RoomKafka.start. */
  readonly kafkaDirectory: string | undefined;
}

interface Parts {
  readonly redis: RedisServer;
  readonly mysql: SqlServer;
  readonly kafka: RoomKafka | undefined;
  readonly redisProxy: TcpProxy;
  readonly mysqlProxy: TcpProxy;
  readonly ports: { readonly redis: number; readonly mysql: number };
}

export class RoomServers {
  readonly redis: RedisServer;
  readonly mysql: SqlServer;
  readonly redisProxy: TcpProxy;
  readonly mysqlProxy: TcpProxy;
  /** As the room's daemons reach them: through the proxies. */
  readonly redisAddress: string;
  readonly mysqlAddress: string;
  readonly #kafka: RoomKafka | undefined;
  #client: Redis | undefined;
  #replica: RedisServer | undefined;

  private constructor({ ports, ...parts }: Parts) {
    this.redis = parts.redis;
    this.mysql = parts.mysql;
    this.#kafka = parts.kafka;
    this.redisProxy = parts.redisProxy;
    this.mysqlProxy = parts.mysqlProxy;
    this.redisAddress = `127.0.0.1:${ports.redis}`;
    this.mysqlAddress = `127.0.0.1:${ports.mysql}`;
  }

  static async start(place: number, { redisFlags, brokers, kafkaDirectory }: ServersOptions): Promise<RoomServers> {
    const [redis, database, kafka] = await Promise.all([
      startRedis({ hostNetwork: true, flags: redisFlags }),
      startMysql({ hostNetwork: true, serverId: place + 1, flags: MYSQL_FLAGS }),
      brokers && RoomKafka.start(brokers, kafkaDirectory),
    ]);
    const [redisProxy, mysqlProxy] = [new TcpProxy(redis), new TcpProxy(database)];
    const ports = { redis: await redisProxy.listen(), mysql: await mysqlProxy.listen() };
    const servers = new RoomServers({ redis, mysql: database, kafka, redisProxy, mysqlProxy, ports });
    // What made its users is its own, and would make it differ from the others.
    await servers.sql('RESET BINARY LOGS AND GTIDS');
    return servers;
  }

  get kafka(): RoomKafka {
    if (this.#kafka === undefined) throw new Error('this room has no Kafka');
    return this.#kafka;
  }

  /** What any Redis client reads of a key. */
  async plain(key: string, type: string): Promise<CacheValue> {
    const client = this.#plainClient();
    if (type === 'string') return { type, value: (await client.get(key)) ?? '(nothing)' };
    if (type === 'hash') return { type, fields: Object.entries(await client.hgetall(key)) };
    if (type === 'set') return { type, members: await client.smembers(key) };
    const flat = (await client.zrange(key, '0', '-1', 'WITHSCORES')).flat();
    return { type: 'zset', members: Array.from({ length: flat.length / 2 }, (_, at) => [String(flat[2 * at]), Number(flat[2 * at + 1])]) };
  }

  /** Of the table `messages`, by id. */
  async rows(): Promise<readonly Row[]> {
    const [rows] = await this.#withMysql((connection) =>
      connection.query({ sql: `SELECT * FROM ${SCHEMA}.messages ORDER BY id`, timeout: ANSWER_MS_MAX }),
    );
    return rows as Row[];
  }

  /** Past the proxy, as root. */
  async sql(text: string): Promise<void> {
    await this.#withMysql((connection) => connection.query({ sql: text, timeout: ANSWER_MS_MAX }));
  }

  /** A replica takes the place of Redis; what happens `meanwhile` did not reach it any more. */
  async failOverRedis(meanwhile: () => Promise<void>): Promise<void> {
    const replica = await startRedis({ hostNetwork: true, flags: ['--replicaof', '127.0.0.1', String(this.redis.port)] });
    this.#replica = replica;
    await until(
      'the replica is in step',
      async () => (await replica.cli('INFO', 'replication')).includes('master_link_status:up'),
      ANSWER_MS_MAX,
    );
    await replica.cli('REPLICAOF', 'NO', 'ONE');
    await meanwhile();
    await this.redis.container.kill();
    await replica.cli('CONFIG', 'SET', 'port', String(this.redis.port));
  }

  async killAll(): Promise<void> {
    await Promise.all([this.redis.container.kill(), this.mysql.container.kill(), this.#kafka?.kill()]);
  }

  async startAll(): Promise<void> {
    await Promise.all([this.redis.container.start(), this.mysql.container.start(), this.#kafka?.start()]);
  }

  async remove(): Promise<void> {
    this.#client?.disconnect();
    await Promise.all([this.redisProxy.close(), this.mysqlProxy.close()]);
    await Promise.all([this.redis, this.mysql, this.#kafka, this.#replica].map((server) => server?.remove()));
  }

  #plainClient(): Redis {
    if (this.#client !== undefined) return this.#client;
    // It connects again by itself when the server is back.
    this.#client = new Redis({ port: this.redis.port, commandTimeout: ANSWER_MS_MAX });
    this.#client.on('error', () => {});
    return this.#client;
  }

  async #withMysql<T>(task: (connection: mysql.Connection) => Promise<T>): Promise<T> {
    const { host, port, user, password } = this.mysql;
    const connection = await mysql.createConnection({
      host,
      port,
      user,
      password,
      multipleStatements: true,
      connectTimeout: ANSWER_MS_MAX,
    });
    try {
      return await task(connection);
    } finally {
      await connection.end();
    }
  }
}
