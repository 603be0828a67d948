import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { OFFSET_OUT_OF_RANGE } from '../../kafka/library.ts';
import { readRecords } from './calls.ts';

/** A topic of which another process removes what is before `firsts[1]` after its first offset was asked for. */
function trimmed(firsts: readonly number[]) {
  let asked = 0;
  const cluster = {
    place: 'Kafka',
    offsets: async () => [firsts[Math.min(asked++, firsts.length - 1)]],
    partitions: () => [{ partition: 0, leader: 1 }],
    send: async () => [{ partition: 0, error: asked < firsts.length ? OFFSET_OUT_OF_RANGE : 0, records: Buffer.alloc(0) }],
    refresh: async () => {},
  } as unknown as KafkaCluster;
  return { cluster, runtime: new VirtualTime(), doing: 'the topic t cannot be read', msMax: 1_000 };
}

test('who reads a topic from which another process removes records meanwhile goes on with what is left', async () => {
  assert.deepEqual(await readRecords(trimmed([5, 9]), 't', 0, 7), []);
});

test('an offset that is not there although nothing was removed is a gap', async () => {
  await assert.rejects(readRecords(trimmed([5, 5, 5]), 't', 0, 7), { code: 'LOG_GAP' });
});
