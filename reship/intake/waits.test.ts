import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { partitionOf } from '../../core/partition.ts';
import type { WriteResult } from './call.ts';
import { EPOCH, LOGGED, openRoom, PARTITIONS, waiting, write } from './testing.ts';
import { Waits } from './waits.ts';

const LANE = partitionOf('user:7', PARTITIONS);

/** The answer, or undefined while there is none although everything runnable has run. */
async function answerNow(promise: Promise<readonly WriteResult[]>): Promise<readonly WriteResult[] | undefined> {
  let answer: readonly WriteResult[] | undefined;
  void promise.then((results) => (answer = results));
  await new Promise((resolve) => setImmediate(resolve));
  return answer;
}

function told(results: readonly WriteResult[] | undefined): (string | undefined)[] | undefined {
  return results?.map(({ outcome, error }) => error?.code ?? outcome);
}

describe('wait: applied', () => {
  test('a call is answered when this room’s mark has passed all of its write requests, and not by a peer’s mark', async () => {
    const room = openRoom();
    const answer = room.intake.submit([write(), write({ key: 'other' })], waiting('applied'));
    const other = partitionOf('other', PARTITIONS);
    assert.notEqual(other, LANE);
    room.ack('guangzhou', LANE, 0);
    room.ack('guangzhou', other, 0);
    assert.equal(await answerNow(answer), undefined);
    room.ack('beijing', LANE, 0);
    assert.equal(await answerNow(answer), undefined);
    room.ack('beijing', other, 0);
    assert.deepEqual(told(await answer), ['applied', 'applied']);
    assert.equal(room.intake.state.waiting, 0);
    assert.equal(room.runtime.timers, 0);
  });

  test('the exceptions of an ack are the outcomes of exactly the write requests that they name', async () => {
    const room = openRoom();
    room.log.hold();
    const before = room.intake.submit([write()], LOGGED);
    const one = room.intake.submit([write(), write(), write()], waiting('applied'));
    const two = room.intake.submit([write(), write()], waiting('applied'));
    room.log.release();
    await before;
    await answerNow(two);
    room.ack('beijing', LANE, 1, [
      { seq: 0, index: 0, outcome: 'rejected', reason: '' },
      { seq: 1, index: 1, outcome: 'duplicate', reason: '' },
      { seq: 1, index: 3, outcome: 'parked', reason: 'PROCESSOR_FAILED' },
    ]);
    assert.deepEqual(told(await one), ['applied', 'duplicate', 'applied']);
    assert.deepEqual(told(await two), ['parked', 'applied']);
  });

  test('a write request that was refused keeps its error while the others wait', async () => {
    const room = openRoom();
    const answer = room.intake.submit([write({ key: '' }), write()], waiting('applied'));
    await answerNow(answer);
    room.ack('beijing', LANE, 0);
    assert.deepEqual(told(await answer), ['WRITE_INVALID', 'applied']);
  });

  test('an ack that is faster than the log’s own answer is not missed, nor are its outcomes', async () => {
    const room = openRoom();
    room.log.hold();
    const answer = room.intake.submit([write(), write()], waiting('applied'));
    await room.log.begun(1);
    room.ack('beijing', LANE, 0, [{ seq: 0, index: 0, outcome: 'superseded', reason: '' }]);
    room.ack('beijing', LANE, 3);
    assert.equal(await answerNow(answer), undefined);
    room.log.release();
    assert.deepEqual(told(await answer), ['superseded', 'applied']);
  });

  test('so many fast acks that their outcomes cannot be kept still answer the call, with the outcome unknown', async () => {
    const room = openRoom();
    room.log.hold();
    const answer = room.intake.submit([write()], waiting('applied'));
    await room.log.begun(1);
    for (let seq = 0; seq < 2_000; seq += 1) room.ack('beijing', LANE, seq, [{ seq, index: 0, outcome: 'parked', reason: '' }]);
    room.log.release();
    assert.deepEqual(told(await answer), [undefined]);
    const next = room.intake.submit([write()], waiting('applied'));
    assert.deepEqual(told(await next), [undefined]);
  });

  test('of write requests before those that an ack’s exceptions are complete for, only the named ones have an outcome', async () => {
    const room = openRoom();
    const answer = room.intake.submit([write(), write()], waiting('applied'));
    await answerNow(answer);
    room.intake.acknowledge({
      room: 'beijing',
      log: 'writes',
      partition: LANE,
      epoch: EPOCH,
      seq: 0,
      exceptionsFrom: 1,
      exceptions: [{ seq: 0, index: 1, outcome: 'parked', reason: '' }],
    });
    assert.deepEqual(told(await answer), [undefined, 'parked']);
  });

  test('acks of another log, of another log epoch, or from before, pass nothing', async () => {
    const room = openRoom();
    const answer = room.intake.submit([write()], waiting('applied'));
    await answerNow(answer);
    room.intake.acknowledge({ room: 'beijing', log: 'effects', partition: LANE, epoch: EPOCH, seq: 9, exceptionsFrom: 0, exceptions: [] });
    room.intake.acknowledge({
      room: 'beijing',
      log: 'writes',
      partition: LANE,
      epoch: 'ffffffffffffffff',
      seq: 9,
      exceptionsFrom: 0,
      exceptions: [],
    });
    room.ack('beijing', LANE, -1);
    assert.equal(await answerNow(answer), undefined);
    room.ack('beijing', LANE, 0);
    assert.deepEqual(told(await answer), ['applied']);
  });
});

