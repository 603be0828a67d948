import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { sleep } from '../../core/runtime.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { LEADER_NOT_AVAILABLE, OFFSET_OUT_OF_RANGE, protocolError } from '../../kafka/library.ts';
import { readRecords, untilLed } from './calls.ts';
import { kafkaError } from './errors.ts';

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

/** Of a Kafka that answers so until `wellMs`. */
function opened(cause: () => unknown, wellMs: number) {
  const time = new VirtualTime(0);
  const told: string[] = [];
  const work = async () => {
    await sleep(time, 5_000);
    if (time.nowMs() < wellMs) throw kafkaError(cause(), 'Kafka', 'the topic t cannot be read');
    return 'open';
  };
  const opening = untilLed(time, ({ code }) => told.push(code), work);
  opening.catch(() => {});
  return { told, opening: time.advance(120_000).then(() => opening) };
}

test('where Kafka has no leader for a moment it is tried again, and that is told', async () => {
  const { told, opening } = opened(() => protocolError(LEADER_NOT_AVAILABLE), 25_000);
  assert.equal(await opening, 'open');
  assert.deepEqual(new Set(told), new Set(['LOG_UNAVAILABLE']));
});

test('a Kafka that has none for good, and one that does not answer, are given up', async () => {
  await assert.rejects(opened(() => protocolError(LEADER_NOT_AVAILABLE), 200_000).opening, { code: 'LOG_UNAVAILABLE' });
  const silent = opened(() => new Error('connect ECONNREFUSED'), 10_000);
  await assert.rejects(silent.opening, { code: 'LOG_UNAVAILABLE' });
  assert.deepEqual(silent.told, []);
});
