import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outage } from './outage.ts';

test('what has worked for minutes fails since its last answer, not since it began', () => {
  const outage = new Outage();
  outage.over();
  outage.answered(300_000);
  assert.deepEqual(outage.failed(1_000, 300_500), { failingMs: 500, isFirst: true });
  assert.deepEqual(outage.failed(301_000, 306_000), { failingMs: 6_000, isFirst: false });
});

test('answers that come between failures end no outage, unless they come for a while', () => {
  const outage = new Outage();
  assert.deepEqual(outage.failed(1_000, 2_000), { failingMs: 1_000, isFirst: true });
  outage.answered(3_500);
  assert.deepEqual(outage.failed(3_000, 4_000), { failingMs: 3_000, isFirst: false });
  outage.answered(600_000);
  assert.deepEqual(outage.failed(5_000, 600_200), { failingMs: 200, isFirst: true });
});

test('an outage is over where it is said', () => {
  const outage = new Outage();
  outage.failed(1_000, 2_000);
  outage.over();
  assert.deepEqual(outage.failed(50_000, 50_100), { failingMs: 100, isFirst: true });
});
