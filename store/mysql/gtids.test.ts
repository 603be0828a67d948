import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { gtidDifference } from './gtids.ts';

const A = 'aaaaaaaa-0000-0000-0000-000000000001';
const B = 'bbbbbbbb-0000-0000-0000-000000000002';

describe('what one set of MySQL’s transaction ids holds and another lacks', () => {
  const cases: readonly (readonly [of: string, without: string, text: string, count: number])[] = [
    ['', `${A}:1-5`, '', 0],
    [`${A}:1-5`, '', `${A}:1-5`, 5],
    [`${A}:1-5`, `${A}:1-9`, '', 0],
    [`${A}:1-9`, `${A}:3-4:7`, `${A}:1-2:5-6:8-9`, 6],
    [`${A}:1-9,\n${B}:1`, `${A}:1-9`, `${B}:1`, 1],
    [`${A}:1-3:tagged:1-2`, `${A}:1-3`, `${A}:tagged:1-2`, 2],
    [`${A}:2:4:6`, `${A}:1-5`, `${A}:6`, 1],
  ];
  for (const [of, without, text, count] of cases) {
    it(`${of || 'nothing'} without ${without || 'nothing'}`, () => assert.deepEqual(gtidDifference('mysql', of, without), { text, count }));
  }
});

describe('what one set of MariaDB’s transaction ids holds and another lacks', () => {
  const cases: readonly (readonly [of: string, without: string, text: string, count: number])[] = [
    ['', '0-1-5', '', 0],
    ['0-1-5', '0-1-9', '', 0],
    ['0-1-9', '0-1-5', '0-1-9', 4],
    ['0-1-9,0-2-3', '0-1-9', '0-2-3', 3],
  ];
  for (const [of, without, text, count] of cases) {
    it(`${of || 'nothing'} without ${without || 'nothing'}`, () =>
      assert.deepEqual(gtidDifference('mariadb', of, without), { text, count }));
  }
});
