import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatStamp, type Version, versionAt, versionOf } from '../stamp.ts';
import type { CacheEntry, Effect } from './effects.ts';
import { randomEffects, TEST_MS } from './effects-kit.ts';
import { effectsOf } from './effects-of.ts';
import { MemoryCell } from './memory-cell.ts';
import { applyEffect } from './rules.ts';
import { settleKey } from './settle.ts';
import { cellOf, entryHash, entryText, exportState, type KeyState, stateDigest, visibleOf } from './state.ts';
import { visible } from './visible.ts';

const RUNS = 2_000;
const MOMENTS = [0, 10, 25, 60].map((ms) => TEST_MS.from + ms);
const v = (ms: number): Version => versionOf(formatStamp({ ms, counter: 0, writer: 1 }), 0);

/** Effects of one key in any order, and up to where they are settled in between. */
const keys = randomEffects(14).chain((effects) =>
  fc.record({
    effects: fc.constant(effects.map((effect) => ({ ...effect, key: 'k' }))),
    settledMs: fc.integer({ min: TEST_MS.from - 1, max: TEST_MS.to + 1 }),
    order: fc.shuffledSubarray(effects, { minLength: effects.length, maxLength: effects.length }),
  }),
);

function cellWith(effects: readonly Effect[], settled: Version): MemoryCell {
  const cell = new MemoryCell();
  for (const effect of effects) applyEffect(cell, { ...effect, key: 'k' }, '');
  settleKey(cell, settled);
  return cell;
}

test('a state makes a key that remembers exactly the same and shows the same at any time', () => {
  fc.assert(
    fc.property(keys, ({ order, settledMs }) => {
      const cell = cellWith(order, versionAt(settledMs));
      const state = exportState('k', cell);
      for (const nowMs of MOMENTS) assert.deepEqual(visibleOf(state, nowMs), visible('k', cell, nowMs));
      if (state === undefined) return;
      const again = exportState('k', cellOf(state));
      assert.deepEqual(again, state);
      assert.deepEqual(JSON.parse(JSON.stringify(state)), state);
      assert.equal(stateDigest(again), stateDigest(state));
    }),
    { numRuns: RUNS },
  );
});

test('the state does not depend on the order in which effects came', () => {
  fc.assert(
    fc.property(keys, ({ effects, order }) => {
      const timeline = effects.some(({ op }) => op === 'timeline');
      const [a, b] = [exportState('k', cellWith(effects, '')), exportState('k', cellWith(order, ''))];
      // When hidden members are dropped is not said.
      if (!timeline) assert.equal(stateDigest(a), stateDigest(b));
    }),
    { numRuns: RUNS },
  );
});

test('the effects of a state, in any order, make a key that shows the same', () => {
  fc.assert(
    fc.property(keys, fc.nat(), ({ order, settledMs }, seed) => {
      const cell = cellWith(order, versionAt(settledMs));
      const state = exportState('k', cell);
      const effects = state === undefined ? [] : [...effectsOf(state)];
      const turned = effects.map((_, index) => effects[(index + seed) % effects.length] as Effect);
      for (const nowMs of MOMENTS) {
        if (nowMs < settledMs) continue;
        for (const each of [effects, turned, [...effects].reverse()]) {
          assert.deepEqual(visible('k', cellWith(each, ''), nowMs), visible('k', cell, nowMs));
        }
      }
    }),
    { numRuns: RUNS },
  );
});

test('the effects of a string with settled increments keep the expiry that came with its set', () => {
  const effects: Effect[] = [
    { op: 'set', key: 'k', value: '7', expireAtMs: 5_000, version: v(1_001) },
    { op: 'incr', key: 'k', delta: '2', version: v(1_003) },
  ];
  const cell = cellWith(effects, versionAt(1_005));
  const state = exportState('k', cell);
  assert.ok(state);
  assert.deepEqual(visible('k', cellWith(effectsOf(state), ''), 1_010), visible('k', cell, 1_010));
  assert.equal(visible('k', cell, 1_010)?.expireAtMs, 5_000);
});

test('nothing remembered is no state', () => {
  assert.equal(exportState('k', new MemoryCell()), undefined);
  assert.equal(stateDigest(undefined), '');
  assert.equal(visibleOf(undefined, 0), undefined);
});

