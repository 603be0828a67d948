/**
 * Configuration as the daemons see it: validated, defaults filled in, paths absolute. `loadConfig` (core/config/load.ts) makes it
 * from two YAML documents: the topology, shared by all rooms, and the room's own file.
 */
import type { RoomId } from '../words.ts';

export interface Config {
  readonly topology: Topology;
  readonly room: RoomConfig;
}

// ── the topology, the same in every room ─────────────────────────────────────────────────────────────────────────

export interface Topology {
  /** Grows with every change; daemons with different epochs refuse each other. */
  readonly epoch: number;
  readonly mode: 'independent' | 'master-slave';
  /** How slave databases follow the master's; undefined: embedded. */
  readonly databases?: 'embedded' | 'mysql' | undefined;
  /** Partitions of every write log, 1 to 1,024. Cannot change once a log exists. */
  readonly partitions: number;
  readonly rooms: readonly RoomEntry[];
  /** Only the links that differ from the default (rpc). Which links exist follows from the mode. */
  readonly links: readonly LinkEntry[];
  /** By kind. `cache` is built in and always there. */
  readonly kinds: Readonly<Record<string, KindEntry>>;
  readonly limits: WriteLimits;
}

export interface RoomEntry {
  readonly id: RoomId;
  /** 1 to 255, unique, never reused: part of every stamp given in the room. */
  readonly number: number;
  readonly database: 'master' | 'slave' | 'none';
  /** The address book: host:port, as peers and people reach the room's daemons. */
  readonly reship: DaemonAddresses;
  readonly collector: DaemonAddresses;
  /** Undefined: the room has no checker; it is not verified. */
  readonly checker?: DaemonAddresses | undefined;
}

export interface DaemonAddresses {
  readonly grpc: string;
  readonly http: string;
}

export interface LinkEntry {
  readonly origin: RoomId;
  readonly peer: RoomId;
  readonly transport: Transport;
  /** Payload bandwidth from origin to peer; 0: unlimited. */
  readonly bytesPerSecondMax: number;
}

/** How frames travel. */
export type Transport = 'rpc' | 'mq';

export interface KindEntry {
  /** Rooms whose processors handle this kind; elsewhere it gets its receipt without effects. Default: all. */
  readonly rooms: readonly RoomId[];
  /** What a write request that its processor cannot handle does: wait in the parking lot with later ones of its key behind it, or be passed over (`rejected`). */
  readonly onFailure: 'park' | 'pass';
}

/** The same everywhere, because what one room takes every room must take. */
export interface WriteLimits {
  readonly payloadBytesMax: number;
  /** A stamp further ahead of a room's clock is parked; also how far intake's own clock may run ahead. */
  readonly clockAheadMsMax: number;
  /** Write requests per partition within which a repeated request id is a duplicate. */
  readonly duplicateWindowWrites: number;
}

// ── the room's own file ────────────────────────────────────────────────────────────────────────────────────────────

