import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FoundRecord } from '../../kafka/records.ts';
import { keepingLogger, type LogLine } from '../../test/links/rig.ts';
import { encodeFrame } from '../frame.ts';
import { InboxLane, type Resume } from './inbox-lane.ts';
import { encodeRecord } from './record.ts';

const EPOCH = '00112233445566ff';
const STAMP = '018bcfe568000001010000ab';
const WRITE = { stamp: STAMP, requestId: 'r', kind: 'cache', key: 'k', trace: '', payload: Buffer.alloc(20) };

function frame(origin = 'beijing'): Buffer {
  return encodeFrame({ log: 'writes', origin, partition: 0, epoch: EPOCH }, [WRITE]);
}

function recordsOf(seqs: readonly number[], from = 0): FoundRecord[] {
  return seqs.map((seq, index) => ({
    offset: from + index,
    value: encodeRecord({ log: 'writes', run: 1, epoch: EPOCH, seq, bytes: frame() }),
  }));
}

function laneOf(lines: LogLine[] = []): InboxLane {
  return new InboxLane({ origin: 'beijing', log: 'writes', partition: 0, logger: keepingLogger(lines), first: 0 });
}

const resume = (after: number, more: Partial<Resume> = {}): Resume => ({
  type: 'resume',
  log: 'writes',
  partition: 0,
  epoch: EPOCH,
  after,
  historyWrites: 0,
  creditBytes: 1_000_000,
  ...more,
});

const gap = { type: 'gap', log: 'writes', partition: 0, code: 'LOG_GAP', missingFrom: 3, missingTo: 4, message: 'gone' } as const;

/** Gives the lane what it asks for, out of all that the inbox has, until it asks for nothing that is there; returns what came of it. */
function run(lane: InboxLane, inbox: readonly FoundRecord[]) {
  const seqs: number[] = [];
  let resumed: number | undefined;
  for (let asked = lane.wants?.from; asked !== undefined; ) {
    const dealt = lane.deal(inbox.slice(asked), inbox.length);
    if (dealt.resumed !== undefined) resumed = dealt.resumed.historyFrom;
    seqs.push(...dealt.frames.map(({ seq }) => seq));
    if (dealt.ask !== undefined) return { seqs, resumed, ask: dealt.ask };
    if (lane.wants?.from === asked && dealt.resumed === undefined) break;
    asked = lane.wants?.from;
  }
  return { seqs, resumed, ask: undefined };
}

test('a lane that is not resumed asks for nothing; one that is begins after its mark', () => {
  const lane = laneOf();
  assert.equal(lane.wants, undefined);
  lane.resume(resume(2));
  assert.deepEqual(run(lane, recordsOf([0, 1, 2, 3, 4, 5])), { seqs: [3, 4, 5], resumed: 3, ask: undefined });
  lane.halt();
  assert.equal(lane.wants, undefined);
});

test('history comes first and is marked as such', () => {
  const lane = laneOf();
  lane.resume(resume(3, { historyWrites: 2 }));
  lane.deal(recordsOf([0, 1, 2, 3, 4]), 5);
  const { frames } = lane.deal(recordsOf([0, 1, 2, 3, 4]), 5);
  assert.deepEqual(
    frames.map(({ seq, history }) => [seq, history]),
    [
      [0, true],
      [1, true],
      [2, true],
      [3, true],
      [4, false],
    ],
  );
});

test('what is repeated does not go on twice', () => {
  const lane = laneOf();
  lane.resume(resume(-1));
  assert.deepEqual(run(lane, recordsOf([0, 1, 2, 1, 2, 3])).seqs, [0, 1, 2, 3]);
});

test('the origin is asked once for what is not there, and the lane goes on where it comes', () => {
  const lane = laneOf();
  lane.resume(resume(2));
  assert.equal(run(lane, recordsOf([5, 6])).ask?.after, 2);
  assert.equal(run(lane, recordsOf([5, 6])).ask, undefined);
  assert.equal(lane.asked?.after, 2);
  assert.deepEqual(run(lane, recordsOf([5, 6, 3, 4, 5, 6, 7])), { seqs: [3, 4, 5, 6, 7], resumed: 3, ask: undefined });
  assert.equal(lane.asked, undefined);
});

