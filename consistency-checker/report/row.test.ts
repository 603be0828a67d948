import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driftDetail } from '../../cli/drift/detail.ts';
import { driftFromWire } from '../../cli/drift/wire.ts';
import type { Row } from '../../store/database.ts';
import type { RowDrift } from '../../store/row-comparison.ts';
import { configOf } from '../../test/links/rig.ts';
import type { Drift } from '../drift.ts';
import { driftToWire } from '../drift-wire.ts';
import { STAMP, STAMPED_MS } from './drift.fixture.ts';
import { reportPage } from './html.ts';
import { type FoundRow, rowDrift } from './row.ts';

const REPLICA = { state: 'following', reason: '', missing: 0, heartbeatMs: undefined } as const;
const TOLD = { master: 'beijing', slave: 'guangzhou', firstSeenMs: STAMPED_MS, nowMs: STAMPED_MS + 5_000, write: undefined };

function found(rows: readonly [Row | undefined, Row | undefined], more: Partial<FoundRow> = {}): FoundRow {
  const kind: RowDrift = rows[0] === undefined ? 'extra' : rows[1] === undefined ? 'missing' : 'value';
  return {
    row: { table: 't', key: [7], kind, hashes: ['00AB', '00CD'] },
    rows,
    replica: REPLICA,
    statements: ['UPDATE t'],
    refusal: '',
    ...more,
  };
}

function driftOf(...rows: readonly [Row | undefined, Row | undefined]): Drift {
  return rowDrift(found(rows), TOLD);
}

test('of a row with many columns that differ some are told, and how many more there are', () => {
  const row = (value: number) => Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`c${n}`, value]));
  const { elements, repair } = driftOf(row(1), row(2));
  assert.deepEqual([elements.length, elements.at(-1)?.name], [33, '8 more columns']);
  assert.equal(repair.diff.length, 2 * 33 + 1);
});

test('of long values what they differ in is told, and not more than fits', () => {
  const long = 'x'.repeat(1_000_000);
  const { elements, sides } = driftOf({ id: 7, note: `${long}a${long}` }, { id: 7, note: `${long}b${long}` });
  const [mine = '', theirs = ''] = elements[0]?.values ?? [];
  assert.match(mine ?? '', /^"…x{50}ax/);
  assert.match(theirs ?? '', /^"…x{50}bx/);
  assert.ok(JSON.stringify(sides).length < 2_000);
});

test('bytes that are equal do not differ, and others are told in hex', () => {
  const bytes = (...all: number[]) => Buffer.from(all);
  const { elements } = driftOf({ same: bytes(1), other: bytes(0, 255) }, { same: bytes(1), other: null });
  assert.deepEqual(
    elements.map(({ name, values }) => [name, ...values]),
    [['other', '0x00ff', 'NULL']],
  );
});

test('sides and columns stand in the order of the rooms’ ids, and the id is the same whoever is the master', () => {
  const [one, other] = [
    found([
      { id: 7, n: 1 },
      { id: 7, n: 2 },
    ]),
    found([
      { id: 7, n: 1 },
      { id: 7, n: 2 },
    ]),
  ];
  const straight = rowDrift(one, TOLD);
  const swapped = rowDrift(other, { ...TOLD, master: 'guangzhou', slave: 'beijing' });
  assert.equal(swapped.id, straight.id);
  assert.deepEqual(
    [straight.elements[0]?.values, swapped.elements[0]?.values],
    [
      ['1', '2'],
      ['2', '1'],
    ],
  );
  assert.deepEqual([swapped.sides[0].room, swapped.sides[0].hash, swapped.wrong], ['beijing', '00cd', 'beijing']);
});

test('a row comes over the wire as it is, and is shown to people with its columns', () => {
  const drift = driftOf({ id: 7, note: 'a', wmb_stamp: STAMP }, { id: 7, note: 'b', wmb_stamp: STAMP });
  assert.deepEqual(driftFromWire(driftToWire(drift)), drift);
  const { topology } = configOf({ room: 'beijing', addresses: { beijing: '', guangzhou: '' } });
  const text = driftDetail(drift, { columnsMax: 100, nowMs: STAMPED_MS + 9_000, topology });
  for (const wanted of [
    /^row +t\(7\)$/m,
    /^column +beijing +guangzhou$/m,
    /^note +"a" +"b"$/m,
    /^by +beijing +beijing$/m,
    /^written +2026-11-22T20:15:44\.123Z/m,
    /^repair +rewrite from beijing to guangzhou: /m,
  ])
    assert.match(text, wanted);
  assert.doesNotMatch(text, /expires|bytes/);
  const page = reportPage({ madeMs: STAMPED_MS + 9_000, pairs: [], databases: [], drifts: [drift], notes: [] });
  assert.match(page, /<th>note<\/th><td><code>&quot;a&quot;<\/code><\/td><td><code>&quot;b&quot;<\/code><\/td>/);
});

test('a row that only one side has is told as a whole', () => {
  const { sides, elements, repair } = driftOf(undefined, { id: 7, note: null });
  assert.deepEqual([sides[0].shows, sides[1].shows, elements], ['no such row', 'id = 7, note = NULL', []]);
  assert.deepEqual(repair.diff, ['- t(7) = id = 7, note = NULL', '+ t(7) = no such row', 'UPDATE t']);
});
