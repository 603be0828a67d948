import assert from 'node:assert/strict';
import { test } from 'node:test';
import { momentOf } from './commands/get.ts';

test('what stands in the place of a version and is none shows as it is', () => {
  assert.equal(momentOf('zzz'), '“zzz”, which is no version');
  assert.equal(momentOf(`${(1_000).toString(16).padStart(12, '0')}${'0'.repeat(16)}`), '1970-01-01T00:00:01.000Z');
});
