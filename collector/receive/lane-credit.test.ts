import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { LaneCredit } from './lane-credit.ts';

const LANE_BYTES_MAX = 1_000;

/** A lane whose origin answers after a round trip. */
async function creditOf(roundTripMs: number) {
  const time = new VirtualTime();
  const credit = new LaneCredit(LANE_BYTES_MAX, time);
  assert.equal(credit.asked(), LANE_BYTES_MAX);
  await time.advance(roundTripMs);
  credit.answered();
  /** What comes back when so many bytes had their receipts within so many milliseconds, and so many wait. */
  const taken = async (bytes: number, withinMs: number, waitingBytes = 0) => {
    await time.advance(withinMs);
    return credit.taken(bytes, waitingBytes);
  };
  // From here on its pace is measured.
  await taken(LANE_BYTES_MAX, 10_000);
  return { credit, taken };
}

test('credit goes back in pieces of a quarter', async () => {
  const { taken } = await creditOf(1);
  assert.equal(await taken(100, 10), 0);
  assert.equal(await taken(149, 10), 0);
  assert.equal(await taken(1, 10), 250);
});

test('over a long line the origin gets twice as much, once', async () => {
  const { taken } = await creditOf(80);
  assert.equal(await taken(1_000, 80), 2_000);
  assert.equal(await taken(2_000, 80), 2_000);
});

test('a short line, and one on which little comes, need no more', async () => {
  const short = await creditOf(1);
  assert.equal(await short.taken(1_000, 10), 1_000);
  const quiet = await creditOf(80);
  assert.equal(await quiet.taken(1_000, 1_000), 1_000);
});

test('no more is given where the stores do not keep up, and what was given more is taken back', async () => {
  const slow = await creditOf(80);
  assert.equal(await slow.taken(1_000, 80, 600), 1_000);
  const slower = await creditOf(80);
  assert.equal(await slower.taken(1_000, 80), 2_000);
  assert.equal(await slower.taken(1_500, 80, 600), 500);
  assert.equal(await slower.taken(300, 80, 600), 300, 'as much as over a short line');
  assert.equal(await slower.taken(500, 40), 1_500, 'and more again when they keep up');
});

test('what is taken back is held back until it is paid', async () => {
  const { taken } = await creditOf(80);
  assert.equal(await taken(1_000, 80), 2_000);
  assert.equal(await taken(400, 80, 1_600), 0);
  assert.equal(await taken(400, 80, 1_200), 0);
  assert.equal(await taken(800, 80, 400), 600);
});
