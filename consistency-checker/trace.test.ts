import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FrameReceipts, LanePlace } from '../core/inspection.ts';
import { formatPosition } from '../core/words.ts';
import { laneOfTest, testStamp } from './messages/receipts-kit.ts';
import type { RoomView } from './room.ts';
import { type Traced, traceWrite } from './trace.ts';

const LANE = laneOfTest('beijing', 3);

/** A room whose mark in beijing's lane is 4; beijing's log ends at `end`. */
function trace(room: string, at: { readonly seq: number; readonly index?: number }, end = 4, databaseSeq?: number): Promise<Traced> {
  const place: LanePlace = { ...LANE, mark: 4, seen: testStamp(1), state: 'streaming', reason: '', lagWrites: 0, databaseSeq };
  const frame: FrameReceipts = { seq: at.seq, count: 1, appliedMs: 8, exceptions: [] } as unknown as FrameReceipts;
  const [horizon, receipts] = [async () => ({ nowMs: 9, lanes: [place] }), async () => [frame]];
  const own = { room, horizon, receipts, findWrites: async () => [] } as unknown as RoomView;
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

for (const [databaseSeq, detail] of [
  [undefined, ''],
  [-1, 'its database has nothing of the lane yet'],
  [2, 'its database has come to frame 2 of the lane'],
  [3, 'its database is past it too'],
] as const)
  test(`a slave’s database is told of where it follows by itself: ${detail || 'not here'}`, async () => {
    const { hops } = await trace('guangzhou', { seq: 3 }, 4, databaseSeq);
    assert.deepEqual(
      hops.map((hop) => [hop.what, hop.detail]),
      [['applied', detail]],
    );
  });