export interface RoomConfig {
  readonly id: RoomId;
  /** Absolute. Logs, stores and state of the embedded adapters live below it. */
  readonly directory: string;
  /** Where the daemons listen; default: their topology addresses. */
  readonly listen: {
    readonly reship: DaemonAddresses;
    readonly collector: DaemonAddresses;
    /** Undefined where the topology has no checker for the room. */
    readonly checker?: DaemonAddresses | undefined;
  };
  /** Link secret, resolved from the environment; empty only where every address of the topology is on loopback. */
  readonly secret: string;
  readonly tls: TlsFiles | undefined;
  readonly log: LogConfig;
  /** Undefined: nothing comes to this room over mq. */
  readonly inbox: InboxConfig | undefined;
  /** By room: its Kafka as this room's reship reaches it. */
  readonly peers: Readonly<Record<RoomId, { readonly kafka: KafkaServersConfig }>>;
  readonly cache: CacheConfig;
  /** Undefined in a cache-only room. */
  readonly database: DatabaseConfig | undefined;
  /** By kind: who handles it. A kind of the topology that is for this room must be here (except `cache`), in rooms that run processors. */
  readonly processors: Readonly<Record<string, ProcessorConfig>>;
  readonly intake: IntakeLimits;
  /** Of Kafka: their records are write requests of this room. */
  readonly topics: readonly TopicConfig[];
  /** In how many shares the room's partitions are divided, and where their receipts are; undefined: one, in a file. */
  readonly collector?: { readonly shares: number; readonly receipts?: 'files' | 'kafka' | undefined } | undefined;
  readonly link: LinkLimits;
  readonly checker: CheckerConfig;
  readonly drainMsMax: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

export type CacheConfig = { readonly adapter: 'embedded' } | RedisConfig;

/** Servers of Redis or Valkey, over which the keys are spread. */
export interface RedisConfig {
  readonly adapter: 'redis';
  readonly nodes: readonly { readonly address: string }[];
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly tls: ServerTlsFiles | undefined;
  /** Number of the logical database. */
  readonly database: number;
}

export type DatabaseConfig = { readonly adapter: 'embedded'; readonly schemaFile: string | undefined } | MysqlConfig;

/** A server of MySQL or MariaDB. */
export interface MysqlConfig {
  readonly adapter: 'mysql';
  readonly address: string;
  readonly name: string;
  readonly user: string;
  readonly password: string;
  readonly tls: ServerTlsFiles | undefined;
  readonly schemaFile: string | undefined;
  /** Whom `wmb db replicate` makes this room's server follow. */
  readonly replication: { readonly source: string; readonly user: string; readonly password: string } | undefined;
}

/** Towards a server of a store. */
export interface ServerTlsFiles {
  readonly caFile: string;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export type LogConfig = ({ readonly adapter: 'embedded' } | KafkaLogConfig) & { readonly retention: RetentionConfig };

export interface RetentionConfig {
  readonly ageMsMin: number;
  readonly bytesMax: number;
  readonly overflow: 'keep' | 'drop';
}

export interface KafkaLogConfig extends KafkaServersConfig {
  readonly adapter: 'kafka';
  readonly replicas: number;
  readonly minInSyncReplicas: number;
}

/** A Kafka. */
export interface KafkaServersConfig {
  /** host:port of some brokers, which name the others. */
  readonly brokers: readonly string[];
  readonly sasl: SaslConfig | undefined;
  readonly tls: ServerTlsFiles | undefined;
}

export interface SaslConfig {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
  readonly user: string;
  readonly password: string;
}

/** This room's own Kafka, where its peers put frames for it. */
export interface InboxConfig extends KafkaServersConfig {
  readonly replicas: number;
  readonly minInSyncReplicas: number;
}

export type ProcessorConfig =
  | { readonly type: 'module'; readonly file: string; readonly timeoutMs: number }
  | { readonly type: 'grpc'; readonly address: string; readonly timeoutMs: number; readonly concurrentMax: number };

export interface IntakeLimits {
  /** Taken but not yet durable. */
  readonly pendingWritesMax: number;
  readonly pendingBytesMax: number;
  /** Calls that wait for `applied` or `everywhere`. */
  readonly waitingMax: number;
  readonly waitMsDefault: number;
  readonly frameBytesMax: number;
  readonly frameWritesMax: number;
}

export interface TopicConfig {
  readonly topic: string;
  /** Where it is. */
  readonly kafka: KafkaServersConfig;
  readonly format: 'json' | 'protobuf' | 'payload';
  /** Of write requests that name none; empty: each must. */
  readonly kind: string;
  readonly group: string;
  readonly from: 'earliest' | 'latest';
}

export interface CheckerConfig {
  /** Between two rounds with each peer. */
  readonly roundMs: number;
  /** A difference younger than this is never a drift. */
  readonly graceMs: number;
  /** Everything stored is read again at least this often, written or not. */
  readonly sweepMs: number;
  readonly workPercentMax: number;
  /** A canary goes into every partition of this room's write log this often; 0: none. */
  readonly canaryMs: number;
  /** Nothing has come through a lane, or been heard of a peer's checker, for this long: an alarm. */
  readonly silenceMsMax: number;
  /** How a slave's database on a server is compared with the master's. */
  readonly database: {
    /** Between two rounds; 0: none. */
    readonly roundMs: number;
    /** A round begins nothing more after this long; the next one goes on from there. */
    readonly workMsMax: number;
  };
  readonly repair: {
    /** Most keys and write requests that one repair may change unless it is told otherwise. */
    readonly keysMax: number;
    readonly keysPerSecondMax: number;
  };
}

export interface LinkLimits {
  /** Credit per lane: bytes of frames on their way or queued in the collector. */
  readonly laneBytesMax: number;
  readonly pulseMs: number;
  /** A session without a pulse for this long is given up. */
  readonly silenceMsMax: number;
  readonly reconnectMsMin: number;
  readonly reconnectMsMax: number;
}
