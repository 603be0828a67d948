/** The rules of the room's file, with their exact messages. */
import { SECRET } from './config.fixture.ts';
import { AT_END, runCases } from './rules.fixture.ts';

const ROOM_ID_ALLOWED = 'a room id: a lower-case letter, then up to 31 lower-case letters, digits or hyphens';
const SECRET_ALLOWED = 'a variable that holds at least 16 characters, the same in every room';

// the room's rules
runCases([
  {
    name: 'A room that is not in the topology',
    room: [['room: beijing', 'room: bejing']],
    lines: ['beijing.yaml:2:7 room: is "bejing", which is no room of the topology; allowed: beijing, guangzhou; did you mean beijing?'],
  },
  {
    name: 'A room is not called unknown while the topology’s ids are in doubt',
    topology: [['id: guangzhou', 'id: GZ']],
    room: [['room: beijing', 'room: gz']],
    lines: [`topology.yaml:10:9 rooms[1].id: is "GZ"; allowed: ${ROOM_ID_ALLOWED}`],
  },
  {
    name: 'A database in a cache-only room',
    topology: [['database: slave', 'database: none']],
    room: [['room: beijing', 'room: guangzhou']],
    lines: [
      'beijing.yaml:5:1 database: is configured, but guangzhou is a cache-only room (database: none in the topology); allowed: no database here',
    ],
  },
  {
    name: 'No database in a slave room',
    room: [
      ['room: beijing', 'room: guangzhou'],
      ['database: { schemaFile: ../messages/schema.sql }\n', ''],
    ],
    lines: [
      'beijing.yaml:1:1 database: is missing, but guangzhou has database: slave in the topology; allowed: a mapping, for example { adapter: embedded }',
    ],
  },
  {
    name: 'A database that is wrong is not missing as well',
    room: [['{ schemaFile: ../messages/schema.sql }', 'mysql']],
    lines: [
      'beijing.yaml:5:11 database: is "mysql"; allowed: a mapping of adapter, schemaFile, address, name, user, password, tls, replication',
    ],
  },
  {
    name: 'One port twice among the addresses to listen on',
    room: [[AT_END, 'listen:\n  reship: { grpc: 0.0.0.0:7101 }\n  collector: { grpc: 10.0.0.1:7101, http: 0.0.0.0:7102 }']],
    lines: [
      'beijing.yaml:10:22 listen.collector.grpc: is "10.0.0.1:7101", the port of listen.reship.grpc ("0.0.0.0:7101"); allowed: a port of its own for every daemon and protocol',
      'beijing.yaml:10:43 listen.collector.http: is "0.0.0.0:7102", the port of listen.reship.http ("10.0.0.1:7102"); allowed: a port of its own for every daemon and protocol',
    ],
  },
  {
    name: 'An address to listen on that takes the port of one from the topology',
    room: [[AT_END, 'listen: { reship: { grpc: "[::]:7104" } }']],
    lines: [
      'beijing.yaml:8:27 listen.reship.grpc: is "[::]:7104", the port of listen.collector.http ("10.0.0.1:7104"); allowed: a port of its own for every daemon and protocol',
    ],
  },
  {
    name: 'No secret while a room is on another host',
    room: [['secret: { env: WMB_LINK_SECRET }\n', '']],
    lines: [
      'beijing.yaml:1:1 secret: is missing, but rooms[0].reship.grpc of the topology is "10.0.0.1:7101", not on loopback; allowed: a mapping { env: NAME } that names an environment variable',
    ],
  },
  {
    name: 'No secret while a daemon listens beyond loopback',
    topology: [
      ['grpc: 10.0.0.1:7101, http: 10.0.0.1:7102', 'grpc: localhost:7101, http: localhost:7102'],
      ['grpc: 10.0.0.1:7103, http: 10.0.0.1:7104', 'grpc: 127.9.9.9:7103, http: "[::1]:7104"'],
      ['grpc: 10.0.0.2:7101, http: 10.0.0.2:7102', 'grpc: 127.0.0.1:1, http: 127.0.0.1:2'],
      ['grpc: 10.0.0.2:7103, http: 10.0.0.2:7104', 'grpc: 127.0.0.1:3, http: 127.0.0.1:4'],
    ],
    room: [
      ['secret: { env: WMB_LINK_SECRET }\n', ''],
      [AT_END, 'listen: { reship: { grpc: 0.0.0.0:7101 } }'],
    ],
    lines: [
      'beijing.yaml:1:1 secret: is missing, but listen.reship.grpc is "0.0.0.0:7101", not on loopback; allowed: a mapping { env: NAME } that names an environment variable',
    ],
  },
  {
    name: 'A secret that stands in the file is refused and not shown',
    room: [['{ env: WMB_LINK_SECRET }', 'hunter2hunter2hunter2']],
    lines: [
      'beijing.yaml:4:9 secret: is a text that is not shown here; allowed: a mapping { env: NAME } that names an environment variable; the secret itself never stands in the file',
    ],
  },
  {
    name: 'A secret in place of the variable’s name is refused and not shown',
    room: [['WMB_LINK_SECRET', 'hunter-2']],
    lines: [
      'beijing.yaml:4:16 secret.env: is a text that is not shown here; allowed: the name of an environment variable, not the secret itself',
    ],
  },
  {
    name: 'A variable that is not set',
    env: { WMB_LINK_SECRET: undefined },
    lines: [`beijing.yaml:4:16 secret.env: names WMB_LINK_SECRET, which is not set in the environment; allowed: ${SECRET_ALLOWED}`],
  },
  {
    name: 'A variable that is inherited from Object is not set',
    room: [['WMB_LINK_SECRET', 'toString']],
    lines: [`beijing.yaml:4:16 secret.env: names toString, which is not set in the environment; allowed: ${SECRET_ALLOWED}`],
  },
  {
    name: 'A secret that is too short',
    env: { WMB_LINK_SECRET: 'hunter2' },
    lines: [`beijing.yaml:4:16 secret.env: names WMB_LINK_SECRET, which holds 7 characters; allowed: ${SECRET_ALLOWED}`],
  },
  {
    name: 'A secret with a line end',
    env: { WMB_LINK_SECRET: `${SECRET}\n` },
    lines: [`beijing.yaml:4:16 secret.env: names WMB_LINK_SECRET, whose value begins or ends with white space; allowed: ${SECRET_ALLOWED}`],
  },
]);

