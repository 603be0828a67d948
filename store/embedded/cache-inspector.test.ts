import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, test } from 'node:test';
import { BUCKETS, bucketOf } from '../../core/converge/bucket.ts';
import { stateDigest } from '../../core/converge/state.ts';
import { type ErrorCode, WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { apply, type Commands, NOW, value, write } from '../cache-kit.ts';
import { inspectionContract } from '../inspection.contract.ts';
import { mendingContract } from '../mending.contract.ts';
import { CACHE_FILE, EmbeddedCache } from './cache.ts';
import { EmbeddedCacheInspector } from './cache-inspector.ts';

const makeDirectory = () => mkdtempSync(join(tmpdir(), 'wmb-inspect-'));

async function openStore(at: string): Promise<EmbeddedCache> {
  const store = new EmbeddedCache({ directory: at, room: 'beijing', runtime: systemRuntime });
  await store.open();
  return store;
}

async function underTest() {
  const at = makeDirectory();
  let store = await openStore(at);
  const inspector = new EmbeddedCacheInspector({ directory: at, runtime: systemRuntime });
  await inspector.open();
  const reopen = async () => {
    await store.close();
    store = await openStore(at);
    return store;
  };
  const cleanup = async () => {
    await inspector.close();
    await store.close();
    rmSync(at, { recursive: true });
  };
  return { store, inspector, reopen, cleanup };
}

inspectionContract('the inspector of the embedded cache', underTest);
mendingContract('the mending of the embedded cache', underTest);

let directory = '';
let store: EmbeddedCache;
let inspector: EmbeddedCacheInspector;

beforeEach(async () => {
  directory = makeDirectory();
  store = await openStore(directory);
  inspector = new EmbeddedCacheInspector({ directory, runtime: systemRuntime });
});

afterEach(async () => {
  await inspector.close();
  await store.close();
  rmSync(directory, { recursive: true });
});

const refusal = (code: ErrorCode, message: RegExp) => (error: unknown) =>
  error instanceof WmbError && error.code === code && message.test(error.message);

let ms = 1_000;
const set = (...commands: Commands) => apply(store, [write(ms++, ...commands)]);

/** As an operator does it: with SQLite at hand, while the collector has the file open. */
function tamper(sql: string): void {
  const db = new DatabaseSync(join(directory, CACHE_FILE));
  try {
    db.exec(sql);
  } finally {
    db.close();
  }
}

const entries = async (key: string, nowMs = NOW) => (await inspector.entries([bucketOf(key)], nowMs)).flat();
async function digest(bucket: number, nowMs = NOW) {
  const [found] = await inspector.digests([bucket], nowMs);
  return [found?.high, found?.low];
}

test('a process of its own sees each commit of the owner at once, and holds nobody up', async (t) => {
  const script = `
    import { EmbeddedCacheInspector } from ${JSON.stringify(new URL('./cache-inspector.ts', import.meta.url).href)};
    import { systemRuntime } from ${JSON.stringify(new URL('../../core/runtime.ts', import.meta.url).href)};
    const inspector = new EmbeddedCacheInspector({ directory: ${JSON.stringify(directory)}, runtime: systemRuntime });
    await inspector.open();
    process.stdin.on('data', async () => {
      const [state] = await inspector.states(['k']);
      process.stdout.write(JSON.stringify(state.registers[0].value));
    });
    process.stdout.write('open');
  `;
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  for (const text of ['v', 'w', 'x']) {
    await set(['SET', 'k', text]);
    child.stdin.write('?');
    const [answer] = await once(child.stdout, 'data');
    assert.equal(JSON.parse(String(answer)), text);
  }
});

test('what one call sees is one moment of the file, however fast its owner writes', async (t) => {
  await set(['SET', 'a', '0'], ['SET', 'b', '0']);
  await store.close();
  const script = `
    import { EmbeddedCache } from ${JSON.stringify(new URL('./cache.ts', import.meta.url).href)};
    import { systemRuntime } from ${JSON.stringify(new URL('../../core/runtime.ts', import.meta.url).href)};
    const store = new EmbeddedCache({ directory: ${JSON.stringify(directory)}, room: 'beijing', runtime: systemRuntime });
    await store.open();
    for (let round = 1; ; round += 1) {
      const version = (20_000 + round).toString(16).padStart(12, '0') + '0'.repeat(16);
      const effects = ['a', 'b'].map((key) => ({ op: 'set', key, version, value: String(round), expireAtMs: 0 }));
      await store.apply({ generation: 0, moves: [], writes: [effects], floor: '', nowMs: 30_000 });
      await systemRuntime.turn();
    }
  `;
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], {
    stdio: 'inherit',
  });
  t.after(() => child.kill('SIGKILL'));
  const seen = new Set<unknown>();
  while (seen.size < 50) {
    // Far enough apart for a commit to come in between.
    const states = await inspector.states(['a', ...Array.from({ length: 200 }, () => 'none'), 'b']);
    const [a, b] = [states[0], states.at(-1)];
    assert.equal(a?.registers[0]?.value, b?.registers[0]?.value);
    seen.add(a?.registers[0]?.value);
    await systemRuntime.turn();
  }
  child.kill('SIGKILL');
  await once(child, 'exit');
  store = await openStore(directory);
});

