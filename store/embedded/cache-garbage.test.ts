/** Rows that no rule has written: neither the collector nor the inspector may fall over them, nor take them for what was there. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import { bucketOf } from '../../core/converge/bucket.ts';
import { isDamaged, stateDigest, visibleOf } from '../../core/converge/state.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { apply, type Commands, NOW, write } from '../cache-kit.ts';
import type { EntryDigest } from '../inspection.ts';
import { CACHE_FILE, EmbeddedCache } from './cache.ts';
import { EmbeddedCacheInspector } from './cache-inspector.ts';

let directory = '';
let store: EmbeddedCache;
let inspector: EmbeddedCacheInspector;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'wmb-garbage-'));
  store = new EmbeddedCache({ directory, room: 'beijing', runtime: systemRuntime });
  await store.open();
  inspector = new EmbeddedCacheInspector({ directory, runtime: systemRuntime });
});

afterEach(async () => {
  await inspector.close();
  await store.close();
  rmSync(directory, { recursive: true });
});

let ms = 1_000;
const set = (...commands: Commands) => apply(store, [write(ms++, ...commands)]);

function tamper(sql: string): void {
  const db = new DatabaseSync(join(directory, CACHE_FILE));
  db.exec(sql);
  db.close();
}

async function digest(bucket: number) {
  const [found] = await inspector.digests([bucket], NOW);
  return [found?.high, found?.low];
}

/** SQL, and what an application sees of the key then; undefined: nothing, and the checker finds it missing. */
const GARBAGE: readonly (readonly [what: string, key: string, sql: string, shown: unknown])[] = [
  ['no version', 's', `UPDATE keys SET version = ''`, 'v'],
  ['a malformed version', 's', `UPDATE keys SET version = 'garbage'`, 'v'],
  ['bytes for a version', 's', `UPDATE keys SET version = x'00ff'`, 'v'],
  ['neither version nor kill', 's', `UPDATE keys SET version = '', kill = ''`, 'v'],
  ['bytes for a value', 's', `UPDATE keys SET value = CAST(value AS BLOB)`, `X'76'`],
  ['a number for a value', 's', `UPDATE keys SET value = 9223372036854775807`, '9223372036854775807'],
  ['no value', 's', `UPDATE keys SET value = NULL`, undefined],
  ['another type', 's', `UPDATE keys SET type = 2`, [['', 'v']]],
  ['no type', 's', `UPDATE keys SET type = 0`, 'v'],
  ['a type that there is not', 's', `UPDATE keys SET type = 77`, 'v'],
  ['a type beyond all numbers', 's', `UPDATE keys SET type = 9223372036854775807`, 'v'],
  ['a word for a type', 's', `UPDATE keys SET type = 'string'`, 'v'],
  ['an expiry beyond all numbers', 's', `UPDATE keys SET expire_at = 9223372036854775807`, 'v'],
  ['a word for an expiry', 's', `UPDATE keys SET expire_at = 'soon'`, 'v'],
  ['an expiry before all time', 's', `UPDATE keys SET expire_at = -1`, 'v'],
  [
    'no type of a collection',
    'h',
    `UPDATE keys SET type = -1`,
    [
      ['f', '7'],
      ['g', 'x'],
    ],
  ],
  ['no parts', 'h', `UPDATE keys SET parts = 0`, undefined],
  [
    'no version of a field',
    'h',
    `UPDATE elements SET version = '' WHERE name = 'g'`,
    [
      ['f', '7'],
      ['g', 'x'],
    ],
  ],
  [
    'bytes for the version of a field',
    'h',
    `UPDATE elements SET version = x'01' WHERE name = 'g'`,
    [
      ['f', '7'],
      ['g', 'x'],
    ],
  ],
  [
    'bytes for the name of a field',
    'h',
    `UPDATE elements SET name = x'41' WHERE name = 'g'`,
    [
      [`X'41'`, 'x'],
      ['f', '7'],
    ],
  ],
  [
    'bytes for a field',
    'h',
    `UPDATE elements SET value = x'78' WHERE name = 'g'`,
    [
      ['f', '7'],
      ['g', `X'78'`],
    ],
  ],
  [
    'a number for a field',
    'h',
    `UPDATE elements SET value = 5 WHERE name = 'g'`,
    [
      ['f', '7'],
      ['g', '5 (a number)'],
    ],
  ],
  [
    'a word for an increment',
    'h',
    `UPDATE increments SET delta = 'many'`,
    [
      ['f', '5'],
      ['g', 'x'],
    ],
  ],
  [
    'bytes for an increment',
    'h',
    `UPDATE increments SET delta = x'32'`,
    [
      ['f', '5'],
      ['g', 'x'],
    ],
  ],
  [
    'a number beyond all numbers for an increment',
    'h',
    `UPDATE increments SET delta = 9223372036854775807`,
    [
      ['f', '9223372036854776000'],
      ['g', 'x'],
    ],
  ],
  ['a word for a moment', 'x', `UPDATE expiries SET at_ms = 'soon'`, ['m']],
  ['a word for a score', 'z', `UPDATE elements SET value = '1'`, [['m', Number.NaN]]],
  ['another score', 'z', `UPDATE elements SET value = 9223372036854775807`, [['m', 2 ** 63]]],
  ['broken JSON', 't', `UPDATE keys SET timeline = '{"caps":'`, [['m', 'T']]],
  ['other JSON', 't', `UPDATE keys SET timeline = '{"caps":[null,7],"members":1}'`, [['m', 'T']]],
  ['no JSON', 't', `UPDATE keys SET timeline = NULL`, [['m', 'T']]],
  ['a malformed version of a member', 't', `UPDATE elements SET version = 'zz'`, [['m', Number.NaN]]],
];

