/** Which adapter a command works on: the only file of the command line that names concrete ones. */
import type { Config, MysqlConfig } from '../core/config/types.ts';
import { WmbError } from '../core/errors.ts';
import type { Runtime } from '../core/runtime.ts';
import { logsKept, masterRoom } from '../core/topology.ts';
import type { InboxAdministration } from '../link/administration.ts';
import { MqAdministration } from '../link/mq/administration.ts';
import type { LogAdministration } from '../log/administration.ts';
import { KafkaLogAdministration } from '../log/kafka/administration.ts';
import type { CacheAdministration, DatabaseAdministration } from '../store/administration.ts';
import { MysqlAdministration } from '../store/mysql/administration.ts';
import { type MysqlComparable, openBoth } from '../store/mysql/comparable.ts';
import { RedisAdministration } from '../store/redis/administration.ts';
import { serversOf } from '../store/redis/connection.ts';

/** Undefined: the room's own user. */
export interface ServerUser {
  readonly user: string;
  readonly password: string;
}

export interface Administered {
  readonly config: Config;
  readonly user: ServerUser | undefined;
  readonly runtime: Runtime;
}

/** NOT_FOUND where the room has no database on a server. */
export function databaseAdministration({ config, user, runtime }: Administered): DatabaseAdministration {
  const { topology, room } = config;
  const { database } = room;
  const master = masterRoom(topology)?.id;
  if (database?.adapter !== 'mysql' || master === undefined) {
    throw new WmbError('NOT_FOUND', `room ${room.id} has no database on a server; an embedded one is made by the daemons themselves`);
  }
  return new MysqlAdministration({
    server: serverOf(database, user),
    master,
    replicates: topology.rooms.some((entry) => entry.database === 'slave'),
    schemaFile: database.schemaFile,
    replication: database.replication,
    runtime,
  });
}

/** NOT_FOUND where the room has no cache on servers. */
export function cacheAdministration({ room }: Config, runtime: Runtime): CacheAdministration {
  const { cache, id } = room;
  if (cache.adapter === 'redis') return new RedisAdministration({ nodes: serversOf(cache), room: id, runtime });
  throw new WmbError('NOT_FOUND', `room ${id} has no cache on servers; an embedded one is made by the collector itself`);
}

/** Of every log that the room keeps in Kafka. NOT_FOUND where it keeps none there; USAGE for a user where the room's own needs no password. */
export function logAdministrations({ config, user, runtime }: Administered): readonly LogAdministration[] {
  const { topology, room } = config;
  const { log: kept, id: origin } = room;
  if (kept.adapter !== 'kafka')
    throw new WmbError('NOT_FOUND', `room ${origin} has no log in Kafka; an embedded one is made by the daemons themselves`);
  if (user !== undefined && kept.sasl === undefined)
    throw new WmbError('USAGE', '--user is for a Kafka that asks who somebody is, and log.sasl is not configured');
  const kafka = { ...kept, sasl: kept.sasl && { ...kept.sasl, ...user } };
  // The changes log of an embedded database lives in the database's own file.
  const logs = logsKept(topology, origin).filter((log) => log !== 'changes');
  const receiptShares = room.collector?.receipts === 'kafka' ? room.collector.shares : undefined;
  return logs.map(
    (log) =>
      new KafkaLogAdministration({
        ...{ kafka, log, origin, partitions: topology.partitions, runtime },
        receiptShares: log === 'writes' ? receiptShares : undefined,
      }),
  );
}

/** INBOX_UNPREPARED where the room's file names no Kafka for inboxes. */
export function inboxAdministration(config: Config, runtime: Runtime): InboxAdministration {
  const { inbox, id } = config.room;
  if (inbox !== undefined) return new MqAdministration({ config, inbox, runtime });
  throw new WmbError('INBOX_UNPREPARED', `room ${id} has no Kafka for inboxes; name it as \`inbox\` in the room’s file`);
}

function serverOf({ address, name, user, password, tls }: MysqlConfig, other: ServerUser | undefined) {
  return { address, schema: name, user, password, tls, ...other };
}

/** The databases of the master room and of this slave room, both by this room's user. CONFIG_INVALID where the configuration does not say where the master's is. */
export async function databaseSides({
  config,
  user,
  runtime,
}: Administered): Promise<{ readonly master: MysqlComparable; readonly slave: MysqlComparable }> {
  const { database, id } = config.room;
  if (database?.adapter !== 'mysql') throw new WmbError('NOT_FOUND', `room ${id} has no database on a server`);
  if (database.replication === undefined) {
    throw new WmbError(
      'CONFIG_INVALID',
      'the room’s file has no database.replication, whose source is the master’s server to compare with',
    );
  }
  return openBoth(serverOf(database, user), database.replication.source, runtime);
}
