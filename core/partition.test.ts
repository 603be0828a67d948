import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partitionOf } from './partition.ts';

test('a key has the partition that it had in every release before', () => {
  // CRC-32 of "123456789" is the check value 0xcbf43926; the others were computed by an independent implementation (Python's zlib).
  assert.equal(partitionOf('123456789', 2 ** 32), 0xcbf43926);
  assert.equal(partitionOf('user:7', 2 ** 32), 0x92c667b7);
  assert.equal(partitionOf('机房', 2 ** 32), 0x120d2d9f);
});

test('keys spread over all partitions', () => {
  const counts = new Array<number>(16).fill(0);
  for (let i = 0; i < 16_000; i += 1) {
    const partition = partitionOf(`user:${i}`, 16);
    counts[partition] = (counts[partition] ?? 0) + 1;
  }
  assert.ok(Math.min(...counts) > 700 && Math.max(...counts) < 1300, counts.join(' '));
});
