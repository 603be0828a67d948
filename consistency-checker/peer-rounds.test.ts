import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../core/errors.ts';
import { VirtualTime } from '../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../core/logger.ts';
import { noMetrics } from '../core/metrics.ts';
import { sleep } from '../core/runtime.ts';
import { formatPosition } from '../core/words.ts';
import type { ConfirmedKey, KeyRound } from './cache/comparison.ts';
import { type Drift, driftId } from './drift.ts';
import type { ConfirmedReceipt, ReceiptRound } from './messages/comparison.ts';
import { NO_RECEIPT } from './messages/sides.ts';
import { roundMeters } from './meters.ts';
import { PeerRounds, type PeerRoundsOptions } from './peer-rounds.ts';
import { DRIFT } from './report/drift.fixture.ts';
import { MemoryDriftBook } from './report/memory-book.ts';
import { WatchedBook } from './report/watched-book.ts';
import type { RoomView } from './room.ts';

const CLEAN_KEYS: KeyRound = { bytes: 100, ms: 1, suspects: 0, overflowed: false, complete: true, confirmed: [] };
const CLEAN_RECEIPTS: ReceiptRound = { bytes: 50, suspects: 0, lanes: 2, incomparable: [], confirmed: [] };
const POSITION = { log: 'writes', origin: 'beijing', partition: 1, epoch: '0123456789abcdef', seq: 4, index: 0 } as const;

function key(name: string): ConfirmedKey {
  const side = { key: name, state: undefined, changedBehindMs: 0 };
  const horizon = { nowMs: 1, lanes: [] };
  return { key: name, mine: side, theirs: side, horizons: [horizon, horizon], firstSeenMs: 1, elements: DRIFT.elements };
}

const EXPIRY = { name: '', versions: ['', 'v'], values: ['expires never', 'expired at 7'] } as const;

function receipt(attempts = 0): ConfirmedReceipt {
  return { position: POSITION, requestId: 'r', mine: { ...NO_RECEIPT, outcome: 'parked', attempts }, theirs: NO_RECEIPT, firstSeenMs: 1 };
}

function driftOf(subject: Drift['subject']): Drift {
  const sides = DRIFT.sides;
  return { ...DRIFT, id: driftId(['beijing', 'guangzhou'], subject), subject, sides };
}

/** Beijing beside guangzhou; what the rounds meet is set by the tests. */
class Rig {
  readonly time = new VirtualTime();
  readonly book = new WatchedBook(new MemoryDriftBook());
  keyRound: () => Promise<KeyRound> = async () => CLEAN_KEYS;
  receiptRound: () => Promise<ReceiptRound> = async () => CLEAN_RECEIPTS;
  differs: (name: string) => Promise<ConfirmedKey | undefined> = async () => undefined;
  receiptDiffers: () => Promise<ConfirmedReceipt | undefined> = async () => receipt();
  forgotten = false;
  horizon: RoomView['horizon'] = async () => ({ nowMs: 1, lanes: [] });
  explainKey: (name: string) => Promise<Drift | undefined> = async (name) => driftOf({ type: 'key', name });
  explainReceipt: () => Promise<Drift | undefined> = async () => driftOf({ type: 'write', name: formatPosition(POSITION) });
  readonly explained: string[] = [];
  readonly rounds: PeerRounds;

  constructor() {
    const own = { room: 'beijing', horizon: () => this.horizon() } as RoomView;
    const options: PeerRoundsOptions = {
      own,
      peer: 'guangzhou',
      keys: {
        round: () => this.keyRound(),
        differs: (name) => this.differs(name),
        differAll: (names) => Promise.all(names.map((name) => this.differs(name))),
      },
      receipts: { round: () => this.receiptRound(), differs: () => this.receiptDiffers(), areForgotten: async () => this.forgotten },
      explainer: {
        lookUp: async () => new Map(),
        key: ({ key: name }) => this.#explain(name, () => this.explainKey(name)),
        receipt: () => this.#explain('receipt', () => this.explainReceipt()),
      },
      book: this.book,
      meters: roundMeters(noMetrics),
      roundMs: 1_000,
      runtime: this.time,
      logger: silentLogger,
    };
    this.rounds = new PeerRounds(options);
  }

  #explain(what: string, explain: () => Promise<Drift | undefined>): Promise<Drift | undefined> {
    this.explained.push(what);
    return explain();
  }
}

test('a clean round verifies the two rooms, and says what it cost', async () => {
  const rig = new Rig();
  assert.equal(rig.rounds.state.reason, 'no round has been completed yet');
  rig.rounds.start();
  await rig.time.advance(2_500);
  const { verifiedMs, reason, rounds, roundBytes, silence } = rig.rounds.state;
  assert.deepEqual({ reason, rounds, roundBytes, silence }, { reason: '', rounds: 3, roundBytes: 150, silence: undefined });
  assert.equal(verifiedMs, rig.time.nowMs() - 500);
  await rig.rounds.stop();
});

