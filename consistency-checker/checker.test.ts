import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WmbError } from '../core/errors.ts';
import { VirtualTime } from '../core/flow/virtual-time.testing.ts';
import type { Horizon, LanePlace } from '../core/inspection.ts';
import { silentLogger } from '../core/logger.ts';
import { noMetrics } from '../core/metrics.ts';
import { formatStamp } from '../core/stamp.ts';
import { configOf } from '../test/links/rig.ts';
import { Checker } from './checker.ts';
import type { Drift } from './drift.ts';
import { type LaneAlarm, LaneWatch } from './messages/lanes.ts';
import { roundMeters } from './meters.ts';
import type { PeerRounds, PeerState } from './peer-rounds.ts';
import { Explainer } from './report/explain.ts';
import { MemoryDriftBook } from './report/memory-book.ts';
import { WatchedBook } from './report/watched-book.ts';
import type { RoomView } from './room.ts';

const SILENCE_MS = 5_000;
const STATE: PeerState = {
  room: 'guangzhou',
  verifiedMs: 5,
  reason: '',
  suspects: 1,
  rounds: 2,
  roundBytes: 3,
  roundMs: 4,
  answered: true,
  silence: undefined,
};

class Rig {
  readonly time = new VirtualTime();
  readonly book: WatchedBook;
  readonly changes: string[] = [];
  readonly log: string[] = [];
  /** Age of what came last through each lane. */
  ages: Record<string, number> = { 'beijing/0': 100, 'guangzhou/0': 200, 'guangzhou/1': 300 };
  lagWrites: Record<string, number> = {};
  failure: WmbError | undefined;
  state = STATE;
  readonly alarmOf: (alarm: LaneAlarm, about?: string) => Drift;
  readonly checker: Checker;

  constructor(book = new MemoryDriftBook()) {
    this.book = new WatchedBook(book);
    this.book.onChange(({ subject, status }) => this.changes.push(`${subject.name} ${status}`));
    const { topology, room } = configOf({ room: 'beijing', addresses: { beijing: '', guangzhou: '', shanghai: '' } });
    const bare = topology.rooms.map((entry) => (entry.id === 'shanghai' ? entry : { ...entry, checker: { grpc: 'x', http: 'x' } }));
    const explainer = new Explainer({ own: 'beijing', topology, rooms: () => undefined, runtime: this.time });
    this.alarmOf = (alarm, about = alarm.origin) => explainer.alarm(alarm, about);
    const rounds = { start: () => this.log.push('rounds begin'), stop: async () => void this.log.push('rounds end') };
    const read = () => this.state;
    Object.defineProperty(rounds, 'state', { get: read });
    this.checker = new Checker({
      copy: { look: () => {}, stop: async () => {} },
      own: { room: 'beijing', horizon: () => this.#horizon() } as RoomView,
      topology: { ...topology, rooms: bare },
      settings: { ...room.checker, roundMs: 1_000, silenceMsMax: SILENCE_MS },
      lanes: new LaneWatch({ silenceMsMax: SILENCE_MS, runtime: this.time }),
      background: ['keeper', 'canaries'].map((name) => ({
        start: () => void this.log.push(`${name} begins`),
        stop: () => void this.log.push(`${name} ends`),
      })),
      rounds: new Map([['guangzhou', rounds as unknown as PeerRounds]]),
      alarmOf: this.alarmOf,
      book: this.book,
      meters: roundMeters(noMetrics),
      runtime: this.time,
      logger: silentLogger,
    });
  }

  /** Lanes with an age stand still at the moment that it names when the test begins. */
  async #horizon(): Promise<Horizon> {
    if (this.failure !== undefined) throw this.failure;
    const nowMs = this.time.nowMs();
    const lanes = Object.entries(this.ages).map(([name, ageMs]): LanePlace => {
      const [origin = '', partition] = name.split('/');
      const seen = formatStamp({ ms: nowMs - ageMs, counter: 0, writer: 1 });
      const fixed = { log: 'writes', epoch: '0'.repeat(16), mark: 0, state: 'streaming', reason: '' } as const;
      return { ...fixed, lagWrites: this.lagWrites[name] ?? 0, origin, partition: Number(partition), seen };
    });
    return { nowMs, lanes };
  }
}

