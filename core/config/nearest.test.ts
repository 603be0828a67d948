import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editDistance, nearestName } from './nearest.ts';

test('The distance counts insertions, deletions, replacements and swaps of neighbours', () => {
  for (const [a, b, distance] of [
    ['', '', 0],
    ['abc', 'abc', 0],
    ['abc', 'abd', 1],
    ['abc', 'ab', 1],
    ['abc', 'abcd', 1],
    ['abc', 'acb', 1],
    ['kitten', 'sitting', 3],
  ] as const) {
    assert.equal(editDistance(a, b, 9), distance, `${a} ${b}`);
  }
});

test('The nearest name is found, in whatever case', () => {
  assert.equal(nearestName('directroy', ['room', 'directory']), 'directory');
  assert.equal(nearestName('LOGLEVEL', ['log', 'logLevel']), 'logLevel');
  assert.equal(nearestName('nubmer', ['id', 'number']), 'number');
});

test('A name that is near to nothing has no nearest one', () => {
  assert.equal(nearestName('color', ['rooms', 'onFailure']), undefined);
  assert.equal(nearestName('a', ['bc', 'de']), undefined);
  assert.equal(nearestName('x', []), undefined);
});
