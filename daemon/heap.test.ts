import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { getHeapSpaceStatistics } from 'node:v8';
import { keepHeapSmall } from './heap.ts';

const MIB = 1024 * 1024;

test('the young generation stays small however much survives in it, and grows to what it may', async () => {
  keepHeapSmall();
  let kept: unknown[] = [];
  for (let round = 0; round < 400; round += 1) {
    if (kept.length > 50_000) kept = [];
    for (let i = 0; i < 5_000; i += 1) kept.push({ i, more: [i, i, i] });
    await setImmediate();
  }
  const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
  assert.ok(young !== undefined);
  assert.ok(young.space_size >= 4 * MIB && young.space_size <= 32 * MIB, `it has ${young.space_size / MIB} MiB`);
});

test('buffers that nobody has any more do not pile up', async () => {
  keepHeapSmall();
  let bytesMost = 0;
  for (let round = 0; round < 500; round += 1) {
    Buffer.allocUnsafeSlow(MIB / 2).fill(1);
    bytesMost = Math.max(bytesMost, process.memoryUsage().arrayBuffers);
    await setImmediate();
  }
  assert.ok(bytesMost < 48 * MIB, `there were ${bytesMost / MIB} MiB`);
});
