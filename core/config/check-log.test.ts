import { AT_END, runCases } from './rules.fixture.ts';

const logOf = (text: string) => [[AT_END, `log: ${text}`]] as const;

runCases([
  {
    name: 'Three brokers with a user',
    room: logOf(
      '{ adapter: kafka, brokers: ["10.0.0.1:9092", "[fd00::2]:9092", "kafka-3:9092"], minInSyncReplicas: 2, sasl: { user: wmb, password: { env: KAFKA_PASSWORD } } }',
    ),
    env: { KAFKA_PASSWORD: 'x' },
    lines: [],
  },
  {
    name: 'Kafka without brokers',
    room: logOf('{ adapter: kafka }'),
    lines: [
      'beijing.yaml:8:6 log.brokers: is missing, and adapter: kafka needs it; allowed: a list of addresses, for example [127.0.0.1:9092]',
    ],
  },
  {
    name: 'The same broker twice',
    room: logOf('{ adapter: kafka, brokers: ["localhost:9092", "127.0.0.1:9092"] }'),
    lines: ['beijing.yaml:8:52 log.brokers[1]: is the same broker as brokers[0]; allowed: each broker once'],
  },
  {
    name: 'More replicas in sync than there are',
    room: logOf('{ adapter: kafka, brokers: ["10.0.0.1:9092"], replicas: 1, minInSyncReplicas: 2 }'),
    lines: ['beijing.yaml:8:84 log.minInSyncReplicas: is 2, above log.replicas (1): nothing could ever be acked; allowed: at most that'],
  },
  {
    name: 'More replicas in sync than the default',
    room: logOf('{ adapter: kafka, brokers: ["10.0.0.1:9092"], minInSyncReplicas: 4 }'),
    lines: [
      'beijing.yaml:8:71 log.minInSyncReplicas: is 4, above the default of log.replicas (3): nothing could ever be acked; allowed: at most that',
    ],
  },
  {
    name: 'A user without a password, and a certificate without a key',
    room: logOf(
      '{ adapter: kafka, brokers: ["10.0.0.1:9092"], sasl: { user: wmb }, tls: { caFile: ../messages/schema.sql, certFile: ../messages/schema.sql } }',
    ),
    lines: [
      'beijing.yaml:8:58 log.sasl.password: is missing; allowed: a mapping { env: NAME } that names an environment variable',
      'beijing.yaml:8:112 log.tls.certFile: is set without the other one; allowed: both certFile and keyFile, or neither',
    ],
  },
  {
    name: 'A password of Kafka that is not in the environment',
    room: logOf('{ adapter: kafka, brokers: ["10.0.0.1:9092"], sasl: { user: wmb, password: { env: KAFKA_PASSWORD } } }'),
    lines: [
      'beijing.yaml:8:88 log.sasl.password.env: names KAFKA_PASSWORD, which is not set in the environment; allowed: a variable that holds the password',
    ],
  },
  {
    name: 'Keys of Kafka for an embedded log',
    room: logOf('{ brokers: ["10.0.0.1:9092"], replicas: 3 }'),
    lines: [
      'beijing.yaml:8:8 log.brokers: is set for an embedded log; allowed: only with adapter: kafka',
      'beijing.yaml:8:36 log.replicas: is set for an embedded log; allowed: only with adapter: kafka',
    ],
  },
]);
