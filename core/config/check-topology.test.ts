/** What may stand in a document at all, and the rules of the topology, with their exact messages. */
import { TOPOLOGY } from './config.fixture.ts';
import { AT_END, runCases } from './rules.fixture.ts';

const ADDRESS_ALLOWED = 'host:port with a port of 1 to 65535, for example 10.0.0.1:7101 or [fd00::1]:7101';
const ROOM_ID_ALLOWED = 'a room id: a lower-case letter, then up to 31 lower-case letters, digits or hyphens';

// syntax
runCases([
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
runCases([
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
    name: 'A number beyond all bounds is one problem',
    topology: [['partitions: 8', 'partitions: 1e300']],
    lines: ['topology.yaml:3:13 partitions: is 1e+300; allowed: 1 to 1024'],
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
      'beijing.yaml:8:1 intake: is empty; allowed: a mapping of pendingWritesMax, pendingBytesMax, waitingMax, waitMsDefault, frameBytesMax, frameWritesMax, topics, or no such key at all for the default',
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
    lines: [
      'topology.yaml:1:1 partitions: is missing; allowed: 1 to 1024',
      'topology.yaml:3:1 partitons: is not a known key; did you mean partitions?',
    ],
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
    room: [
      [AT_END, 'kinds: {}'],
      ['directory', 'epoch: 1\ndirectory'],
    ],
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
    room: [['./data/beijing', '$HOME/wmb']],
    lines: ['beijing.yaml:3:12 directory: is "$HOME/wmb"; allowed: a path, absolute or relative to this file (~ and $ are not expanded)'],
  },
]);

// addresses
const ADDRESSES = [
  '10.0.0.2',
  '10.0.0.2:0',
  '10.0.0.2:65536',
  '10.0.0.256:7101',
  ':7101',
  'fd00::1:7101',
  'http://10.0.0.2:7101',
  '-a:1',
  'a..b:1',
  '10.0.0.2:71o1',
  '[10.0.0.2]:1',
];
runCases(
  ADDRESSES.map((text) => ({
    name: `The address ${text} is refused`,
    topology: [['grpc: 10.0.0.2:7101', `grpc: "${text}"`]] as const,
    lines: [`topology.yaml:13:21 rooms[1].reship.grpc: is "${text}"; allowed: ${ADDRESS_ALLOWED}`],
  })),
);
runCases(
  ['guangzhou-1.example.com:7101', '[fd00::1]:7101', 'LOCALHOST:65535', 'wmb_reship:1'].map((text) => ({
    name: `The address ${text} is taken`,
    topology: [['grpc: 10.0.0.2:7101', `grpc: "${text}"`]] as const,
    lines: [],
  })),
);

// the topology's rules
runCases([
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
    topology: [
      ['grpc: 10.0.0.1:7101', 'grpc: localhost:7102'],
      ['http: 10.0.0.1:7102', 'http: 127.0.0.1:7102'],
    ],
    lines: [
      'topology.yaml:8:43 rooms[0].reship.http: is "127.0.0.1:7102", as rooms[0].reship.grpc is already; allowed: an address of its own for every daemon and protocol',
    ],
  },
  {
    name: 'Addresses of checkers that nobody can dial, or that another daemon has',
    topology: [['http: 10.0.0.2:7104 }', 'http: 10.0.0.2:7104 }\n    checker: { grpc: "[::]:7105", http: 10.0.0.2:7104 }']],
    lines: [
      'topology.yaml:15:22 rooms[1].checker.grpc: is "[::]:7105", which nobody can dial; allowed: an address that the other rooms reach (the room\'s file says under listen where a daemon listens)',
      'topology.yaml:15:41 rooms[1].checker.http: is "10.0.0.2:7104", as rooms[1].collector.http is already; allowed: an address of its own for every daemon and protocol',
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
    lines: [
      'topology.yaml:12:15 rooms[1].database: is master, as rooms[0].database is already; allowed: one master room, slave or none elsewhere',
    ],
  },
  {
    name: 'A slave without a master',
    topology: [['database: master', 'database: none']],
    room: [['database: { schemaFile: ../messages/schema.sql }\n', '']],
    lines: [
      'topology.yaml:12:15 rooms[1].database: is slave, but no room is master, so there is nothing to follow; allowed: none, or slave beside one master room',
    ],
  },
  {
    name: 'Master–slave without a master',
    topology: [
      ['mode: independent', 'mode: master-slave'],
      ['database: master', 'database: none'],
      ['database: slave', 'database: none'],
    ],
    room: [['database: { schemaFile: ../messages/schema.sql }\n', '']],
    lines: [
      'topology.yaml:2:7 mode: is master-slave, but no room has database: master; allowed: master-slave with one master room, or independent',
    ],
  },
  {
    name: 'A master that is misspelt is not missing as well',
    topology: [
      ['mode: independent', 'mode: master-slave'],
      ['database: master', 'database: mastr'],
    ],
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
    topology: [
      [
        AT_END,
        'links:\n  - { origin: beijing, peer: guangzhou }\n  - { origin: guangzhou, peer: beijing }\n  - { origin: beijing, peer: guangzhou }',
      ],
    ],
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
    topology: [
      ['mode: independent', 'mode: master-slave'],
      ['{ onFailure: park }', '{ rooms: [guangzhou] }'],
    ],
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
    lines: [
      'topology.yaml:17:3 kinds.__proto__: is no kind name; allowed: a lower-case letter, then up to 63 lower-case letters, digits, dots, hyphens or underscores',
    ],
  },
]);
