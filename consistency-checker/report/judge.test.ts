import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatStamp, versionOf } from '../../core/stamp.ts';
import { START_MS, World } from '../rooms-kit.ts';
import { explained, gist, set, stale } from './explain-kit.ts';

describe('which side is wrong when the source does not say', () => {
  const forged = (ms: number, writer = 0x01000001) => versionOf(formatStamp({ ms, counter: 7, writer }), 0);
  const tampered = (version: string) => ({ op: 'set', key: 'k', version, value: 'evil', expireAtMs: 0 }) as const;

  test('no write request has the stamp although the log reaches back: who shows it is wrong', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v')]);
    await world.write('beijing', [set('other', 'v')], {}, 1);
    await world.room('guangzhou').tamper(tampered(forged(START_MS + 150)));
    await world.pass(1_000);
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift), ['L2', 'extra', 'guangzhou', 'behind-back', 'push']);
    assert.match(
      drift.why,
      /^guangzhou shows k as evil, which no write request made: the write log of beijing goes back to .*, and no write request in it is stamped 2026-11-22 20:15:44\.150/,
    );
    assert.deepEqual(drift.repair.diff, ['- k = evil', '+ k = v']);
  });

  test('a key that only one room has and no write request made is extra', async () => {
    const world = new World();
    await world.write('beijing', [set('other', 'v')]);
    await world.room('beijing').tamper(tampered(forged(START_MS + 105)));
    await world.pass(1_000);
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift), ['L2', 'extra', 'beijing', 'behind-back', 'push']);
    assert.deepEqual(drift.repair.diff, ['- k = evil', '+ k = (nothing)']);
  });

  const OTHERWISE: readonly (readonly [how: string, hide: (world: World) => void, says: RegExp])[] = [
    [
      'the log does not reach back',
      (world) => (world.room('beijing').logFrom = 'f'),
      /the write log of beijing has nothing stamped .* any more/,
    ],
    [
      'the origin is silent',
      (world) => (world.room('beijing').before = silentFor('findWrites')),
      /the write log of beijing cannot be asked: beijing does not answer/,
    ],
  ];
  for (const [how, hide, says] of OTHERWISE) {
    test(`${how}: the greater version is taken as right, and why is said`, async () => {
      const world = await stale();
      hide(world);
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift), ['L2', 'stale', 'guangzhou', 'unknown', 'push']);
      assert.match(drift.why, says);
      assert.match(drift.why, /beijing k as new, which is newer and is therefore taken as right/);
    });

    test(`${how}: evidence decides before the version does`, async () => {
      const world = await stale();
      hide(world);
      world.room('beijing').changedBehindMs.set('k', START_MS + 99);
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift), ['L2', 'extra', 'beijing', 'behind-back', 'push']);
      assert.match(drift.why, /what is stored there was seen to change at 2026-11-22 20:15:44\.099 without a write request/);
    });

    test(`${how}: a third room decides before the version does`, async () => {
      const world = await stale(['beijing', 'guangzhou', 'shanghai'], { guangzhou: 'lose', shanghai: 'lose' });
      hide(world);
      const drift = await explained(world, 'k');
      assert.deepEqual(gist(drift).slice(0, 3), ['L2', 'extra', 'beijing']);
      assert.match(drift.why, /while shanghai agrees with guangzhou/);
    });
  }

  test('a log that goes back only so far proves nothing about what is older', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'old')]);
    const [found] = await world.write('beijing', [set('k', 'new')], { guangzhou: 'lose' });
    for (const partition of [0, 1]) await world.write('beijing', [set('other', 'x')], {}, partition);
    world.room('beijing').logFrom = `${found?.write.stamp}f`;
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, 'guangzhou', drift.why);
    assert.match(
      drift.why,
      /which is newer and is therefore taken as right; the write log of beijing has nothing stamped .* any more: it goes back to 2026-11-22 20:15:44\.\d+ only/,
    );
  });

  test('a version of a room that the topology does not have wins nothing by being greater', async () => {
    const world = await stale();
    await world.room('beijing').tamper(tampered(forged(START_MS + 200, 0x09000001)));
    await world.pass(1_000);
    const drift = await explained(world, 'k');
    assert.equal(drift.wrong, '', drift.why);
    assert.match(drift.why, /room number 9, which is not in the topology/);
  });

  test('both rooms changed: neither shows what the write request made', async () => {
    const world = new World();
    await world.write('beijing', [set('k', 'v')]);
    world.room('beijing').overwrite('k', '', 'x');
    world.room('guangzhou').overwrite('k', '', 'y');
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift).slice(0, 3), ['L3', 'value', '']);
    assert.match(drift.why, /neither room shows what write request set k .* set it to v/);
  });

  test('a counter that one room shows no more, in a version that added to it, was lost there, however far the log reaches back', async () => {
    const world = new World();
    await world.write('beijing', [{ id: 'first', commands: [['INCRBY', 'k', 2]] }]);
    const [found] = await world.write('beijing', [{ id: 'second', commands: [['INCRBY', 'k', 3]] }]);
    world.room('beijing').logFrom = found?.write.stamp ?? '';
    await world.pass(5_000);
    for (const room of ['beijing', 'guangzhou']) await world.room(room).settle();
    world.room('guangzhou').overwrite('k', '', null);
    const drift = await explained(world, 'k');
    assert.deepEqual(gist(drift).slice(0, 3), ['L3', 'value', 'guangzhou'], drift.why);
    assert.match(
      drift.why,
      /guangzhou shows nothing of k in the version of write request second .* added 3 to it at .*; that deletes nothing/,
    );
    assert.deepEqual(drift.repair.diff, ['- k = (nothing)', '+ k = 5']);
  });

  test('a processor that answers otherwise than it did then proves nothing', async () => {
    const world = await stale();
    world.room('beijing').derive = (write) => ({ stamp: write.stamp, effects: [], error: '' });
    const drift = await explained(world, 'k');
    assert.match(drift.why, /has its stamp, but does not touch this key as the processors are now/);
    assert.equal(drift.wrong, 'guangzhou');
  });
});

function silentFor(what: string) {
  return (asked: string) => {
    if (asked === what) throw new Error('beijing does not answer');
  };
}
