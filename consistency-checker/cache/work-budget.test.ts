import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { WorkBudget } from './work-budget.ts';

test('a budget is the configured share of a processor, is paid back as time goes by, and does not add up', async () => {
  const time = new VirtualTime();
  const budget = new WorkBudget(time, 20);
  assert.equal(budget.backgroundMs(), 200);
  budget.spend(300, false);
  assert.equal(budget.backgroundMs(), -100);
  await time.advance(500);
  assert.equal(budget.backgroundMs(), 0);
  await time.advance(60_000);
  assert.equal(budget.backgroundMs(), 200);
});
