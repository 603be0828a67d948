import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../core/flow/virtual-time.testing.ts';
import { sleep } from '../core/runtime.ts';
import type { KafkaCluster } from './cluster.ts';
import { LeaderLoops } from './leaders.ts';

const LARGE = 1;

test('where one partition always has something, what is large in another one comes too', async () => {
  const runtime = new VirtualTime();
  const cluster = { partitions: () => [0, 1, 2].map((partition) => ({ partition, leader: 1 })) } as unknown as KafkaCluster;
  const came = new Set<number>();
  const loops = new LeaderLoops({
    ...{ cluster, topic: 't', partitions: [0, 1, 2], runtime, backoff: { msMin: 10, msMax: 100 } },
    // Of the first partition of a request a broker gives a record however large it is.
    ask: async (_node, partitions, signal) => {
      for (const [place, partition] of partitions.entries()) if (place === 0 || partition !== LARGE) came.add(partition);
      await sleep(runtime, 5, signal);
    },
    onTrouble: (cause) => assert.equal(cause, undefined),
  });
  loops.start();
  await runtime.advance(50);
  assert.deepEqual([...came].sort(), [0, 1, 2]);
  await loops.stop();
});

test('that nobody could be asked who leads what is over also where somebody else has asked since', async () => {
  const runtime = new VirtualTime();
  let leader: number | undefined;
  const troubles: unknown[] = [];
  const refresh = () => Promise.reject(new Error('connect ECONNREFUSED'));
  const cluster = { partitions: () => [{ partition: 0, leader }], refresh } as unknown as KafkaCluster;
  const loops = new LeaderLoops({
    ...{ cluster, topic: 't', partitions: [0], runtime, backoff: { msMin: 10, msMax: 100 } },
    ask: (_node, _partitions, signal) => sleep(runtime, 5, signal),
    onTrouble: (cause) => troubles.push(cause),
  });
  loops.start();
  await runtime.advance(1_000);
  assert.match(String(troubles.at(-1)), /ECONNREFUSED/);
  leader = 1;
  await runtime.advance(1_000);
  assert.equal(troubles.at(-1), undefined);
  await loops.stop();
});