// processors
runCases([
  {
    name: 'A processor for an unknown kind, and none for a known one',
    room: [['  message:', '  mesage:']],
    lines: [
      'beijing.yaml:7:3 processors.mesage: is no kind of the topology; allowed: message; did you mean message?',
      'beijing.yaml:7:3 processors.message: is missing, but the kind "message" is for beijing; allowed: a mapping with module or grpc',
    ],
  },
  {
    name: 'A processor for the built-in kind',
    room: [[AT_END, '  cache: { grpc: localhost:9000 }']],
    lines: ['beijing.yaml:8:3 processors.cache: is built in and handled in every room; allowed: other names (take the entry out)'],
  },
  {
    name: 'A processor where the topology has no kinds',
    topology: [['kinds:\n  message: { onFailure: park }\n', '']],
    lines: ['beijing.yaml:7:3 processors.message: is no kind of the topology; allowed: none, for the topology has no kinds'],
  },
  {
    name: 'A kind for another room needs no processor here',
    topology: [['{ onFailure: park }', '{ rooms: [guangzhou] }']],
    room: [['processors:\n  message: { module: ../messages/processor.ts }\n', '']],
    lines: [],
  },
  {
    name: 'A slave room in mode master-slave needs no processors',
    topology: [['mode: independent', 'mode: master-slave']],
    room: [
      ['room: beijing', 'room: guangzhou'],
      ['processors:\n  message: { module: ../messages/processor.ts }\n', ''],
    ],
    lines: [],
  },
  {
    name: 'The master room in mode master-slave needs processors',
    topology: [['mode: independent', 'mode: master-slave']],
    room: [['processors:\n  message: { module: ../messages/processor.ts }\n', '']],
    lines: [
      'beijing.yaml:1:1 processors.message: is missing, but the kind "message" is for beijing; allowed: a mapping with module or grpc',
    ],
  },
  {
    name: 'Processors that are wrong as a whole are not missing one by one',
    room: [['processors:\n  message: { module: ../messages/processor.ts }\n', 'processors: ../messages/processor.ts\n']],
    lines: ['beijing.yaml:6:13 processors: is "../messages/processor.ts"; allowed: a mapping from kind names to { module } or { grpc }'],
  },
  {
    name: 'A processor that is both a module and a service',
    room: [['processor.ts }', 'processor.ts, grpc: localhost:9000 }']],
    lines: ['beijing.yaml:7:3 processors.message: has both module and grpc; allowed: one of them'],
  },
  {
    name: 'A processor that is neither a module nor a service',
    room: [['module: ../messages/processor.ts', 'timeoutMs: 10']],
    lines: ['beijing.yaml:7:3 processors.message: has neither module nor grpc; allowed: one of them'],
  },
  {
    name: 'Concurrent calls of a module',
    room: [['processor.ts }', 'processor.ts, concurrentMax: 4 }']],
    lines: [
      'beijing.yaml:7:48 processors.message.concurrentMax: is set for a module, which is called one write request at a time; allowed: only with grpc',
    ],
  },
  {
    name: 'A module of another language is not also called missing',
    room: [['processor.ts', 'processor.py']],
    lines: [
      'beijing.yaml:7:22 processors.message.module: is "../messages/processor.py"; allowed: a path that ends in .ts, .mts, .js or .mjs, absolute or relative to this file',
    ],
  },
]);