const WHOLE: Readonly<Record<string, Commands>> = {
  s: [['SET', 's', 'v']],
  h: [
    ['HSET', 'h', 'f', '5', 'g', 'x'],
    ['HINCRBY', 'h', 'f', 2],
  ],
  x: [
    ['SADD', 'x', 'm'],
    ['PEXPIREAT', 'x', 50_000],
  ],
  z: [['ZADD', 'z', 1, 'm']],
  t: [['WMB.TIMELINE', 't', 3, 'm']],
};

function shownOf(entry: Awaited<ReturnType<EmbeddedCache['get']>>, stampedMs: number): unknown {
  if (entry === undefined) return undefined;
  const { value: shown } = entry;
  if (shown.type === 'string') return shown.value;
  if (shown.type === 'hash') return shown.fields;
  if (shown.type === 'set') return shown.members;
  return shown.members.map(([member, score]) => [member, score === stampedMs ? 'T' : score]);
}

for (const [what, key, sql, shown] of GARBAGE) {
  test(`${what}: ${sql}`, async () => {
    const stampedMs = ms;
    await set(...(WHOLE[key] ?? []));
    const bucket = bucketOf(key);
    const [whole] = await inspector.states([key]);
    const before = await digest(bucket);
    tamper(sql);
    assert.notDeepEqual(await digest(bucket), before);
    const [found = []]: readonly (readonly EntryDigest[])[] = await inspector.entries([bucket], NOW);
    const [state] = await inspector.states([key]);
    const seen = await store.get(key, NOW);
    assert.deepEqual(found.length, shown === undefined ? 0 : 1);
    assert.deepEqual(shownOf(seen, stampedMs), shown, 'the collector reads it as the inspector does');
    assert.deepEqual(visibleOf(state, NOW), seen);
    assert.equal(found[0]?.version, seen?.version);
    assert.ok(whole !== undefined);
    const repair = { action: 'push', key, expected: stateDigest(state), seen: 'f'.repeat(28), upTo: 'f'.repeat(28), state: whole } as const;
    assert.deepEqual(await store.repair([repair], NOW), ['repaired']);
    assert.deepEqual(await digest(bucket), before);
  });
  test(`the collector writes and sweeps over ${what} of ${key} (${sql})`, async () => {
    await set(...(WHOLE[key] ?? []));
    tamper(sql);
    await set(...(WHOLE[key] ?? []), ['PEXPIREAT', key, 90_000]);
    const { generation } = await store.marks();
    await store.sweep({ generation, floor: write(ms + 1, ['DEL', 'k'])[0]?.version.slice(0, 24) ?? '', nowMs: NOW });
    await set(['DEL', key], ...(WHOLE[key] ?? []));
    await inspector.states([key]);
  });
}

const UNREADABLE = [
  ['s', 'UPDATE keys SET type = 77', ['PEXPIREAT', 's', 90_000]],
  ['t', `UPDATE keys SET timeline = '{broken'`, ['WMB.TIMELINE', 't', 3, 'n']],
  ['s', `UPDATE keys SET expire_at = 'soon'`, ['PEXPIREAT', 's', 90_000]],
] as const;
for (const [key, sql, command] of UNREADABLE) {
  test(`${sql} of ${key} shows as damage, with no expiry that nobody set, until the key is replaced`, async () => {
    await set(...(WHOLE[key] ?? []));
    tamper(sql);
    assert.deepEqual((await inspector.states([key])).map(isDamaged), [true]);
    assert.equal((await store.get(key, NOW))?.expireAtMs, 0);
    const [damaged] = await inspector.states([key]);
    assert.ok(damaged !== undefined);
    const repair = { action: 'push', key, expected: stateDigest(damaged), seen: 'f'.repeat(28), upTo: '', state: damaged } as const;
    assert.deepEqual(await store.repair([repair], NOW), ['outdated'], 'what is damaged is never copied');
    await set([...command]);
    assert.deepEqual((await inspector.states([key])).map(isDamaged), [true], 'a write to a part of it does not hide it');
    await set(['DEL', key], ...(WHOLE[key] ?? []));
    assert.deepEqual((await inspector.states([key])).map(isDamaged), [false]);
  });
}
