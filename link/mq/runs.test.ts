import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHECKPOINT_WRITES, LaneRuns } from './runs.ts';

const EPOCH = '00112233445566ff';

/** The inbox has one record for each of `seqs`, from offset 0 on. */
function runsOf(seqs: readonly number[]): LaneRuns {
  const runs = new LaneRuns();
  for (const [offset, seq] of seqs.entries()) runs.add({ offset, run: 1, epoch: EPOCH, seq, count: 100 });
  return runs;
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);
const wanted = (after: number, historyWrites = 0, historyFrom?: number) => ({ epoch: EPOCH, after, historyWrites, historyFrom });

test('a place at or shortly before what is wanted is found, also right behind the last record', () => {
  const runs = runsOf(range(10, 60));
  for (const after of range(9, 60)) {
    const place = runs.locate(wanted(after));
    assert.ok(place !== undefined && place.seq <= after + 1 && place.seq > after - 10, `${after}: ${place?.seq}`);
    assert.equal(place.offset, place.seq - 10);
  }
});

test('what is before the first record, behind the next one, or of another epoch is not there', () => {
  const runs = runsOf(range(10, 60));
  assert.equal(runs.locate(wanted(8)), undefined);
  assert.equal(runs.locate(wanted(60)), undefined);
  assert.equal(runs.locate({ ...wanted(20), epoch: 'ff00112233445566' }), undefined);
  assert.equal(new LaneRuns().locate(wanted(-1)), undefined);
});

test('repeated records count for nothing', () => {
  const runs = runsOf([...range(0, 30), ...range(25, 40)]);
  assert.equal(runs.locate(wanted(20))?.offset, 20);
  assert.ok(runs.locate(wanted(39)) !== undefined);
});

test('only the newest run goes on: a hole, and older frames that were asked for, begin another', () => {
  const holed = runsOf([...range(0, 10), ...range(15, 20)]);
  assert.equal(holed.locate(wanted(5)), undefined);
  assert.equal(holed.locate(wanted(9)), undefined);
  assert.ok(holed.locate(wanted(15)) !== undefined);
  const refilled = runsOf([...range(15, 20), ...range(5, 30)]);
  assert.equal(refilled.locate(wanted(4))?.offset, 5);
  assert.ok(refilled.locate(wanted(29)) !== undefined);
});

test('history begins early enough, or is not there', () => {
  const runs = runsOf(range(10, 60));
  for (const after of range(9, 60)) {
    const place = runs.locate(wanted(after, 1_500));
    if (place !== undefined) assert.ok(place.seq <= after + 1 - 15, `${after}: ${place.seq}`);
    else assert.ok(after < 9 + 15 + 10, String(after));
  }
});

test('less history is enough where the log has no more', () => {
  assert.equal(runsOf(range(0, 60)).locate(wanted(3, 1_500))?.seq, 0);
  assert.equal(runsOf(range(10, 60)).locate(wanted(12, 1_500)), undefined);
  assert.equal(runsOf(range(10, 60)).locate(wanted(12, 1_500, 10))?.seq, 10);
  assert.equal(runsOf(range(10, 60)).locate(wanted(12, 1_500, 9)), undefined);
});

test('with so much more history as places stand apart, history is found from every later seq on, also where the run has just begun', () => {
  const [historyWrites, first] = [1_500, 10];
  const asked = first - 1 + Math.ceil((historyWrites + CHECKPOINT_WRITES) / 100);
  const runs = runsOf(range(first, 60));
  for (const after of range(asked, 60)) {
    const place = runs.locate(wanted(after, historyWrites));
    assert.ok(place !== undefined && place.seq <= after + 1 - 15, `${after}: ${place?.seq}`);
  }
});

test('what is removed below a mark leaves the history that is wanted, also for whoever reads the rest anew', () => {
  for (const mark of range(100, 400)) {
    const runs = runsOf(range(0, 500));
    const before = runs.needlessBefore(EPOCH, mark, 5_000);
    if (before === undefined) continue;
    const left = new LaneRuns();
    for (const seq of range(before, 500)) left.add({ offset: seq, run: 1, epoch: EPOCH, seq, count: 100 });
    const place = left.locate(wanted(mark, 5_000));
    assert.ok(place !== undefined && place.seq <= mark + 1 - 50, `${mark}: ${before}, ${place?.seq}`);
    assert.ok(runs.locate(wanted(mark, 5_000)) !== undefined);
  }
});

test('nothing is removed by a mark that the inbox does not have', () => {
  const runs = runsOf(range(10, 60));
  assert.equal(runs.needlessBefore(EPOCH, 5, 0), undefined);
  assert.equal(runs.needlessBefore(EPOCH, 60, 0), undefined);
  assert.equal(runs.needlessBefore('ff00112233445566', 20, 0), undefined);
  assert.ok((runs.needlessBefore(EPOCH, 59, 0) ?? 0) > 0);
});

test('after the end of a log that lost its tail, the same seqs are other frames', () => {
  const runs = runsOf(range(0, 30));
  assert.ok(runs.add({ offset: 30, run: 2, epoch: EPOCH, seq: 19, count: 0 }));
  for (const after of range(-1, 30)) assert.equal(runs.locate(wanted(after))?.offset, after === 19 ? 30 : undefined);
  assert.equal(runs.locate(wanted(19, 100)), undefined, 'history');
  assert.ok(!runs.add({ offset: 31, run: 1, epoch: EPOCH, seq: 20, count: 100 }), 'one that came late');
  assert.ok(runs.add({ offset: 32, run: 2, epoch: EPOCH, seq: 20, count: 100 }));
  assert.equal(runs.locate(wanted(19))?.seq, 20);
  assert.ok(runs.locate(wanted(20)) !== undefined);
  assert.equal(runs.locate(wanted(21)), undefined);
});
