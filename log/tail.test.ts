import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Tail } from './tail.ts';

const frame = (partition: number, seq: number, size: number) => ({ partition, seq, bytes: new Uint8Array(size), count: 1 });

test('a tail holds the newest frames of each partition without holes and never more bytes than it may', () => {
  const appends = fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 900 })), { maxLength: 300 });
  fc.assert(
    fc.property(appends, fc.integer({ min: 0, max: 20_000 }), (list, bytesMax) => {
      const tail = new Tail(bytesMax, [5, 5, 5]);
      const next = [5, 5, 5];
      for (const [partition, size] of list) {
        tail.add(frame(partition, next[partition] ?? 0, size));
        next[partition] = (next[partition] ?? 0) + 1;
      }
      let held = 0;
      next.forEach((end, partition) => {
        assert.equal(tail.read(partition, end + 1, 1), undefined);
        assert.deepEqual(tail.read(partition, end, 1), []);
        let start = end;
        while (start > 5 && tail.read(partition, start - 1, 0) !== undefined) start -= 1;
        const frames = tail.read(partition, start, Number.MAX_SAFE_INTEGER) ?? [];
        assert.deepEqual(
          frames.map(({ seq }) => seq),
          Array.from({ length: end - start }, (_, i) => start + i),
        );
        held += frames.reduce((sum, { bytes }) => sum + bytes.length, 0);
      });
      assert.ok(held <= bytesMax);
    }),
  );
});

test('a tail keeps its order and its bound over many frames', () => {
  const tail = new Tail(100_000, [0, 0]);
  for (let i = 0; i < 20_000; i += 1) tail.add(frame(i % 2, i >> 1, 100));
  const frames = tail.read(0, 9_900, Number.MAX_SAFE_INTEGER) ?? [];
  assert.equal(frames.length, 100);
  assert.equal(frames[0]?.seq, 9_900);
  assert.equal(tail.read(0, 9_000, 1), undefined);
});

test('what a trim removed is gone from the tail', () => {
  const tail = new Tail(100_000, [0, 0]);
  for (let seq = 0; seq < 10; seq += 1) tail.add(frame(seq % 2, seq >> 1, 100));
  tail.forget(1, 3);
  assert.equal(tail.read(1, 2, 1), undefined);
  assert.equal(tail.read(1, 3, 1)?.length, 1);
});
