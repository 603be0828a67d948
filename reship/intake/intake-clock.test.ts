import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { LOGGED, openRoom, submitOne, write } from './testing.ts';

describe('the clock', () => {
  test('a restart with the clock gone back an hour gives no stamp below those in the log', async () => {
    const before = openRoom();
    const old = await submitOne(before);
    before.runtime.jumpWall(-3_600_000);
    const after = openRoom({ log: before.log, runtime: before.runtime, lease: 2 });
    const refusals = await after.intake.submit([write(), write()], LOGGED);
    assert.deepEqual(
      refusals.map((result) => result.error?.code),
      ['CLOCK_AHEAD', 'CLOCK_AHEAD'],
    );
    assert.ok((refusals[0]?.error?.retryAfterMs ?? 0) > 0);
    after.runtime.jumpWall(3_600_000 - 2_000);
    const young = await submitOne(after);
    assert.equal(young.error, undefined);
    assert.ok(young.stamp > old.stamp);
  });

  test('the settled stamp is below everything that is in flight and everything that comes later', async () => {
    const room = openRoom();
    const idle = room.intake.settledStamp();
    room.log.hold();
    const first = room.intake.submit([write()], LOGGED);
    const second = room.intake.submit([write()], LOGGED);
    room.runtime.advance(1_000);
    const busy = room.intake.settledStamp();
    room.log.step();
    const [one] = await first;
    const half = room.intake.settledStamp();
    room.log.release();
    const [two] = await second;
    const done = room.intake.settledStamp();
    const later = await submitOne(room);
    assert.ok(idle < (one?.stamp ?? ''));
    assert.ok(busy >= idle && busy < (one?.stamp ?? ''));
    assert.ok(half < (two?.stamp ?? ''));
    assert.ok(done > (two?.stamp ?? '') && done < later.stamp);
  });

  test('the settled stamp stays below what was in an append that failed, until a later one is durable', async () => {
    const room = openRoom();
    const idle = room.intake.settledStamp();
    room.log.failure = new Error('connection lost');
    await submitOne(room);
    room.runtime.advance(1_000);
    const doubtful = room.intake.settledStamp();
    const lost = room.log.appends[0]?.[0]?.stampFirst ?? '';
    assert.ok(doubtful >= idle && doubtful < lost);
    await submitOne(room);
    assert.equal(room.intake.settledStamp(), doubtful);
    room.log.failure = undefined;
    const { stamp } = await submitOne(room);
    assert.ok(room.intake.settledStamp() >= stamp);
  });

  test('the settled stamp of a room that nobody writes in moves with the clock', () => {
    const room = openRoom();
    const before = room.intake.settledStamp();
    room.runtime.advance(1_000);
    assert.ok(room.intake.settledStamp() > before);
  });
});
