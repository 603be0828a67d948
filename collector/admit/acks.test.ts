import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReceiptException } from '../../link/link.ts';
import { Acks, EXCEPTIONS_MAX, Hints } from './acks.ts';

const lane = { log: 'writes', origin: 'beijing', partition: 0, epoch: 'e' } as const;

function parked(seq: number): ReceiptException {
  return { seq, index: 0, outcome: 'parked', reason: 'PROCESSOR_FAILED' };
}

test('what changed is taken once, merged to the newest state', () => {
  const acks = new Acks();
  let calls = 0;
  const stop = acks.onChange('beijing', () => {
    calls += 1;
  });
  acks.publish(lane, { seq: 1, parkedSeq: -1 }, []);
  acks.publish(lane, { seq: 2, parkedSeq: 2 }, [parked(2)]);
  acks.publish(lane, { seq: 2, parkedSeq: 2 }, []);
  assert.equal(calls, 2, 'the same state again is no change');
  assert.deepEqual(acks.take('beijing'), [{ log: 'writes', partition: 0, epoch: 'e', seq: 2, parkedSeq: 2, exceptions: [parked(2)] }]);
  assert.deepEqual(acks.take('beijing'), []);
  assert.equal(acks.current('beijing')[0]?.seq, 2);
  assert.deepEqual(acks.current('guangzhou'), []);
  stop();
  acks.publish(lane, { seq: 3, parkedSeq: 2 }, []);
  assert.equal(calls, 2);
});

test('for an origin that is away the oldest exceptions go first', () => {
  const acks = new Acks();
  for (let seq = 0; seq < EXCEPTIONS_MAX; seq += 1) acks.publish(lane, { seq, parkedSeq: 0 }, [parked(seq)]);
  acks.publish({ ...lane, partition: 1 }, { seq: 0, parkedSeq: 0 }, [parked(0), parked(1)]);
  const [first, second] = acks.take('beijing');
  assert.equal((first?.exceptions.length ?? 0) + (second?.exceptions.length ?? 0), EXCEPTIONS_MAX);
  assert.equal(first?.exceptions[0]?.seq, 2);
});

test('hints tell the greatest stamp only when it grows, and at once to who comes later', () => {
  const hints = new Hints();
  const seen: string[] = [];
  hints.onObserved((stamp) => seen.push(stamp));
  for (const stamp of ['b', 'a', 'c']) hints.observed(stamp);
  hints.onObserved((stamp) => seen.push(`later ${stamp}`));
  assert.deepEqual(seen, ['b', 'c', 'later c']);
});
