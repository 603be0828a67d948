import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatStamp } from '../../core/stamp.ts';
import { FloorBook } from './floor-book.ts';

const stamp = (ms: number) => formatStamp({ ms, counter: 0, writer: 1 });

test('there is no floor until every origin has told its own; then it is the least of them', () => {
  const book = new FloorBook(['beijing', 'guangzhou']);
  assert.equal(book.floor(), '');
  book.set('beijing', stamp(10));
  assert.equal(book.floor(), '');
  book.set('guangzhou', stamp(5));
  assert.equal(book.floor(), stamp(5));
  book.set('guangzhou', stamp(20));
  assert.equal(book.floor(), stamp(10));
  book.set('beijing', '');
  assert.equal(book.floor(), '', 'an origin that does not know a room’s marks any more forgets nothing');
});