test('what could not be compared is said, and the rooms are not verified by such a round', async () => {
  const rig = new Rig();
  rig.rounds.start();
  await rig.time.advance(10);
  const { verifiedMs } = rig.rounds.state;
  rig.keyRound = async () => ({ ...CLEAN_KEYS, complete: false, suspects: 3 });
  rig.receiptRound = async () => ({ ...CLEAN_RECEIPTS, suspects: 2, incomparable: ['lane beijing/1: other epochs'] });
  await rig.time.advance(1_000);
  assert.equal(rig.rounds.state.reason, 'lane beijing/1: other epochs (and 1 more)');
  assert.equal(rig.rounds.state.suspects, 5);
  assert.equal(rig.rounds.state.verifiedMs, verifiedMs);
  await rig.rounds.stop();
});

test('a round that takes long is not overtaken by another', async () => {
  const rig = new Rig();
  let [running, most, finished] = [0, 0, 0];
  rig.keyRound = async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise<void>((resolve) => rig.time.after(5_000, resolve));
    running -= 1;
    finished += 1;
    return CLEAN_KEYS;
  };
  rig.rounds.start();
  await rig.time.advance(20_000);
  assert.equal(most, 1);
  assert.equal(finished, 3);
  const stopping = rig.rounds.stop();
  await rig.time.advance(5_000);
  await stopping;
  assert.equal(running, 0);
});

test('a silent peer is said to be silent since when and why, is asked again with backoff, and is forgiven when it answers', async () => {
  const rig = new Rig();
  let asked = 0;
  rig.keyRound = async () => {
    asked += 1;
    throw new WmbError('PEER_UNREACHABLE', 'checker of guangzhou does not answer');
  };
  rig.rounds.start();
  const startedMs = rig.time.nowMs();
  await rig.time.advance(60_000);
  const { silence, reason } = rig.rounds.state;
  assert.equal(reason, 'PEER_UNREACHABLE: checker of guangzhou does not answer');
  assert.equal(silence?.sinceMs, startedMs);
  assert.equal(silence?.forMs, 60_000);
  assert.ok(asked > 6 && asked < 30, `${asked}`);
  rig.keyRound = async () => CLEAN_KEYS;
  await rig.time.advance(10_000);
  assert.deepEqual([rig.rounds.state.silence, rig.rounds.state.reason], [undefined, '']);
  await rig.rounds.stop();
});

test('a peer is not blamed for what this room’s own collector fails in', async () => {
  const rig = new Rig();
  rig.horizon = async () => {
    throw new WmbError('UNREACHABLE', 'collector of beijing does not answer');
  };
  rig.receiptRound = async () => {
    throw new WmbError('UNREACHABLE', 'collector of beijing does not answer');
  };
  rig.rounds.start();
  await rig.time.advance(60_000);
  assert.equal(rig.rounds.state.silence, undefined);
  assert.match(rig.rounds.state.reason, /collector of beijing/);
  await rig.rounds.stop();
});

test('what a lost write request is told by may be forgotten in both rooms: then it is closed with that, not as if they agreed', async () => {
  const rig = new Rig();
  await rig.book.put([driftOf({ type: 'write', name: formatPosition(POSITION) })]);
  rig.rounds.start();
  await rig.time.advance(1_500);
  assert.equal(rig.book.openDrifts.size, 1);
  rig.receiptDiffers = async () => undefined;
  rig.forgotten = true;
  await rig.time.advance(1_000);
  const closed = await rig.book.get(driftOf({ type: 'write', name: formatPosition(POSITION) }).id);
  assert.match(closed?.note ?? '', /^not repaired, and not told any more/);
  await rig.rounds.stop();
});

test('a confirmed key becomes a drift; it heals when both rooms show the same again', async () => {
  const rig = new Rig();
  let confirmed = [key('k')];
  rig.keyRound = async () => ({ ...CLEAN_KEYS, confirmed: confirmed.splice(0) });
  rig.differs = async () => key('k');
  rig.rounds.start();
  await rig.time.advance(2_500);
  const [drift] = rig.book.openDrifts.values();
  assert.equal(drift?.subject.name, 'k');
  assert.deepEqual(rig.explained, ['k']);
  assert.equal(rig.rounds.state.reason, '');
  rig.differs = async () => undefined;
  await rig.time.advance(1_000);
  assert.equal(rig.book.openDrifts.size, 0);
  const closed = await rig.book.get(drift?.id ?? '');
  assert.equal(closed?.status, 'healed');
  assert.ok((closed?.closedMs ?? 0) > 0);
  confirmed = [];
  await rig.rounds.stop();
});

