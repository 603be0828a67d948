/** On a broker of the test's own, which gives a record that is larger than was asked for only of the first partition of a request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../core/logger.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import type { Exchange } from '../../kafka/exchange.ts';
import { Parts } from '../../kafka/parts.ts';
import { ANYBODY, addBatch, batchBytes } from '../../kafka/records.ts';
import { encodeFrame } from '../frame.ts';
import { InboxLane } from './inbox-lane.ts';
import { InboxReader } from './inbox-reader.ts';
import { encodeRecord } from './record.ts';

const TOPIC = 'wmb.inbox.beijing.writes';
const EPOCH = '00112233445566ff';
const WRITE = { stamp: '018bcfe568000001010000ab', requestId: 'r', kind: 'cache', key: 'k', trace: '', payload: Buffer.alloc(20) };
const [BUSY, LARGE] = [0, 1];

/** A batch of one record, the one at `offset`, whose seq is its offset. */
function batch(partition: number, offset: number): Buffer {
  const bytes = encodeFrame({ log: 'writes', origin: 'beijing', partition, epoch: EPOCH }, [WRITE]);
  const values = [encodeRecord({ log: 'writes', run: 1, epoch: EPOCH, seq: offset, bytes })];
  const parts = new Parts(batchBytes(values));
  addBatch(parts, { values, sender: ANYBODY, nowMs: 0 });
  const whole = Buffer.concat(parts.pieces());
  whole.writeBigInt64BE(BigInt(offset), 0);
  return whole;
}

/** What is asked for, in its order. */
function askedOf({ encode }: Exchange<unknown>): { readonly partition: number; readonly from: number }[] {
  const request = Buffer.concat(encode().pieces());
  const list = 25 + 4 + 2 + TOPIC.length;
  return Array.from({ length: request.readInt32BE(list) }, (_, index) => {
    const at = list + 4 + 28 * index;
    return { partition: request.readInt32BE(at), from: Number(request.readBigInt64BE(at + 8)) };
  });
}

test('a large frame of one lane comes although another lane always has something', async () => {
  const over = new AbortController();
  const came = new Set<number>();
  let asked = 0;
  const cluster = {
    partitions: () => [BUSY, LARGE].map((partition) => ({ partition, leader: 1 })),
    send: async (_node: number, exchange: Exchange<unknown>) => {
      asked += 1;
      if (asked === 6) over.abort();
      return askedOf(exchange).map(({ partition, from }, place) => {
        const isGiven = place === 0 || partition !== LARGE;
        return { partition, error: 0, end: from + 1, start: 0, aborted: [], records: isGiven ? batch(partition, from) : Buffer.alloc(0) };
      });
    },
  } as unknown as KafkaCluster;
  const lanes = [BUSY, LARGE].map(
    (partition) => new InboxLane({ origin: 'beijing', log: 'writes', partition, logger: silentLogger, first: 0 }),
  );
  for (const lane of lanes)
    lane.resume({
      type: 'resume',
      log: 'writes',
      partition: lane.partition,
      epoch: EPOCH,
      after: -1,
      historyWrites: 0,
      creditBytes: 1_000_000,
    });
  const reader = new InboxReader({
    ...{ cluster, topic: TOPIC, lanes, signal: over.signal },
    onDealt: ({ partition }, { frames }) => void (frames.length > 0 && came.add(partition)),
  });
  await reader.run();
  assert.deepEqual([...came].sort(), [BUSY, LARGE]);
});
