import assert from 'node:assert/strict';
import { test } from 'node:test';
import { displayWidth, formatDuration, formatTable, printable, shorten } from './table.ts';

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
