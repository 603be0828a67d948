import { AT_END, runCases } from './rules.fixture.ts';

const topicsOf = (...topics: string[]) =>
  [[AT_END, ['intake:', '  topics:', ...topics.map((topic) => `    - ${topic}`)].join('\n')]] as const;
const AT = 'brokers: ["10.0.0.1:9092"]';

runCases([
  {
    name: 'Two topics, one with a user',
    room: topicsOf(
      `{ topic: app.writes, ${AT}, format: json, kind: message }`,
      `{ topic: app.more, ${AT}, format: payload, kind: cache, group: g, from: latest, sasl: { user: wmb, password: { env: KAFKA_PASSWORD } } }`,
    ),
    env: { KAFKA_PASSWORD: 'x' },
    lines: [],
  },
  {
    name: 'A topic in the Kafka of the log',
    room: [[AT_END, 'log: { adapter: kafka, brokers: ["10.0.0.1:9092"] }\nintake: { topics: [{ topic: app.writes, format: protobuf }] }']],
    lines: [],
  },
  {
    name: 'A topic without brokers where the log is not in Kafka, and a name that is none',
    room: topicsOf('{ topic: app/writes, format: json, tls: { caFile: ../messages/schema.sql } }'),
    lines: [
      'beijing.yaml:10:7 intake.topics[0].brokers: is missing, and the log is not in Kafka; allowed: a list of addresses, for example [127.0.0.1:9092]',
      'beijing.yaml:10:16 intake.topics[0].topic: is "app/writes"; allowed: a topic name: up to 249 letters, digits, dots, hyphens and underscores',
      'beijing.yaml:10:42 intake.topics[0].tls: is set without brokers: the topic is in the Kafka of `log`; allowed: only with brokers',
    ],
  },
  {
    name: 'Topics of WMB itself, and one that is called a little like them',
    room: topicsOf(
      `{ topic: wmb.log.beijing.writes, ${AT}, format: json }`,
      `{ topic: wmb.inbox.guangzhou.writes, ${AT}, format: json }`,
      `{ topic: wmb.orders, ${AT}, format: json }`,
    ),
    lines: [
      'beijing.yaml:10:16 intake.topics[0].topic: is "wmb.log.beijing.writes", a topic of a log or an inbox of WMB; allowed: a topic of an application',
      'beijing.yaml:11:16 intake.topics[1].topic: is "wmb.inbox.guangzhou.writes", a topic of a log or an inbox of WMB; allowed: a topic of an application',
    ],
  },
  {
    name: 'The same topic twice, and the same group for two',
    room: topicsOf(
      `{ topic: app.writes, ${AT}, format: json, group: g }`,
      `{ topic: app.writes, ${AT}, format: json }`,
      `{ topic: app.more, ${AT}, format: json, group: g }`,
    ),
    lines: [
      'beijing.yaml:11:16 intake.topics[1].topic: is "app.writes", which topics[0] takes; allowed: each topic once',
      'beijing.yaml:12:75 intake.topics[2].group: is "g", the group of topics[0]; allowed: a group of its own for every topic',
    ],
  },
  {
    name: 'Kinds that are missing or unknown, and a password that is not there',
    room: topicsOf(
      `{ topic: a, ${AT}, format: payload }`,
      `{ topic: b, ${AT}, format: json, kind: mesage, sasl: { user: wmb } }`,
      `{ topic: c, ${AT}, format: json, sasl: { user: wmb, password: { env: KAFKA_PASSWORD } }, tls: { caFile: ../messages/schema.sql, keyFile: ../messages/schema.sql } }`,
    ),
    lines: [
      'beijing.yaml:10:7 intake.topics[0].kind: is missing, and format: payload needs it; allowed: a kind of the topology, or cache',
      'beijing.yaml:11:67 intake.topics[1].kind: is "mesage", no kind of the topology; allowed: cache, message; did you mean message?',
      'beijing.yaml:11:81 intake.topics[1].sasl.password: is missing; allowed: a mapping { env: NAME } that names an environment variable',
      'beijing.yaml:12:97 intake.topics[2].sasl.password.env: names KAFKA_PASSWORD, which is not set in the environment; allowed: a variable that holds the password',
      'beijing.yaml:12:156 intake.topics[2].tls.keyFile: is set without the other one; allowed: both certFile and keyFile, or neither',
    ],
  },
]);
