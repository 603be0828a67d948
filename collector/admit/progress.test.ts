import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatStamp, NO_STAMP } from '../../core/stamp.ts';
import type { LogName } from '../../core/words.ts';
import { Progress } from './progress.ts';

const EPOCH = '00000000000000aa';
const at = (ms: number) => formatStamp({ ms, counter: 0, writer: 1 });
const end = (seq: number, writes: number, ms: number, log: LogName = 'writes') => ({
  log,
  partition: 0,
  epoch: EPOCH,
  seq,
  writes,
  stamp: at(ms),
});

function applied(seq: number, writes: number, ms: number): Progress {
  const progress = new Progress();
  progress.set({ epoch: EPOCH, mark: seq, writes, through: at(ms), parked: 0 });
  return progress;
}

test('a lag is as old as what is missing, however long the lane was quiet before', () => {
  const progress = applied(4, 10, 1_000);
  progress.pulse(end(4, 10, 900_000), 900_000);
  progress.pulse(end(5, 11, 901_000), 901_000);
  assert.deepEqual(progress.report(901_500), { epoch: EPOCH, mark: 4, parked: 0, lagWrites: 1, lagMs: 1_500 });
});

test('a lane that was never complete lags since the newest write request applied', () => {
  const progress = applied(4, 10, 1_000);
  progress.pulse(end(9, 30, 5_000), 5_000);
  assert.equal(progress.report(6_000).lagMs, 5_000);
});

test('while nothing more can be settled, because a dead reship is waited for, what is applied at once does not lag', () => {
  const progress = applied(4, 10, 1_000);
  progress.pulse(end(4, 10, 900_000), 900_000);
  progress.reach({ seq: 5, header: { stampLast: at(910_000), through: at(900_000) } });
  progress.writes = 11;
  progress.pulse(end(6, 12, 900_000), 910_100);
  assert.equal(progress.report(910_300).lagMs, 300, 'since what was applied last');
  progress.reach({ seq: 6, header: { stampLast: at(910_100), through: at(900_000) } });
  progress.writes = 12;
  progress.pulse(end(6, 12, 900_000), 912_000);
  progress.pulse(end(7, 13, 900_000), 913_000);
  assert.equal(progress.report(913_200).lagMs, 1_200, 'since the origin said that nothing is missing');
});

test('what was long on its way lags for as long: pulses count by the clock of the origin', () => {
  const progress = applied(4, 10, 1_000);
  progress.pulse(end(4, 10, 900_000), 900_000);
  progress.pulse(end(5, 11, 901_000), 901_000);
  assert.equal(progress.report(912_000).lagMs, 12_000);
});

test('a lane that has everything has no lag', () => {
  const progress = applied(4, 10, 1_000);
  progress.pulse(end(4, 10, 5_000), 5_000);
  assert.equal(progress.report(9_000).lagMs, 0);
});

test('a log whose end is stamped by its last frame lags since a pulse found nothing missing, not since that frame', () => {
  const progress = applied(4, 5, 1_000);
  progress.pulse(end(4, 5, 1_000, 'changes'), 900_000);
  progress.pulse(end(5, 6, 900_800, 'changes'), 901_000);
  assert.equal(progress.report(901_500).lagMs, 1_500);
});

test('while such a log catches up it lags since the newest that was applied, though the origin answers again', () => {
  const progress = applied(4, 5, 1_000);
  progress.pulse(end(9, 10, 800_000, 'changes'), 900_000);
  assert.equal(progress.report(901_000).lagMs, 900_000);
});

test('where it is not known what was applied last, such a log lags since its first pulse', () => {
  const progress = new Progress();
  progress.set({ epoch: EPOCH, mark: 4, writes: 5, through: NO_STAMP, parked: 0 });
  progress.pulse(end(9, 10, 800_000, 'changes'), 900_000);
  progress.pulse(end(9, 10, 800_000, 'changes'), 901_000);
  assert.equal(progress.report(902_000).lagMs, 2_000);
});
