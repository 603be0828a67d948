import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { type FrameReceipts, RECEIPT_FRAMES_KEPT } from '../../core/inspection.ts';
import { formatPosition } from '../../core/words.ts';
import { ReceiptComparison, type ReceiptRound } from './comparison.ts';
import { EPOCH, exception, FakeReceipts, GIVEN_UP, laneOfTest, receiptsView, testStamp } from './receipts-kit.ts';
import { WINDOW_SEQS } from './windows.ts';

const GRACE_MS = 5_000;
const LANE = laneOfTest('beijing');

function rig(frames = 0) {
  const runtime = new VirtualTime();
  const mine = new FakeReceipts('beijing');
  const theirs = new FakeReceipts('guangzhou');
  for (const room of [mine, theirs]) if (frames > 0) room.applied(LANE, frames);
  const comparison = new ReceiptComparison({ mine: receiptsView(mine), theirs: receiptsView(theirs), graceMs: GRACE_MS, runtime });
  return {
    runtime,
    mine,
    theirs,
    comparison,
    /** What is confirmed within `ms`, by position; a round a second. */
    async confirmed(ms = GRACE_MS + 2_000): Promise<string[]> {
      const found = new Set<string>();
      for (let done = 0; done <= ms; done += 1_000) {
        const round = await comparison.round();
        for (const it of round.confirmed) found.add(`${formatPosition(it.position)} ${it.mine.outcome}/${it.theirs.outcome}`);
        await runtime.advance(1_000);
      }
      return [...found];
    },
  };
}

const at = (seq: number, index = 0) => `beijing/0@${EPOCH}:${seq}.${index}`;
const parked = (index: number): Partial<FrameReceipts> => ({
  exceptions: [exception(index, 'parked', { code: 'PROCESSOR_FAILED', parkedMs: 77 })],
});

