import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { formatStamp } from '../../core/stamp.ts';
import { Company, REST_MS } from './company.ts';

const [OURS, THEIRS] = [7, 8];

function stamp(writer: number): string {
  return formatStamp({ ms: 1_700_000_000_000, counter: 0, writer });
}

test('the topic is left alone for a while as long as only this process appends to it', async () => {
  const time = new VirtualTime();
  const company = new Company(time);
  assert.equal(company.restMs, 0, 'it has not appended yet');
  company.own(stamp(OURS));
  company.found(stamp(OURS));
  assert.equal(company.restMs, REST_MS);
  await time.advance(1_500);
  assert.equal(company.restMs, 0, 'others may append, and it would not notice');
});

test('frames of another process are waited for, until it has not appended for long', async () => {
  const time = new VirtualTime();
  const company = new Company(time);
  company.own(stamp(OURS));
  company.found(stamp(THEIRS));
  for (let second = 0; second < 9; second += 1) {
    await time.advance(1_000);
    company.own(stamp(OURS));
    assert.equal(company.restMs, 0);
  }
  await time.advance(1_000);
  company.own(stamp(OURS));
  assert.equal(company.restMs, REST_MS);
});
