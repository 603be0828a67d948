/** A journal on a broker of the test's own, on virtual time: what a real one does seldom. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import type { Exchange } from '../../kafka/exchange.ts';
import { Parts } from '../../kafka/parts.ts';
import { ANYBODY, addBatch, batchBytes, batchesOf, recordsOf } from '../../kafka/records.ts';
import { KafkaJournal } from './journal.ts';

/** One partition that one broker leads. */
class TestBroker {
  readonly records: Buffer[] = [];
  /** Of the batches, as they came. */
  readonly sequences: number[] = [];
  /** A broker that has just become the leader knows only what the one before had told it. */
  known = Number.POSITIVE_INFINITY;
  isAway = false;
  isClosed = false;

  get cluster(): KafkaCluster {
    const cluster = {
      place: 'Kafka at nowhere',
      watch: async () => {},
      refresh: async () => {},
      partitions: () => [{ partition: 0, leader: 1, replicas: 1, inSync: 1 }],
      producerId: async () => ({ producerId: 1n, producerEpoch: 0 }),
      offsets: async () => [0],
      send: async (_node: number, exchange: Exchange<unknown>) => this.#answer(exchange),
      close: () => {
        this.isClosed = true;
      },
    };
    return Object.defineProperty(cluster, 'isClosed', { get: () => this.isClosed }) as unknown as KafkaCluster;
  }

  #answer({ apiName, encode }: Exchange<unknown>): unknown {
    if (this.isAway || this.isClosed) throw new Error('connect ECONNREFUSED');
    const end = Math.min(this.records.length, this.known);
    if (apiName === 'Produce') return this.#append(Buffer.concat(encode().pieces()));
    return [{ partition: 0, error: 0, end, start: 0, aborted: [], records: batch(this.records.slice(0, end)) }];
  }

  #append(request: Buffer): unknown {
    // The topic's name, and what stands before it and between it and the batch.
    const bytes = request.subarray(8 + 4 + 2 + 1 + 4 + 4 + 4);
    const firstOffset = this.records.length;
    this.sequences.push(bytes.readInt32BE(53));
    for (const found of batchesOf(bytes)) if (found !== undefined) this.records.push(...[...recordsOf(found)].map(({ value }) => value));
    return [{ partition: 0, error: 0, firstOffset }];
  }
}

function batch(values: readonly Buffer[]): Buffer {
  if (values.length === 0) return Buffer.alloc(0);
  const parts = new Parts(batchBytes(values));
  addBatch(parts, { values, sender: ANYBODY, nowMs: 0 });
  return Buffer.concat(parts.pieces());
}

function journalAt(broker: TestBroker): { readonly journal: KafkaJournal; readonly runtime: VirtualTime } {
  const runtime = new VirtualTime();
  return { runtime, journal: new KafkaJournal({ cluster: broker.cluster, topic: 't', partition: 0, owner: 'a test', runtime }) };
}

test('what is on its way when a journal is closed is refused at once, though its broker does not answer', async () => {
  const broker = new TestBroker();
  const { journal, runtime } = journalAt(broker);
  await journal.take();
  broker.isAway = true;
  let refused: unknown;
  const appended = journal.append(Buffer.from('a')).catch((cause: unknown) => {
    refused = cause;
  });
  await runtime.advance(2_000);
  assert.equal(refused, undefined);
  journal.close();
  await runtime.advance(1_000);
  assert.match(String(refused), /partition 0 of the topic t cannot be appended to/);
  await appended;
});

test('who reads a journal waits for a new leader that does not know yet how much of it was acked', async () => {
  const broker = new TestBroker();
  const { journal, runtime } = journalAt(broker);
  await journal.take();
  await journal.append(Buffer.from('a'));
  await journal.append(Buffer.from('b'));
  broker.known = 2;
  const values: string[] = [];
  const { records } = await journal.take();
  const read = (async () => {
    for await (const { value } of records()) values.push(Buffer.from(value).toString());
  })();
  await runtime.advance(1_000);
  assert.deepEqual(values, ['a']);
  broker.known = Number.POSITIVE_INFINITY;
  await runtime.advance(1_000);
  await read;
  assert.deepEqual(values, ['a', 'b']);
});
