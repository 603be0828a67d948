/**
 * The two documents of a configuration as people write them. Sizes and durations are whole numbers with the unit in the key's name;
 * paths are relative to the file that names them. The reference page (docs/configuration.md) is generated from here.
 */
import { z } from 'zod';
import { cacheSchema } from './schema-cache.ts';
import { databaseSchema } from './schema-database.ts';
import { inboxSchema, peersSchema } from './schema-inbox.ts';
import { logSchema } from './schema-log.ts';
import { address, addressOf, between, DAY_MS, KIB, MIB, pathOf, roomId } from './schema-parts.ts';
import { topicsSchema } from './schema-topics.ts';

// ── the topology ───────────────────────────────────────────────────────────────────────────────────────────────────

const roomSchema = z.strictObject({
  id: roomId.meta({ ...roomId.meta(), description: 'Name of the room, unique.', example: 'beijing' }),
  number: between(1, 255).meta({
    description: 'Number of the room, unique and never given to another room: it is part of every stamp that is given in the room.',
    example: 1,
  }),
  database: z.enum(['master', 'slave', 'none']).meta({
    description: 'Role of the room’s database. One room may be `master`; `none` is a cache-only room.',
    example: 'master',
  }),
  reship: z
    .strictObject({
      grpc: addressOf('Where peers fetch frames and applications submit over gRPC.', '127.0.0.1:7101'),
      http: addressOf('Where applications submit over HTTP; also health and metrics.', '127.0.0.1:7102'),
    })
    .meta({ description: 'Addresses of the room’s reship, as peers and people reach it.' }),
  collector: z
    .strictObject({
      grpc: addressOf('Where people and tools ask the collector over gRPC.', '127.0.0.1:7103'),
      http: addressOf('Where keys are read over HTTP; also health and metrics.', '127.0.0.1:7104'),
    })
    .meta({ description: 'Addresses of the room’s collector, as peers and people reach it.' }),
  checker: z
    .strictObject({
      grpc: addressOf('Where the peers’ checkers and people ask the checker over gRPC.', '127.0.0.1:7105'),
      http: addressOf('Where the drift report is read over HTTP; also health and metrics.', '127.0.0.1:7106'),
    })
    .optional()
    .meta({ description: 'Addresses of the room’s checker. Without them the room has none, and is not compared with the others.' }),
});

const linkSchema = z.strictObject({
  origin: roomId.meta({ ...roomId.meta(), description: 'Room whose write requests the link carries.', example: 'beijing' }),
  peer: roomId.meta({ ...roomId.meta(), description: 'Room that takes them.', example: 'guangzhou' }),
  transport: z.enum(['rpc', 'mq']).default('rpc').meta({
    description:
      'How frames travel until `wmb link transport` says otherwise: over `rpc` the peer’s collector dials and pulls, over `mq` the origin’s reship puts them into the peer’s Kafka.',
  }),
  bytesPerSecondMax: between(0, 10_000_000_000)
    .default(0)
    .meta({ description: 'Bandwidth from origin to peer, bytes per second; 0: unlimited.' }),
});

const kindSchema = z.strictObject({
  rooms: z
    .array(roomId)
    .min(1)
    .optional()
    .meta({
      description: 'Rooms whose processors handle this kind; elsewhere it has no effects.',
      allowed: 'a list of room ids that is not empty',
      defaultText: 'all rooms',
      example: ['beijing', 'guangzhou'],
    }),
  onFailure: z.enum(['park', 'pass']).default('park').meta({
    description:
      'What becomes of a write request that its processor cannot handle: it waits in the parking lot, with later ones of its key behind it (`park`), or is passed over as `rejected` (`pass`).',
  }),
});

