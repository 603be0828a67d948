import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import type { FrameIndex } from './frame-index.ts';
import { believedEnds, ENDS_SEEN } from './open.ts';
import type { LogState } from './registry.ts';

const ACKED = 5;

/** A broker that gives these ends, one after the other, of a partition of which five frames are known to be acked. */
function asked(...ends: readonly number[]) {
  const time = new VirtualTime();
  let looks = 0;
  const offsets = async (_topic: string, which: string) => [which === 'first' ? 0 : (ends[Math.min(looks++, ends.length - 1)] ?? 0)];
  const cluster: Partial<KafkaCluster> = { partitions: () => [], offsets, refresh: async () => {} };
  const state: Pick<LogState, 'next'> = { next: [ACKED] };
  const index = { partition: () => ({ next: 3 }) } as unknown as FrameIndex;
  const found = { cluster: cluster as KafkaCluster, topic: 't', state: state as LogState };
  const believed = believedEnds(found, { index, runtime: time }).then(({ end }) => end);
  return { believed: time.advance(60_000).then(() => believed), looks: () => looks };
}

test('an end that has all that was acked is believed at once', async () => {
  const { believed, looks } = asked(ACKED);
  assert.deepEqual(await believed, [ACKED]);
  assert.equal(looks(), 1);
});

test('one that lacks acked frames is asked for again, as a leader that has just changed may be asked in the wrong place', async () => {
  const { believed } = asked(3, 3, 7);
  assert.deepEqual(await believed, [7]);
});

test('and is believed where it stays so', async () => {
  const { believed, looks } = asked(3);
  assert.deepEqual(await believed, [3]);
  assert.equal(looks(), ENDS_SEEN);
});
