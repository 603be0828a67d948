/** The lanes on the stores that people run: SQLite files in a directory. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { silentLogger } from '../../core/logger.ts';
import { noMetrics } from '../../core/metrics.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { EmbeddedLog } from '../../log/embedded/embedded.ts';
import { EmbeddedCache } from '../../store/embedded/cache.ts';
import { EmbeddedDatabase } from '../../store/embedded/database.ts';
import { EmbeddedBook } from '../receipts/embedded.ts';
import { Applier } from './admit.ts';
import { incr, set, TestLog, TestRoom } from './testing.ts';

/** `correct`: what the processor puts in the place of a body. */
async function openRoom(t: TestContext, directory: string, correct = (body: string) => body) {
  const { config, processors } = new TestRoom({ mode: 'master-slave' });
  const schemaFile = join(directory, 'schema.sql');
  writeFileSync(schemaFile, 'CREATE TABLE IF NOT EXISTS notes (id TEXT PRIMARY KEY NOT NULL, body TEXT NOT NULL, wmb_stamp TEXT NOT NULL)');
  const runtime = systemRuntime;
  const cache = new EmbeddedCache({ directory: join(directory, 'cache'), room: 'beijing', runtime });
  const database = new EmbeddedDatabase({
    directory: join(directory, 'database'),
    room: 'beijing',
    role: 'master',
    master: 'beijing',
    schemaFile,
    runtime,
    onChanges: undefined,
  });
  const effectLog = new EmbeddedLog({
    directory: join(directory, 'effects'),
    log: 'effects',
    origin: 'beijing',
    partitions: 1,
    runtime,
    tailBytesMax: 1_000_000,
  });
  const book = new EmbeddedBook({ file: join(directory, 'book.db'), room: 'beijing' });
  processors.kinds['message'] = (write) => ({
    cache: [['HSET', 'notes', write.key, write.requestId]],
    database: [
      { op: 'upsert', table: 'notes', key: { id: write.key }, values: { body: correct((write.json() as { body: string }).body) } },
    ],
  });
  for (const store of [cache, database, effectLog, book]) await store.open();
  const applier = new Applier({
    config,
    cache,
    database,
    book,
    processors,
    effectLog,
    floors: { floor: () => '' },
    runtime,
    logger: silentLogger,
    metrics: noMetrics,
  });
  await applier.start();
  const close = async () => {
    await applier.stop();
    for (const store of [cache, database, effectLog, book]) await store.close();
  };
  t.after(close);
  return { applier, cache, database, effectLog, book, close };
}

async function rows(database: EmbeddedDatabase): Promise<string[]> {
  const found: string[] = [];
  for await (const row of database.rows('notes')) found.push(`${String(row['id'])}=${String(row['body'])}`);
  return found;
}

test('a master room on SQLite applies, parks what its database refuses, resumes after a restart and retries', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-applier-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const log = new TestLog().add(
    set('a', '1'),
    incr('n'),
    { kind: 'message', key: 'x', payload: { body: 'hello' } },
    { kind: 'message', key: 'y', payload: { body: null } },
  );
  const first = await openRoom(t, directory);
  const consumer = first.applier.consumers(log.lane);
  assert.deepEqual(await consumer.resume({ epoch: log.epoch }), { after: -1, historyWrites: 0 });
  await consumer.take(log.after(-1));
  assert.deepEqual(await rows(first.database), ['x=hello']);
  assert.equal((await first.applier.parking.list('', 9))[0]?.code, 'STATEMENT_FAILED');
  assert.equal(first.effectLog.extent(0).writes, 4);
  await first.close();

  const again = await openRoom(t, directory);
  const resumed = again.applier.consumers(log.lane);
  const { after, historyWrites } = await resumed.resume({ epoch: log.epoch });
  assert.equal(after, 0);
  await resumed.take(log.add(incr('n'), { kind: 'message', key: 'y', payload: { body: 'later' } }).after(after, historyWrites));
  assert.deepEqual(
    (await again.applier.parking.list('', 9)).map((it) => it.code),
    ['STATEMENT_FAILED', 'BEHIND_PARKED'],
  );
  await again.applier.parking.discard({ writes: ['guangzhou-4'], all: false });
  assert.deepEqual(await rows(again.database), ['x=hello', 'y=later']);
  assert.deepEqual((await again.cache.get('n', systemRuntime.nowMs()))?.value, { type: 'string', value: '2' });
  assert.deepEqual((await again.cache.get('notes', systemRuntime.nowMs()))?.value, {
    type: 'hash',
    fields: [
      ['x', 'guangzhou-3'],
      ['y', 'guangzhou-6'],
    ],
  });
  assert.equal(again.book.parkedTotal(), 0);
});

test('a cache file put back from a copy gets what was retried since, and what the log brings', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-applier-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const log = new TestLog().add(incr('n'), { kind: 'message', key: 'y', payload: { body: null } });
  const file = join(directory, 'cache', 'cache.db');
  const first = await openRoom(t, directory);
  await first.applier.consumers(log.lane).resume({ epoch: log.epoch });
  await first.applier.consumers(log.lane).take(log.after(-1));
  await first.close();
  copyFileSync(file, join(directory, 'copy.db'));

  const second = await openRoom(t, directory, () => 'corrected');
  const { outcomes } = await second.applier.parking.retry({ writes: [], all: true });
  assert.deepEqual(
    outcomes.map((it) => it.outcome),
    ['applied'],
  );
  await second.applier.consumers(log.lane).resume({ epoch: log.epoch });
  await second.applier.consumers(log.lane).take(log.add(incr('n')).after(-1));
  await second.close();
  copyFileSync(join(directory, 'copy.db'), file);
  for (const part of ['-wal', '-shm']) rmSync(`${file}${part}`, { force: true });

  const third = await openRoom(t, directory);
  assert.deepEqual((await third.cache.get('notes', systemRuntime.nowMs()))?.value, { type: 'hash', fields: [['y', 'guangzhou-2']] });
  const { after, historyWrites } = await third.applier.consumers(log.lane).resume({ epoch: log.epoch });
  await third.applier.consumers(log.lane).take(log.after(after, historyWrites));
  assert.deepEqual((await third.cache.get('n', systemRuntime.nowMs()))?.value, { type: 'string', value: '2' });
  assert.deepEqual(await rows(third.database), ['y=corrected'], 'once');
});