export const topologySchema = z.strictObject({
  epoch: between(1, Number.MAX_SAFE_INTEGER).meta({
    description: 'Version of this document. Raise it with every change; rooms with different epochs refuse each other.',
    example: 1,
  }),
  mode: z.enum(['independent', 'master-slave']).meta({
    description:
      '`independent`: every room’s processors update its own cache. `master-slave`: only the master room’s processors handle write requests, and their effects are sent to the slave rooms.',
    example: 'independent',
  }),
  databases: z.enum(['embedded', 'mysql']).default('embedded').meta({
    description:
      'What the rooms’ databases are, and so how slaves follow the master: `embedded` ones by its row changes, over the links; servers of MySQL or MariaDB by their own replication.',
  }),
  partitions: between(1, 1024).meta({
    description:
      'Partitions of every write log: how many streams of write requests proceed independently. It cannot change once a log exists.',
    example: 8,
  }),
  rooms: z
    .array(roomSchema)
    .min(1)
    .max(255)
    .meta({
      description: 'All rooms, with their roles and the address book.',
      allowed: 'a list of 1 to 255 rooms',
      exampleMore: [
        'id: guangzhou',
        'number: 2',
        'database: slave',
        'reship: { grpc: 127.0.0.1:7201, http: 127.0.0.1:7202 }',
        'collector: { grpc: 127.0.0.1:7203, http: 127.0.0.1:7204 }',
        'checker: { grpc: 127.0.0.1:7205, http: 127.0.0.1:7206 }',
      ],
    }),
  links: z.array(linkSchema).default([]).meta({
    description: 'Only links that differ from the defaults. Which links exist follows from rooms and mode.',
    allowed: 'a list of links',
  }),
  kinds: z.record(z.string(), kindSchema).default({}).meta({
    description: 'Kinds of write requests. The kind `cache` is built in and must not be listed.',
    allowed: 'a mapping from kind names to { rooms, onFailure }',
    keyName: 'KIND',
    example: 'message',
  }),
  limits: z
    .strictObject({
      payloadBytesMax: between(1, 8 * MIB)
        .default(MIB)
        .meta({ description: 'Largest payload of one write request, bytes.' }),
      clockAheadMsMax: between(100, 3_600_000).default(5_000).meta({
        description: 'A write request stamped further ahead of a room’s clock than this is parked there, milliseconds.',
      }),
      duplicateWindowWrites: between(1, 1_048_576).default(65_536).meta({
        description:
          'How many write requests of a partition, the checker’s canaries among them, are remembered to recognise a repeated request id.',
      }),
    })
    .prefault({})
    .meta({ description: 'Limits that hold in every room, because what one room takes every room must take.' }),
});

// ── the room's own file ────────────────────────────────────────────────────────────────────────────────────────────

const listenSchema = (daemon: string, firstPort: number) =>
  z
    .strictObject({
      grpc: address
        .optional()
        .meta({ ...address.meta(), description: 'gRPC.', defaultText: 'as in the topology', example: `0.0.0.0:${firstPort}` }),
      http: address
        .optional()
        .meta({ ...address.meta(), description: 'HTTP.', defaultText: 'as in the topology', example: `0.0.0.0:${firstPort + 1}` }),
    })
    .prefault({})
    .meta({ description: `Where the ${daemon} listens.` });

const processorSchema = z.strictObject({
  module: z
    .string()
    .regex(/^(?!~)[^$\0]+\.(ts|mts|js|mjs)$/)
    .optional()
    .meta({
      description: 'Module that exports `processor`, made with `defineProcessor`. Either this or `grpc`.',
      allowed: 'a path that ends in .ts, .mts, .js or .mjs, absolute or relative to this file',
      example: './processor.ts',
    }),
  grpc: address
    .optional()
    .meta({ ...address.meta(), description: 'Address of a gRPC service `wmb.v1.Processor` in any language. Either this or `module`.' }),
  timeoutMs: between(1, 600_000)
    .default(1_000)
    .meta({ description: 'How long one write request may take, milliseconds; then it has failed.' }),
  concurrentMax: between(1, 1_024).optional().meta({ description: 'Calls at the same time; only with `grpc`.', defaultText: '64' }),
});
export const PROCESSOR_CONCURRENT_DEFAULT = 64;

