/** Every rule with its exact message: each case spoils the correct configuration in one place and names all lines that must come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filesOf, ROOM, SECRET, TOPOLOGY } from './config.fixture.ts';
import { checkConfig } from './load.ts';
import { formatProblem } from './problem.ts';

interface Case {
  readonly name: string;
  /** Replaces the first text by the second, in the topology. */
  readonly topology?: readonly (readonly [string, string])[];
  /** The same in the room's file. */
  readonly room?: readonly (readonly [string, string])[];
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly gone?: string;
  /** Without the `conf/` in front. */
  readonly lines: readonly string[];
}

const AT_END = '$END';

function spoil(text: string, changes: Case['topology']): string {
  let spoilt = text;
  for (const [from, to] of changes ?? []) {
    assert.ok(from === AT_END || spoilt.includes(from), `the sample has no ${from}`);
    spoilt = from === AT_END ? `${spoilt}${to}\n` : spoilt.replace(from, () => to);
  }
  return spoilt;
}

function linesOf({ topology, room, env, gone }: Case): readonly string[] {
  const read = filesOf({ 'conf/topology.yaml': spoil(TOPOLOGY, topology), 'conf/beijing.yaml': spoil(ROOM, room) });
  const { problems } = checkConfig('conf/beijing.yaml', { WMB_LINK_SECRET: SECRET, ...env }, (path) => read(path === gone ? 'gone' : path));
  return problems.map((problem) => formatProblem(problem).replace(/^conf\//, ''));
}

function run(cases: readonly Case[]): void {
  for (const one of cases) test(one.name, () => assert.deepEqual(linesOf(one), one.lines));
}

const ADDRESS_ALLOWED = 'host:port with a port of 1 to 65535, for example 10.0.0.1:7101 or [fd00::1]:7101';
const ROOM_ID_ALLOWED = 'a room id: a lower-case letter, then up to 31 lower-case letters, digits or hyphens';
const SECRET_ALLOWED = 'a variable that holds at least 16 characters, the same in every room';

// syntax
run([
  { name: 'The sample has no problems', lines: [] },
  {
    name: 'A syntax error is named with its place',
    topology: [['mode: independent', 'mode: [independent']],
    lines: ['topology.yaml:3:1: is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]'],
  },
  {
    name: 'A tab as indent is named',
    room: [[AT_END, 'log:\n\tadapter: embedded']],
    lines: ['beijing.yaml:9:1: is indented with a tab; allowed: spaces'],
  },
  {
    name: 'A key given twice is named',
    topology: [['    number: 2', '    number: 2\n    number: 3']],
    lines: ['topology.yaml:12:5 rooms[1].number: is given twice; allowed: once'],
  },
  {
    name: 'A second document in the file is named',
    topology: [[AT_END, '---\nepoch: 2']],
    lines: ['topology.yaml:17:1: holds more than one document; allowed: one, without a line of ---'],
  },
  {
    name: 'A tag is named',
    room: [['{ env: WMB_LINK_SECRET }', '!env WMB_LINK_SECRET']],
    lines: ['beijing.yaml:4:9: has a tag that means nothing here (Unresolved tag: !env); allowed: plain values'],
  },
]);

// shapes
run([
  {
    name: 'A number out of bounds',
    topology: [['number: 2', 'number: 256']],
    lines: ['topology.yaml:11:13 rooms[1].number: is 256; allowed: 1 to 255'],
  },
  {
    name: 'A number that is not whole',
    topology: [['partitions: 8', 'partitions: 0.5']],
    lines: ['topology.yaml:3:13 partitions: is 0.5; allowed: 1 to 1024'],
  },
  {
    name: 'A size with a unit',
    room: [[AT_END, 'link: { laneBytesMax: 4MiB }']],
    lines: ['beijing.yaml:8:23 link.laneBytesMax: is "4MiB"; allowed: a whole number, 16384 to 268435456'],
  },
  {
    name: 'A word that is not among the allowed ones',
    topology: [['mode: independent', 'mode: independant']],
    lines: ['topology.yaml:2:7 mode: is "independant"; allowed: independent, master-slave'],
  },
  {
    name: 'A required key that is missing points to where it should be',
    topology: [['    number: 2\n', '']],
    lines: ['topology.yaml:10:5 rooms[1].number: is missing; allowed: 1 to 255'],
  },
  {
    name: 'A key without a value',
    room: [[AT_END, 'intake:\n  # pendingWritesMax: 5']],
    lines: [
      'beijing.yaml:8:1 intake: is empty; allowed: a mapping of pendingWritesMax, pendingBytesMax, waitingMax, waitMsDefault, frameBytesMax, frameWritesMax, or no such key at all for the default',
    ],
  },
  {
    name: 'A list where a mapping belongs',
    room: [['secret: { env: WMB_LINK_SECRET }', 'tls: [ca.pem]\nsecret: { env: WMB_LINK_SECRET }']],
    lines: ['beijing.yaml:4:6 tls: is a list; allowed: a mapping of caFile, certFile, keyFile'],
  },
  {
    name: 'No rooms',
    topology: [[TOPOLOGY.slice(TOPOLOGY.indexOf('rooms:'), TOPOLOGY.indexOf('kinds:')), 'rooms: []\n']],
    lines: ['topology.yaml:4:8 rooms: is an empty list; allowed: a list of 1 to 255 rooms'],
  },
  {
    name: 'An unknown key with a near name',
    topology: [['partitions', 'partitons']],
    lines: ['topology.yaml:1:1 partitions: is missing; allowed: 1 to 1024', 'topology.yaml:3:1 partitons: is not a known key; did you mean partitions?'],
  },
  {
    name: 'An unknown key in another spelling',
    room: [[AT_END, 'log_level: info']],
    lines: ['beijing.yaml:8:1 log_level: is not a known key; did you mean logLevel?'],
  },
  {
    name: 'An unknown key without a near name',
    topology: [['{ onFailure: park }', '{ color: red }']],
    lines: ['topology.yaml:16:14 kinds.message.color: is not a known key; allowed: rooms, onFailure'],
  },
  {
    name: 'A key at the wrong depth',
    room: [[AT_END, 'retention: { overflow: drop }']],
    lines: ['beijing.yaml:8:1 retention: is not a known key; it belongs at log.retention'],
  },
  {
    name: 'A key of the other document',
    room: [[AT_END, 'kinds: {}'], ['directory', 'epoch: 1\ndirectory']],
    lines: [
      'beijing.yaml:3:1 epoch: is not a known key; epoch belongs in the topology',
      'beijing.yaml:9:1 kinds: is not a known key; kinds belongs in the topology',
    ],
  },
  {
    name: 'A room id with a capital letter',
    topology: [['id: guangzhou', 'id: Guangzhou']],
    lines: [`topology.yaml:10:9 rooms[1].id: is "Guangzhou"; allowed: ${ROOM_ID_ALLOWED}`],
  },
  {
    name: 'A path with ~',
    room: [['./data/beijing', '~/wmb']],
    lines: ['beijing.yaml:3:12 directory: is "~/wmb"; allowed: a path, absolute or relative to this file (~ and $ are not expanded)'],
  },
  {
    name: 'A path with a variable',
    room: [['./data/beijing', '${HOME}/wmb']],
    lines: ['beijing.yaml:3:12 directory: is "${HOME}/wmb"; allowed: a path, absolute or relative to this file (~ and $ are not expanded)'],
  },
]);

// addresses
const ADDRESSES = ['10.0.0.2', '10.0.0.2:0', '10.0.0.2:65536', '10.0.0.256:7101', ':7101', 'fd00::1:7101', 'http://10.0.0.2:7101', '-a:1', 'a..b:1', '10.0.0.2:71o1', '[10.0.0.2]:1'];
run(ADDRESSES.map((text) => ({
  name: `The address ${text} is refused`,
  topology: [['grpc: 10.0.0.2:7101', `grpc: "${text}"`]] as const,
  lines: [`topology.yaml:13:21 rooms[1].reship.grpc: is "${text}"; allowed: ${ADDRESS_ALLOWED}`],
})));
run(['guangzhou-1.example.com:7101', '[fd00::1]:7101', 'LOCALHOST:65535', 'wmb_reship:1'].map((text) => ({
  name: `The address ${text} is taken`,
  topology: [['grpc: 10.0.0.2:7101', `grpc: "${text}"`]] as const,
  lines: [],
})));

// the topology's rules
run([
  {
    name: 'A room id given twice',
    topology: [['id: guangzhou', 'id: beijing']],
    lines: ['topology.yaml:10:9 rooms[1].id: is "beijing", as rooms[0].id is already; allowed: an id of its own for every room'],
  },
  {
    name: 'A room number given twice',
    topology: [['number: 2', 'number: 1']],
    lines: ['topology.yaml:11:13 rooms[1].number: is 1, as rooms[0].number is already; allowed: a number of its own for every room'],
  },
  {
    name: 'An address given twice',
    topology: [['http: 10.0.0.2:7104', 'http: 10.0.0.1:7101']],
    lines: [
      'topology.yaml:14:45 rooms[1].collector.http: is "10.0.0.1:7101", as rooms[0].reship.grpc is already; allowed: an address of its own for every daemon and protocol',
    ],
  },
  {
    name: 'localhost and 127.0.0.1 are one address',
    topology: [['grpc: 10.0.0.1:7101', 'grpc: localhost:7102'], ['http: 10.0.0.1:7102', 'http: 127.0.0.1:7102']],
    lines: [
      'topology.yaml:8:43 rooms[0].reship.http: is "127.0.0.1:7102", as rooms[0].reship.grpc is already; allowed: an address of its own for every daemon and protocol',
    ],
  },
  {
    name: 'A wildcard in the address book',
    topology: [['grpc: 10.0.0.2:7101', 'grpc: 0.0.0.0:7101']],
    lines: [
      'topology.yaml:13:21 rooms[1].reship.grpc: is "0.0.0.0:7101", which nobody can dial; allowed: an address that the other rooms reach (the room\'s file says under listen where a daemon listens)',
    ],
  },
  {
    name: 'Two masters',
    topology: [['database: slave', 'database: master']],
    lines: ['topology.yaml:12:15 rooms[1].database: is master, as rooms[0].database is already; allowed: one master room, slave or none elsewhere'],
  },
  {
    name: 'A slave without a master',
    topology: [['database: master', 'database: none']],
    room: [['database: { schemaFile: ../messages/schema.sql }\n', '']],
    lines: ['topology.yaml:12:15 rooms[1].database: is slave, but no room is master, so there is nothing to follow; allowed: none, or slave beside one master room'],
  },
  {
    name: 'Master–slave without a master',
    topology: [['mode: independent', 'mode: master-slave'], ['database: master', 'database: none'], ['database: slave', 'database: none']],
    room: [['database: { schemaFile: ../messages/schema.sql }\n', '']],
    lines: ['topology.yaml:2:7 mode: is master-slave, but no room has database: master; allowed: master-slave with one master room, or independent'],
  },
  {
    name: 'A master that is misspelt is not missing as well',
    topology: [['mode: independent', 'mode: master-slave'], ['database: master', 'database: mastr']],
    lines: ['topology.yaml:7:15 rooms[0].database: is "mastr"; allowed: master, slave, none'],
  },
  {
    name: 'Links between unknown rooms',
    topology: [[AT_END, 'links:\n  - { origin: bejing, peer: guangzhou }\n  - { origin: beijing, peer: nanjing }']],
    lines: [
      'topology.yaml:18:15 links[0].origin: is "bejing", which is no room of the topology; allowed: beijing, guangzhou; did you mean beijing?',
      'topology.yaml:19:30 links[1].peer: is "nanjing", which is no room of the topology; allowed: beijing, guangzhou',
    ],
  },
  {
    name: 'A link to itself',
    topology: [[AT_END, 'links: [{ origin: beijing, peer: beijing }]']],
    lines: ['topology.yaml:17:34 links[0].peer: is "beijing", the link\'s own origin; allowed: another room'],
  },
  {
    name: 'A link given twice',
    topology: [[AT_END, 'links:\n  - { origin: beijing, peer: guangzhou }\n  - { origin: guangzhou, peer: beijing }\n  - { origin: beijing, peer: guangzhou }']],
    lines: ['topology.yaml:20:5 links[2]: is the link from beijing to guangzhou, as links[0] is already; allowed: one entry for a link'],
  },
  {
    name: 'A kind for an unknown room, and for one room twice',
    topology: [['{ onFailure: park }', '{ rooms: [beijing, guangzhu, beijing] }']],
    lines: [
      'topology.yaml:16:31 kinds.message.rooms[1]: is "guangzhu", which is no room of the topology; allowed: beijing, guangzhou; did you mean guangzhou?',
      'topology.yaml:16:41 kinds.message.rooms[2]: is "beijing", as kinds.message.rooms[0] is already; allowed: each room once',
    ],
  },
  {
    name: 'A kind for no room',
    topology: [['{ onFailure: park }', '{ rooms: [] }']],
    lines: ['topology.yaml:16:21 kinds.message.rooms: is an empty list; allowed: a list of room ids that is not empty'],
  },
  {
    name: 'A kind that leaves out the master in mode master-slave',
    topology: [['mode: independent', 'mode: master-slave'], ['{ onFailure: park }', '{ rooms: [guangzhou] }']],
    lines: [
      'topology.yaml:16:21 kinds.message.rooms: leaves out beijing, whose processors alone handle write requests in mode master-slave; allowed: a list with beijing',
    ],
  },
  {
    name: 'Kind names that are reserved or no names',
    topology: [[AT_END, '  cache: {}\n  wmb.canary: {}\n  Bad Kind: {}']],
    room: [[AT_END, '  Bad Kind: { grpc: a:1 }\n  wmb.canary: { grpc: a:1 }']],
    lines: [
      'topology.yaml:17:3 kinds.cache: is built in and handled in every room; allowed: other names (take the entry out)',
      'topology.yaml:18:3 kinds["wmb.canary"]: begins with wmb., which is reserved; allowed: other names',
      'topology.yaml:19:3 kinds["Bad Kind"]: is no kind name; allowed: a lower-case letter, then up to 63 lower-case letters, digits, dots, hyphens or underscores',
    ],
  },
  {
    name: 'A kind called __proto__',
    topology: [[AT_END, '  __proto__: {}']],
    room: [[AT_END, '  __proto__: { grpc: a:1 }']],
    lines: ['topology.yaml:17:3 kinds.__proto__: is no kind name; allowed: a lower-case letter, then up to 63 lower-case letters, digits, dots, hyphens or underscores'],
  },
]);

// the room's rules
run([
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
    lines: ['beijing.yaml:5:1 database: is configured, but guangzhou is a cache-only room (database: none in the topology); allowed: no database here'],
  },
  {
    name: 'No database in a slave room',
    room: [['room: beijing', 'room: guangzhou'], ['database: { schemaFile: ../messages/schema.sql }\n', '']],
    lines: ['beijing.yaml:1:1 database: is missing, but guangzhou has database: slave in the topology; allowed: a mapping, for example { adapter: embedded }'],
  },
  {
    name: 'A database that is wrong is not missing as well',
    room: [['{ schemaFile: ../messages/schema.sql }', 'mysql']],
    lines: ['beijing.yaml:5:11 database: is "mysql"; allowed: a mapping of adapter, schemaFile'],
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
    topology: [['grpc: 10.0.0.1:7101, http: 10.0.0.1:7102', 'grpc: localhost:7101, http: localhost:7102'], ['grpc: 10.0.0.1:7103, http: 10.0.0.1:7104', 'grpc: 127.9.9.9:7103, http: "[::1]:7104"'], ['grpc: 10.0.0.2:7101, http: 10.0.0.2:7102', 'grpc: 127.0.0.1:1, http: 127.0.0.1:2'], ['grpc: 10.0.0.2:7103, http: 10.0.0.2:7104', 'grpc: 127.0.0.1:3, http: 127.0.0.1:4']],
    room: [['secret: { env: WMB_LINK_SECRET }\n', ''], [AT_END, 'listen: { reship: { grpc: 0.0.0.0:7101 } }']],
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
    lines: ['beijing.yaml:4:16 secret.env: is a text that is not shown here; allowed: the name of an environment variable, not the secret itself'],
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
run([
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
    room: [['room: beijing', 'room: guangzhou'], ['processors:\n  message: { module: ../messages/processor.ts }\n', '']],
    lines: [],
  },
  {
    name: 'The master room in mode master-slave needs processors',
    topology: [['mode: independent', 'mode: master-slave']],
    room: [['processors:\n  message: { module: ../messages/processor.ts }\n', '']],
    lines: ['beijing.yaml:1:1 processors.message: is missing, but the kind "message" is for beijing; allowed: a mapping with module or grpc'],
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
    lines: ['beijing.yaml:7:22 processors.message.module: is "../messages/processor.py"; allowed: a path that ends in .ts, .mts, .js or .mjs, absolute or relative to this file'],
  },
]);

// limits
run([
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
    lines: ['beijing.yaml:1:1 link.laneBytesMax: is 2097152, below limits.payloadBytesMax of the topology (4000000); allowed: at least that'],
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
    name: 'A pulse too slow for the default silence',
    room: [[AT_END, 'link: { pulseMs: 3000 }']],
    lines: ['beijing.yaml:8:18 link.pulseMs: is 3000, more than half of link.silenceMsMax (5000); allowed: at most 2500'],
  },
]);

// files
run([
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
