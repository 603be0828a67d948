/** One room has lost a key, the other shows it: whether a later write request took it away decides which of them is wrong. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { START_MS, World } from '../rooms-kit.ts';
import { explained, gist, set } from './explain-kit.ts';

const field = { id: 'one', commands: [['HSET', 'k', 'f', '1']] } as const;
const expire = (id: string, seconds: number) => ({ id, commands: [['EXPIRE', 'k', seconds]] });
const del = (id: string) => ({ id, commands: [['DEL', 'k']] });

function settleAll(world: World): Promise<unknown> {
  return Promise.all([...world.rooms.values()].map((room) => room.settle()));
}

/** Guangzhou has nothing of the key any more, and beijing never took the delete that it has forgotten. */
async function deletedAndForgotten(): Promise<World> {
  const world = new World();
  await world.write('beijing', [set('k', 'v')]);
  await world.write('beijing', [del('gone')], { beijing: 'lose' });
  await settleAll(world);
  return world;
}

describe('what took nothing away does not make the side that still shows the key wrong', () => {
  test('an expiry that was renewed before its moment came', async () => {
    const world = new World();
    await world.write('beijing', [field]);
    await world.write('beijing', [expire('first', 60)]);
    await world.pass(30_000);
    await world.write('beijing', [expire('renewed', 3_600)]);
    await world.pass(60_000);
    world.room('guangzhou').wipe('k');
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift).slice(0, 3), ['L2', 'missing', 'guangzhou'], drift.why);
  });

  test('an expiry that was taken back before its moment came', async () => {
    const world = new World();
    await world.write('beijing', [field]);
    await world.write('beijing', [expire('first', 60)]);
    await world.write('beijing', [{ id: 'kept', commands: [['PERSIST', 'k']] }]);
    await world.pass(90_000);
    world.room('guangzhou').wipe('k');
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift).slice(0, 3), ['L2', 'missing', 'guangzhou'], drift.why);
  });

  for (const fault of ['duplicate', 'rejected', 'parked'] as const) {
    test(`a delete that the room without the key did not do: ${fault}`, async () => {
      const world = new World();
      await world.write('beijing', [set('k', 'v')]);
      await world.write('beijing', [del('again')], { beijing: fault, guangzhou: fault });
      world.room('guangzhou').wipe('k');
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift).slice(0, 3), ['L2', 'missing', 'guangzhou'], drift.why);
    });
  }
});

describe('what was deleted is not brought back', () => {
  test('an expiry that came, and was not renewed in time', async () => {
    const world = new World();
    await world.write('beijing', [field]);
    await world.write('beijing', [expire('first', 60)], { beijing: 'lose' });
    await world.pass(90_000);
    await settleAll(world);
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, 'beijing', drift.why);
  });

  test('whatever was seen to change in the bucket of the room that deleted it', async () => {
    const world = await deletedAndForgotten();
    world.room('guangzhou').changedBehindMs.set('k', START_MS - 60_000);
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift).slice(0, 3), ['L2', 'extra', 'beijing'], drift.why);
    assert.equal(drift.write?.requestId, 'gone');
  });

  test('also where the room that deleted it keeps no receipt of what it deleted', async () => {
    const world = await deletedAndForgotten();
    world.room('guangzhou').receipts.lane({ log: 'writes', origin: 'beijing', partition: 0, epoch: 'e0e0e0e0e0e0e0e0' }).frames.delete(0);
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift).slice(0, 3), ['L2', 'extra', 'beijing'], drift.why);
  });

  test('nor an increment of a counter that was deleted', async () => {
    const world = new World();
    await world.write('beijing', [{ id: 'count', commands: [['INCR', 'k']] }]);
    await world.write('beijing', [del('gone')], { beijing: 'lose' });
    await world.room('guangzhou').settle();
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, 'beijing', drift.why);
  });
});
