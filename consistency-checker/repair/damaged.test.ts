/** Rows that somebody has damaged: the side that has them is wrong, and nothing of the damage is carried over. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DAMAGED } from '../../core/converge/cell.ts';
import { compareText } from '../../core/converge/order.ts';
import { World } from '../rooms-kit.ts';
import { results, run, set, value } from './repairer-kit.ts';

test('a member whose name has become bytes is put right from the healthy side, and the state that travels is in order', async () => {
  const world = new World();
  await world.write('beijing', [{ id: 'w', commands: [['SADD', 'r', 'a', 'm', 'z']] }]);
  await world.write('beijing', [{ id: 'parked', commands: [['SREM', 'r', 'm']] }], { guangzhou: 'parked' });
  const room = world.room('guangzhou');
  const version = room.cache.cell('r')?.register('a')?.version ?? '';
  room.wipe('r', 'a');
  room.overwrite('r', `X'C3'`, '', version);
  // What is parked stays as it is, and comes behind the rest.
  const checker = world.checker('guangzhou', 'beijing');
  const drift = await checker.key('r');
  assert.equal(drift?.wrong, 'guangzhou');
  const mend = room.cache.repair.bind(room.cache);
  room.cache.repair = async (repairs, ...rest) => {
    for (const repair of repairs) {
      const names = repair.action === 'push' ? repair.state.registers.map(({ name }) => name) : [];
      assert.deepEqual(names, [...names].sort(compareText));
    }
    return await mend(repairs, ...rest);
  };
  assert.deepEqual(results(await run(checker)), ['repaired']);
  assert.deepEqual(await value(world, 'guangzhou', 'r'), { type: 'set', members: ['a', 'm', 'z'] });
});

for (const how of ['with no expiry of its own', 'with another type in its place'] as const) {
  test(`a room that cannot read the head of a key, ${how}, is the wrong one and nothing of it is carried over`, async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v')]);
    const cell = world.room('guangzhou').cache.cell('k');
    cell?.addExpiry({ version: DAMAGED, atMs: 0 });
    if (how === 'with another type in its place' && cell !== undefined) cell.head.type = 'hash';
    const other = world.checker('beijing', 'guangzhou');
    const seen = await other.key('k');
    assert.equal(seen?.wrong, 'guangzhou');
    assert.match(seen?.why ?? '', /^what guangzhou has stored of k is damaged/);
    assert.deepEqual(results(await run(other, { ids: [seen?.id ?? ''], from: 'guangzhou' })), ['refused']);
    const checker = world.checker('guangzhou', 'beijing');
    assert.equal((await checker.key('k'))?.repair.action, 'push');
    assert.deepEqual(results(await run(checker)), ['repaired']);
    assert.deepEqual(await value(world, 'guangzhou', 'k'), { type: 'string', value: 'v' });
    assert.equal(await other.keys.differs('k'), undefined);
  });
}

test('where both rooms cannot read a key, neither is copied, not even when it is named', async () => {
  const world = new World();
  await world.write('beijing', [set('k', 'v')]);
  for (const room of world.rooms.values()) room.cache.cell('k')?.addExpiry({ version: DAMAGED, atMs: 0 });
  world.room('guangzhou').overwrite('k', '', 'other');
  const checker = world.checker('beijing', 'guangzhou');
  const drift = await checker.key('k');
  assert.equal(drift?.wrong, '');
  const steps = await run(checker, { ids: [drift?.id ?? ''], from: 'guangzhou' });
  assert.deepEqual(results(steps), ['refused']);
  assert.match(steps[0]?.detail ?? '', /^what guangzhou has stored of k is damaged and must not be copied/);
  assert.deepEqual(await value(world, 'beijing', 'k'), { type: 'string', value: 'v' });
});
