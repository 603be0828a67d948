import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Drift } from '../drift.ts';
import { DRIFT } from './drift.fixture.ts';
import { MemoryDriftBook } from './memory-book.ts';
import { WatchedBook } from './watched-book.ts';

const drift = (id: string, more: Partial<Drift> = {}): Drift => ({ ...DRIFT, id, ...more });

async function watched(options?: { openMax: number }): Promise<{ book: WatchedBook; changes: string[] }> {
  const book = new WatchedBook(new MemoryDriftBook(), options);
  await book.open();
  const changes: string[] = [];
  book.onChange(({ id, status }) => changes.push(`${id} ${status}`));
  return { book, changes };
}

test('a drift that is found again keeps the moments at which it was found, and is told anew only if something else about it changed', async () => {
  const { book, changes } = await watched();
  assert.equal(await book.found(drift('a', { firstSeenMs: 1, confirmedMs: 2 })), true);
  assert.equal(await book.found(drift('a', { firstSeenMs: 7, confirmedMs: 8 })), false);
  assert.deepEqual(changes, ['a open']);
  await book.found(drift('a', { firstSeenMs: 7, confirmedMs: 8, why: 'another reason' }));
  assert.deepEqual(changes, ['a open', 'a open']);
  assert.deepEqual(await book.get('a'), drift('a', { firstSeenMs: 1, confirmedMs: 2, why: 'another reason' }));
});

test('what was known of a difference stays known when it is explained with less to go by, and not when the difference or the wrong room is another', async () => {
  const { book } = await watched();
  const known = drift('a', { wrong: 'guangzhou', cause: 'behind-back', why: 'seen to change' });
  await book.found(known);
  for (const wrong of ['', 'guangzhou'] as const) {
    await book.found({ ...known, wrong, cause: 'unknown', why: 'cannot be told' });
    assert.equal((await book.get('a'))?.why, 'seen to change');
  }
  const news: readonly Partial<Drift>[] = [
    { wrong: 'beijing' },
    { wrong: '', elements: [{ name: 'f', versions: ['', 'v'], values: [null, '1'] }] },
    { wrong: '', subject: { type: 'write', name: 'beijing/0@0123456789abcdef:0.0' } },
  ];
  for (const more of news) {
    await book.put([known]);
    await book.found({ ...known, cause: 'unknown', why: 'news', ...more });
    assert.equal((await book.get('a'))?.why, 'news');
  }
});

test('a drift closes once; found again later it is a new one', async () => {
  const { book, changes } = await watched();
  await book.found(drift('a'));
  assert.equal(await book.settle('a', { status: 'healed', closedMs: 5, note: 'gone' }), true);
  assert.equal(await book.settle('a', { status: 'repaired', closedMs: 6, note: '' }), false);
  assert.equal((await book.get('a'))?.note, 'gone');
  assert.equal(await book.found(drift('a', { confirmedMs: 77 })), true);
  assert.equal((await book.get('a'))?.confirmedMs, 77);
  assert.deepEqual(changes, ['a open', 'a healed', 'a open']);
});

test('what is open is known after a restart', async () => {
  const records = new MemoryDriftBook();
  await records.put([drift('a'), drift('b', { status: 'healed' })]);
  const book = new WatchedBook(records);
  await book.open();
  assert.deepEqual([...book.openDrifts.keys()], ['a']);
});

test('looking at a few at a time comes round to all of them', async () => {
  const { book } = await watched();
  for (const id of ['a', 'b', 'c']) await book.found(drift(id));
  await book.found(drift('x', { kind: 'stuck' }));
  const turns = [0, 1, 2].map(() => book.rotate(2, ({ kind }) => kind !== 'stuck').map(({ id }) => id));
  assert.deepEqual(turns, [
    ['a', 'b'],
    ['c', 'a'],
    ['b', 'c'],
  ]);
});

test('more open drifts than are kept are counted and not recorded', async () => {
  const { book, changes } = await watched({ openMax: 2 });
  for (const id of ['a', 'b', 'c', 'd']) await book.found(drift(id));
  assert.deepEqual(changes, ['a open', 'b open']);
  assert.equal(book.unrecorded, 2);
  await book.settle('a', { status: 'healed', closedMs: 5, note: '' });
  assert.equal(await book.found(drift('c')), true);
});
