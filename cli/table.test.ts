import assert from 'node:assert/strict';
import { test } from 'node:test';
import { displayWidth, formatDuration, formatFields, formatTable, printable, shorten, wrap } from './table.ts';

test('columns are aligned, numbers to the right, and no line ends in spaces', () => {
  const text = formatTable({
    head: ['ROOM', 'LAG', 'WHY'],
    rows: [
      ['beijing', '5', ''],
      ['a', '1000', 'cut'],
    ],
    right: [1],
  });
  assert.equal(text, ['ROOM      LAG  WHY', 'beijing     5', 'a        1000  cut'].join('\n'));
});

test('wide characters count as two columns and combining ones as none', () => {
  assert.equal(displayWidth('机房'), 4);
  assert.equal(displayWidth('é'), 1);
  assert.equal(displayWidth('e\u0301'), 1);
  assert.equal(displayWidth('✅'), 2);
  assert.equal(displayWidth('→'), 1);
  assert.equal(
    formatTable({
      head: ['K', 'V'],
      rows: [
        ['机房', '1'],
        ['room', '2'],
      ],
    }),
    ['K     V', '机房  1', 'room  2'].join('\n'),
  );
});

test('control characters of users are shown and not obeyed', () => {
  assert.equal(printable('a\x1b[2Jb\nc'), 'a\\x1b[2Jb\\x0ac');
  assert.equal(formatTable({ head: ['K'], rows: [['\x1b[31m']] }), 'K\n\\x1b[31m');
});

test('a long text is cut at a character, with the cut shown', () => {
  assert.equal(shorten('abcdef', 6), 'abcdef');
  assert.equal(shorten('abcdefg', 6), 'abcde…');
  assert.equal(shorten('机房机房', 6), '机房…');
});

test('durations are told in the two units that matter', () => {
  const told = [0, 999, 4_200, 200_000, 18_120_000, 273_600_000].map(formatDuration);
  assert.deepEqual(told, ['0 ms', '999 ms', '4.2 s', '3 min 20 s', '5 h 2 min', '3 d 4 h']);
});

const ROWS = {
  head: ['KEY', 'N', 'WHY'],
  rows: [
    ['unread:1234567890', '5', 'the collector of guangzhou does not answer'],
    ['k', '12', ''],
  ],
  right: [1],
};

test('a table wider than the terminal has its last column wrapped beside the others', () => {
  assert.equal(
    formatTable({ ...ROWS, columnsMax: 50 }),
    [
      'KEY                 N  WHY',
      'unread:1234567890   5  the collector of guangzhou',
      '                       does not answer',
      'k                  12',
    ].join('\n'),
  );
});

test('where there is no place for it beside them, it goes beneath its row', () => {
  assert.equal(
    formatTable({ ...ROWS, columnsMax: 36 }),
    [
      'KEY                 N',
      'unread:1234567890   5',
      '    the collector of guangzhou does',
      '    not answer',
      'k                  12',
    ].join('\n'),
  );
});

test('flexible columns are shortened where the rest does not fit, and no line is wider than the terminal', () => {
  const rows = [['unread:1234567890123456789012345678901234567890', 'guangzhou', '4 s ago']];
  const text = formatTable({ head: ['SUBJECT', 'WRONG', 'SINCE'], rows, columnsMax: 40, flexible: [0] });
  assert.equal(text, ['SUBJECT               WRONG      SINCE', 'unread:123456789012…  guangzhou  4 s ago'].join('\n'));
  assert.ok(text.split('\n').every((line) => displayWidth(line) <= 40));
});

test('text is wrapped between words, and within a word that is longer than a line; wide characters count as two', () => {
  assert.deepEqual(wrap('one two three', 7), ['one two', 'three']);
  assert.deepEqual(wrap('abcdefghij k', 4), ['abcd', 'efgh', 'ij k']);
  assert.deepEqual(wrap('机房机房', 4), ['机房', '机房']);
  assert.deepEqual(wrap('', 4), ['']);
  assert.deepEqual(wrap('one two', Number.POSITIVE_INFINITY), ['one two']);
});

test('fields stand beside their names; those without text are left out, control characters shown', () => {
  assert.equal(
    formatFields(
      [
        ['key', 'a\x1bb'],
        ['note', ''],
        ['reason', 'one two three'],
      ],
      { columnsMax: 16 },
    ),
    ['key     a\\x1bb', 'reason  one two', '        three'].join('\n'),
  );
});
