import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outcome, Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { cacheWrite, QUICK_LINK, Scene, until } from './scene.ts';
import { Traffic } from './traffic.ts';

const scene = await Scene.open({ count: 2, mode: 'independent', partitions: 4, roomSettings: { link: QUICK_LINK, drainMsMax: 60_000 } });
/** Two daemons at a time, one of each room; after both steps each was hit once. */
const STEPS = [
  ['reship', 'collector'],
  ['collector', 'reship'],
] as const;

test('every daemon is killed in the middle of traffic and started again: both rooms hold what was acked, counters exact', async () => {
  const traffic = new Traffic(scene, 'kill');
  for (const step of STEPS) {
    await traffic.flows(60);
    await Promise.all(step.map((daemon, index) => scene.restart(index, daemon, 'SIGKILL')));
  }
  await traffic.flows(60);
  assert.ok(traffic.retries > 0, 'no call met a dead reship');
  await traffic.proves(scene);
});

test('SIGTERM and Ctrl-C in the middle of traffic end with exit code 0 and lose nothing that was acked', async () => {
  const traffic = new Traffic(scene, 'term');
  for (const step of STEPS) {
    await traffic.flows(60);
    const codes = await Promise.all(step.map((daemon, index) => scene.restart(index, daemon, index === 0 ? 'SIGTERM' : 'SIGINT')));
    assert.deepEqual(codes, [0, 0]);
  }
  await traffic.flows(60);
  await traffic.proves(scene);
});

test('a request id that is retried after its room’s collector and reship were killed has one effect in both rooms', async () => {
  const once = cacheWrite('retried', [['INCR', 'retried']], 'retried-1');
  await scene.submit(0, [once], Wait.WAIT_EVERYWHERE);
  await Promise.all([
    scene.restart(0, 'collector', 'SIGKILL'),
    scene.restart(0, 'reship', 'SIGKILL'),
    scene.restart(1, 'collector', 'SIGKILL'),
  ]);
  const [again] = await scene.submit(0, [once], Wait.WAIT_EVERYWHERE);
  assert.equal(again?.outcome, Outcome.OUTCOME_DUPLICATE);
  for (const index of [0, 1]) assert.equal(await scene.value(index, 'retried'), '1');
});

test('a reship that drains refuses new calls with DRAINING or the connection, and answers those that wait', async () => {
  await scene.rooms.end(scene.room(1), 'collector', 'SIGKILL');
  const waiting = scene.trySubmit(0, [cacheWrite('waits', [['SET', 'waits', 'v']])], Wait.WAIT_EVERYWHERE);
  await until('the call waits', async () => (await scene.at(0).reshipStatus()).intake?.waiting === 1);
  const ended = scene.rooms.end(scene.room(0), 'reship', 'SIGTERM');
  await scene.rooms.start(scene.room(1), 'collector');
  const { results } = await waiting;
  assert.deepEqual([results[0]?.error, results[0]?.outcome], [undefined, Outcome.OUTCOME_APPLIED]);
  assert.equal(await ended, 0);
  await scene.rooms.start(scene.room(0), 'reship');
  assert.equal(await scene.value(1, 'waits'), 'v');
});

/** What both rooms do to the same keys while they do not hear of each other. */
function conflicting(index: number, round: number): ReturnType<typeof cacheWrite> {
  const mine = `${index}.${round}`;
  const key = `cut:${round % 10}`;
  const variants: readonly (readonly (readonly (string | number)[])[])[] = [
    [['SET', `${key}:s`, mine]],
    [['DEL', `${key}:s`, `${key}:h`]],
    [['HSET', `${key}:h`, 'both', mine, `of${index}`, mine]],
    [['HDEL', `${key}:h`, 'both']],
    [['HINCRBY', `${key}:h`, 'n', index + 1]],
    [['SADD', `${key}:m`, mine, 'both']],
    [['SREM', `${key}:m`, 'both']],
    [['ZADD', `${key}:z`, round, 'both']],
    [['ZINCRBY', `${key}:z`, 1, 'both']],
    [['SET', `${key}:s`, mine, 'PX', 600_000]],
    [['PEXPIRE', `${key}:h`, 500_000 + index]],
    [['PERSIST', `${key}:s`]],
    [['WMB.TIMELINE', `${key}:t`, 5, mine]],
    // A type clash: the greater stamp has the whole key.
    [index === 0 ? ['SET', `${key}:x`, mine] : ['SADD', `${key}:x`, mine]],
  ];
  return cacheWrite(key, [
    ...(variants[(round * 5 + index * 3) % variants.length] ?? []),
    ['INCR', 'cut:sum'],
    ['SET', 'cut:brief', mine, 'PX', 300],
  ]);
}

test('while the link is cut both rooms write the same keys; healed, they are equal and counters are exact', async () => {
  for (const index of [0, 1]) scene.room(index).proxy.cut();
  await until('both rooms notice', async () => {
    const lanes = [...(await scene.lanes(0, 1)), ...(await scene.lanes(1, 0))];
    return lanes.length === 8 && lanes.every((lane) => lane.state !== 'streaming' && lane.reason.includes('PEER_UNREACHABLE'));
  });
  for (let round = 0; round < 80; round += 1) {
    await Promise.all([0, 1].map((index) => scene.submit(index, [conflicting(index, round)], Wait.WAIT_APPLIED)));
  }
  const apart = await scene.dumps();
  assert.notDeepEqual(apart[0], apart[1]);
  assert.deepEqual([await scene.value(0, 'cut:sum'), await scene.value(1, 'cut:sum')], ['80', '80']);
  for (const index of [0, 1]) scene.room(index).proxy.heal();
  await until(
    'what expired during the cut is gone',
    async () => (await scene.get(0, 'cut:brief')) === undefined && (await scene.get(1, 'cut:brief')) === undefined,
  );
  const held = await scene.equalRooms();
  assert.equal((held.get('cut:sum') as { value: string }).value, '160');
  assert.ok([...held.keys()].filter((key) => key.startsWith('cut:')).length >= 20);
});