// limits
runCases([
  {
    name: 'A frame that is larger than a lane',
    room: [[AT_END, 'intake: { frameBytesMax: 2000000 }\nlink: { laneBytesMax: 1500000 }']],
    lines: ['beijing.yaml:8:26 intake.frameBytesMax: is 2000000, above link.laneBytesMax (1500000); allowed: at most that'],
  },
  {
    name: 'A lane that is smaller than the default frame and payload',
    room: [[AT_END, 'link: { laneBytesMax: 20000 }']],
    lines: [
      'beijing.yaml:8:23 link.laneBytesMax: is 20000, below limits.payloadBytesMax of the topology (1048576); allowed: at least that',
      'beijing.yaml:8:23 link.laneBytesMax: is 20000, below intake.frameBytesMax (262144); allowed: at least that',
    ],
  },
  {
    name: 'A payload that no default lane can carry',
    topology: [[AT_END, 'limits: { payloadBytesMax: 4000000 }']],
    lines: [
      'beijing.yaml:1:1 link.laneBytesMax: is 2097152, below limits.payloadBytesMax of the topology (4000000); allowed: at least that',
    ],
  },
  {
    name: 'A payload above what a frame may ever be',
    topology: [[AT_END, 'limits: { payloadBytesMax: 20000000 }']],
    lines: ['topology.yaml:17:28 limits.payloadBytesMax: is 20000000; allowed: 1 to 8388608'],
  },
  {
    name: 'An intake that cannot hold one payload, one frame, or one frame’s write requests',
    room: [[AT_END, 'intake: { pendingBytesMax: 100000, pendingWritesMax: 100 }']],
    lines: [
      'beijing.yaml:8:28 intake.pendingBytesMax: is 100000, below limits.payloadBytesMax of the topology (1048576); allowed: at least that',
      'beijing.yaml:8:28 intake.pendingBytesMax: is 100000, below intake.frameBytesMax (262144); allowed: at least that',
      'beijing.yaml:8:54 intake.pendingWritesMax: is 100, below intake.frameWritesMax (2048); allowed: at least that',
    ],
  },
  {
    name: 'A shortest pause above the longest',
    room: [[AT_END, 'link: { reconnectMsMin: 6000 }']],
    lines: ['beijing.yaml:8:25 link.reconnectMsMin: is 6000, above link.reconnectMsMax (5000); allowed: at most that'],
  },
  {
    name: 'A silence shorter than two pulses',
    room: [[AT_END, 'link: { pulseMs: 1000, silenceMsMax: 1500 }']],
    lines: ['beijing.yaml:8:38 link.silenceMsMax: is 1500, less than two pulses (link.pulseMs is 1000); allowed: at least 2000'],
  },
  {
    name: 'A checker’s silence shorter than two canaries and two rounds',
    room: [[AT_END, 'checker: { canaryMs: 1000, roundMs: 1000, silenceMsMax: 1500 }']],
    lines: [
      'beijing.yaml:8:57 checker.silenceMsMax: is 1500, less than two canaries (checker.canaryMs is 1000); allowed: at least 2000',
      'beijing.yaml:8:57 checker.silenceMsMax: is 1500, less than two rounds (checker.roundMs is 1000); allowed: at least 2000',
    ],
  },
  {
    name: 'A round too slow for the default silence, without canaries',
    room: [[AT_END, 'checker: { canaryMs: 0, roundMs: 8000 }']],
    lines: ['beijing.yaml:8:34 checker.roundMs: is 8000, more than half of checker.silenceMsMax (15000); allowed: at most 7500'],
  },
  {
    name: 'An address for a checker that the topology does not have',
    room: [[AT_END, 'listen: { checker: { http: "10.0.0.1:7106" } }']],
    lines: [
      'beijing.yaml:8:11 listen.checker: is configured, but beijing has no checker in the topology; allowed: no checker here, or its addresses in the topology',
    ],
  },
  {
    name: 'A checker that listens on the port of another daemon',
    topology: [['7104 }', '7104 }\n    checker: { grpc: 10.0.0.1:7105, http: 10.0.0.1:7106 }']],
    room: [[AT_END, 'listen: { checker: { grpc: "0.0.0.0:7103" } }']],
    lines: [
      'beijing.yaml:8:28 listen.checker.grpc: is "0.0.0.0:7103", the port of listen.collector.grpc ("10.0.0.1:7103"); allowed: a port of its own for every daemon and protocol',
    ],
  },
  {
    name: 'A pulse too slow for the default silence',
    room: [[AT_END, 'link: { pulseMs: 3000 }']],
    lines: ['beijing.yaml:8:18 link.pulseMs: is 3000, more than half of link.silenceMsMax (5000); allowed: at most 2500'],
  },
]);

// files
runCases([
  {
    name: 'A processor module that is not there',
    gone: 'messages/processor.ts',
    lines: ['beijing.yaml:7:22 processors.message.module: names "messages/processor.ts", which cannot be read: no such file'],
  },
  {
    name: 'A schema file that is not there',
    gone: 'messages/schema.sql',
    lines: ['beijing.yaml:5:25 database.schemaFile: names "messages/schema.sql", which cannot be read: no such file'],
  },
  {
    name: 'Certificates that are not there',
    room: [[AT_END, 'tls: { caFile: /tls/ca.pem, certFile: a.pem, keyFile: a.key }']],
    lines: [
      'beijing.yaml:8:16 tls.caFile: names "/tls/ca.pem", which cannot be read: no such file',
      'beijing.yaml:8:39 tls.certFile: names "conf/a.pem", which cannot be read: no such file',
      'beijing.yaml:8:55 tls.keyFile: names "conf/a.key", which cannot be read: no such file',
    ],
  },
]);
