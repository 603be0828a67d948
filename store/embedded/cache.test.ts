import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import { bucketOf } from '../../core/converge/bucket.ts';
import { compileCommands } from '../../core/converge/commands.ts';
import { type ErrorCode, WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import { CACHE_FILE, EmbeddedCache } from './cache.ts';

let directory = '';
let opened: EmbeddedCache[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'wmb-cache-'));
  opened = [];
});

afterEach(async () => {
  for (const store of opened) await store.close();
  rmSync(directory, { recursive: true });
});

async function openCache(room = 'beijing', at = directory): Promise<EmbeddedCache> {
  const store = new EmbeddedCache({ directory: at, room, runtime: systemRuntime });
  await store.open();
  opened.push(store);
  return store;
}

let ms = 1_000;
async function set(store: EmbeddedCache, ...commands: (readonly (string | number)[])[]): Promise<void> {
  await store.apply({
    generation: 0,
    moves: [],
    writes: [compileCommands(commands, formatStamp({ ms: ms++, counter: 0, writer: 1 }))],
    floor: '',
    nowMs: ms,
  });
}

function refusal(code: ErrorCode, message: RegExp) {
  return (error: unknown) => error instanceof WmbError && error.code === code && message.test(error.message);
}

function reader(): DatabaseSync {
  return new DatabaseSync(join(directory, CACHE_FILE), { readOnly: true });
}

test('a cache that is open cannot be opened again, and the message names the owner', async () => {
  await openCache();
  await assert.rejects(openCache(), refusal('STORE_LOCKED', new RegExp(`${process.pid}`)));
});

test('a cache can be opened again after it was closed', async () => {
  await (await openCache()).close();
  await openCache();
});

test('a process that is killed loses the cache, keeps its data, and is named while it lives', async (t) => {
  const script = `
    import { EmbeddedCache } from ${JSON.stringify(new URL('./cache.ts', import.meta.url).href)};
    import { systemRuntime } from ${JSON.stringify(new URL('../../core/runtime.ts', import.meta.url).href)};
    const store = new EmbeddedCache({ directory: ${JSON.stringify(directory)}, room: 'beijing', runtime: systemRuntime });
    await store.open();
    const effect = { op: 'set', key: 'k', version: '0'.repeat(26) + '11', value: 'v', expireAtMs: 0 };
    await store.apply({ generation: 0, moves: [{ log: 'writes', origin: 'beijing', partition: 0, epoch: 'e', expected: -1, next: 3 }], writes: [[effect]], floor: '', nowMs: 1 });
    process.stdout.write('open');
    setInterval(() => {}, 1000);
  `;
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  await assert.rejects(openCache(), refusal('STORE_LOCKED', new RegExp(`${child.pid}`)));
  child.kill('SIGKILL');
  await once(child, 'exit');
  const store = await openCache();
  assert.deepEqual((await store.get('k', 1))?.value, { type: 'string', value: 'v' });
  assert.deepEqual(
    (await store.marks()).marks.map(({ seq }) => seq),
    [3],
  );
});

test('another process may read the file while its owner writes', async () => {
  const store = await openCache();
  await set(store, ['SET', 'k', 'v']);
  const db = reader();
  assert.deepEqual(
    db
      .prepare('SELECT key, value FROM keys')
      .all()
      .map((row) => ({ ...row })),
    [{ key: 'k', value: 'v' }],
  );
  await set(store, ['SET', 'k', 'w']);
  assert.equal(db.prepare('SELECT value FROM keys').get()?.['value'], 'w');
  db.close();
});

test('the cache of another room is refused', async () => {
  await (await openCache()).close();
  await assert.rejects(openCache('guangzhou'), refusal('STORE_FOREIGN', /room beijing, not of room guangzhou/));
  await openCache();
});

test('a cache of another schema version is refused', async () => {
  await (await openCache()).close();
  const db = new DatabaseSync(join(directory, CACHE_FILE));
  db.exec('UPDATE wmb_cache SET schema = schema + 1');
  db.close();
  await assert.rejects(openCache(), refusal('STORE_FOREIGN', /upgrade/));
});

test('a file that is no database is damaged', async () => {
  writeFileSync(join(directory, CACHE_FILE), 'no database '.repeat(100));
  await assert.rejects(openCache(), refusal('STORE_CORRUPT', /damaged/));
});

test('a directory that cannot be made is said to be so', async () => {
  writeFileSync(join(directory, 'file'), '');
  await assert.rejects(openCache('beijing', join(directory, 'file', 'below')), refusal('STORE_READONLY', /cannot be made/));
});

test('a directory that cannot be written is said to be so', { skip: process.getuid?.() === 0 && 'root may write anywhere' }, async () => {
  chmodSync(directory, 0o500);
  await assert.rejects(openCache(), refusal('STORE_READONLY', /cannot be opened for writing/));
  chmodSync(directory, 0o700);
});