describe('what is a difference', () => {
  test('rooms that did the same have none, and what came first may differ', async () => {
    const { mine, confirmed } = rig(300);
    mine.receipt(LANE, 12, { exceptions: [exception(1, 'superseded')] });
    assert.deepEqual(await confirmed(), []);
  });

  const CASES: readonly (readonly [what: string, mine: string, theirs: string, differ: boolean])[] = [
    ['parked there, applied here', 'applied', 'parked', true],
    ['parked here, applied there', 'parked', 'applied', true],
    ['parked in both', 'parked', 'parked', true],
    ['parked here, passed over there', 'parked', 'rejected', true],
    ['given up there, applied here', 'applied', 'rejected', true],
    ['given up here, superseded there', 'rejected', 'superseded', true],
    ['given up in both', 'rejected', 'rejected', false],
    ['a duplicate there, applied here', 'applied', 'duplicate', true],
    ['a duplicate in both', 'duplicate', 'duplicate', false],
    ['a duplicate here, given up there: nobody lacks it', 'duplicate', 'rejected', false],
    ['applied here, superseded there', 'applied', 'superseded', false],
  ];
  for (const [what, mine, theirs, differ] of CASES) {
    test(what, async () => {
      const room = rig(40);
      room.mine.receipt(LANE, 30, mine === 'applied' ? {} : { exceptions: [exception(1, mine as 'parked')] });
      room.theirs.receipt(LANE, 30, theirs === 'applied' ? {} : { exceptions: [exception(1, theirs as 'parked')] });
      assert.deepEqual(await room.confirmed(), differ ? [`${at(30, 1)} ${mine}/${theirs}`] : []);
    });
  }

  test('frames below the mark that a room has no receipts of are named write request by write request', async () => {
    const { theirs, confirmed } = rig(40);
    theirs.lane(LANE).frames.delete(30);
    assert.deepEqual(await confirmed(), [`${at(30, 0)} applied/none`, `${at(30, 1)} applied/none`]);
  });

  test('a frame that a room has given up is rejected in every write request, however many the other room knows of', async () => {
    const { mine, theirs, comparison, confirmed } = rig(40);
    mine.receipt(LANE, 30, { count: 3 });
    theirs.receipt(LANE, 30, GIVEN_UP);
    assert.deepEqual(
      await confirmed(),
      [0, 1, 2].map((index) => `${at(30, index)} applied/rejected`),
    );
    mine.receipt(LANE, 30, GIVEN_UP);
    assert.deepEqual(await comparison.differs({ ...LANE, seq: 30, index: 0 }), undefined);
  });

  test('what is confirmed carries request id, code, times and attempts', async () => {
    const { theirs, comparison, runtime } = rig(4);
    theirs.receipt(LANE, 2, {
      appliedMs: 90,
      exceptions: [exception(1, 'parked', { requestId: 'college-17', code: 'PROCESSOR_FAILED', parkedMs: 77, attempts: 3 })],
    });
    const firstSeenMs = runtime.nowMs();
    await comparison.round();
    await runtime.advance(GRACE_MS);
    const [found] = (await comparison.round()).confirmed;
    assert.equal(found?.requestId, 'college-17');
    assert.equal(found?.firstSeenMs, firstSeenMs);
    assert.deepEqual(found?.theirs, { outcome: 'parked', code: 'PROCESSOR_FAILED', atMs: 90, parkedMs: 77, attempts: 3 });
    assert.equal(found?.mine.outcome, 'applied');
  });

  test('a book that counts more write requests of a frame than the other is named by the first that only it has', async () => {
    for (const count of [1, 3, 1_000_000_000]) {
      const { theirs, confirmed } = rig(600);
      theirs.receipt(LANE, 100, { count });
      assert.deepEqual(await confirmed(10_000), [count === 1 ? `${at(100, 1)} applied/none` : `${at(100, 2)} none/applied`]);
    }
  });

  test('different frames at one seq are not compared write by write; it is said', async () => {
    const { theirs, comparison } = rig(4);
    theirs.receipt(LANE, 2, { count: 3, stampLast: testStamp(1_700_000_000_999) });
    const round = await comparison.round();
    assert.equal(round.suspects, 0);
    assert.match(
      round.incomparable.join(),
      /:2\.0: the two rooms hold different frames at this seq \(beijing: 2 write requests .*guangzhou: 3 write requests/,
    );
  });
});

describe('lag is never drift', () => {
  test('what one room has not reached yet is not compared', async () => {
    const { mine, theirs, confirmed, comparison } = rig(10);
    mine.applied(LANE, 500);
    assert.deepEqual(await confirmed(20_000), []);
    theirs.applied(LANE, 500);
    assert.deepEqual(await confirmed(20_000), []);
    assert.equal((await comparison.round()).suspects, 0);
  });

  test('a difference that goes away within the grace period is none', async () => {
    const { theirs, comparison, confirmed, runtime } = rig(40);
    theirs.receipt(LANE, 30, parked(0));
    assert.equal((await comparison.round()).suspects, 1);
    await runtime.advance(GRACE_MS - 1_000);
    assert.deepEqual((await comparison.round()).confirmed, []);
    theirs.receipt(LANE, 30);
    assert.deepEqual(await confirmed(), []);
    assert.equal((await comparison.round()).suspects, 0);
  });

  test('a mark that goes back, with the receipts above it, is lag until it has come up again', async () => {
    const { theirs, confirmed } = rig(600);
    await confirmed(2_000);
    const lane = theirs.lane(LANE);
    const kept = new Map(lane.frames);
    for (let seq = 100; seq < 600; seq += 1) lane.frames.delete(seq);
    theirs.change(LANE, { mark: 99 });
    assert.deepEqual(await confirmed(30_000), []);
    for (const [seq, frame] of kept) lane.frames.set(seq, frame);
    theirs.change(LANE, { mark: 599 });
    assert.deepEqual(await confirmed(30_000), []);
  });

  test('a suspect above a mark that went back waits and is confirmed when the room is past it again', async () => {
    const { theirs, comparison, confirmed } = rig(40);
    theirs.receipt(LANE, 30, parked(0));
    await comparison.round();
    theirs.change(LANE, { mark: 20 });
    assert.deepEqual(await confirmed(20_000), []);
    theirs.change(LANE, { mark: 39 });
    assert.deepEqual(await confirmed(2_000), [`${at(30)} applied/parked`]);
  });

  test('under traffic, with retries and restarts, nothing is confirmed', async () => {
    const { mine, theirs, confirmed } = rig(100);
    const found: string[] = [];
    for (let turn = 0; turn < 60; turn += 1) {
      mine.applied(LANE, 37);
      const behind = mine.lane(LANE).place.mark - theirs.lane(LANE).place.mark;
      theirs.applied(LANE, turn % 5 === 0 ? 0 : Math.min(behind, 50));
      if (turn % 7 === 0) theirs.change(LANE, { mark: Math.max(0, theirs.lane(LANE).place.mark - 20) });
      found.push(...(await confirmed(1_000)));
    }
    assert.deepEqual(found, []);
  });
});

describe('what cannot be compared is said', () => {
  test('different log epochs, with both of them and the reason', async () => {
    const { mine, theirs, comparison } = rig();
    mine.applied(LANE, 3);
    theirs.applied(laneOfTest('beijing', 0, 'f1f1f1f1f1f1f1f1'), 3);
    const round = await comparison.round();
    assert.equal(round.lanes, 0);
    assert.deepEqual(round.incomparable, [
      `beijing/0: beijing is in log epoch ${EPOCH}, guangzhou in f1f1f1f1f1f1f1f1; the log of beijing was made anew, and one of them has not taken the new one up yet`,
    ]);
  });

  test('a lane that only one room takes, whichever', async () => {
    const { mine, theirs, comparison } = rig(3);
    mine.applied(laneOfTest('shanghai', 1), 1);
    theirs.applied(laneOfTest('lhasa', 2), 1);
    assert.deepEqual((await comparison.round()).incomparable, [
      'shanghai/1: only beijing takes this lane so far',
      'lhasa/2: only guangzhou takes this lane so far',
    ]);
  });

  test('a link that somebody has paused, with the command that resumes it, and a lane that stands on a gap; each once', async () => {
    const { mine, theirs, comparison } = rig(3);
    const second = laneOfTest('beijing', 1);
    for (const room of [mine, theirs]) room.applied(second, 1);
    for (const lane of [LANE, second]) theirs.change(lane, { state: 'paused', reason: 'paused by an operator' });
    assert.deepEqual((await comparison.round()).incomparable, [
      'guangzhou has paused its link from beijing (`wmb link resume beijing guangzhou`)',
    ]);
    for (const lane of [LANE, second]) theirs.change(lane, { state: 'streaming', reason: '' });
    mine.change(LANE, { state: 'stopped-on-gap', reason: 'frames 4 to 9 are missing' });
    assert.deepEqual((await comparison.round()).incomparable, [
      'beijing is stopped on a gap of writes/beijing/0: frames 4 to 9 are missing',
    ]);
  });

  test('in a slave room, that the link stands whose effects its lanes follow', async () => {
    const { mine, theirs, comparison } = rig(3);
    const second = laneOfTest('beijing', 1);
    for (const room of [mine, theirs]) room.applied(second, 1);
    const reason = 'the link from beijing, whose effects it follows, is paused: by an operator';
    for (const lane of [LANE, second]) theirs.change(lane, { state: '', reason });
    assert.deepEqual((await comparison.round()).incomparable, [`guangzhou: ${reason}`]);
  });

  test('a lane that a room has taken nothing of yet is not in another epoch', async () => {
    const { mine, theirs, comparison } = rig();
    mine.applied(LANE, 3);
    theirs.lane(laneOfTest('beijing', 0, ''));
    const round = await comparison.round();
    assert.deepEqual(round.incomparable, []);
    assert.equal(round.suspects, 0);
  });

  test('a suspect of a log that was made anew is dropped', async () => {
    const { mine, theirs, comparison, runtime } = rig(10);
    theirs.receipt(LANE, 5, parked(0));
    assert.equal((await comparison.round()).suspects, 1);
    for (const room of [mine, theirs]) room.applied(laneOfTest('beijing', 0, 'f1f1f1f1f1f1f1f1'), 10);
    await runtime.advance(GRACE_MS);
    const round = await comparison.round();
    assert.deepEqual([round.suspects, round.confirmed.length], [0, 0]);
  });

  test('a room that does not answer makes the round fail, and the next one finds what there is', async () => {
    const { theirs, comparison, confirmed } = rig(40);
    theirs.receipt(LANE, 30, parked(0));
    theirs.silent = true;
    await assert.rejects(comparison.round(), { code: 'PEER_UNREACHABLE' });
    theirs.silent = false;
    assert.deepEqual(await confirmed(), [`${at(30)} applied/parked`]);
  });
});

describe('what a round costs', () => {
  const digestsOf = (room: FakeReceipts) => room.asked.splice(0).flatMap(({ what, ranges }) => (what === 'digests' ? ranges : []));

  test('an idle lane asks for its tail and one older window, and no details of the peer', async () => {
    const { theirs, confirmed, comparison } = rig(10 * WINDOW_SEQS + 5);
    await confirmed(20_000);
    theirs.asked.splice(0);
    const round = await comparison.round();
    assert.ok(theirs.asked.every(({ what }) => what === 'digests'));
    assert.deepEqual(
      digestsOf(theirs).map(({ from, to }) => to - from + 1),
      [5, WINDOW_SEQS],
    );
    assert.equal(round.bytes, 90 + 2 * 48);
  });

  test('every window is compared within the first rounds, and again and again later', async () => {
    const { theirs, confirmed } = rig(20 * WINDOW_SEQS);
    await confirmed(6_000);
    const first = new Set(digestsOf(theirs).map(({ from }) => from));
    assert.equal([...first].filter((from) => from < 20 * WINDOW_SEQS).length, 20);
    await confirmed(20_000);
    const again = new Set(digestsOf(theirs).map(({ from }) => from));
    assert.equal([...again].filter((from) => from < 20 * WINDOW_SEQS).length, 20);
  });

  test('an old receipt that changes is found by the sweep', async () => {
    const { theirs, confirmed } = rig(20 * WINDOW_SEQS);
    await confirmed(30_000);
    theirs.receipt(LANE, 3 * WINDOW_SEQS + 7, { exceptions: [exception(0, 'rejected')] });
    assert.deepEqual(await confirmed(40_000), [`${at(3 * WINDOW_SEQS + 7)} applied/rejected`]);
  });

  test('frames that a room lacks in the midst of older and newer ones are lost, wherever in a window they stand', async () => {
    const first = 3 * WINDOW_SEQS;
    for (const hole of [[first], [first + 7], [first + WINDOW_SEQS - 1], Array.from({ length: WINDOW_SEQS }, (_, nth) => first + nth)]) {
      const { theirs, mine, confirmed } = rig(20 * WINDOW_SEQS);
      for (const seq of hole) theirs.lane(LANE).frames.delete(seq);
      mine.lane(LANE).frames.delete(first + 99);
      const found = await confirmed(40_000);
      const lacking = new Set(found.filter((it) => it.endsWith(' applied/none')).map((it) => Number(it.split(/[:.]/)[1])));
      assert.deepEqual(
        [...lacking].sort((a, b) => a - b),
        hole.filter((seq) => seq !== first + 99),
      );
      assert.equal(
        found.some((it) => it === `${at(first + 99)} none/applied`),
        hole.length === 1,
      );
    }
  });

  test('old receipts that a room keeps no longer are not missed, and the sweep turns round there', async () => {
    const { theirs, confirmed } = rig(40 * WINDOW_SEQS);
    for (let seq = 0; seq < 20 * WINDOW_SEQS + 100; seq += 1) theirs.lane(LANE).frames.delete(seq);
    assert.deepEqual(await confirmed(60_000), []);
    const asked = digestsOf(theirs).map(({ from }) => from);
    assert.ok(Math.min(...asked) >= 10 * WINDOW_SEQS);
  });

  test('what a room that was away for long takes now, and the other one keeps no more, is not lost', async () => {
    const { mine, theirs, comparison, confirmed } = rig(300);
    for (let seq = 0; seq < 300; seq += 1) theirs.lane(LANE).frames.delete(seq);
    theirs.change(LANE, { mark: RECEIPT_FRAMES_KEPT + 300 });
    assert.equal((await comparison.round()).suspects, 0);
    assert.deepEqual(await confirmed(), []);
    mine.receipt(LANE, 299, parked(1));
    mine.applied(LANE, 1);
    assert.deepEqual(await confirmed(60_000), [`${at(299, 1)} parked/none`]);
  });

  test('more differing windows than a round has room for are all found in the following ones', async () => {
    const { mine, theirs, comparison, confirmed } = rig(1);
    await comparison.round();
    for (const room of [mine, theirs]) room.applied(LANE, 50 * WINDOW_SEQS);
    for (let window = 0; window < 50; window += 1)
      theirs.receipt(LANE, window * WINDOW_SEQS + 9, { exceptions: [exception(0, 'rejected')] });
    assert.equal((await confirmed(20_000)).length, 50);
  });

  test('a write request that was parked in both rooms long ago is found by the sweep too', async () => {
    const { mine, theirs, confirmed } = rig(20 * WINDOW_SEQS);
    for (const room of [mine, theirs]) room.receipt(LANE, 700, parked(1));
    assert.deepEqual(await confirmed(20_000), [`${at(700, 1)} parked/parked`]);
  });
});

describe('one write request on its own', () => {
  const position = { ...LANE, seq: 5, index: 0 };

  test('differs now or does not', async () => {
    const { theirs, comparison } = rig(10);
    assert.equal(await comparison.differs(position), undefined);
    theirs.receipt(LANE, 5, parked(0));
    assert.equal((await comparison.differs(position))?.theirs.outcome, 'parked');
  });

  test('is forgotten when neither room has its receipts any more', async () => {
    const { mine, theirs, comparison } = rig(10);
    assert.equal(await comparison.areForgotten(position), false);
    mine.lane(LANE).frames.delete(position.seq);
    assert.equal(await comparison.areForgotten(position), false);
    theirs.lane(LANE).frames.delete(position.seq);
    assert.equal(await comparison.areForgotten(position), true);
  });

  test('cannot be told while a room takes its frame again', async () => {
    const { theirs, comparison } = rig(10);
    theirs.change(LANE, { mark: 2 });
    await assert.rejects(comparison.differs(position), { code: 'LANE_BEHIND', message: /ahead of the mark of guangzhou \(2\)/ });
  });
});

test('what stays different is confirmed again and again, and is a suspect only until it was confirmed once', async () => {
  const { theirs, comparison, runtime, confirmed } = rig(40);
  theirs.receipt(LANE, 30, { exceptions: [exception(1, 'rejected')] });
  assert.equal((await comparison.round()).suspects, 1);
  await confirmed();
  for (let round = 0; round < 20; round += 1) {
    assert.equal((await comparison.round()).suspects, 0);
    await runtime.advance(1_000);
  }
  theirs.receipt(LANE, 30);
  await confirmed();
  theirs.receipt(LANE, 30, { exceptions: [exception(1, 'rejected')] });
  assert.equal((await comparison.round()).suspects, 1);
});

test('a round says how many suspects there are and forgets those that are confirmed', async () => {
  const { theirs, comparison, runtime } = rig(40);
  theirs.receipt(LANE, 30, parked(0));
  const rounds: ReceiptRound[] = [await comparison.round()];
  await runtime.advance(GRACE_MS);
  rounds.push(await comparison.round());
  assert.deepEqual(
    rounds.map(({ suspects, confirmed }) => [suspects, confirmed.length]),
    [
      [1, 0],
      [0, 1],
    ],
  );
});
