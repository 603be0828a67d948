/** Two rooms with caches on Redis, in which somebody changes what is stored in every way, with any client: the checkers find all of it and nothing else, and repair it. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Drift } from '../../consistency-checker/drift.ts';
import { bucketOf } from '../../core/converge/bucket.ts';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { containersAvailable, NO_ENGINE } from '../containers/engine.ts';
import { type RedisServer, startRedis } from '../containers/redis.ts';
import { cacheWrite, QUICK_LINK, Scene, until, VERIFIED_MS_MAX } from './scene.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const ROOMS = ['beijing', 'guangzhou'];
const KEYS = 400;

/** What is done in which room, and the key that is wrong there then. */
const CHANGES: readonly (readonly [room: number, key: string, ...command: string[]])[] = [
  [1, 'k1', 'SET', 'k1', 'forged'],
  [1, 'k2', 'DEL', 'k2'],
  [0, 'k3', 'DEL', 'k3'],
  [0, 'k4', 'EVAL', `redis.call('DEL', 'k4') redis.call('RPUSH', 'k4', 'x')`, '0'],
  [1, 'k5', 'EXPIRE', 'k5', '5000'],
  [1, 'x', 'PERSIST', 'x'],
  [0, 'h', 'HSET', 'h', 'f', 'forged'],
  [1, 'm', 'SREM', 'm', 'a'],
  [0, 'z', 'ZADD', 'z', '9', 'a'],
  [1, 'n', 'SET', 'n', '99'],
  [1, 't', 'ZREM', 't', 'b'],
  [1, 'k6', 'HDEL', `wmb:b:${bucketOf('k6')}`, 'k6'],
  [0, 'stray', 'SET', 'stray', 'forged'],
];

test('what is changed directly in either room’s Redis is found, and nothing else, and repaired', { skip }, async () => {
  const servers = await Promise.all(ROOMS.map(() => startRedis()));
  after(() => Promise.all(servers.map((server) => server.remove())));
  const scene = await Scene.open({
    ...{ count: 2, mode: 'independent', partitions: 2, daemons: ['reship', 'collector', 'checker'] },
    roomSettings: (room) => ({
      link: QUICK_LINK,
      checker: { roundMs: 200, graceMs: 500, sweepMs: 3_000, canaryMs: 200, silenceMsMax: 60_000 },
      cache: { adapter: 'redis', nodes: [{ address: servers[ROOMS.indexOf(room)]?.address }] },
    }),
  });
  await scene.submit(0, [...strings(), ...others()], Wait.WAIT_EVERYWHERE);
  const right = await scene.equalRooms();

  for (const [room, , ...command] of CHANGES) await (servers[room] as RedisServer).cli(...command);
  const list = async (status: string) => {
    const { stdout, stderr } = await scene.wmb(0, 'drift', 'list', '--status', status, '--json');
    assert.notEqual(stdout, '', stderr);
    return (JSON.parse(stdout) as { drifts: readonly Drift[] }).drifts;
  };
  const wanted = CHANGES.map(([room, key]) => `${key} in ${ROOMS[room]}`).sort();
  const told = (drifts: readonly Drift[]) => drifts.map(({ subject, wrong }) => `${subject.name} in ${wrong}`).sort();
  await until(
    'all are open',
    async () => {
      const found = told(await list('open'));
      if (found.length < wanted.length) throw new Error(found.join(', '));
      return true;
    },
    VERIFIED_MS_MAX,
  );
  const open = await list('open');
  assert.deepEqual(told(open), wanted);
  // What WMB knows of a key lies beside it, and is still there.
  for (const gone of ['k2', 'k3']) assert.equal(open.find(({ subject }) => subject.name === gone)?.kind, 'missing');

  const { code, stdout, stderr } = await scene.wmb(0, 'repair', '--all', '--apply');
  assert.equal(code, 0, stdout + stderr);
  assert.deepEqual(await list('open'), []);
  assert.deepEqual(await scene.equalRooms(), right);
  assert.deepEqual(told(await list('all')), wanted, 'nothing else was ever reported');
});

function strings() {
  return Array.from({ length: KEYS }, (_, n) => cacheWrite(`k${n}`, [['SET', `k${n}`, `v${n}`]]));
}

function others() {
  return [
    cacheWrite('x', [['SET', 'x', 'v', 'PXAT', Date.now() + 3_600_000]]),
    cacheWrite('h', [['HSET', 'h', 'f', '1', 'g', '2']]),
    cacheWrite('m', [['SADD', 'm', 'a', 'b']]),
    cacheWrite('z', [['ZADD', 'z', 1, 'a', 2, 'b']]),
    cacheWrite('n', [['INCR', 'n']]),
    cacheWrite('t', [
      ['WMB.TIMELINE', 't', 2, 'a'],
      ['WMB.TIMELINE', 't', 2, 'b'],
    ]),
  ];
}
