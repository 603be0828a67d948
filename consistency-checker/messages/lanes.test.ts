import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import type { LanePlace } from '../../core/inspection.ts';
import { LaneWatch } from './lanes.ts';
import { laneOfTest, testStamp } from './receipts-kit.ts';

const SILENCE_MS = 20_000;

/** A lane from beijing, looked at once a second. `clockOffMs`: how far the origin's clock is off. */
function rig(clockOffMs = 0) {
  const runtime = new VirtualTime();
  const watch = new LaneWatch({ silenceMsMax: SILENCE_MS, runtime });
  let place: LanePlace = { ...laneOfTest('beijing', 3), mark: 7, seen: '', state: 'streaming', reason: '', lagWrites: 0 };
  const look = () => watch.look({ nowMs: runtime.nowMs(), lanes: [place] });
  return {
    runtime,
    look,
    lanesGone: () => watch.look({ nowMs: runtime.nowMs(), lanes: [] }),
    /** The newest canary comes through, `behindMs` old. */
    canary: (behindMs = 0) => {
      place = { ...place, seen: testStamp(runtime.nowMs() + clockOffMs - behindMs), mark: place.mark + 1 };
    },
    set: (change: Partial<LanePlace>) => {
      place = { ...place, ...change };
    },
    /** Looks once a second; what was alarmed at the end. */
    async pass(ms: number, eachSecond: () => void = () => {}) {
      let alarms = look();
      for (let done = 0; done < ms; done += 1_000) {
        await runtime.advance(1_000);
        eachSecond();
        alarms = look();
      }
      return alarms;
    },
  };
}

test('a lane whose canaries arrive is silent in the report', async () => {
  const lane = rig();
  assert.deepEqual(await lane.pass(120_000, () => lane.canary()), []);
});

test('a lane on which canaries stop raises an alarm that names lane, age, link state and reason', async () => {
  const lane = rig();
  await lane.pass(5_000, () => lane.canary());
  const stoppedMs = lane.runtime.nowMs();
  lane.set({ state: 'backing-off', reason: 'connection refused' });
  assert.deepEqual(await lane.pass(SILENCE_MS), [], 'not before the time is over');
  const [alarm] = await lane.pass(2_000);
  assert.deepEqual(alarm, {
    lane: 'beijing/3',
    origin: 'beijing',
    level: 'L0',
    text: 'nothing stamped by beijing within the last 22 s has come through lane beijing/3, not even a canary; its link is backing-off: connection refused',
    sinceMs: stoppedMs,
  });
});

test('a lane on which write requests arrive, and only what says that they are all there does not, has twice the time, and its alarm says so', async () => {
  const lane = rig();
  await lane.pass(2_000, () => lane.canary());
  let mark = 100;
  const arrive = () => {
    mark += 1;
    lane.set({ mark });
  };
  assert.deepEqual(await lane.pass(2 * SILENCE_MS, arrive), []);
  const [alarm] = await lane.pass(2_000, arrive);
  assert.equal(
    alarm?.text,
    'write requests come through lane beijing/3, but beijing has not said for 42 s up to which stamp all have come: one of its reships may stand still; its link is streaming',
  );
  assert.deepEqual(await lane.pass(1_000, () => lane.canary()), []);
});

test('the alarm closes when canaries are there again', async () => {
  const lane = rig();
  await lane.pass(2_000, () => lane.canary());
  assert.equal((await lane.pass(SILENCE_MS + 2_000)).length, 1);
  assert.deepEqual(await lane.pass(1_000, () => lane.canary()), []);
});

test('a lane that catches up after a long absence is late but not stuck', async () => {
  const lane = rig();
  let behindMs = 600_000;
  lane.canary(behindMs);
  assert.deepEqual(
    await lane.pass(15_000, () => {
      behindMs -= 20_000;
      lane.canary(behindMs);
      assert.deepEqual(lane.look(), []);
    }),
    [],
  );
});

test('an alarmed lane that creeps stays alarmed until it is no longer late', async () => {
  const lane = rig();
  lane.canary(600_000);
  assert.equal((await lane.pass(6_000)).length, 1);
  lane.canary(500_000);
  assert.equal((await lane.pass(1_000)).length, 1);
  lane.canary(0);
  assert.deepEqual(await lane.pass(1_000), []);
});

test('an origin whose clock is three seconds off is not stuck', async () => {
  for (const offMs of [-3_000, 3_000]) {
    const lane = rig(offMs);
    assert.deepEqual(await lane.pass(60_000, () => lane.canary()), []);
  }
});

test('a lane of which nothing was ever heard raises an alarm after the same time', async () => {
  const lane = rig();
  lane.set({ mark: -1, state: 'connecting' });
  assert.deepEqual(await lane.pass(SILENCE_MS), []);
  const [alarm] = await lane.pass(2_000);
  assert.equal(alarm?.text, 'nothing is known to have come through lane beijing/3 for 22 s, not even a canary; its link is connecting');
});

test('a backlog that does not move is an alarm of level 1 with its size', async () => {
  const lane = rig();
  await lane.pass(2_000, () => lane.canary());
  lane.set({ lagWrites: 512 });
  const [alarm] = await lane.pass(SILENCE_MS + 2_000);
  assert.equal(alarm?.level, 'L1');
  assert.equal(alarm?.text, '512 write requests wait in lane beijing/3, and its mark has stood at 9 for 22 s; its link is streaming');
  lane.canary();
  lane.set({ lagWrites: 0 });
  assert.deepEqual(await lane.pass(1_000), []);
});

test('a mark that goes back, or a log that was made anew, counts as movement', async () => {
  for (const change of [{ mark: 2 }, { epoch: 'e1e1e1e1e1e1e1e1' }]) {
    const lane = rig();
    await lane.pass(2_000, () => lane.canary());
    lane.set({ lagWrites: 512 });
    await lane.pass(SILENCE_MS - 2_000);
    lane.set(change);
    assert.ok((await lane.pass(4_000)).every(({ level }) => level === 'L0'));
  }
});

test('a backlog starts to count when it begins, however long the mark stood before it', async () => {
  const lane = rig();
  await lane.pass(300_000, () => lane.set({ seen: testStamp(lane.runtime.nowMs()) }));
  lane.set({ lagWrites: 3 });
  assert.deepEqual(await lane.pass(5_000, () => lane.set({ seen: testStamp(lane.runtime.nowMs()) })), []);
});

test('a lane that the room does not take any more is forgotten', async () => {
  const lane = rig();
  await lane.pass(SILENCE_MS);
  lane.lanesGone();
  assert.deepEqual(await lane.pass(SILENCE_MS), []);
});

test('a lane without a link of its own is explained as one', async () => {
  const lane = rig();
  lane.set({ state: '' });
  const [alarm] = await lane.pass(SILENCE_MS + 2_000);
  assert.match(alarm?.text ?? '', /it follows the effects of the master room$/);
});
