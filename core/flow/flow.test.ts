import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backoffMs } from './backoff.ts';
import { BoundedQueue } from './bounded-queue.ts';
import { TokenBucket } from './token-bucket.ts';
import { VirtualTime } from './virtual-time.testing.ts';
import { Wakeup } from './wakeup.ts';

test('a backoff stays within its limits, grows with the attempts, and is spread over all that it may be', () => {
  const limits = { msMin: 100, msMax: 10_000 };
  fc.assert(
    fc.property(fc.nat(100), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, random) => {
      const delayMs = backoffMs(attempt, limits, random);
      assert.ok(delayMs >= 100 && delayMs <= 10_000);
      assert.ok(backoffMs(attempt + 1, limits, random) >= delayMs);
    }),
  );
  assert.equal(backoffMs(20, limits, 0), 100);
  assert.ok(backoffMs(20, limits, 0.999) > 9_900);
  assert.ok(backoffMs(0, limits, 0.999) <= 200);
});

test('a token bucket holds the average rate, whatever the sizes', async () => {
  const time = new VirtualTime();
  const bucket = new TokenBucket(time, 1_000);
  const startMs = time.nowMs();
  let sent = 0;
  const sending = (async () => {
    for (const bytes of [50, 500, 2_000, 1, 449]) {
      await bucket.take(bytes, new AbortController().signal);
      sent += bytes;
      const allowed = ((time.nowMs() - startMs) / 1000) * 1_000 + 100;
      assert.ok(sent <= allowed + 1e-6, `${sent} bytes after ${time.nowMs() - startMs} ms`);
    }
  })();
  await time.advance(2_500);
  assert.equal(sent, 2_551);
  await time.advance(450);
  await sending;
  assert.equal(sent, 3_000);
});

test('a token bucket that stood idle saves up no more than its burst', async () => {
  const time = new VirtualTime();
  const bucket = new TokenBucket(time, 1_000);
  await time.advance(60_000);
  let done = false;
  const taking = bucket.take(1_100, new AbortController().signal).then(() => {
    done = true;
  });
  await time.advance(999);
  assert.equal(done, false);
  await time.advance(1);
  await taking;
});

test('a queue refuses what comes when it is full and takes again when something left', async () => {
  const queue = new BoundedQueue<number>({ bytesMax: 100, countMax: 3 });
  assert.equal(queue.push(1, 99), true);
  assert.equal(queue.push(2, 50), true, 'one item may reach over the limit');
  assert.equal(queue.push(3, 1), false);
  assert.deepEqual([queue.shift(), queue.bytes], [1, 50]);
  assert.equal(queue.push(4, 1), true);
  assert.equal(queue.push(5, 1), true);
  assert.equal(queue.push(6, 1), false, 'three items are there');
  queue.end();
  assert.equal(queue.push(7, 1), false);
  const rest: number[] = [];
  for await (const item of queue) rest.push(item);
  assert.deepEqual(rest, [2, 4, 5]);
});

test('a queue gives every item once and in order, however pushes and shifts alternate', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 5_000 }), (pushes) => {
      const queue = new BoundedQueue<number>({ bytesMax: 1e9, countMax: 1e9 });
      let pushed = 0;
      let shifted = 0;
      for (const push of pushes) {
        if (push) {
          queue.push(pushed, 2);
          pushed += 1;
        } else if (shifted < pushed) {
          assert.equal(queue.shift(), shifted);
          shifted += 1;
        } else assert.equal(queue.shift(), undefined);
        assert.deepEqual([queue.count, queue.bytes], [pushed - shifted, 2 * (pushed - shifted)]);
      }
    }),
    { numRuns: 20 },
  );
});

test('a wake that comes before the wait is not lost, and wakes only once', async () => {
  const wakeup = new Wakeup();
  wakeup.wake();
  wakeup.wake();
  await wakeup.wait();
  let woken = false;
  const waiting = wakeup.wait().then(() => {
    woken = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(woken, false);
  wakeup.wake();
  await waiting;
});