test('it is not ready before its collector has answered, nor while it does not', async () => {
  const rig = new Rig();
  assert.match(rig.checker.unready() ?? '', /has not answered yet/);
  await rig.checker.start();
  await rig.time.advance(10);
  assert.equal(rig.checker.unready(), undefined);
  rig.failure = new WmbError('UNREACHABLE', 'collector of beijing does not answer');
  await rig.time.advance(1_000);
  assert.equal(rig.checker.unready(), 'collector of beijing does not answer');
  rig.failure = undefined;
  await rig.time.advance(1_000);
  assert.equal(rig.checker.unready(), undefined);
  await rig.checker.drain();
});

test('a lane that stands still is an alarm, told once however long it lasts, and over when the lane goes on', async () => {
  const rig = new Rig();
  await rig.checker.start();
  const startedMs = rig.time.nowMs();
  for (let second = 0; second < 20; second += 1) {
    rig.ages = { ...rig.ages, 'guangzhou/1': rig.time.nowMs() - startedMs };
    await rig.time.advance(1_000);
  }
  assert.deepEqual(rig.changes, ['guangzhou/1 open']);
  const [alarm] = rig.book.openDrifts.values();
  assert.equal(alarm?.kind, 'stuck');
  assert.deepEqual(
    alarm?.sides.map(({ room }) => room),
    ['beijing', 'guangzhou'],
  );
  assert.equal(rig.checker.peers().find(({ room }) => room === 'guangzhou')?.open, 1);
  rig.ages = { ...rig.ages, 'guangzhou/1': 50 };
  await rig.time.advance(1_000);
  assert.deepEqual(rig.changes, ['guangzhou/1 open', 'guangzhou/1 healed']);
  await rig.checker.drain();
});

test('a peer’s checker that is silent for too long is an alarm that says why', async () => {
  const rig = new Rig();
  await rig.checker.start();
  const error = new WmbError(
    'PROTOCOL_VERSION',
    'the checker of guangzhou speaks protocol 2, the checker of beijing speaks 1: upgrade beijing',
  );
  rig.state = { ...STATE, silence: { sinceMs: 1, forMs: SILENCE_MS, error } };
  await rig.time.advance(2_000);
  assert.deepEqual(rig.changes, []);
  rig.state = { ...STATE, silence: { sinceMs: 1, forMs: SILENCE_MS + 1, error } };
  await rig.time.advance(1_000);
  const [alarm] = rig.book.openDrifts.values();
  assert.equal(alarm?.subject.name, 'checker/guangzhou');
  assert.equal(alarm?.firstSeenMs, 1);
  assert.match(alarm?.causeText ?? '', /PROTOCOL_VERSION: .*upgrade beijing/);
  rig.state = STATE;
  await rig.time.advance(1_000);
  assert.deepEqual(rig.changes, ['checker/guangzhou open', 'checker/guangzhou healed']);
  await rig.checker.drain();
});

test('this room’s own collector that is silent for too long is an alarm, and of its lanes nothing is concluded meanwhile', async () => {
  const rig = new Rig();
  await rig.checker.start();
  for (let second = 0; second < 8; second += 1) {
    rig.ages = { ...rig.ages, 'guangzhou/1': second * 1_000 };
    await rig.time.advance(1_000);
  }
  rig.failure = new WmbError('UNREACHABLE', 'collector of beijing does not answer');
  await rig.time.advance(SILENCE_MS + 2_500);
  assert.deepEqual(rig.changes, ['guangzhou/1 open', 'collector/beijing open']);
  rig.failure = undefined;
  rig.ages = { ...rig.ages, 'guangzhou/1': 100 };
  await rig.time.advance(1_500);
  assert.deepEqual(rig.changes.slice(2).sort(), ['collector/beijing healed', 'guangzhou/1 healed']);
  await rig.checker.drain();
});

