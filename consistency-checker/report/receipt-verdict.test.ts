import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatPosition } from '../../core/words.ts';
import { GIVEN_UP } from '../messages/receipts-kit.ts';
import { START_MS, World } from '../rooms-kit.ts';
import { explained, gist, set, stale } from './explain-kit.ts';

describe('receipts that differ', () => {
  test('parked where write requests are processed, said again by a room that takes its effects: only the one that holds it can retry it', async () => {
    for (const holder of ['beijing', 'guangzhou']) {
      const world = new World();
      const [found] = await world.write('guangzhou', [set('a', '1')], { beijing: 'parked', guangzhou: 'parked' });
      assert.ok(found);
      const { receipts } = world.room(holder === 'beijing' ? 'guangzhou' : 'beijing');
      const frame = receipts.lane(found.position).frames.get(found.position.seq);
      const exceptions = frame?.exceptions.map((it) => ({ ...it, parkedMs: 0, attempts: 0 })) ?? [];
      receipts.receipt(found.position, found.position.seq, { ...frame, exceptions });
      for (const [own, peer] of [
        ['beijing', 'guangzhou'],
        ['guangzhou', 'beijing'],
      ] as const) {
        const drift = await world.checker(own, peer).receipt(found.position);
        assert.deepEqual([...gist(drift), drift?.repair.to], ['L1', 'parked', holder, 'parked', 'retry', holder]);
        assert.doesNotMatch(drift?.why ?? '', /as well/);
      }
    }
  });

  test('given up in one room, applied in the other: lost, with what is missing and a resend', async () => {
    const world = new World();
    const [found] = await world.write(
      'beijing',
      [
        {
          id: 'w',
          commands: [
            ['SET', 'a', '1'],
            ['HSET', 'h', 'f', '2'],
          ],
        },
      ],
      { guangzhou: 'rejected' },
    );
    assert.ok(found);
    const drift = await world.checker('guangzhou', 'beijing').receipt(found.position);
    assert.deepEqual(gist(drift), ['L1', 'lost', 'guangzhou', 'given-up', 'resend']);
    assert.deepEqual(drift?.repair.diff, ['- a = (nothing)', '+ a = 1', '- h.f = (nothing)', '+ h.f = 2']);
    assert.match(
      drift?.why ?? '',
      /beijing applied write request w .*, and guangzhou never did: .* 2 effects of it are missing there, on a, h$/,
    );
  });

  test('no receipt below the mark: lost, cause unknown', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [set('a', '1')], { guangzhou: 'none' });
    assert.ok(found);
    world.room('guangzhou').wipe('a');
    const drift = await world.checker('guangzhou', 'beijing').receipt(found.position);
    assert.deepEqual(gist(drift), ['L1', 'lost', 'guangzhou', 'unknown', 'resend']);
  });

  test('given up with its frame, which its log has no more: closed at once, for nobody could resend it', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [set('a', '1')], { guangzhou: 'none' });
    assert.ok(found);
    world.room('guangzhou').receipts.receipt(found.position, found.position.seq, GIVEN_UP);
    const there = await world.checker('guangzhou', 'beijing').receipt(found.position);
    assert.deepEqual([...gist(there), there?.status], ['L1', 'lost', 'guangzhou', 'given-up', 'resend', 'open']);
    world.room('beijing').logFrom = 'f'.repeat(24);
    const gone = await world.checker('guangzhou', 'beijing').receipt(found.position);
    assert.deepEqual([...gist(gone), gone?.status], ['L1', 'lost', 'guangzhou', 'given-up', 'none', 'healed']);
    assert.match(gone?.note ?? '', /somebody accepted the loss of its frame \(`wmb link skip`\), and its log has it no more/);
  });

  test('nothing of it is missing any more: lost all the same, closed with what was found', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [set('a', '1')], { guangzhou: 'rejected' });
    await world.write('beijing', [set('a', '2')]);
    assert.ok(found);
    const drift = await world.checker('guangzhou', 'beijing').receipt(found.position);
    assert.deepEqual([...gist(drift), drift?.status], ['L1', 'lost', 'guangzhou', 'given-up', 'none', 'healed']);
    assert.ok((drift?.closedMs ?? 0) > 0);
    assert.match(drift?.why ?? '', /guangzhou never did: .*rejected/);
    assert.match(drift?.note ?? '', /its effects are there in both rooms, or have been overwritten since/);
  });

  test('a book that counts more write requests of a frame than its log has: that book is wrong, and nothing is missing', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [set('a', '1')]);
    assert.ok(found);
    const { receipts } = world.room('guangzhou');
    const frame = receipts.lane(found.position).frames.get(found.position.seq);
    receipts.receipt(found.position, found.position.seq, { ...frame, count: 2 });
    for (const [own, peer] of [
      ['beijing', 'guangzhou'],
      ['guangzhou', 'beijing'],
    ] as const) {
      const drift = await world.checker(own, peer).receipt({ ...found.position, index: 1 });
      assert.deepEqual([...gist(drift), drift?.status], ['L1', 'lost', 'guangzhou', 'behind-back', 'none', 'healed']);
      assert.match(drift?.why ?? '', /receipt book of guangzhou counts more .* than there are: the log of beijing has 1$/);
    }
  });

  test('given up in a room that the kind is not for: no drift', async () => {
    const world = new World(undefined, { local: { rooms: ['beijing'], onFailure: 'park' } });
    const [found] = await world.write('beijing', [{ ...set('a', '1'), kind: 'local' }], { guangzhou: 'rejected' });
    assert.ok(found);
    assert.equal(await world.checker('guangzhou', 'beijing').receipt(found.position), undefined);
  });

  test('a duplicate in one room: the request id tells who is wrong, and nothing is repaired by itself', async () => {
    for (const again of [false, true]) {
      const world = new World();
      if (again) await world.write('beijing', [set('a', '1')]);
      const [found] = await world.write('beijing', [set('a', '1')], { guangzhou: 'duplicate' });
      assert.ok(found);
      const drift = await world.checker('beijing', 'guangzhou').receipt(found.position);
      assert.deepEqual(gist(drift), ['L1', 'duplicated', again ? 'beijing' : 'guangzhou', 'duplicate-window', 'none']);
    }
  });

  test('parked in both rooms: both checkers name the same one and say that the other holds it too, both sides show it', async () => {
    const world = new World();
    const [found] = await world.write('beijing', [{ ...set('a', '1'), kind: 'poison' }], { beijing: 'parked', guangzhou: 'parked' });
    assert.ok(found);
    const here = await world.checker('beijing', 'guangzhou').receipt(found.position);
    const there = await world.checker('guangzhou', 'beijing').receipt(found.position);
    assert.deepEqual([here?.wrong, there?.wrong], ['beijing', 'beijing']);
    assert.deepEqual([here?.why, here?.repair], [there?.why, there?.repair]);
    assert.match(
      here?.why ?? '',
      /parking lot of beijing, and in that of guangzhou as well.*`wmb parked retry beijing\/0@\S*:0\.0 --room guangzhou`/,
    );
    assert.equal(here?.id, there?.id);
    assert.deepEqual(
      here?.sides.map(({ room, shows }) => `${room} ${shows}`),
      [
        'beijing parked: PROCESSOR_FAILED, since 20:15:44.088, tried 1 time',
        'guangzhou parked: PROCESSOR_FAILED, since 20:15:44.088, tried 1 time',
      ],
    );
  });
});

