/** A log in a Kafka of three brokers, of which one or two die. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import { startKafkaCluster } from '../../test/containers/kafka.ts';
import { assertSame, draftOf, readAll } from '../log.contract.ts';
import type { FrameDraft } from '../log.ts';
import { kafkaAt, testRoom, until } from './kafka-kit.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const cluster = skip ? undefined : await startKafkaCluster(3);
after(() => cluster?.remove());

/** Where the log of a room in the cluster is. */
const place = () => {
  const brokers = cluster?.brokers.map(({ address }) => address) ?? [];
  return { kafka: kafkaAt('', { brokers, replicas: 3, minInSyncReplicas: 2 }), partitions: 6 };
};

describe('three brokers', { skip }, () => {
  test('one after the other is killed under appends: they go on with the others, and everything acked is stored once, in order', async (t) => {
    const { open } = await testRoom(t, '', place());
    const [log, other] = [await open(), await open()];
    const acked: { readonly draft: FrameDraft; readonly seq: number }[][] = Array.from({ length: 6 }, () => []);
    let stopping = false;
    let slowestMs = 0;
    const appending = acked.map(async (mine, partition) => {
      for (let i = 0; !stopping; i += 1) {
        const draft = draftOf(log, { partition, ms: 1_000 + i, payloadBytes: 500 });
        const startedMs = performance.now();
        const [seq = -1] = await log.append([draft]);
        slowestMs = Math.max(slowestMs, performance.now() - startedMs);
        mine.push({ draft, seq });
      }
    });
    const flows = async () => {
      const from = acked.map((mine) => mine.length);
      await until('every partition goes on', () => acked.every((mine, partition) => mine.length > (from[partition] ?? 0) + 20));
    };
    await flows();
    for (const broker of cluster?.brokers ?? []) {
      await broker.container.kill();
      await flows();
      await broker.container.start();
      await flows();
    }
    stopping = true;
    await Promise.all(appending);
    t.diagnostic(`the slowest append took ${Math.round(slowestMs)} ms`);
    for (const [partition, mine] of acked.entries()) {
      await until('the other has heard of all', () => other.extent(partition).next === mine.length);
      for (const each of [log, other]) {
        assertSame(
          await readAll(each, partition),
          mine.map(({ draft }) => draft),
        );
      }
      assert.deepEqual(
        mine.map(({ seq }) => seq),
        mine.map((_, at) => at),
      );
    }
  });

  test('with two of three gone nothing is acked, and it says why; with one more it goes on', async (t) => {
    const { open } = await testRoom(t, '', place());
    const log = await open({ appendMsMax: 4_000 });
    const drafts = Array.from({ length: 6 }, (_, partition) => draftOf(log, { partition }));
    await log.append(drafts);
    const [first, second] = cluster?.brokers ?? [];
    // Two at once would leave the controllers without a majority.
    await first?.container.freeze();
    await second?.container.freeze();
    await assert.rejects(log.append(drafts), { code: 'LOG_UNAVAILABLE', message: /may come into the log later/ });
    await second?.container.thaw();
    await until('it goes on', () =>
      log.append(drafts).then(
        () => true,
        () => false,
      ),
    );
    await first?.container.thaw();
    const lengths = await Promise.all(drafts.map(async ({ partition }) => (await readAll(log, partition)).length));
    assert.ok(lengths.every((length) => length >= 2));
  });
});
