/** An expiry that one room has and the other has parked: what the other has done says nothing against it (simulator, seed 180 of an earlier version). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from '../rooms-kit.ts';

const hset = (id: string, field: string) => ({ id, commands: [['HSET', 'k', field, '1']] });

for (const isPast of [false, true]) {
  for (const isMadeAnew of [false, true]) {
    const title = `an expiry ${isPast ? 'whose moment has passed' : 'to come'} of a key ${isMadeAnew ? 'made anew' : 'with one history'}`;
    test(`${title} is no drift of its own where its write request is parked in the other room, whichever room asks`, async () => {
      const world = new World();
      await world.write('beijing', [hset('one', 'f')]);
      if (isMadeAnew) await world.write('guangzhou', [{ id: 'del', commands: [['DEL', 'k']] }, hset('anew', 'f')]);
      await world.write('beijing', [{ id: 'expire', commands: [['EXPIRE', 'k', 60]] }], { guangzhou: 'parked' });
      if (isPast) await world.pass(90_000);
      await world.write('guangzhou', [hset('two', 'g')]);
      assert.equal(await world.checker('guangzhou', 'beijing').key('k'), undefined);
      assert.equal(await world.checker('beijing', 'guangzhou').key('k'), undefined);
    });
  }
}
