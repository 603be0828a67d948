import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import { FrameIndex } from './frame-index.ts';
import { temporaryDirectory } from './kafka-kit.ts';

const stampOf = (ms: number) => formatStamp({ ms, counter: 0, writer: 1 });

test('where frames of several processes overlap in their stamps, the index knows the greatest up to each and what those after it exceed, also from its file', (t) => {
  const directory = temporaryDirectory();
  t.after(() => rmSync(directory, { recursive: true }));
  const open = () =>
    new FrameIndex({
      file: join(directory, 'index.db'),
      epoch: '0a0a0a0a0a0a0a0a',
      partitions: 1,
      runtime: systemRuntime,
      onTrouble: assert.fail,
    });
  const index = open();
  const frames = [
    [100, 100],
    [230, 110],
    [140, 105],
    [240, 240],
  ] as const;
  for (const [last, through] of frames) index.add(0, { count: 1, bytes: 10, stampLast: stampOf(last), through: stampOf(through) });
  const bounds = (of: FrameIndex) =>
    frames.map((_, seq) => {
      const frame = of.frame(0, seq);
      return [frame?.stampLast, frame?.greatest, frame?.through];
    });
  const expected = [
    [100, 100, 100],
    [230, 230, 110],
    [140, 230, 110],
    [240, 240, 240],
  ].map((row) => row.map(stampOf));
  assert.deepEqual(bounds(index), expected);
  index.close();
  const again = open();
  t.after(() => again.close());
  assert.deepEqual(bounds(again), expected);
  assert.deepEqual([again.partition(0).stampLast, again.partition(0).through], [stampOf(240), stampOf(240)]);
});