test('a key that differs in something else when it is explained is looked at again before anything is recorded', async () => {
  const rig = new Rig();
  let confirmed = [key('k')];
  rig.keyRound = async () => ({ ...CLEAN_KEYS, confirmed: confirmed.splice(0) });
  rig.explainKey = async (name) => ({ ...driftOf({ type: 'key', name }), elements: [EXPIRY] });
  rig.differs = async () => key('k');
  rig.rounds.start();
  await rig.time.advance(500);
  assert.equal(rig.book.openDrifts.size, 0);
  assert.match(rig.rounds.state.reason, /1 confirmed differences wait to be explained/);
  rig.differs = async () => ({ ...key('k'), elements: [{ ...EXPIRY, values: ['expires at 8', 'expires never'] }] });
  await rig.time.advance(1_000);
  assert.equal(rig.book.openDrifts.size, 1);
  confirmed = [];
  await rig.rounds.stop();
});

test('a key of which the wrong side cannot be told is explained once more when there is evidence', async () => {
  const rig = new Rig();
  let confirmed = [key('k')];
  rig.keyRound = async () => ({ ...CLEAN_KEYS, confirmed: confirmed.splice(0) });
  rig.differs = async () => key('k');
  rig.explainKey = async (name) => ({ ...driftOf({ type: 'key', name }), wrong: '', cause: 'unknown' });
  rig.rounds.start();
  await rig.time.advance(2_500);
  assert.deepEqual(rig.explained, ['k']);
  const seen = { ...key('k'), theirs: { key: 'k', state: undefined, changedBehindMs: 5 } };
  rig.differs = async () => seen;
  await rig.time.advance(2_000);
  assert.deepEqual(rig.explained, ['k', 'k'], 'once for the same evidence');
  rig.explainKey = async (name) => ({ ...driftOf({ type: 'key', name }), wrong: 'guangzhou', cause: 'behind-back' });
  seen.theirs = { ...seen.theirs, changedBehindMs: 6 };
  await rig.time.advance(1_000);
  const [drift] = rig.book.openDrifts.values();
  assert.deepEqual([drift?.wrong, drift?.cause], ['guangzhou', 'behind-back']);
  seen.theirs = { ...seen.theirs, changedBehindMs: 7 };
  await rig.time.advance(2_000);
  assert.equal(rig.explained.length, 3, 'what is told needs no more');
  confirmed = [];
  await rig.rounds.stop();
});

test('a confirmed key that cannot be explained yet is kept, said, and explained when that can be done', async () => {
  const rig = new Rig();
  const confirmed = [key('k'), key('l')];
  rig.keyRound = async () => ({ ...CLEAN_KEYS, confirmed: confirmed.splice(0) });
  rig.differs = async (name) => (name === 'k' ? key('k') : undefined);
  rig.explainKey = async () => {
    throw new WmbError('PEER_UNREACHABLE', 'the origin is silent');
  };
  rig.rounds.start();
  await rig.time.advance(1_500);
  assert.match(rig.rounds.state.reason, /a difference of k is confirmed and cannot be explained yet: PEER_UNREACHABLE/);
  assert.equal(rig.book.openDrifts.size, 0);
  const { differs } = rig;
  rig.differs = async () => {
    throw new WmbError('PEER_UNREACHABLE', 'silent in the middle of a round');
  };
  await rig.time.advance(1_000);
  rig.differs = differs;
  rig.explainKey = async (name) => driftOf({ type: 'key', name });
  await rig.time.advance(1_000);
  assert.deepEqual(
    [...rig.book.openDrifts.values()].map(({ subject }) => subject.name),
    ['k'],
  );
  assert.equal(rig.rounds.state.reason, '');
  await rig.rounds.stop();
});

test('a round explains for two seconds at most; receipts left over are confirmed by the next, keys are kept and looked at again', async () => {
  const rig = new Rig();
  const names = ['a', 'b', 'c', 'd'];
  let round = 0;
  rig.keyRound = async () => {
    round += 1;
    return round === 1 ? { ...CLEAN_KEYS, confirmed: names.map(key) } : CLEAN_KEYS;
  };
  rig.differs = async (name) => (name === 'd' ? undefined : key(name));
  rig.explainKey = async (name) => {
    await sleep(rig.time, 1_500);
    return driftOf({ type: 'key', name });
  };
  rig.rounds.start();
  await rig.time.advance(3_100);
  assert.deepEqual(rig.explained, ['a', 'b']);
  assert.match(rig.rounds.state.reason, /^2 confirmed differences wait to be explained/);
  await rig.time.advance(4_000);
  assert.deepEqual(rig.explained, ['a', 'b', 'c'], 'd was over before its turn came');
  assert.equal(rig.rounds.state.reason, '');
});

