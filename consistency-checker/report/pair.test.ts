import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALARM, DRIFT } from './drift.fixture.ts';
import { ago, type CheckerReport, type PairParts, pairViews, roughly, verificationText } from './pair.ts';

function report(room: string, peers: readonly Partial<CheckerReport['peers'][number]>[], more: Partial<CheckerReport> = {}): CheckerReport {
  const whole = peers.map((peer) => ({ room: '', verifiedMs: 8_000, reason: '', suspects: 0, ...peer }));
  return { room, nowMs: 10_000, keys: 59_835, built: 1, peers: whole, ...more };
}

function told(parts: Partial<PairParts>): readonly string[] {
  return pairViews({ rooms: ['beijing', 'guangzhou'], reports: [], silent: new Map(), open: [], ...parts }).map(verificationText);
}

test('two rooms that agree are verified, by the clock of the room that says so', () => {
  const reports = [
    report('beijing', [{ room: 'guangzhou' }]),
    report('guangzhou', [{ room: 'beijing', verifiedMs: 905_000 }], { nowMs: 910_000 }),
  ];
  assert.deepEqual(told({ reports }), ['verified 2 s ago, 59,835 keys, 0 drifts']);
});

test('open drifts and alarms, differences on their way, other numbers of keys and an unfinished tree are told', () => {
  const reports = [
    report('beijing', [{ room: 'guangzhou', suspects: 3 }]),
    report('guangzhou', [{ room: 'beijing' }], { keys: 12, built: 0.257 }),
  ];
  assert.deepEqual(told({ reports, open: [DRIFT, ALARM] }), [
    'verified 2 s ago, 59,835 and 12 keys, 25 % of the keys read so far, 1 drift, 1 alarm, 3 on their way',
  ]);
});

test('one checker that has verified the pair is enough', () => {
  const away = new Map([['guangzhou', 'UNREACHABLE no answer']]);
  assert.deepEqual(told({ reports: [report('beijing', [{ room: 'guangzhou' }])], silent: away }), [
    'verified 2 s ago, 59,835 keys, 0 drifts',
  ]);
  const mixed = [
    report('beijing', [{ room: 'guangzhou' }]),
    report('guangzhou', [{ room: 'beijing', reason: 'PEER_UNREACHABLE', verifiedMs: 0 }]),
  ];
  assert.deepEqual(told({ reports: mixed }), ['verified 2 s ago, 59,835 keys, 0 drifts']);
});

test('two rooms that are not verified say since when and why', () => {
  const reports = [
    report('beijing', [{ room: 'guangzhou', verifiedMs: 1_000, reason: 'PEER_UNREACHABLE: it is silent' }], { nowMs: 41_500 }),
  ];
  assert.deepEqual(told({ reports, silent: new Map([['guangzhou', 'UNREACHABLE no answer']]) }), [
    'not verified for 40 s: PEER_UNREACHABLE: it is silent; UNREACHABLE no answer',
  ]);
  assert.match(told({ reports, open: [ALARM] })[0] ?? '', /it is silent \(1 alarm open\)$/);
  assert.deepEqual(told({ reports: [report('beijing', [{ room: 'guangzhou', verifiedMs: 0 }])] }), [
    'never verified: no round has been completed yet',
  ]);
  assert.deepEqual(told({ silent: new Map([['beijing', 'room beijing has no checker']]) }), [
    'never verified: room beijing has no checker',
  ]);
});

test('rooms whose checkers both answer and do not compare each other are no pair, and drifts count for their own pair', () => {
  const reports = [
    report('beijing', [{ room: 'guangzhou' }, { room: 'xian' }]),
    report('guangzhou', [{ room: 'beijing' }]),
    report('xian', [{ room: 'beijing' }]),
  ];
  const views = pairViews({ rooms: ['beijing', 'guangzhou', 'xian'], reports, silent: new Map(), open: [DRIFT] });
  assert.deepEqual(
    views.map(({ rooms, drifts }) => [rooms.join(), drifts]),
    [
      ['beijing,guangzhou', 1],
      ['beijing,xian', 0],
    ],
  );
});

test('ages are told in one unit, rounded down; what is ahead of the clock is now', () => {
  assert.deepEqual([-5, 999, 1_000, 59_999, 61_000, 7_200_000, 200_000_000].map(ago), [
    'now',
    'now',
    '1 s ago',
    '59 s ago',
    '1 min ago',
    '2 h ago',
    '2 d ago',
  ]);
  assert.equal(roughly(-5), '0 s');
});
