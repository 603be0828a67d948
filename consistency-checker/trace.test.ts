import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LanePlace } from '../core/inspection.ts';
import { formatPosition } from '../core/words.ts';
import { laneOfTest, testStamp } from './messages/receipts-kit.ts';
import type { RoomView } from './room.ts';
import { type Traced, traceWrite } from './trace.ts';

const LANE = laneOfTest('beijing', 3);

/** A room whose mark in beijing's lane is 4; beijing's log ends at `end`. */
function trace(room: string, at: { readonly seq: number; readonly index?: number }, end = 4): Promise<Traced> {
  const place: LanePlace = { ...LANE, mark: 4, seen: testStamp(1), state: 'streaming', reason: '', lagWrites: 0 };
  const own = { room, horizon: async () => ({ nowMs: 9, lanes: [place] }), findWrites: async () => [] } as unknown as RoomView;
  const write = formatPosition({ ...LANE, index: 0, ...at });
  return traceWrite(write, { own, logEnd: async () => end, timeline: () => assert.fail('nothing was found') });
}

test('a position beyond the end of its origin’s log does not exist yet, and where the log ends is said', async () => {
  await assert.rejects(trace('beijing', { seq: 99 }), (error: Error) => {
    assert.match(error.message, /^the write log of beijing has nothing at beijing\/3@.*:99\.0 yet: beijing\/3 ends at frame 4$/);
    return true;
  });
  await assert.rejects(trace('beijing', { seq: 99 }, -1), /nothing was ever written/);
});

test('a position in a frame that holds fewer write requests does not exist', async () => {
  await assert.rejects(trace('beijing', { seq: 5, index: 7 }, 5), /:5\.7: frame 5 of beijing\/3 holds fewer write requests$/);
});

test('a peer cannot know that nothing is on its way: it waits', async () => {
  const { hops } = await trace('guangzhou', { seq: 99 });
  assert.deepEqual(
    hops.map(({ what, detail }) => [what, detail]),
    [['waiting', 'the mark of the lane is 4; its link is streaming']],
  );
});