test('no more goes on than was granted, but for the last frame; the rest is read again', () => {
  const lane = laneOf();
  const { length } = frame();
  lane.resume(resume(-1, { creditBytes: 2 * length }));
  const inbox = recordsOf([0, 1, 2, 3, 4]);
  assert.deepEqual(run(lane, inbox).seqs, [0, 1]);
  assert.equal(lane.wants, undefined);
  assert.ok(lane.isHeld);
  lane.credit(1);
  assert.deepEqual(run(lane, inbox).seqs, [2]);
  lane.credit(10 * length);
  assert.deepEqual(run(lane, inbox).seqs, [3, 4]);
});

test('a stranger’s records are told of and passed over', () => {
  const lines: LogLine[] = [];
  const lane = laneOf(lines);
  const [first, second] = recordsOf([0, 1]);
  const foreign = encodeRecord({ log: 'writes', run: 1, epoch: EPOCH, seq: 1, bytes: frame('shanghai') });
  const inbox = [first, { offset: 1, value: Buffer.from('hello') }, { offset: 2, value: foreign }, second && { ...second, offset: 3 }];
  lane.resume(resume(-1));
  assert.deepEqual(run(lane, inbox as FoundRecord[]).seqs, [0, 1]);
  assert.deepEqual(
    lines.map(({ level, code, offset }) => [level, code, offset]),
    [
      ['error', 'INBOX_FOREIGN', 1],
      ['error', 'INBOX_FOREIGN', 2],
    ],
  );
});

test('that the origin cannot go on is told when the inbox has no more, and not again when it can', () => {
  const lane = laneOf();
  const inbox = recordsOf([0, 1, 2]);
  lane.resume(resume(-1));
  lane.broken(gap);
  assert.equal(lane.deal(inbox.slice(0, 2), 3).gap, undefined);
  while ((lane.wants?.from ?? 3) < 3) assert.equal(lane.deal(inbox.slice(lane.wants?.from), 3).gap, undefined);
  assert.equal(lane.deal([], 3).gap, gap);
  lane.mended();
  assert.equal(lane.deal([], 3).gap, undefined);
});

test('frames of another log epoch do not go on', () => {
  const lane = laneOf();
  lane.resume(resume(-1));
  const other = { offset: 2, value: encodeRecord({ log: 'writes', run: 1, epoch: 'ff00112233445566', seq: 2, bytes: frame() }) };
  assert.deepEqual(run(lane, recordsOf([0, 1])).seqs, [0, 1]);
  assert.deepEqual(run(lane, [...recordsOf([0, 1]), other]).seqs, []);
});

test('what is in the inbox of a tail that the log has lost does not go on', () => {
  const lane = laneOf();
  const end = { offset: 3, value: encodeRecord({ log: 'writes', run: 2, epoch: EPOCH, seq: 0, bytes: Buffer.alloc(0) }) };
  lane.resume(resume(0));
  const other = { offset: 4, value: encodeRecord({ log: 'writes', run: 2, epoch: EPOCH, seq: 1, bytes: frame() }) };
  assert.deepEqual(run(lane, [...recordsOf([0, 1, 2]), end]), { seqs: [], resumed: 1, ask: undefined });
  assert.deepEqual(run(lane, [...recordsOf([0, 1, 2]), end, other]).seqs, [1]);
  const late = laneOf();
  late.resume(resume(2));
  assert.equal(run(late, [...recordsOf([0, 1, 2]), end, other]).ask?.after, 2);
});

test('a lane that was stopped by what the origin said asks it before it goes on', () => {
  const lane = laneOf();
  const inbox = recordsOf([0, 1, 2]);
  lane.resume(resume(-1));
  run(lane, inbox);
  lane.broken(gap);
  assert.equal(lane.deal([], 3).gap, gap);
  lane.halt();
  lane.resume(resume(2));
  assert.equal(lane.deal([], 3).ask?.after, 2);
  assert.equal(lane.deal([], 3).resumed, undefined);
  lane.answered({ type: 'resumed', log: 'writes', partition: 0, historyFrom: 3, liveFrom: 3 });
  assert.equal(lane.deal([], 3).resumed?.liveFrom, 3);
});
