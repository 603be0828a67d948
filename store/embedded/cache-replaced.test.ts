/** A copy that is put in the place of the cache's file by rename, while its collector and its checker have it open. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { BUCKETS } from '../../core/converge/bucket.ts';
import { type ErrorCode, WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { NOW, value, write } from '../cache-kit.ts';
import { CACHE_FILE, EmbeddedCache } from './cache.ts';
import { EmbeddedCacheInspector } from './cache-inspector.ts';

const refusal = (code: ErrorCode, message: RegExp) => (error: unknown) =>
  error instanceof WmbError && error.code === code && message.test(error.message);

async function open(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-replaced-'));
  const store = new EmbeddedCache({ directory, room: 'beijing', runtime: systemRuntime });
  const inspector = new EmbeddedCacheInspector({ directory, runtime: systemRuntime });
  await store.open();
  t.after(async () => {
    await inspector.close();
    await store.close();
    rmSync(directory, { recursive: true });
  });
  const lane = { log: 'writes', origin: 'beijing', partition: 0, epoch: 'e' } as const;
  let seq = -1;
  const apply = async (key: string, generation = 0, expected = seq) => {
    const move = { ...lane, expected, next: expected + 1 };
    const result = await store.apply({
      generation,
      moves: [move],
      writes: [write(1_000 + expected, ['SET', key, 'v'])],
      floor: '',
      nowMs: NOW,
    });
    if (result.moved) seq = expected + 1;
    return result;
  };
  const seen = async (key: string) => (await inspector.states([key]))[0]?.registers[0]?.value;
  return { directory, file: join(directory, CACHE_FILE), store, inspector, apply, seen };
}

/** As an operator makes one, whole and without a WAL. */
function copyOf(file: string): string {
  const db = new DatabaseSync(file, { readOnly: true });
  db.exec(`VACUUM INTO '${file}.copy'`);
  db.close();
  return `${file}.copy`;
}

test('a copy put in the place of the file by rename is a new generation at the next look at the marks, and is what is written from then on', async (t) => {
  const { store, file, apply, seen } = await open(t);
  await apply('a');
  const copy = copyOf(file);
  await apply('b');
  renameSync(copy, file);
  const { generation, marks } = await store.marks();
  assert.deepEqual([generation, marks.map(({ seq }) => seq)], [1, [0]]);
  assert.deepEqual(await apply('b', 0, 0), { moved: false, generation: 1, stored: undefined }, 'what was made for the old file');
  assert.equal((await apply('b', 1, 0)).moved, true);
  assert.deepEqual([await seen('a'), await seen('b')], ['v', 'v'], 'whoever opens the file finds it');
});

test('nothing more goes into the file that has no name any more, even before the marks are looked at', async (t) => {
  const { file, apply, store } = await open(t);
  await apply('a');
  renameSync(copyOf(file), file);
  assert.equal((await apply('b')).moved, true, 'the copy is just as the file was left');
  assert.equal((await store.marks()).generation, 0);
  renameSync(copyOf(file), file);
  assert.deepEqual(await value(store, 'b'), { type: 'string', value: 'v' });
});

test('the WAL of the file before does not become the new one’s, and its buckets all count as written', async (t) => {
  const { store, file, apply, inspector, seen } = await open(t);
  await apply('a');
  const copy = copyOf(file);
  for (let count = 0; count < 200; count += 1) await apply(`k${count}`);
  assert.equal(await seen('k7'), 'v');
  await store.takeDirty(BUCKETS);
  renameSync(copy, file);
  await assert.rejects(
    inspector.states(['k7']),
    refusal('STORE_UNAVAILABLE', /takes it over in a moment/),
    'it would be a mixture of both',
  );
  assert.equal((await store.takeDirty(BUCKETS)).length, BUCKETS);
  assert.deepEqual([await seen('a'), await seen('k7')], ['v', undefined]);
  const check = new DatabaseSync(file, { readOnly: true });
  assert.deepEqual({ ...check.prepare('PRAGMA integrity_check').get() }, { integrity_check: 'ok' });
  check.close();
});

test('a file that is gone holds the room up and says so, and goes on when a copy is there', async (t) => {
  const { store, file, apply } = await open(t);
  await apply('a');
  const copy = copyOf(file);
  rmSync(file);
  await assert.rejects(store.marks(), refusal('STORE_UNAVAILABLE', /is gone/));
  await assert.rejects(apply('b'), refusal('STORE_UNAVAILABLE', /is gone/));
  writeFileSync(file, '');
  await assert.rejects(store.marks(), refusal('STORE_UNAVAILABLE', /no cache/), 'it may be one that is being copied');
  renameSync(copy, file);
  assert.deepEqual(
    (await store.marks()).marks.map(({ seq }) => seq),
    [0],
  );
});

test('the cache of another room that comes in its place is refused until the right one is there', async (t) => {
  const { store, file, apply } = await open(t);
  await apply('a');
  const copy = copyOf(file);
  cpSync(copy, `${copy}2`);
  const foreign = new DatabaseSync(`${copy}2`);
  foreign.exec(`UPDATE wmb_cache SET room = 'guangzhou'`);
  foreign.close();
  renameSync(`${copy}2`, file);
  await assert.rejects(store.marks(), refusal('STORE_FOREIGN', /guangzhou/));
  await assert.rejects(apply('b'), refusal('STORE_FOREIGN', /guangzhou/));
  renameSync(copy, file);
  assert.equal((await apply('b')).moved, true);
});
