import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RowKey } from '../../store/row-comparison.ts';
import { parseRowName, rowName } from './row-name.ts';

const KEYS: readonly RowKey[] = [
  [42],
  [-7, 'a'],
  ['a, "b" (c)\\\n', 1.5],
  [9_007_199_254_740_993n],
  [Buffer.from([0, 255]), null, ''],
  [Buffer.alloc(0)],
];

for (const key of KEYS) {
  test(`the row ${rowName('t', key)} is found again by its name`, () => {
    assert.deepEqual(parseRowName(rowName('big one', key)), { table: 'big one', key });
  });
}

for (const name of ['', 't', 't()', '(1)', 't(1', 't(1, )', 't(1 2)', 't("a)', 'user:7', 'beijing/6@b8e280ed967fbcda:318.1']) {
  test(`“${name}” is no name of a row`, () => assert.equal(parseRowName(name), undefined));
}
