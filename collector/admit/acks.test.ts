import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReceiptException } from '../../link/link.ts';
import type { Ack } from '../lane.ts';
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
  acks.publish(lane, { seq: 2, parkedSeq: 2, from: 2 }, [parked(2)]);
  acks.publish(lane, { seq: 2, parkedSeq: 2 }, []);
  assert.equal(calls, 2, 'the same state again is no change');
  assert.deepEqual(acks.take('beijing'), [
    { log: 'writes', partition: 0, epoch: 'e', seq: 2, parkedSeq: 2, exceptionsFrom: 2, exceptions: [parked(2)] },
  ]);
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
  acks.publish({ ...lane, partition: 1 }, { seq: 1, parkedSeq: 0 }, [parked(0), parked(1)]);
  const [first, second] = acks.take('beijing');
  assert.equal((first?.exceptions.length ?? 0) + (second?.exceptions.length ?? 0), EXCEPTIONS_MAX);
  assert.equal(first?.exceptions[0]?.seq, 2);
});

/** What a taking says of the first lane: the seqs that it reaches up to and is complete from, and those of the exceptions. */
function told(taken: readonly Ack[]): unknown {
  const [ack] = taken;
  return ack && { from: ack.exceptionsFrom, to: ack.seq, exceptions: ack.exceptions.map(({ seq }) => seq) };
}

test('an ack says from where its exceptions are complete: behind what was taken, what was shed, and what was never told', () => {
  const acks = new Acks();
  acks.publish(lane, { seq: 4, parkedSeq: -1 }, []);
  assert.deepEqual(told(acks.take('beijing')), { from: 5, to: 4, exceptions: [] }, 'of what was applied before the start nothing is known');
  acks.publish(lane, { seq: 6, parkedSeq: 5, from: 5 }, [parked(5)]);
  acks.publish(lane, { seq: 8, parkedSeq: 5, from: 7 }, [parked(8)]);
  assert.deepEqual(told(acks.takeAll('beijing')), { from: 5, to: 8, exceptions: [5, 8] });
  assert.deepEqual(told(acks.takeAll('beijing')), { from: 9, to: 8, exceptions: [] }, 'what was taken may have been lost on the way');
  acks.publish(lane, { seq: 10, parkedSeq: 5 }, []);
  assert.deepEqual(told(acks.take('beijing')), { from: 11, to: 10, exceptions: [] }, 'the stores were found further on');
  for (let seq = 11; seq <= 11 + EXCEPTIONS_MAX; seq += 1) acks.publish(lane, { seq, parkedSeq: 5, from: seq }, [parked(seq)]);
  assert.equal(acks.take('beijing')[0]?.exceptionsFrom, 12);
});

test('a lane that goes back is complete from where it goes on', () => {
  const acks = new Acks();
  acks.publish(lane, { seq: 9, parkedSeq: -1 }, []);
  acks.publish(lane, { seq: 3, parkedSeq: -1 }, []);
  acks.publish(lane, { seq: 6, parkedSeq: 5, from: 4 }, [parked(5)]);
  assert.deepEqual(told(acks.take('beijing')), { from: 4, to: 6, exceptions: [5] });
});

test('exceptions of a frame whose effects come in parts wait until the mark has passed it', () => {
  const acks = new Acks();
  acks.publish(lane, { seq: 0, parkedSeq: -1, from: 0 }, [parked(1)]);
  assert.deepEqual(told(acks.take('beijing')), { from: 0, to: 0, exceptions: [] });
  acks.publish(lane, { seq: 1, parkedSeq: 1, from: 1 }, []);
  assert.deepEqual(told(acks.take('beijing')), { from: 1, to: 1, exceptions: [1] });
});

test('hints tell the greatest stamp only when it grows, and at once to who comes later', () => {
  const hints = new Hints();
  const seen: string[] = [];
  hints.onObserved((stamp) => seen.push(stamp));
  for (const stamp of ['b', 'a', 'c']) hints.observed(stamp);
  hints.onObserved((stamp) => seen.push(`later ${stamp}`));
  assert.deepEqual(seen, ['b', 'c', 'later c']);
});

test('a slave database’s marks go out with the acks of their lane and epoch, whichever came first', () => {
  const acks = new Acks();
  const arrived = (seq: number, epoch = 'e') => acks.arrived([{ ...lane, epoch, seq }]);
  arrived(3);
  acks.publish(lane, { seq: 5, parkedSeq: -1 }, []);
  assert.deepEqual(
    acks.take('beijing').map((ack) => [ack.seq, ack.databaseSeq]),
    [[5, 3]],
  );
  arrived(3);
  assert.deepEqual(acks.take('beijing'), [], 'the same mark is no change');
  arrived(4);
  assert.deepEqual(
    acks.take('beijing').map((ack) => [ack.seq, ack.databaseSeq]),
    [[5, 4]],
  );
  arrived(9, 'of another epoch');
  acks.publish(lane, { seq: 6, parkedSeq: -1 }, []);
  assert.deepEqual(
    acks.take('beijing').map((ack) => [ack.seq, ack.databaseSeq]),
    [[6, undefined]],
  );
});
