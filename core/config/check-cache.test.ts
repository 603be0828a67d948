import { AT_END, runCases } from './rules.fixture.ts';

const cacheOf = (text: string) => [[AT_END, `cache: ${text}`]] as const;

runCases([
  {
    name: 'Two servers with a user',
    room: cacheOf(
      '{ adapter: redis, nodes: [{ address: "10.0.0.1:6379" }, { address: "10.0.0.2:6379" }], user: wmb, password: { env: REDIS_PASSWORD } }',
    ),
    env: { REDIS_PASSWORD: 'x' },
    lines: [],
  },
  {
    name: 'Redis without servers, and a user without a password',
    room: cacheOf('{ adapter: redis, user: wmb }'),
    lines: [
      'beijing.yaml:8:8 cache.nodes: is missing, and adapter: redis needs it; allowed: a list of servers, for example [{ address: 127.0.0.1:6379 }]',
      'beijing.yaml:8:8 cache.password: is missing for the user; allowed: a mapping { env: NAME } that names an environment variable',
    ],
  },
  {
    name: 'The same server twice',
    room: cacheOf('{ adapter: redis, nodes: [{ address: "10.0.0.1:6379" }, { address: "10.0.0.1:6379" }] }'),
    lines: ['beijing.yaml:8:75 cache.nodes[1].address: is the same server as nodes[0]; allowed: each server once'],
  },
  {
    name: 'A password of the cache that is not in the environment',
    room: cacheOf('{ adapter: redis, nodes: [{ address: "10.0.0.1:6379" }], password: { env: REDIS_PASSWORD } }'),
    lines: [
      'beijing.yaml:8:82 cache.password.env: names REDIS_PASSWORD, which is not set in the environment; allowed: a variable that holds the password',
    ],
  },
  {
    name: 'Keys of servers for an embedded cache',
    room: cacheOf('{ nodes: [{ address: "10.0.0.1:6379" }], database: 1 }'),
    lines: [
      'beijing.yaml:8:10 cache.nodes: is set for an embedded cache; allowed: only with adapter: redis',
      'beijing.yaml:8:49 cache.database: is set for an embedded cache; allowed: only with adapter: redis',
    ],
  },
]);
