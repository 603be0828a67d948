import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outcome, Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { cacheWrite, Scene } from './scene.ts';

/** beijing is the master, guangzhou a slave, shanghai a slave without a database. */
const scene = await Scene.open({ count: 3, mode: 'master-slave', cacheOnly: true, partitions: 2 });

for (const index of [0, 1, 2]) {
  test(`applied: room ${index} reads its own write when it is answered, though only the master processes it`, async () => {
    for (let round = 0; round < 5; round += 1) {
      const [result] = await scene.submit(index, [cacheWrite('own', [['SET', 'own', `${index}.${round}`]])], Wait.WAIT_APPLIED);
      assert.equal(result?.outcome, Outcome.OUTCOME_APPLIED);
      assert.equal(await scene.value(index, 'own'), `${index}.${round}`);
    }
  });

  test(`everywhere: what room ${index} submits is visible in every room when it is answered`, async () => {
    for (let round = 0; round < 3; round += 1) {
      await scene.submit(index, [cacheWrite('all', [['SET', 'all', `${index}.${round}`]])], Wait.WAIT_EVERYWHERE);
      for (const other of [0, 1, 2]) assert.equal(await scene.value(other, 'all'), `${index}.${round}`);
    }
  });
}

test('a request id that a slave room retries has one effect in every room, also after collectors and reship were killed', async () => {
  const once = cacheWrite('count', [['INCR', 'count']], 'count-1');
  await scene.submit(1, [once], Wait.WAIT_EVERYWHERE);
  await Promise.all([
    scene.restart(0, 'collector', 'SIGKILL'),
    scene.restart(1, 'collector', 'SIGKILL'),
    scene.restart(1, 'reship', 'SIGKILL'),
  ]);
  const [again] = await scene.submit(1, [once], Wait.WAIT_EVERYWHERE);
  assert.equal(again?.outcome, Outcome.OUTCOME_DUPLICATE);
  for (const index of [0, 1, 2]) assert.equal(await scene.value(index, 'count'), '1');
});

test('a slave room that is cut off from its master takes and keeps writes, and answers a wait that runs out with what is durable', async () => {
  scene.room(0).proxy.cut();
  scene.room(1).proxy.cut();
  const { results } = await scene.at(1).submit({
    writes: [cacheWrite('alone', [['SET', 'alone', 'v']], 'alone-1')],
    wait: Wait.WAIT_APPLIED,
    deadlineMs: 400,
    batchId: 0,
  });
  assert.equal(results[0]?.error?.code, 'WAIT_TIMEOUT');
  assert.match(results[0]?.position ?? '', /^guangzhou\//);
  assert.equal(await scene.get(1, 'alone'), undefined);
  scene.room(0).proxy.heal();
  scene.room(1).proxy.heal();
  await scene.settled();
  const held = await scene.equalRooms();
  assert.equal((held.get('alone') as { value: string }).value, 'v');
});
