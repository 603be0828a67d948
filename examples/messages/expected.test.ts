import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { CacheEntry, CacheValue } from '../../core/converge/effects.ts';
import { formatStamp } from '../../core/stamp.ts';
import type { Row } from '../../store/database.ts';
import { compareCache, compareRows, type Expected, expectedState } from './expected.ts';

const MS = 1_700_000_000_000;
const stamp = (n: number) => formatStamp({ ms: MS + n, counter: 0, writer: 0x0100_0001 });

/** Messages 1→2, 1→2, 2→1, 3→2; the stamps turn the first two round, as two rooms may. */
const FILE = 'src dst time\n1 2 100\n1 2 200\n2 1 300\n3 2 400\n';
const STAMPS = new Map([
  ['college-2', stamp(2)],
  ['college-3', stamp(1)],
  ['college-4', stamp(3)],
  ['college-5', stamp(4)],
]);

const entriesOf = (expected: Expected): CacheEntry[] =>
  [...expected.cache].map(([key, value]) => ({ key, value: structuredClone(value), expireAtMs: 0, version: '' }));
const rowsOf = (expected: Expected): Row[] => [...expected.rows.values()].map((row) => ({ ...row }));

describe('what the rooms must hold', () => {
  const expected = expectedState(FILE, STAMPS);

  it('is what a person computes from the lines and the stamps', () => {
    const wanted: Record<string, CacheValue> = {
      'unread:1': { type: 'hash', fields: [['2', '1']] },
      'unread:2': {
        type: 'hash',
        fields: [
          ['1', '2'],
          ['3', '1'],
        ],
      },
      'inbox:1': { type: 'zset', members: [['college-4', MS + 3]] },
      'inbox:2': {
        type: 'zset',
        members: [
          ['college-3', MS + 1],
          ['college-2', MS + 2],
          ['college-5', MS + 4],
        ],
      },
      'last-contact:1': { type: 'hash', fields: [['2', '300']] },
      'last-contact:2': {
        type: 'hash',
        fields: [
          ['1', '300'],
          ['3', '400'],
        ],
      },
      'last-contact:3': { type: 'hash', fields: [['2', '400']] },
      'contacts:1': { type: 'set', members: ['2'] },
      'contacts:2': { type: 'set', members: ['1', '3'] },
      'contacts:3': { type: 'set', members: ['2'] },
    };
    assert.deepEqual(Object.fromEntries(expected.cache), wanted);
    assert.deepEqual(expected.rows.get('college-5'), { id: 'college-5', sender: 3, recipient: 2, sent_at: 400, wmb_stamp: stamp(4) });
    assert.equal(expected.rows.size, 4);
  });

  it('follows the stamps, not the lines, where two messages touch one element', () => {
    const turned = expectedState(
      '1 2 100\n2 1 200\n',
      new Map([
        ['college-1', stamp(9)],
        ['college-2', stamp(1)],
      ]),
    );
    assert.deepEqual(turned.cache.get('last-contact:1'), { type: 'hash', fields: [['2', '100']] });
  });

  it('keeps the newest 50 of an inbox in stamp order', () => {
    const lines = Array.from({ length: 60 }, (_, n) => `${n + 2} 1 ${n}`).join('\n');
    const stamps = new Map(Array.from({ length: 60 }, (_, n) => [`college-${n + 1}`, stamp(60 - n)]));
    const inbox = expectedState(lines, stamps).cache.get('inbox:1');
    const members = inbox?.type === 'zset' ? inbox.members.map(([member]) => member) : [];
    assert.deepEqual(
      members,
      Array.from({ length: 50 }, (_, n) => `college-${50 - n}`),
    );
  });

  it('cannot be said where a message was never acked', () => {
    assert.throws(() => expectedState(FILE, new Map()), /line 2: no stamp is known for college-2/);
  });

  it('finds no difference in what is equal, in whatever order it is listed', () => {
    assert.deepEqual(compareCache(expected, entriesOf(expected).reverse()), []);
    assert.deepEqual(compareRows(expected, rowsOf(expected).reverse()), []);
  });

  it('notices a changed, a missing and an extra element in every type of key', () => {
    const change = (key: string, value: CacheValue) =>
      compareCache(
        expected,
        entriesOf(expected).map((entry) => (entry.key === key ? { ...entry, value } : entry)),
      );
    assert.deepEqual(
      change('unread:2', {
        type: 'hash',
        fields: [
          ['1', '3'],
          ['9', '1'],
        ],
      }),
      ['unread:2: 1 is 3 and should be 2', 'unread:2: 3 is missing (should be 1)', 'unread:2: 9 is 1 and should not exist'],
    );
    assert.deepEqual(change('contacts:2', { type: 'set', members: ['1', '4'] }), [
      'contacts:2: 3 is missing (should be a member)',
      'contacts:2: 4 is a member and should not exist',
    ]);
    assert.deepEqual(change('inbox:1', { type: 'zset', members: [['college-4', MS + 9]] }), [
      `inbox:1: college-4 is ${MS + 9} and should be ${MS + 3}`,
    ]);
    assert.deepEqual(change('contacts:3', { type: 'string', value: '2' }), ['contacts:3 is a string and should be a set']);
  });

  it('notices a key that is missing, extra, listed twice or made to expire', () => {
    const [first, ...others] = entriesOf(expected);
    assert.ok(first);
    assert.deepEqual(compareCache(expected, others), [`${first.key} is missing`]);
    assert.deepEqual(compareCache(expected, [{ ...first, key: 'unread:99' }, first, ...others]), ['unread:99 should not exist']);
    assert.deepEqual(compareCache(expected, [first, first, ...others]), [`${first.key} is listed twice`]);
    assert.deepEqual(compareCache(expected, [{ ...first, expireAtMs: 1 }, ...others]), [`${first.key} should not expire, but does`]);
  });

  it('notices a changed, a missing and an extra row', () => {
    const [first, ...others] = rowsOf(expected);
    assert.ok(first);
    assert.deepEqual(compareRows(expected, others), [`row ${first.id} is missing`]);
    assert.deepEqual(compareRows(expected, [first, ...others, { ...first, id: 'x' }]), ['row x should not exist']);
    assert.deepEqual(compareRows(expected, [first, ...others, first]), [`row ${first.id} is listed twice`]);
    assert.deepEqual(compareRows(expected, [{ ...first, sent_at: 1 }, ...others]), [
      `row ${first.id}: sent_at is 1 and should be ${first.sent_at}`,
    ]);
  });

  it('is computed by code that imports nothing of the processor but types of the ports', () => {
    const source = readFileSync(new URL('expected.ts', import.meta.url), 'utf8');
    const imports = source.split('\n').filter((line) => line.startsWith('import'));
    assert.deepEqual(
      imports.filter((line) => !line.startsWith('import type')),
      [],
    );
  });
});
