import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseTests } from './choose.ts';

const FILES = ['store/redis/a.it.test.ts', 'store/mysql/b.it.test.ts', 'test/faults/redis-killed.slow.it.test.ts'];

test('without words every quick test is chosen, and the slow ones are told', () => {
  assert.deepEqual(chooseTests(FILES, [], false), { chosen: FILES.slice(0, 2), slow: FILES.slice(2) });
});

test('a word chooses the quick tests whose path has it', () => {
  assert.deepEqual(chooseTests(FILES, ['redis'], false), { chosen: [FILES[0]], slow: [FILES[2]] });
  assert.deepEqual(chooseTests(FILES, ['redis', 'mysql'], false).chosen, FILES.slice(0, 2));
  assert.deepEqual(chooseTests(FILES, ['kafka'], false), { chosen: [], slow: [] });
});

test('slow tests are chosen when they are asked for, all or one by its name', () => {
  assert.deepEqual(chooseTests(FILES, [], true), { chosen: FILES, slow: [] });
  assert.deepEqual(chooseTests(FILES, ['redis-killed'], false), { chosen: [FILES[2]], slow: [] });
  assert.deepEqual(chooseTests(FILES, ['mysql', 'redis-killed'], false).chosen, [FILES[1], FILES[2]]);
});
