import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Parts } from './parts.ts';
import { ANYBODY, addBatch, batchBytes, batchesOf, laterSequence, recordsOf } from './records.ts';

function written(batches: readonly (readonly Uint8Array[])[]): Buffer {
  const parts = new Parts(batches.reduce((sum, values) => sum + batchBytes(values), 0));
  for (const values of batches) addBatch(parts, { values, sender: ANYBODY, nowMs: 1_700_000_000_000 });
  const whole = Buffer.concat(parts.pieces());
  assert.equal(whole.length, parts.bytes);
  return whole;
}

const value = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.integer({ min: 0, max: 20_000 }).map((length) => new Uint8Array(length).fill(7)),
);

test('batches come back as they were written, whether their values were copied or sent as they are', () => {
  fc.assert(
    fc.property(fc.array(fc.array(value, { minLength: 1, maxLength: 100 }), { maxLength: 3 }), (batches) => {
      const whole = written(batches);
      assert.equal(
        whole.length,
        batches.reduce((sum, values) => sum + batchBytes(values), 0),
      );
      const found = [...batchesOf(whole)].map((batch) => batch && [...recordsOf(batch)]);
      assert.deepEqual(
        found.map((records) => records?.map((record) => new Uint8Array(record.value))),
        batches.map((values) => values.map((each) => new Uint8Array(each))),
      );
      for (const records of found)
        assert.deepEqual(
          records?.map(({ offset }) => offset),
          records?.map((_, at) => at),
        );
    }),
    { numRuns: 60 },
  );
});

test('a batch that is cut off at the end is left out, and one of an older format is told', () => {
  const whole = written([[Buffer.from('a')], [Buffer.from('b')]]);
  for (const cut of [1, 20, 60]) assert.equal([...batchesOf(whole.subarray(0, whole.length - cut))].length, 1);
  const older = Buffer.from(whole);
  older[16] = 1;
  assert.deepEqual([...batchesOf(older)], [undefined]);
});

test('records that are longer than their batch are refused', () => {
  const [batch] = batchesOf(written([[Buffer.from('abc')]]));
  assert.ok(batch);
  const { records } = batch;
  assert.throws(() => [...recordsOf({ ...batch, count: 2 })], RangeError);
  assert.throws(() => [...recordsOf({ ...batch, records: records.subarray(0, records.length - 2) })], RangeError);
});

test('a sender that has sent as many records as there are numbers begins again at 0', () => {
  const sequence = laterSequence(2 ** 31 - 2, 3);
  assert.equal(sequence, 1);
  const values = [Buffer.from('a')];
  addBatch(new Parts(batchBytes(values)), { values, sender: { producerId: 1n, producerEpoch: 0, sequence }, nowMs: 0 });
});
