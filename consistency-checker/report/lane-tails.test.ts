import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SeqRange } from '../../core/inspection.ts';
import { FakeReceipts, GIVEN_UP, laneOfTest, receiptsView, testStamp } from '../messages/receipts-kit.ts';
import { LaneTails, later } from './lane-tails.ts';

type Fate = 'there' | 'gone' | 'given up';

/** Stamps of the lanes are woven into each other. */
function roomWith(lanes: readonly (readonly Fate[])[]): FakeReceipts {
  const fake = new FakeReceipts('guangzhou');
  for (const [partition, fates] of lanes.entries()) {
    const lane = laneOfTest('beijing', partition);
    for (const [seq, fate] of fates.entries()) {
      const stamps = { stampFirst: stampOf(seq, partition), stampLast: `${stampOf(seq, partition).slice(0, -1)}f` };
      fake.receipt(lane, seq, fate === 'given up' ? GIVEN_UP : { count: 1, ...stamps });
      if (fate === 'gone') fake.lane(lane).frames.delete(seq);
    }
  }
  return fake;
}

function stampOf(seq: number, partition: number): string {
  return testStamp(1_700_000_000_000 + seq * 7 + ((seq * partition * 13) % 7), 0, 0x01000010 * (partition + 1));
}

function tailsOf(fake: FakeReceipts, from = 0): LaneTails {
  const lanes = fake.horizon().lanes.filter(({ mark }) => mark >= 0);
  return new LaneTails(
    receiptsView(fake),
    lanes.map((lane) => ({ lane, from, whole: from === 0 })),
  );
}

test('the newest are taken first, and receipts are read no further back than that', async () => {
  const lanes = Array.from({ length: 4 }, () => Array.from({ length: 500 }, (): Fate => 'there'));
  const fake = roomWith(lanes);
  const tails = tailsOf(fake);
  const taken = await tails.take(10);
  assert.equal(taken.length, 10);
  assert.ok(taken.every(({ receipt }) => receipt.seq >= 495));
  const read = fake.asked.flatMap(({ ranges }) => ranges).reduce((sum, { from, to }) => sum + to - from + 1, 0);
  assert.ok(read <= 4 * 64, `${read}`);
  assert.ok(tails.above > (taken.at(-1)?.receipt.stampFirst ?? 'g').slice(0, 12));
});

test('lanes that go on alike are read together, not one after the other', async () => {
  const fake = roomWith(Array.from({ length: 8 }, () => Array.from({ length: 256 }, (): Fate => 'there')));
  let [waiting, times] = [0, 0];
  const view = {
    receipts: async (range: SeqRange) => {
      if (waiting === 0) times += 1;
      waiting += 1;
      await Promise.resolve();
      waiting -= 1;
      return fake.receipts(range);
    },
  };
  const tails = new LaneTails(
    view,
    fake.horizon().lanes.map((lane) => ({ lane, from: 0, whole: true })),
  );
  for (let taken = await tails.take(512); taken.length > 0; ) taken = await tails.take(512);
  assert.deepEqual([fake.asked.length, times], [32, 4]);
});

test('whatever is missing, all that is there comes from the newest back, and it is told up to where nothing is missing', async () => {
  const fates = fc.array(fc.constantFrom<Fate>('there', 'there', 'there', 'there', 'gone', 'given up'), { maxLength: 200 });
  await fc.assert(
    fc.asyncProperty(fc.array(fates, { maxLength: 4 }), fc.constantFrom(0, 0, 5), fc.nat(40), async (lanes, from, writesMax) => {
      const fake = roomWith(lanes);
      const tails = tailsOf(fake, from);
      const told: string[] = [];
      for (let taken = await tails.take(writesMax); taken.length > 0; taken = await tails.take(writesMax)) {
        told.push(...taken.map(({ lane, receipt }) => stampOf(receipt.seq, lane.partition)));
        const rest = lanes
          .flatMap((all, partition) => thereIn(all, from).map((seq) => stampOf(seq, partition)))
          .filter((it) => !told.includes(it));
        assert.ok(rest.every((stamp) => tails.above >= stamp));
      }
      const all = lanes.flatMap((each, partition) => thereIn(each, from).map((seq) => stampOf(seq, partition)));
      assert.deepEqual(told, all.sort().reverse());
      assert.equal(tails.above, lanes.map((each, partition) => completeFrom(each, partition, from)).reduce(later, ''));
    }),
    { numRuns: 100 },
  );
});

function thereIn(fates: readonly Fate[], from: number): number[] {
  return fates.flatMap((fate, seq) => (fate === 'there' && seq >= from ? [seq] : []));
}

/** The stamp of the first of those at the end of which none is missing; '': none at all is. */
function completeFrom(fates: readonly Fate[], partition: number, from: number): string {
  if (fates.length <= from) return '';
  const broken = fates.findLastIndex((fate, seq) => fate !== 'there' || seq < from);
  if (broken === -1) return '';
  return broken === fates.length - 1 ? 'f'.repeat(24) : stampOf(broken + 1, partition);
}