test('both rooms’ checkers say the same of a drift', async () => {
  const world = await stale();
  const [here, there] = [await explained(world, 'k'), await explained(world, 'k', 'guangzhou', 'beijing')];
  assert.deepEqual(here, there);
});

test('the timeline tells every room’s receipt, and of rooms that cannot say so, why', async () => {
  const world = new World(['beijing', 'guangzhou', 'shanghai', 'lhasa', 'xian']);
  world.room('lhasa').receipts.change({ log: 'writes', origin: 'beijing', partition: 0, epoch: 'e0e0e0e0e0e0e0e0' }, {});
  const [found] = await world.write('beijing', [set('k', 'v')], { guangzhou: 'parked' });
  assert.ok(found);
  world.room('shanghai').receipts.silent = true;
  const lane = world.room('lhasa').receipts.lane(found.position);
  lane.frames.clear();
  lane.place = { ...lane.place, mark: -1, state: 'paused', reason: 'by an operator', lagWrites: 1 };
  const checker = world.checker('beijing', 'guangzhou');
  checker.absent.add('xian');
  const { hops, position } = await checker.explainer.timeline(found);
  assert.equal(position, formatPosition(found.position));
  assert.deepEqual(
    hops.map(({ room, what, atMs, detail }) => `${room} ${what} ${atMs === 0 ? '-' : atMs - START_MS} ${detail}`),
    [
      `beijing stamped 10 ${found.write.stamp}`,
      `beijing logged - ${position}`,
      'beijing applied 88 78 ms after the stamp',
      'guangzhou parked 88 PROCESSOR_FAILED, tried 1 time',
      'shanghai unknown - shanghai does not answer',
      'lhasa waiting - the mark of its lane is -1, with 1 write requests to come; the link is paused: by an operator',
      'xian unknown - the room has no checker',
    ],
  );
});

test('an alarm names what to do', async () => {
  const checker = new World().checker('guangzhou', 'beijing');
  const text = 'nothing stamped by beijing within the last 62 s has come through lane beijing/3, not even a canary; its link is paused';
  const drift = checker.explainer.alarm({ lane: 'beijing/3', origin: 'beijing', level: 'L0', text, sinceMs: START_MS - 62_000 }, 'beijing');
  assert.deepEqual(gist(drift), ['L0', 'stuck', '', 'path', 'none']);
  assert.equal(drift.repair.text, 'it was paused by an operator: `wmb link resume beijing guangzhou` lets it go on');
  assert.deepEqual(
    drift.sides.map(({ room }) => room),
    ['beijing', 'guangzhou'],
  );
});

test('values are shortened, and what does not print is escaped', async () => {
  const world = new World();
  await world.write('beijing', [set('k', 'old')]);
  await world.write('beijing', [set('k', `line\nbreak\u001b[31m${'x'.repeat(200)}`)], { guangzhou: 'lose' });
  const drift = await explained(world, 'k');
  const [, line] = drift.repair.diff;
  assert.match(line ?? '', /^\+ k = line\\nbreak\\u\{1b\}\[31mx+…$/);
  assert.ok((line ?? '').length < 110);
  assert.ok(drift.why.length < 400);
});
