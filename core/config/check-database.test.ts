import { runCases } from './rules.fixture.ts';

const EMBEDDED = '{ schemaFile: ../messages/schema.sql }';
const SERVER = '{ adapter: mysql, address: "10.0.0.1:3306", name: wmb, user: wmb, password: { env: DB_PASSWORD } }';
const IN_TOPOLOGY = [['mode: independent', 'mode: independent\ndatabases: mysql']] as const;

runCases([
  {
    name: 'A server with all that it needs',
    topology: IN_TOPOLOGY,
    room: [[EMBEDDED, SERVER]],
    env: { DB_PASSWORD: 'x' },
    lines: [],
  },
  {
    name: 'A server without address, user and password',
    topology: IN_TOPOLOGY,
    room: [[EMBEDDED, '{ adapter: mysql, name: wmb }']],
    lines: [
      'beijing.yaml:5:11 database.address: is missing, and adapter: mysql needs it; allowed: as the reference says',
      'beijing.yaml:5:11 database.user: is missing, and adapter: mysql needs it; allowed: as the reference says',
      'beijing.yaml:5:11 database.password: is missing, and adapter: mysql needs it; allowed: as the reference says',
    ],
  },
  {
    name: 'A password that is not in the environment',
    topology: IN_TOPOLOGY,
    room: [[EMBEDDED, SERVER]],
    lines: [
      'beijing.yaml:5:94 database.password.env: names DB_PASSWORD, which is not set in the environment; allowed: a variable that holds the password',
    ],
  },
  {
    name: 'A server where the topology has embedded databases',
    room: [[EMBEDDED, SERVER]],
    env: { DB_PASSWORD: 'x' },
    lines: ['beijing.yaml:5:22 database.adapter: is mysql, but the topology says databases: embedded; allowed: embedded'],
  },
  {
    name: 'Keys of a server for an embedded database',
    room: [[EMBEDDED, '{ user: wmb, password: { env: DB_PASSWORD } }']],
    env: { DB_PASSWORD: 'x' },
    lines: [
      'beijing.yaml:5:13 database.user: is set for an embedded database; allowed: only with adapter: mysql',
      'beijing.yaml:5:24 database.password: is set for an embedded database; allowed: only with adapter: mysql',
    ],
  },
]);
