import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LaneWindows, type Window } from './windows.ts';

const text = ({ part, from, to }: Window) => `${part} ${from}-${to}`;

function compared(windows: LaneWindows, upTo: number): string[] {
  const plan = windows.plan(upTo);
  for (const window of plan) windows.done(window, 'compared');
  return plan.map(text);
}

test('windows are new once, when they are complete', () => {
  const windows = new LaneWindows('e', -1);
  assert.deepEqual(compared(windows, 300), ['new 0-255', 'tail 256-300']);
  assert.deepEqual(compared(windows, 511), ['new 256-511', 'sweep 0-255']);
});

test('a window whose details were put off is new again, and those behind it wait for it', () => {
  const windows = new LaneWindows('e', -1);
  const [first, second] = windows.plan(600);
  assert.ok(first && second);
  windows.done(first, 'put-off');
  windows.done(second, 'compared');
  assert.deepEqual(windows.plan(600).map(text).slice(0, 2), ['new 0-255', 'new 256-511']);
});

test('what a lane takes again after its mark went back is new again', () => {
  const windows = new LaneWindows('e', 1_000);
  compared(windows, 1_000);
  assert.deepEqual(compared(windows, 100), ['tail 0-100']);
  assert.deepEqual(compared(windows, 600).slice(0, 2), ['new 0-255', 'new 256-511']);
});

test('own receipts are looked through once, in steps, and again after the mark went back', () => {
  const windows = new LaneWindows('e', -1);
  assert.deepEqual(windows.toLookThrough(3_000), { from: 0, to: 1_023 });
  windows.lookedThrough(1_023);
  assert.deepEqual(windows.toLookThrough(1_100), { from: 1_024, to: 1_100 });
  windows.lookedThrough(1_100);
  assert.equal(windows.toLookThrough(1_100), undefined);
  windows.plan(50);
  assert.deepEqual(windows.toLookThrough(70), { from: 51, to: 70 });
});
