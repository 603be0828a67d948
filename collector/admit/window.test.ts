import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DuplicateWindow, hash128 } from './window.ts';

/** The window as plainly as it can be said. */
function modelOf(limit: number): (id: string) => boolean {
  const last: string[] = [];
  return (id) => {
    const seen = last.includes(id);
    last.push(id);
    if (last.length > limit) last.shift();
    return seen;
  };
}

test('the window agrees with a plain list of the last ids, for any limit and any ids', () => {
  const ids = fc.array(
    fc.integer({ min: 0, max: 60 }).map((n) => `id-${n}`),
    { maxLength: 400 },
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), ids, (limit, sequence) => {
      const window = new DuplicateWindow(limit);
      const model = modelOf(limit);
      for (const id of sequence) assert.equal(window.add(id), model(id), id);
      assert.equal(window.size, Math.min(limit, sequence.length));
    }),
    { numRuns: 500 },
  );
});

test('the window agrees with a model over the sizes at which it grows', () => {
  const window = new DuplicateWindow(1300);
  const newest = new Map<string, number>();
  let seed = 7;
  for (let at = 0; at < 20_000; at += 1) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    const id = `request-${seed % 4000}`;
    const before = newest.get(id);
    assert.equal(window.add(id), before !== undefined && before >= at - 1300, `at ${at}`);
    newest.set(id, at);
  }
});

test('exactly the oldest id leaves the window', () => {
  const window = new DuplicateWindow(65_536);
  for (let at = 0; at < 65_536; at += 1) assert.equal(window.add(`write-${at}`), false);
  assert.equal(window.add('write-0'), true, 'the 65,536th before it is still inside');
  assert.equal(window.add('write-1'), true);
  assert.equal(window.add('write-100000'), false);
  assert.equal(window.add('write-3'), true, 'write-2 went, write-3 did not');
  assert.equal(window.add('write-2'), false);
});

test('a repeated id counts from its newest use', () => {
  const window = new DuplicateWindow(3);
  assert.deepEqual(
    ['a', 'b', 'a', 'c', 'd', 'a', 'b'].map((id) => window.add(id)),
    [false, false, true, false, false, true, false],
  );
});

test('a full window of 65,536 ids holds less than 3 MB', () => {
  const window = new DuplicateWindow(65_536);
  for (let at = 0; at < 200_000; at += 1) window.add(`write-${at}`);
  assert.equal(window.size, 65_536);
  assert.ok(window.bytes < 3_000_000, `${window.bytes} bytes`);
});

test('the hash is fixed for ever, and tells ids apart that differ in length, order or one bit', () => {
  const out = new Uint32Array(4);
  hash128('beijing-000001', out);
  const first = [...out];
  const seen = new Set<string>();
  for (const id of ['', 'a', 'aa', 'ab', 'ba', 'a\u0000', '\u0000', '\u0000\u0000', '中文', '文中', 'beijing-000001', 'beijing-000002']) {
    hash128(id, out);
    seen.add(out.join());
  }
  assert.equal(seen.size, 12);
  hash128('beijing-000001', out);
  assert.deepEqual([...out], first);
  assert.deepEqual(first, EXPECTED);
});

/** Written down once: rooms of different versions must agree. */
const EXPECTED = [1166404573, 1221387018, 4045446792, 3385318177];
