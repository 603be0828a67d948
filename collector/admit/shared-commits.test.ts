import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import type { CacheBatch, CacheResult, CacheStore } from '../../store/cache.ts';
import type { BookEntry, ReceiptBook } from '../receipts/receipts.ts';
import { SharedCommits } from './shared-commits.ts';
import { set, TestLog, TestRoom, TestRuntime } from './testing.ts';

/** Refuses the mark `refused`, fails on a partition 9, and otherwise says one outcome per write request. */
class RecordingStores {
  readonly applied: number[][] = [];
  readonly recorded: number[][] = [];
  readonly shared: SharedCommits;

  constructor() {
    const cache = { apply: async (batch: CacheBatch) => this.#apply(batch) } as unknown as CacheStore;
    const book = { record: async (entries: readonly BookEntry[]) => void this.recorded.push(entries.map((it) => it.lane.partition)) };
    this.shared = new SharedCommits({ cache, book: book as unknown as ReceiptBook, runtime: new TestRuntime() });
  }

  #apply(batch: CacheBatch): CacheResult {
    this.applied.push(batch.moves.map((move) => move.partition));
    if (batch.moves.some((move) => move.partition === 9)) throw new WmbError('STORE_FULL', 'full');
    if (batch.moves.some((move) => move.expected === 77)) return { moved: false, generation: 0, stored: undefined };
    return { moved: true, outcomes: batch.writes.map((effects) => (effects.length === 0 ? 'applied' : 'superseded')) };
  }
}

function batch(partition: number, writes: CacheBatch['writes'], expected = 0): CacheBatch {
  const move = { log: 'writes', origin: 'beijing', partition, epoch: '0123456789abcdef', expected, next: expected + 1 } as const;
  return { generation: 0, moves: [move], writes, floor: '', nowMs: 1 };
}

const effect = { op: 'del', key: 'k', version: '0'.repeat(28) } as const;

test('batches of one turn share a call, and each gets its own outcomes', async () => {
  const { shared, applied } = new RecordingStores();
  const results = await Promise.all([
    shared.apply(batch(0, [[], [effect]])),
    shared.apply(batch(1, [[effect]])),
    shared.apply(batch(2, [])),
  ]);
  assert.deepEqual(applied, [[0, 1, 2]]);
  assert.deepEqual(
    results.map((result) => result.moved && result.outcomes),
    [['applied', 'superseded'], ['superseded'], []],
  );
});

test('a mark that is not the expected one fails its own batch only', async () => {
  const { shared, applied } = new RecordingStores();
  const results = await Promise.all([shared.apply(batch(0, [[]])), shared.apply(batch(1, [[]], 77))]);
  assert.deepEqual(
    results.map((result) => result.moved),
    [true, false],
  );
  assert.deepEqual(applied, [[0, 1], [0], [1]]);
});

test('batches that know the cache in different generations share no call, whose floor could be only one of theirs', async () => {
  const { shared, applied } = new RecordingStores();
  await Promise.all([shared.apply(batch(0, [[]])), shared.apply({ ...batch(1, [[]]), generation: 1 })]);
  assert.deepEqual(applied, [[0], [1]]);
});

test('a batch that the store fails on fails alone', async () => {
  const { shared } = new RecordingStores();
  const results = await Promise.allSettled([shared.apply(batch(9, [[]])), shared.apply(batch(1, [[]]))]);
  assert.deepEqual(
    results.map((result) => result.status),
    ['rejected', 'fulfilled'],
  );
});

test('a commit that is large enough waits for no more', async () => {
  const { shared, applied } = new RecordingStores();
  const many = Array.from({ length: 600 }, () => []);
  await Promise.all([shared.apply(batch(0, many)), shared.apply(batch(1, many))]);
  assert.deepEqual(applied, [[0], [1]]);
});

test('receipts of one turn share a call', async () => {
  const { shared, recorded } = new RecordingStores();
  const entry = (partition: number): BookEntry => ({
    lane: { log: 'writes', origin: 'beijing', partition, epoch: '0123456789abcdef' },
    frames: [],
    exceptions: [],
    parked: [],
  });
  await Promise.all([shared.record([entry(0)]), shared.record([entry(1), entry(2)])]);
  assert.deepEqual(recorded, [[0, 1, 2]]);
});

test('with nothing to execute the database’s mark follows once a second, and after a crash what lies above it changes nothing', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  const consumer = room.applier.consumers(log.lane);
  await consumer.take(log.add(set('a', '2')).after(0));
  const mark = async () => (await room.database.marks())[0]?.seq;
  assert.equal(await mark(), 0);
  room.restart();
  await room.run(log);
  assert.equal(room.cache.value('a'), '2');
  assert.equal(await mark(), 1);
  await room.applier.consumers(log.lane).take(log.add(set('a', '3')).after(1));
  assert.equal(await mark(), 1);
  room.runtime.advance(1_000);
  for (let turn = 0; turn < 20; turn += 1) await undefined;
  assert.equal(await mark(), 2);
});

test('the database’s mark follows also after a second in which the lane could not go on', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  const consumer = room.applier.consumers(log.lane);
  const second = async () => {
    room.runtime.advance(1_000);
    for (let turn = 0; turn < 20; turn += 1) await undefined;
  };
  const mark = async () => (await room.database.marks())[0]?.seq;
  room.crash.next('before cache');
  await assert.rejects(consumer.take(log.add(set('a', '2')).after(0)), /crash before cache/);
  await second();
  await consumer.resume({ epoch: log.epoch });
  await consumer.take(log.after(0));
  await consumer.take(log.add(set('a', '3')).after(1));
  assert.equal(await mark(), 1);
  await second();
  assert.equal(await mark(), 2);
});

test('a collector that stops takes the database’s mark along', async () => {
  const room = await new TestRoom().open();
  const log = new TestLog().add(set('a', '1'));
  await room.run(log);
  await room.applier.consumers(log.lane).take(log.add(set('a', '2')).after(0));
  await room.applier.stop();
  assert.equal((await room.database.marks())[0]?.seq, 1);
});