const STATE: KeyState = {
  key: 'k',
  type: 'zset',
  kill: v(1_001),
  expireAtMs: 0,
  caps: [],
  registers: [
    { name: 'a', version: v(1_002), value: 1 },
    { name: 'b', version: v(1_003), value: null },
  ],
  increments: [{ name: 'a', version: v(1_004), delta: 2 }],
  expiries: [{ version: v(1_005), atMs: 2_000 }],
};
const CHANGED: readonly Partial<KeyState>[] = [
  { key: 'l' },
  { type: 'timeline' },
  { kill: '' },
  { expireAtMs: 1 },
  { expireAtMs: Number.NaN },
  { caps: [{ version: v(1_002), cap: 3 }] },
  { registers: [] },
  { registers: STATE.registers.map((register) => ({ ...register, name: `${register.name}x` })) },
  { registers: STATE.registers.map((register) => ({ ...register, version: v(1_006) })) },
  { registers: STATE.registers.map((register) => ({ ...register, value: '1' })) },
  { registers: STATE.registers.map((register) => ({ ...register, value: Number.POSITIVE_INFINITY })) },
  { registers: STATE.registers.map((register) => ({ ...register, value: Number.NEGATIVE_INFINITY })) },
  { registers: STATE.registers.map((register) => ({ ...register, value: Number.NaN })) },
  { registers: STATE.registers.map((register) => ({ ...register, value: null })) },
  { increments: [] },
  { increments: [{ name: 'a', version: v(1_004), delta: '2' }] },
  { increments: [{ name: 'b', version: v(1_004), delta: 2 }] },
  { expiries: [] },
  { expiries: [{ version: v(1_005), atMs: 2_001 }] },
];

test('whatever differs between two states, their digests differ', () => {
  const digests = [STATE, ...CHANGED.map((changed) => ({ ...STATE, ...changed }))].map(stateDigest);
  assert.equal(new Set(digests).size, CHANGED.length + 1);
  for (const digest of digests) assert.match(digest, /^[0-9a-f]{16}$/);
});

const ENTRY: CacheEntry = { key: 'k', version: v(1_001), expireAtMs: 0, value: { type: 'string', value: 'x' } };
const SHOWN: readonly Partial<CacheEntry>[] = [
  { value: { type: 'string', value: 'y' } },
  { value: { type: 'string', value: '' } },
  { value: { type: 'set', members: ['x'] } },
  { value: { type: 'set', members: ['x', 'y'] } },
  { value: { type: 'set', members: ['x,y'] } },
  { value: { type: 'set', members: ['x","y'] } },
  { value: { type: 'hash', fields: [['x', 'y']] } },
  { value: { type: 'hash', fields: [['y', 'x']] } },
  { value: { type: 'zset', members: [['x', 1]] } },
  { value: { type: 'zset', members: [['x', 0.1]] } },
  { value: { type: 'zset', members: [['x', 0.1 + Number.EPSILON / 8]] } },
  { value: { type: 'zset', members: [['x', Number.POSITIVE_INFINITY]] } },
  { value: { type: 'zset', members: [['x', Number.NEGATIVE_INFINITY]] } },
  { value: { type: 'zset', members: [['x', Number.NaN]] } },
  { expireAtMs: 5 },
];

test('whatever an application sees otherwise, the hash of the entry differs, and it is not the version', () => {
  const hashes = [ENTRY, ...SHOWN.map((changed) => ({ ...ENTRY, ...changed }))].map(entryHash);
  assert.equal(new Set(hashes).size, SHOWN.length + 1);
  for (const hash of hashes) assert.match(hash, /^[0-9a-f]{16}$/);
  assert.equal(entryHash({ ...ENTRY, version: v(1_002) }), entryHash(ENTRY));
});

test('the text of an entry is of its key and version too', () => {
  const texts = [ENTRY, { ...ENTRY, key: 'l' }, { ...ENTRY, version: v(1_002) }, { ...ENTRY, expireAtMs: 5 }].map(entryText);
  assert.equal(new Set(texts).size, texts.length);
});