const intakeSchema = z.strictObject({
  pendingWritesMax: between(1, 10_000_000)
    .default(65_536)
    .meta({ description: 'Write requests taken and not yet durable; more are refused with a retry hint.' }),
  pendingBytesMax: between(64 * KIB, 4_096 * MIB)
    .default(64 * MIB)
    .meta({ description: 'The same in bytes.' }),
  waitingMax: between(1, 1_000_000)
    .default(10_000)
    .meta({ description: 'Calls that wait for `applied` or `everywhere` at the same time.' }),
  waitMsDefault: between(1, 3_600_000)
    .default(5_000)
    .meta({ description: 'How long such a call waits where it names no deadline, milliseconds.' }),
  frameBytesMax: between(KIB, 4 * MIB)
    .default(256 * KIB)
    .meta({ description: 'Size at which a frame is full, bytes before compression.' }),
  frameWritesMax: between(1, 65_535).default(2_048).meta({ description: 'Write requests at which a frame is full.' }),
  topics: topicsSchema,
});

const linkLimitsSchema = z.strictObject({
  laneBytesMax: between(16 * KIB, 256 * MIB)
    .default(2 * MIB)
    .meta({
      description:
        'Credit per partition and origin: bytes of frames on their way or queued in the collector. Over a long line up to twice as much, as long as the stores keep up.',
    }),
  pulseMs: between(10, 60_000)
    .default(1_000)
    .meta({ description: 'How often a link shows that it is alive and how far its log is, milliseconds.' }),
  silenceMsMax: between(20, 600_000)
    .default(5_000)
    .meta({ description: 'A link without a pulse for this long, or a dial without an answer, is made anew, milliseconds.' }),
  reconnectMsMin: between(1, 60_000)
    .default(200)
    .meta({ description: 'Pause before the first new dial, milliseconds; it doubles up to `reconnectMsMax`.' }),
  reconnectMsMax: between(1, 600_000).default(5_000).meta({ description: 'Longest pause between dials, milliseconds.' }),
});

const checkerSchema = z.strictObject({
  roundMs: between(100, 600_000).default(2_000).meta({ description: 'Pause between two rounds with a peer, milliseconds.' }),
  graceMs: between(100, 3_600_000).default(10_000).meta({
    description:
      'A difference younger than this is never called a drift, milliseconds. An older one is, once both rooms have passed what made it.',
  }),
  sweepMs: between(1_000, 7 * DAY_MS)
    .default(300_000)
    .meta({
      description: 'Everything stored is read again at least this often, written or not, as far as `workPercentMax` allows. Milliseconds.',
    }),
  workPercentMax: between(1, 50).default(5).meta({
    description:
      'Reading the room’s cache takes at most so much of one processor, the checker’s and its server’s work taken together. Percent.',
  }),
  canaryMs: between(0, 600_000).default(1_000).meta({
    description: 'A canary goes into every partition of this room’s write log this often, milliseconds; 0: none.',
  }),
  silenceMsMax: between(200, 3_600_000).default(15_000).meta({
    description: 'Nothing has come through a lane, or been heard of a peer’s checker, for this long: an alarm. Milliseconds.',
  }),
  database: z
    .strictObject({
      roundMs: between(0, DAY_MS).default(10_000).meta({ description: 'Pause between two rounds, milliseconds; 0: none.' }),
      workMsMax: between(10, 60_000).default(500).meta({
        description:
          'A round begins nothing more after so many milliseconds; the next one goes on from there. So both servers have this little to do.',
      }),
    })
    .prefault({})
    .meta({ description: 'How a slave room’s database on a server is compared with the master’s, in the background.' }),
  repair: z
    .strictObject({
      keysMax: between(1, 10_000_000)
        .default(1_000)
        .meta({ description: 'Most keys and write requests that one repair may change, unless it is told otherwise.' }),
      keysPerSecondMax: between(1, 100_000).default(100).meta({ description: 'How many of them a second.' }),
    })
    .prefault({})
    .meta({ description: 'Limits of repairs in this room.' }),
});