test('where the collector has not made the cache yet it is to be tried again later, and then it is there', async () => {
  const at = makeDirectory();
  const early = new EmbeddedCacheInspector({ directory: at, runtime: systemRuntime });
  try {
    await assert.rejects(early.open(), refusal('STORE_UNAVAILABLE', /does not exist yet/));
    new DatabaseSync(join(at, CACHE_FILE)).close();
    await assert.rejects(early.open(), refusal('STORE_UNAVAILABLE', /not made/));
    await (await openStore(at)).close();
    assert.deepEqual(await early.states(['k']), [undefined]);
    await early.close();
    writeFileSync(join(at, CACHE_FILE), 'no database '.repeat(100));
    await assert.rejects(early.open(), refusal('STORE_CORRUPT', /damaged/));
  } finally {
    await early.close();
    rmSync(at, { recursive: true });
  }
});

test('after a file has come back older every bucket is given as written, since any may differ', async () => {
  await set(['SET', 'k', 'v']);
  await store.takeDirty(BUCKETS);
  tamper(`UPDATE wmb_revision SET revision = 'older'`);
  assert.equal((await store.takeDirty(10)).length, 10);
  assert.equal((await store.takeDirty(BUCKETS)).length, BUCKETS - 10);
  assert.deepEqual(await store.takeDirty(BUCKETS), []);
});

test('a file that came in the place of the one that was open is noticed, and its owner’s commits are safe', async () => {
  await set(['SET', 'k', 'old']);
  assert.deepEqual((await inspector.states(['k']))[0]?.registers[0]?.value, 'old');
  const copy = makeDirectory();
  await store.close();
  cpSync(directory, copy, { recursive: true });
  await set0(copy);
  for (const file of [CACHE_FILE, `${CACHE_FILE}-wal`, `${CACHE_FILE}-shm`]) rmSync(join(directory, file), { force: true });
  await assert.rejects(inspector.states(['k']), refusal('STORE_UNAVAILABLE', /does not exist/));
  renameSync(join(copy, CACHE_FILE), join(directory, CACHE_FILE));
  rmSync(copy, { recursive: true });
  store = await openStore(directory);
  assert.deepEqual((await inspector.states(['k']))[0]?.registers[0]?.value, 'restored');
  await set(['SET', 'l', 'after']);
  const [, l] = await inspector.states(['k', 'l']);
  assert.equal(l?.registers[0]?.value, 'after');
});

/** Makes the copy another cache than the original. */
async function set0(at: string): Promise<void> {
  const other = await openStore(at);
  await apply(other, [write(5_000, ['SET', 'k', 'restored'])]);
  await other.close();
}

test('a file that is replaced while its owner goes on loses no commit of the new owner when the old one is let go', async () => {
  await set(['SET', 'k', 'old']);
  await inspector.states(['k']);
  await store.close();
  const copy = makeDirectory();
  cpSync(join(directory, CACHE_FILE), join(copy, CACHE_FILE));
  for (const file of [CACHE_FILE, `${CACHE_FILE}-wal`, `${CACHE_FILE}-shm`]) rmSync(join(directory, file), { force: true });
  renameSync(join(copy, CACHE_FILE), join(directory, CACHE_FILE));
  rmSync(copy, { recursive: true });
  store = await openStore(directory);
  await set(['SET', 'k', 'new']);
  assert.equal((await inspector.states(['k']))[0]?.registers[0]?.value, 'new');
  await set(['SET', 'k', 'newer']);
  assert.equal((await inspector.states(['k']))[0]?.registers[0]?.value, 'newer');
  await store.close();
  store = await openStore(directory);
  assert.deepEqual(await value(store, 'k'), { type: 'string', value: 'newer' });
});