describe('wait: everywhere', () => {
  test('a call is answered when every room’s mark has passed, in whichever order they come, with this room’s outcome', async () => {
    const room = openRoom();
    const answer = room.intake.submit([write()], waiting('everywhere'));
    await answerNow(answer);
    room.ack('beijing', LANE, 0, [{ seq: 0, index: 0, outcome: 'superseded', reason: '' }]);
    assert.equal(await answerNow(answer), undefined);
    room.ack('guangzhou', LANE, 0, [{ seq: 0, index: 0, outcome: 'duplicate', reason: '' }]);
    assert.deepEqual(told(await answer), ['superseded']);

    const second = room.intake.submit([write()], waiting('everywhere'));
    await answerNow(second);
    room.ack('guangzhou', LANE, 1);
    assert.equal(await answerNow(second), undefined);
    room.ack('beijing', LANE, 1);
    assert.deepEqual(told(await second), ['applied']);
  });

  test('acks of all rooms that are faster than the log’s own answer are not missed', async () => {
    const room = openRoom();
    room.log.hold();
    const answer = room.intake.submit([write()], waiting('everywhere'));
    await room.log.begun(1);
    room.ack('guangzhou', LANE, 0);
    room.ack('beijing', LANE, 0);
    room.log.release();
    assert.deepEqual(told(await answer), ['applied']);
  });

  test('a peer that dials anew with an older mark does not take back what it has acked', async () => {
    const room = openRoom();
    const answer = room.intake.submit([write()], waiting('everywhere'));
    await answerNow(answer);
    room.ack('guangzhou', LANE, 0);
    room.ack('guangzhou', LANE, -1);
    room.ack('beijing', LANE, 0);
    assert.deepEqual(told(await answer), ['applied']);
  });
});

describe('deadlines', () => {
  test('a wait that runs out is an error of its write request, with stamp and position, and the others keep what they got', async () => {
    const room = openRoom();
    const other = partitionOf('other', PARTITIONS);
    const answer = room.intake.submit([write(), write({ key: 'other' })], waiting('applied', 2_000));
    await answerNow(answer);
    room.ack('beijing', other, 0);
    room.runtime.advance(1_999);
    assert.equal(await answerNow(answer), undefined);
    room.runtime.advance(1);
    const results = await answer;
    assert.deepEqual(told(results), ['WAIT_TIMEOUT', 'applied']);
    assert.equal(results[0]?.stamp, room.log.frames[LANE]?.[0]?.[0]?.stamp);
    assert.match(results[0]?.position ?? '', /^beijing\/\d@0123456789abcdef:0\.0$/);
    room.ack('beijing', LANE, 0);
    assert.equal(results[0]?.outcome, undefined);
    assert.equal(room.intake.state.waiting, 0);
  });

  test('a deadline of 0 is the room’s default, and none is longer than an hour', async () => {
    const room = openRoom();
    const usual = room.intake.submit([write()], waiting('everywhere'));
    const endless = room.intake.submit([write()], waiting('everywhere', 2 ** 32 - 1));
    await answerNow(usual);
    room.runtime.advance(5_000);
    assert.deepEqual(told(await answerNow(usual)), ['WAIT_TIMEOUT']);
    assert.equal(await answerNow(endless), undefined);
    room.runtime.advance(3_595_000);
    assert.deepEqual(told(await answerNow(endless)), ['WAIT_TIMEOUT']);
  });

  test('stopping answers every call that still waits', async () => {
    const room = openRoom();
    const answer = room.intake.submit([write()], waiting('everywhere'));
    await answerNow(answer);
    await room.intake.stop();
    assert.deepEqual(told(await answer), ['WAIT_TIMEOUT']);
    assert.equal(room.runtime.timers, 0);
  });
});

