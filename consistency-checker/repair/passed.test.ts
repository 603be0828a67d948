import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Horizon, LanePlace } from '../../core/inspection.ts';
import { versionOf } from '../../core/stamp.ts';
import { laneOfTest, testStamp } from '../messages/receipts-kit.ts';
import { START_MS, type TestWrite, World } from '../rooms-kit.ts';
import { pooled, seenOf } from './passed.ts';

const place = (origin: string, more: Partial<LanePlace>): LanePlace => ({
  ...laneOfTest(origin),
  ...{ mark: 5, seen: testStamp(1_000), state: '', reason: '', lagWrites: 0 },
  ...more,
});
const horizon = (...lanes: LanePlace[]): Horizon => ({ nowMs: 0, lanes });
const seen = (room: Horizon, other: Horizon) => seenOf(pooled(room, other));

describe('what a room had passed', () => {
  test('is the least of its lanes', () => {
    const room = horizon(place('beijing', {}), place('lhasa', { seen: testStamp(900) }));
    assert.equal(seen(room, horizon()), `${testStamp(900)}ffff`);
  });

  test('counts what the other room knows of the end of a lane, where the room has everything up to there', () => {
    const room = horizon(place('lhasa', { seen: testStamp(900) }));
    assert.equal(seen(room, horizon(place('lhasa', { seen: testStamp(990) }))), `${testStamp(990)}ffff`);
    assert.equal(seen(room, horizon(place('lhasa', { seen: testStamp(990), mark: 4 }))), `${testStamp(990)}ffff`);
  });

  test('does not count it where the other room has more of the lane, or another log', () => {
    const room = horizon(place('lhasa', { seen: testStamp(900) }));
    assert.equal(seen(room, horizon(place('lhasa', { seen: testStamp(990), mark: 6 }))), `${testStamp(900)}ffff`);
    assert.equal(seen(room, horizon(place('lhasa', { seen: testStamp(990), epoch: 'f'.repeat(16) }))), `${testStamp(900)}ffff`);
  });

  test('is not known of a room that says nothing of any lane, whatever its marks are: they are from before its cache came back', () => {
    const room = horizon(place('beijing', { seen: '' }), place('lhasa', { seen: '' }));
    assert.equal(seen(room, horizon(place('beijing', {}), place('lhasa', {}))), '');
  });

  test('is not known while a lane is not known, unless the other room knows that it has nothing', () => {
    const room = horizon(place('beijing', {}), place('lhasa', { seen: '', mark: -1 }));
    assert.equal(seen(room, horizon(place('lhasa', { seen: '', mark: -1 }))), '');
    assert.equal(seen(room, horizon(place('lhasa', { seen: testStamp(990), mark: -1 }))), `${testStamp(990)}ffff`);
    assert.equal(seen(room, horizon(place('lhasa', { seen: testStamp(990), mark: 3 }))), '');
    assert.equal(seen(horizon(place('beijing', {})), horizon(place('lhasa', { mark: 3 }))), '', 'a lane that it does not take at all');
    assert.equal(seenOf(horizon()), '');
  });
});

const set = (key: string, value: string): TestWrite => ({ id: `set ${key}`, commands: [['SET', key, value]] });

test('a third room that is away blocks no repair between the others, also where only the wrong room heard of it last', async () => {
  const world = new World(['beijing', 'guangzhou', 'lhasa']);
  await world.write('lhasa', [set('x', '1')]);
  const stood = { seen: testStamp(START_MS + 111), state: 'backing-off', reason: 'no route' };
  await world.write('beijing', [set('k', 'v'), set('w', '1')], { guangzhou: { 0: 'lose' } });
  await world.pass(60_000);
  for (const id of ['beijing', 'guangzhou']) {
    for (const partition of [0, 1])
      world
        .room(id)
        .receipts.change(laneOfTest('lhasa', partition), { ...stood, ...(id === 'guangzhou' ? { seen: testStamp(START_MS + 500) } : {}) });
  }
  world.room('lhasa').receipts.silent = true;
  const { cache } = world.room('guangzhou');
  await cache.sweep({ generation: 0, floor: testStamp(START_MS + 500), nowMs: world.runtime.nowMs() });
  const checker = world.checker('guangzhou', 'beijing');
  const drift = await checker.key('k');
  assert.deepEqual([drift?.kind, drift?.wrong, drift?.repair.action], ['missing', 'guangzhou', 'push'], drift?.repair.text);
  const steps = [];
  for await (const step of checker.repairer().run({ ids: 'all', apply: true, limit: 0, from: '', by: '' }, new AbortController().signal))
    steps.push(step);
  assert.deepEqual(
    steps.map(({ result }) => result),
    ['repaired'],
    steps[0]?.detail,
  );
});

test('what the right room may not have heard of is not taken away, and what it waits for is named', async () => {
  const world = new World(['beijing', 'guangzhou', 'lhasa']);
  await world.write('beijing', [set('k', 'v')]);
  await world.pass(1_000);
  const version = versionOf(testStamp(START_MS + 900, 5), 0);
  await world.room('guangzhou').tamper({ op: 'set', key: 'x', version, value: 'evil', expireAtMs: 0 });
  for (const id of ['beijing', 'guangzhou']) world.room(id).receipts.change(laneOfTest('lhasa'), { seen: testStamp(START_MS + 111) });
  const drift = await world.checker('guangzhou', 'beijing').key('x');
  assert.deepEqual([drift?.kind, drift?.wrong, drift?.repair.action], ['extra', 'guangzhou', 'none'], drift?.why);
  assert.match(
    drift?.repair.text ?? '',
    /it cannot be put right yet: beijing has not heard of lane lhasa\/0 for too long .*; when lhasa is back, it can/,
  );
});
