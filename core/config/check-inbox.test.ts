import { AT_END, type Case, runCases } from './rules.fixture.ts';

const LINK: NonNullable<Case['topology']> = [
  [AT_END, 'links: [{ origin: guangzhou, peer: beijing, transport: mq }, { origin: beijing, peer: guangzhou, transport: mq }]'],
];
const INBOX = 'inbox: { brokers: [10.0.0.1:9092] }';
const PEERS = 'peers: { guangzhou: { kafka: { brokers: [10.0.0.2:9092] } } }';

runCases([
  { name: 'Both ends of links over mq need a Kafka', topology: LINK, room: [[AT_END, `${INBOX}\n${PEERS}`]], lines: [] },
  {
    name: 'A link over mq into the room needs its inbox',
    topology: LINK,
    room: [[AT_END, PEERS]],
    lines: [
      "beijing.yaml:1:1 inbox: is missing, but the topology has the link from guangzhou to beijing over mq; allowed: a mapping with the brokers of this room's Kafka",
    ],
  },
  {
    name: 'A link over mq from the room needs its peer’s Kafka',
    topology: LINK,
    room: [[AT_END, INBOX]],
    lines: [
      "beijing.yaml:1:1 peers.guangzhou: is missing, but the topology has the link from beijing to guangzhou over mq; allowed: a mapping { kafka } with the brokers of that room's Kafka",
    ],
  },
  {
    name: 'A broker is named once',
    room: [[AT_END, 'inbox: { brokers: [10.0.0.1:9092, 10.0.0.1:9092] }']],
    lines: ['beijing.yaml:8:35 inbox.brokers[1]: is the same broker as brokers[0]; allowed: each broker once'],
  },
  {
    name: 'More replicas in sync than there are could never ack',
    room: [[AT_END, 'inbox: { brokers: [10.0.0.1:9092], minInSyncReplicas: 4 }']],
    lines: [
      'beijing.yaml:8:55 inbox.minInSyncReplicas: is 4, above inbox.replicas (3): nothing could ever be acked; allowed: at most that',
    ],
  },
  {
    name: 'A room is not its own peer',
    room: [[AT_END, 'peers: { beijing: { kafka: { brokers: [10.0.0.2:9092] } } }']],
    lines: ['beijing.yaml:8:10 peers.beijing: is this room itself; allowed: other rooms'],
  },
  {
    name: 'A peer is a room of the topology',
    room: [[AT_END, 'peers: { guangzhu: { kafka: { brokers: [10.0.0.2:9092] } } }']],
    lines: [
      'beijing.yaml:8:20 peers.guangzhu: is "guangzhu", which is no room of the topology; allowed: beijing, guangzhou; did you mean guangzhou?',
    ],
  },
  {
    name: 'A user has a password, whose variable is set',
    room: [[AT_END, 'peers: { guangzhou: { kafka: { brokers: [10.0.0.2:9092], sasl: { user: wmb, password: { env: NOT_SET } } } } }']],
    lines: [
      'beijing.yaml:8:94 peers.guangzhou.kafka.sasl.password.env: names NOT_SET, which is not set in the environment; allowed: a variable that holds the password',
    ],
  },
]);