describe('limits of waiting (I11)', () => {
  test('beyond so many waiting calls further ones are refused, while calls that do not wait are taken', async () => {
    const room = openRoom({ limits: { waitingMax: 2 } });
    const calls = [1, 2].map(() => room.intake.submit([write()], waiting('applied')));
    assert.deepEqual(told(await room.intake.submit([write()], waiting('applied'))), ['OVERLOADED']);
    assert.deepEqual(told(await room.intake.submit([write()], LOGGED)), [undefined]);
    room.ack('beijing', LANE, 1);
    await Promise.all(calls);
    const next = room.intake.submit([write()], waiting('applied', 1));
    await answerNow(next);
    room.runtime.advance(1);
    assert.deepEqual(told(await next), ['WAIT_TIMEOUT']);
  });

  for (const [who, goal, ownBehind] of [
    ['a peer', 'everywhere', 30],
    ['this room’s collector', 'applied', 1_000_000],
  ] as const) {
    test(`${who} that is gone for ever costs no memory: what waits for it is let go after its deadline`, () => {
      const room = openRoom();
      const waits = new Waits({
        room: 'beijing',
        rooms: ['beijing', 'guangzhou'],
        runtime: room.runtime,
        waitMsDefault: 100,
        answered: () => {},
      });
      let entriesMax = 0;
      for (let seq = 0; seq < 5_000; seq += 1) {
        const call = { results: [], options: waiting(goal), startedMs: 0, resolve: () => {} };
        waits.add(0, seq, { call, firstIndex: 0, slots: [0] });
        waits.release([0]);
        if (seq % 2 === 0)
          waits.acknowledge(
            { room: 'beijing', log: 'writes', partition: 0, epoch: EPOCH, seq: seq - ownBehind, exceptionsFrom: 0, exceptions: [] },
            false,
          );
        room.runtime.advance(1);
        entriesMax = Math.max(entriesMax, waits.entries);
      }
      assert.ok(entriesMax < 600, `${entriesMax} entries held for 100 living calls`);
    });
  }
});

test('whatever the order of submits, appends and acks, each call is answered exactly when its goal is reached', async () => {
  const step = fc.oneof(
    fc.record({
      type: fc.constant('submit' as const),
      keys: fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 5 }),
      everywhere: fc.boolean(),
    }),
    fc.record({
      type: fc.constant('ack' as const),
      room: fc.constantFrom('beijing', 'guangzhou'),
      partition: fc.integer({ min: 0, max: PARTITIONS - 1 }),
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const room = openRoom();
      const acked = new Map<string, number>();
      const calls: {
        readonly wait: 'applied' | 'everywhere';
        readonly answer: Promise<readonly WriteResult[]>;
        readonly at: Map<number, number>;
      }[] = [];
      for (const now of steps) {
        if (now.type === 'submit') {
          const wait = now.everywhere ? 'everywhere' : 'applied';
          const answer = room.intake.submit(
            now.keys.map((key) => write({ key: `k${key}` })),
            waiting(wait),
          );
          await answerNow(answer);
          const at = new Map(
            now.keys
              .map((key) => partitionOf(`k${key}`, PARTITIONS))
              .map((partition) => [partition, (room.log.frames[partition]?.length ?? 0) - 1]),
          );
          calls.push({ wait, answer, at });
        } else {
          const next = room.log.frames[now.partition]?.length ?? 0;
          acked.set(`${now.room}/${now.partition}`, next - 1);
          room.ack(now.room, now.partition, next - 1);
        }
        for (const { wait, answer, at } of calls) {
          const rooms = wait === 'applied' ? ['beijing'] : ['beijing', 'guangzhou'];
          const reached = [...at].every(([partition, seq]) => rooms.every((id) => (acked.get(`${id}/${partition}`) ?? -1) >= seq));
          assert.equal((await answerNow(answer)) !== undefined, reached);
        }
      }
    }),
    { numRuns: 60 },
  );
});
