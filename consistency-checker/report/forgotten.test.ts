/** A side that has forgotten why it shows nothing, or no expiry, is as good as one that remembers: the write logs say what is right. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GIVEN_UP } from '../messages/receipts-kit.ts';
import { run } from '../repair/repairer-kit.ts';
import type { FoundWrite } from '../room.ts';
import { type TestRoom, World } from '../rooms-kit.ts';
import { explained } from './explain-kit.ts';

const commands = (id: string, ...command: readonly (string | number)[]) => ({ id, commands: [command] });

function settleAll(world: World): Promise<unknown> {
  return Promise.all([...world.rooms.values()].map((room) => room.settle()));
}

describe('what has been forgotten is told from the write logs', () => {
  test('a field that was written before the expiry of its key came, by a room that has lost the expiry', async () => {
    const world = new World();
    await world.write('beijing', [commands('g', 'HSET', 'k', 'g', '1')]);
    await world.write('beijing', [commands('expire', 'PEXPIRE', 'k', 60_000)], { beijing: 'lose' });
    await world.write('beijing', [commands('f', 'HSET', 'k', 'f', '1')]);
    await world.pass(90_000);
    await settleAll(world);
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, 'beijing', drift.why);
  });

  test('an expiry that is still to come takes no field away', async () => {
    const world = new World();
    await world.write('beijing', [commands('f', 'HSET', 'k', 'f', '1', 'g', '1')]);
    await world.write('beijing', [commands('expire', 'PEXPIRE', 'k', 600_000)]);
    world.room('guangzhou').wipe('k', 'f');
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, 'guangzhou', drift.why);
  });

  test('an expiry that was taken back: the room that has none any more is right', async () => {
    const world = new World();
    await world.write('beijing', [commands('f', 'HSET', 'k', 'f', '1')]);
    await world.write('beijing', [commands('expire', 'PEXPIRE', 'k', 600_000)]);
    await world.write('beijing', [commands('persist', 'PERSIST', 'k')], { beijing: 'lose' });
    await settleAll(world);
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, 'beijing', drift.why);
    const checker = world.checker('beijing', 'guangzhou');
    await checker.key('k');
    const steps = await run(checker);
    assert.deepEqual(
      steps.map(({ result }) => result),
      ['repaired'],
    );
    assert.equal((await world.room('beijing').cache.get('k', world.runtime.nowMs()))?.expireAtMs, 0);
  });

  test('a hash that a set has taken the place of, and that was then emptied', async () => {
    const world = new World();
    await world.write('beijing', [commands('f', 'HSET', 'k', 'f', '1')]);
    await world.write('beijing', [commands('add', 'SADD', 'k', 'm')], { beijing: 'lose' });
    await world.write('beijing', [commands('remove', 'SREM', 'k', 'm')], { beijing: 'lose' });
    await settleAll(world);
    await settleAll(world);
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, 'beijing', drift.why);
  });

  test('where the logs do not go back to what is shown, no room is taken for wrong', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [commands('f', 'HSET', 'k', 'f', '1')]);
    await world.write('beijing', [commands('g', 'HSET', 'other', 'f', '1')]);
    world.room('guangzhou').wipe('k');
    const room = world.room('guangzhou');
    if (found !== undefined) room.receipts.lane(found.position).frames.delete(found.position.seq);
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, '', drift.why);
    assert.match(drift.why, /whether a later write request deleted it cannot be told/);
  });

  test('the version of a write request that made something else proves nothing', async () => {
    const world = new World();
    await world.write('beijing', [commands('f', 'HSET', 'k', 'f', '1')]);
    const [later] = await world.write('beijing', [commands('g', 'HSET', 'k', 'g', '1')]);
    world.room('guangzhou').overwrite('k', 'f', '9', `${later?.write.stamp}0000`);
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, 'guangzhou', drift.why);
  });

  for (const [receipt, forget] of [
    ['kept no longer', ({ receipts }: TestRoom, { position }: FoundWrite) => receipts.lane(position).frames.delete(position.seq)],
    ['given up', ({ receipts }: TestRoom, { position }: FoundWrite) => receipts.receipt(position, position.seq, GIVEN_UP)],
  ] as const) {
    test(`nor does it where the logs do not go back to the beginning: a receipt is ${receipt}`, async () => {
      const world = new World();
      const [first] = await world.write('beijing', [commands('first', 'SET', 'other', 'v')]);
      await world.write('beijing', [commands('f', 'HSET', 'k', 'f', '1')]);
      const [later] = await world.write('beijing', [commands('g', 'HSET', 'k', 'g', '1')]);
      for (const room of world.rooms.values()) if (first !== undefined) forget(room, first);
      world.room('guangzhou').overwrite('k', 'f', '9', `${later?.write.stamp}0000`);
      const drift = await explained(world, 'k');
      assert.equal(drift.wrong, '', drift.why);
    });
  }
});

describe('both rooms were changed', () => {
  for (const own of ['beijing', 'guangzhou'] as const) {
    test(`the side that shows the greater version shows something else than was written: ${own} is not given it`, async () => {
      const world = new World();
      await world.write('beijing', [commands('old', 'SET', 'k', 'old')]);
      await world.write('beijing', [commands('new', 'SET', 'k', 'new')], { guangzhou: 'lose' });
      world.room('beijing').overwrite('k', '', 'evil');
      const first = await explained(world, 'k', own, own === 'beijing' ? 'guangzhou' : 'beijing');
      assert.match(first.why, /evil/);
      await mendAll(world, 'k');
      for (const room of world.rooms.values())
        assert.deepEqual((await room.cache.get('k', world.runtime.nowMs()))?.value, { type: 'string', value: 'new' }, room.id);
    });
  }

  test('the same version, and neither shows what was written: both get it from the write request', async () => {
    const world = new World();
    await world.write('beijing', [commands('one', 'HSET', 'k', 'f', '1', 'g', '2')]);
    world.room('beijing').overwrite('k', 'f', 'x');
    world.room('guangzhou').overwrite('k', 'f', 'y');
    await mendAll(world, 'k', 'beijing');
    for (const room of world.rooms.values()) {
      const entry = await room.cache.get('k', world.runtime.nowMs());
      assert.deepEqual(
        entry?.value,
        {
          type: 'hash',
          fields: [
            ['f', '1'],
            ['g', '2'],
          ],
        },
        room.id,
      );
    }
  });
});

/** Each room's checker repairs its own, as long as there is a drift; `from` where it cannot be told. */
async function mendAll(world: World, key: string, from = ''): Promise<void> {
  for (let turn = 0; turn < 6; turn += 1) {
    const [own, peer] = turn % 2 === 0 ? (['guangzhou', 'beijing'] as const) : (['beijing', 'guangzhou'] as const);
    const checker = world.checker(own, peer);
    const drift = await checker.key(key);
    if (drift === undefined) return;
    await run(checker, { from: drift.wrong === '' && own !== from ? from : '' });
  }
}