test('an alarm of an earlier life of the checker closes when there is no reason for it any more', async () => {
  const records = new MemoryDriftBook();
  const before = new Rig(records);
  await before.checker.start();
  for (let second = 0; second < 8; second += 1) {
    before.ages = { 'guangzhou/0': second * 1_000 };
    await before.time.advance(1_000);
  }
  assert.deepEqual(before.changes, ['guangzhou/0 open']);
  await before.checker.drain();
  const after = new Rig(records);
  await after.book.open();
  after.ages = { 'guangzhou/0': 100 };
  await after.checker.start();
  assert.equal(after.book.openDrifts.size, 1);
  await after.time.advance(1_000);
  assert.deepEqual(after.changes, ['guangzhou/0 healed']);
  await after.checker.drain();
});

/** A checker that ended while these were open, and the next one. */
async function comeBack(open: readonly LaneAlarm[]): Promise<Rig> {
  const records = new MemoryDriftBook();
  const before = new Rig(records);
  for (const alarm of open) await before.book.put([before.alarmOf(alarm)]);
  const after = new Rig(records);
  await after.book.open();
  return after;
}

const alarm = (lane: string, level: 'L0' | 'L1') => ({ lane, origin: 'guangzhou', level, text: 'it stands still', sinceMs: 7 });

test('an alarm outlives a restart of the checker for as long as its lane stands still', async () => {
  const rig = await comeBack([alarm('guangzhou/0', 'L0'), alarm('guangzhou/1', 'L1')]);
  rig.ages = { 'guangzhou/0': 3_600_000, 'guangzhou/1': 100 };
  rig.lagWrites = { 'guangzhou/1': 3 };
  await rig.checker.start();
  await rig.time.advance(3_000);
  assert.deepEqual(
    [...rig.book.openDrifts.values()].map(({ subject, firstSeenMs }) => [subject.name, firstSeenMs]),
    [
      ['guangzhou/0', 7],
      ['guangzhou/1', 7],
    ],
  );
  assert.equal(rig.changes.filter((change) => change.endsWith('healed')).length, 0);
  rig.ages = { 'guangzhou/0': 100, 'guangzhou/1': 100 };
  rig.lagWrites = {};
  await rig.time.advance(1_000);
  assert.equal(rig.book.openDrifts.size, 0);
  await rig.checker.drain();
});

test('an alarm about a checker outlives a restart, and a silent collector of this room, until that checker has answered', async () => {
  const rig = await comeBack([alarm('checker/guangzhou', 'L0')]);
  rig.state = { ...STATE, rounds: 0, answered: false };
  await rig.checker.start();
  rig.failure = new WmbError('UNREACHABLE', 'collector of beijing does not answer');
  await rig.time.advance(2_000);
  assert.deepEqual(rig.changes, []);
  rig.failure = undefined;
  rig.state = STATE;
  await rig.time.advance(1_000);
  assert.deepEqual(rig.changes, ['checker/guangzhou healed']);
  await rig.checker.drain();
});

test('the age of what came last is told per origin, of its slowest lane, and grows while nothing is heard', async () => {
  const rig = new Rig();
  await rig.checker.start();
  await rig.time.advance(10);
  rig.failure = new WmbError('UNREACHABLE', 'down');
  await rig.time.advance(5_000 - 10);
  assert.deepEqual(Object.fromEntries(rig.checker.canaryAges()), { beijing: 5_100, guangzhou: 5_300 });
  assert.equal(rig.checker.peers()[0]?.canaryAgeMs, 5_300);
  await rig.checker.drain();
});

test('a room without a checker is said to have none', () => {
  const shanghai = new Rig().checker.peers().find(({ room }) => room === 'shanghai');
  assert.equal(shanghai?.reason, 'CHECKER_ABSENT: room shanghai has no checker in the topology');
  assert.equal(shanghai?.verifiedMs, 0);
});

test('rounds end before what they stand on', async () => {
  const rig = new Rig();
  await rig.checker.start();
  await rig.checker.drain();
  await rig.checker.stop();
  assert.deepEqual(rig.log, ['keeper begins', 'canaries begins', 'rounds begin', 'rounds end', 'canaries ends', 'keeper ends']);
});
