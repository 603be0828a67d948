import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dividePartitions } from './division.ts';

test('each member gets as many as the others or one more, and each partition has one member', () => {
  const members = fc.array(fc.array(fc.integer({ min: 0, max: 40 })), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 40 }), members, (partitions, owned) => {
      const divided = dividePartitions(
        partitions,
        owned.map((one, index) => ({ member: `m${index}`, owned: one })),
      );
      const all = [...divided.values()].flat().sort((a, b) => a - b);
      assert.deepEqual(
        all,
        Array.from({ length: partitions }, (_, partition) => partition),
      );
      const sizes = [...divided.values()].map(({ length }) => length);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
      assert.equal(divided.size, owned.length);
    }),
  );
});

test('a member that comes takes only what is more than a fair share', () => {
  const divided = dividePartitions(6, [
    { member: 'a', owned: [0, 1, 2] },
    { member: 'b', owned: [3, 4, 5] },
    { member: 'c', owned: [] },
  ]);
  assert.deepEqual(
    [...divided],
    [
      ['a', [0, 1]],
      ['b', [3, 4]],
      ['c', [2, 5]],
    ],
  );
});