test('a receipt of which nothing is to be made good is recorded once, closed, and closes the drift that was open for it', async () => {
  for (const wasOpen of [false, true]) {
    const rig = new Rig();
    const subject = { type: 'write', name: formatPosition(POSITION) } as const;
    const open: Drift = { ...driftOf(subject), kind: 'parked' };
    rig.explainReceipt = async () => ({
      ...open,
      kind: 'lost',
      status: 'healed',
      closedMs: rig.time.nowMs(),
      confirmedMs: 77,
      note: 'its effects are there',
    });
    if (wasOpen) await rig.book.found(open);
    const put: Drift[] = [];
    rig.book.onChange((drift) => put.push(drift));
    rig.receiptRound = async () => ({ ...CLEAN_RECEIPTS, confirmed: [receipt()] });
    rig.rounds.start();
    await rig.time.advance(700_000);
    assert.deepEqual(
      put.map(({ kind, status, note, confirmedMs }) => [kind, status, note, confirmedMs]),
      [['lost', 'healed', 'its effects are there', wasOpen ? open.confirmedMs : 77]],
    );
    assert.equal(rig.book.openDrifts.size, 0);
    assert.equal(rig.rounds.state.reason, '');
    await rig.rounds.stop();
  }
});

test('what turns out to be no drift closes the one that was open for it', async () => {
  const rig = new Rig();
  const open = driftOf({ type: 'key', name: 'k' });
  await rig.book.found(open);
  rig.differs = async () => key('k');
  const confirmed = [key('k')];
  rig.keyRound = async () => ({ ...CLEAN_KEYS, confirmed: confirmed.splice(0) });
  rig.explainKey = async () => undefined;
  rig.rounds.start();
  await rig.time.advance(10);
  assert.equal((await rig.book.get(open.id))?.status, 'healed');
  await rig.rounds.stop();
});

test('a receipt that is confirmed in every round is explained once, and again when it says something else or when its drift was closed', async () => {
  const rig = new Rig();
  let attempts = 0;
  rig.receiptRound = async () => ({ ...CLEAN_RECEIPTS, confirmed: [receipt(attempts)] });
  rig.rounds.start();
  await rig.time.advance(3_500);
  assert.equal(rig.explained.length, 1);
  assert.equal(rig.book.openDrifts.size, 1);
  attempts = 1;
  await rig.time.advance(2_000);
  assert.equal(rig.explained.length, 2);
  const [drift] = rig.book.openDrifts.values();
  await rig.book.settle(drift?.id ?? '', { status: 'repaired', closedMs: 1, note: '' });
  await rig.time.advance(2_000);
  assert.equal(rig.explained.length, 3);
  assert.equal(rig.book.openDrifts.size, 1);
  await rig.rounds.stop();
});

test('open drifts that take long to look at again hold up no round, and each has its turn (simulator, seed 199)', async () => {
  const rig = new Rig();
  const looked = new Set<string>();
  for (let n = 0; n < 20; n += 1) await rig.book.found(driftOf({ type: 'key', name: `k${n}` }));
  rig.differs = async (name) => {
    looked.add(name);
    await sleep(rig.time, 700);
    throw new WmbError('LANE_BEHIND', 'not yet');
  };
  rig.rounds.start();
  await rig.time.advance(30_000);
  assert.ok(rig.rounds.state.rounds >= 7, `${rig.rounds.state.rounds} rounds`);
  assert.equal(looked.size, 20);
  await rig.rounds.stop();
});

test('a drift that cannot be looked at again, because the lane is taken anew, stays open and fails no round', async () => {
  const rig = new Rig();
  await rig.book.found(driftOf({ type: 'key', name: 'k' }));
  rig.differs = async () => {
    throw new WmbError('LANE_BEHIND', 'not yet');
  };
  rig.rounds.start();
  await rig.time.advance(1_500);
  assert.equal(rig.book.openDrifts.size, 1);
  assert.equal(rig.rounds.state.reason, '');
  await rig.rounds.stop();
});

test('rows of databases are none of its business: their drifts stay as they are', async () => {
  const rig = new Rig();
  const drift = driftOf({ type: 'row', name: 't(1)' });
  await rig.book.put([drift]);
  rig.rounds.start();
  await rig.time.advance(3_500);
  assert.deepEqual([rig.rounds.state.reason, rig.rounds.state.rounds, rig.book.openDrifts.has(drift.id)], ['', 4, true]);
  await rig.rounds.stop();
});