export const roomFileSchema = z.strictObject({
  topology: pathOf('The topology document, the same in every room.', './topology.yaml'),
  room: roomId.meta({ ...roomId.meta(), description: 'Which room of the topology this is.', example: 'beijing' }),
  directory: pathOf('Directory of the room’s logs, stores and state. Each room has its own.', './data/beijing'),
  listen: z
    .strictObject({
      reship: listenSchema('reship', 7101),
      collector: listenSchema('collector', 7103),
      checker: listenSchema('checker', 7105),
    })
    .prefault({})
    .meta({
      description: 'Where the daemons listen, where that differs from the topology’s addresses (containers, several interfaces, a proxy).',
    }),
  secret: z
    .strictObject({
      env: z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
        .meta({
          description: 'Environment variable that holds the secret, at least 16 characters.',
          allowed: 'the name of an environment variable, not the secret itself',
          example: 'WMB_LINK_SECRET',
          secret: true,
        }),
    })
    .optional()
    .meta({
      description: 'The secret by which rooms know each other, the same in every room. Required unless every address is on loopback.',
      allowed: 'a mapping { env: NAME } that names an environment variable; the secret itself never stands in the file',
      secret: true,
    }),
  tls: z
    .strictObject({
      caFile: pathOf('Certificates of the authorities that sign the rooms’ certificates, PEM.', './tls/ca.pem'),
      certFile: pathOf('This room’s certificate, PEM.', './tls/beijing.pem'),
      keyFile: pathOf('Its private key, PEM.', './tls/beijing.key'),
    })
    .optional()
    .meta({ description: 'Encrypts links and proves the rooms’ identity. Without it links are plain text.' }),
  log: logSchema.prefault({}).meta({ description: 'The room’s write log, and the effect log of a master room.' }),
  inbox: inboxSchema,
  peers: peersSchema,
  cache: cacheSchema.prefault({}).meta({ description: 'The room’s cache.' }),
  database: databaseSchema
    .optional()
    .meta({ description: 'The room’s database: required in master and slave rooms, not allowed in a cache-only room.' }),
  processors: z.record(z.string(), processorSchema).default({}).meta({
    description: 'Who handles which kind, in rooms whose processors handle write requests. `cache` is built in.',
    allowed: 'a mapping from kind names to { module } or { grpc }',
    keyName: 'KIND',
    example: 'message',
  }),
  intake: intakeSchema.prefault({}).meta({ description: 'The room’s intake: its limits, and topics of Kafka that it takes.' }),
  collector: z
    .strictObject({
      shares: between(1, 64).default(1).meta({
        description:
          'In how many shares the partitions are divided. With 2 or more, as many collectors work at once. Stop all collectors of the room before you change it: the first that starts divides the receipts anew (those in `files`; those in `kafka` stay divided as they are).',
      }),
      receipts: z.enum(['files', 'kafka']).default('files').meta({
        description:
          'Where the receipts and the parking lot of the shares are: in `files`, with one `directory` for all collectors, on one machine; or beside the room’s log in `kafka`, so that the collectors may be on any machines and none of them is needed for what another one has promised. `wmb log init` makes the topics.',
      }),
    })
    .prefault({})
    .meta({ description: 'Several collectors in this room.' }),
  link: linkLimitsSchema.prefault({}).meta({ description: 'Limits of the links from and to this room.' }),
  checker: checkerSchema.prefault({}).meta({ description: 'How this room is compared with the others, and repaired.' }),
  drainMsMax: between(0, 600_000)
    .default(10_000)
    .meta({ description: 'How long a daemon may finish its work after SIGTERM or Ctrl-C, milliseconds.' }),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info').meta({ description: 'Least severe lines that are logged.' }),
});

export type TopologyDocument = z.output<typeof topologySchema>;
export type RoomDocument = z.output<typeof roomFileSchema>;