test('a batch that fails half-way leaves nothing behind and the cache goes on', async () => {
  const store = await openCache();
  await set(store, ['SET', 'k', 'before']);
  const db = new DatabaseSync(join(directory, CACHE_FILE));
  db.exec(`CREATE TRIGGER full BEFORE INSERT ON elements WHEN new.name = 'bad' BEGIN SELECT RAISE(ABORT, 'made to fail'); END`);
  const move = { log: 'writes', origin: 'beijing', partition: 0, epoch: 'e', expected: -1, next: 0 } as const;
  const writes = [compileCommands([['HSET', 'h', 'good', '1', 'bad', '2']], formatStamp({ ms: 9_000, counter: 0, writer: 1 }))];
  await assert.rejects(
    store.apply({ generation: 0, moves: [move], writes, floor: '', nowMs: 9_000 }),
    refusal('STORE_UNAVAILABLE', /made to fail/),
  );
  assert.equal(await store.get('h', 9_000), undefined);
  assert.deepEqual((await store.marks()).marks, []);
  db.exec('DROP TRIGGER full');
  db.close();
  assert.equal((await store.apply({ generation: 0, moves: [move], writes, floor: '', nowMs: 9_000 })).moved, true);
  assert.equal((await store.get('h', 9_000))?.value.type, 'hash');
});

test('a full disk is said to be so, and work resumes when there is space', async () => {
  const store = await openCache();
  await set(store, ['SET', 'k', 'v']);
  // A table whose rowids are used up makes SQLite report the very error of a full disk.
  const db = new DatabaseSync(join(directory, CACHE_FILE));
  db.exec(`CREATE TABLE disk (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO disk VALUES (9223372036854775807);
    CREATE TRIGGER full AFTER INSERT ON keys BEGIN INSERT INTO disk VALUES (NULL); END`);
  await assert.rejects(set(store, ['SET', 'k', 'w'], ['SET', 'new', 'w']), refusal('STORE_FULL', /no space is left/));
  assert.deepEqual((await store.get('k', ms))?.value, { type: 'string', value: 'v' });
  db.exec('DROP TRIGGER full');
  db.close();
  await set(store, ['SET', 'k', 'w'], ['SET', 'new', 'w']);
  assert.deepEqual((await store.get('k', ms))?.value, { type: 'string', value: 'w' });
});

test('applying marks the buckets of the touched keys dirty, once', async () => {
  const store = await openCache();
  await set(store, ['SET', 'a', '1'], ['HSET', 'b', 'f', '1']);
  await set(store, ['SET', 'a', '2']);
  const db = reader();
  const dirty = db
    .prepare('SELECT bucket FROM buckets ORDER BY bucket')
    .all()
    .map((row) => Number(row['bucket']));
  assert.deepEqual(
    dirty,
    [bucketOf('a'), bucketOf('b')].sort((x, y) => x - y),
  );
  const stored = db.prepare(`SELECT bucket FROM keys WHERE key = 'a'`).get();
  assert.equal(stored?.['bucket'], bucketOf('a'));
  db.close();
});

test('after everything has been deleted and the floor has passed, no row is left', async () => {
  const store = await openCache();
  await set(
    store,
    ['SET', 's', '1'],
    ['HSET', 'h', 'f', '1', 'g', '2'],
    ['HINCRBY', 'h', 'n', 1],
    ['INCR', 'c'],
    ['ZADD', 'z', 1, 'm'],
    ['WMB.TIMELINE', 't', 3, 'm'],
  );
  await set(
    store,
    ['PEXPIREAT', 's', 5_000],
    ['PERSIST', 'h'],
    ['HDEL', 'h', 'f', 'g', 'n'],
    ['DEL', 'c', 'z', 't'],
    ['SET', 'e', 'v', 'PXAT', 5_000],
    ['SREM', 'none', 'm'],
    ['PEXPIREAT', 'none', 5_000],
  );
  const floor = formatStamp({ ms: 6_000, counter: 0, writer: 1 });
  assert.ok((await store.sweep({ generation: 0, floor, nowMs: 7_000 })) > 0);
  await store.sweep({ generation: 0, floor, nowMs: 7_000 });
  const db = reader();
  for (const table of ['keys', 'elements', 'increments', 'expiries'])
    assert.deepEqual(db.prepare(`SELECT * FROM ${table}`).all(), [], table);
  db.close();
});

test('sweeping reaches every key, however many there are', async () => {
  const store = await openCache();
  for (let from = 0; from < 2_000; from += 500) {
    await set(store, ...Array.from({ length: 500 }, (_, index) => ['SET', `k${from + index}`, 'v', 'PXAT', 50_000]));
    await set(store, ...Array.from({ length: 500 }, (_, index) => ['HDEL', `h${from + index}`, 'f']));
  }
  await store.sweep({ generation: 0, floor: formatStamp({ ms: 60_000, counter: 0, writer: 1 }), nowMs: 70_000 });
  await store.sweep({ generation: 0, floor: formatStamp({ ms: 60_000, counter: 0, writer: 1 }), nowMs: 70_000 });
  const db = reader();
  assert.equal(db.prepare('SELECT count(*) AS rows FROM keys').get()?.['rows'], 0);
  assert.equal(db.prepare('SELECT count(*) AS rows FROM elements').get()?.['rows'], 0);
  db.close();
});

test('adding to a big set reads only what it touches', async () => {
  const store = await openCache();
  await set(store, ['SADD', 'big', ...Array.from({ length: 10_000 }, (_, index) => `m${index}`)]);
  const db = reader();
  const before = db.prepare(`SELECT * FROM keys WHERE key = 'big'`).get();
  await set(store, ['SADD', 'big', 'one more']);
  assert.deepEqual(db.prepare(`SELECT * FROM keys WHERE key = 'big'`).get(), before);
  assert.equal(db.prepare('SELECT count(*) AS rows FROM elements').get()?.['rows'], 10_001);
  db.close();
});