test('what an operator changes, deletes or puts in while the collector runs is seen, and the collector goes on', async () => {
  await set(['SET', 'a', '1'], ['SET', 'b', '2'], ['SET', 'c', '3']);
  const keys = ['a', 'b', 'evil'];
  const before = await Promise.all(keys.map((key) => digest(bucketOf(key))));
  tamper(`UPDATE keys SET value = '9' WHERE key = 'a'; DELETE FROM keys WHERE key = 'b';
    INSERT INTO keys SELECT 'evil', ${bucketOf('evil')}, type, kill, version, value, expire_at, parts, timeline FROM keys WHERE key = 'c'`);
  const after = await Promise.all(keys.map((key) => digest(bucketOf(key))));
  for (const [index, key] of keys.entries()) assert.notDeepEqual(after[index], before[index], key);
  const [a, b, evil] = await inspector.states(keys);
  assert.deepEqual([a?.registers[0]?.value, b, evil?.registers[0]?.value], ['9', undefined, '3']);
  await set(['SET', 'a', '10']);
  assert.deepEqual(await value(store, 'a'), { type: 'string', value: '10' });
  assert.ok(!(await store.takeDirty(BUCKETS)).includes(bucketOf('evil')), 'nobody has written it');
});

for (const wrong of ['7', '-3', '99999', '2.5', `'abc'`, `x'ff'`, '9223372036854775807']) {
  test(`a key that was put in under the bucket ${wrong} shows in a bucket, and is repaired`, async () => {
    await set(['SET', 'c', '3']);
    const all = Array.from({ length: BUCKETS }, (_, bucket) => bucket);
    const before = await inspector.digests(all, NOW);
    tamper(`INSERT INTO keys SELECT 'evil', ${wrong}, type, kill, version, value, expire_at, parts, timeline FROM keys WHERE key = 'c'`);
    const after = await inspector.digests(all, NOW);
    const changed = after.filter(({ low }, bucket) => low !== before[bucket]?.low);
    assert.equal(changed.length, 1);
    assert.deepEqual(
      (await inspector.entries([changed[0]?.bucket ?? -1], NOW))
        .flat()
        .map(({ key }) => key)
        .filter((key) => key !== 'c'),
      ['evil'],
    );
    const [evil, right] = await inspector.states(['evil', 'c']);
    assert.ok(evil !== undefined && right !== undefined);
    const upTo = 'f'.repeat(28);
    const repair = {
      action: 'push',
      key: 'evil',
      expected: stateDigest(evil),
      seen: upTo,
      upTo,
      state: { ...right, key: 'evil' },
    } as const;
    assert.deepEqual(await store.repair([{ ...repair, state: { ...repair.state, expireAtMs: 50_000 } }], NOW), ['repaired']);
    assert.ok(
      (await entries('evil')).some(({ key }) => key === 'evil'),
      'and stands where it belongs',
    );
  });
}

test('rows that a deleted head has left behind do not come back with a repair', async () => {
  await set(['HSET', 'h', 'f', '1', 'g', '2']);
  const [whole] = await inspector.states(['h']);
  tamper(`DELETE FROM keys WHERE key = 'h'; INSERT INTO elements VALUES ('h', 'forged', '', 'x')`);
  assert.ok(whole !== undefined);
  const repair = { action: 'push', key: 'h', expected: '', seen: 'f'.repeat(28), upTo: 'f'.repeat(28), state: whole } as const;
  assert.deepEqual(await store.repair([repair], NOW), ['repaired']);
  assert.deepEqual((await inspector.states(['h']))[0], whole);
});

test('a cache of the first schema is brought up to this one when it is opened', async () => {
  await set(['SET', 'k', 'v']);
  await store.close();
  tamper('DROP INDEX keys_by_bucket; UPDATE wmb_cache SET schema = 1');
  await assert.rejects(inspector.open(), refusal('STORE_UNAVAILABLE', /brought up to this version/));
  store = await openStore(directory);
  const [entry] = await entries('k');
  assert.equal(entry?.key, 'k');
  assert.deepEqual(await value(store, 'k'), { type: 'string', value: 'v' });
  const db = new DatabaseSync(join(directory, CACHE_FILE), { readOnly: true });
  const plan = db.prepare('EXPLAIN QUERY PLAN SELECT key FROM keys WHERE bucket >= 1 AND bucket < 2').get();
  assert.match(String(plan?.['detail']), /keys_by_bucket/);
  db.close();
});
