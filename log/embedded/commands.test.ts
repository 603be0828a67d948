import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import type { FrameDraft } from '../log.ts';
import { execute, packDrafts } from './commands.ts';
import { appendFrames, createFrameTables, readIdentity, readPartition } from './schema.ts';

const WANTED = { log: 'changes', origin: 'beijing', partitions: 2 } as const;

function database(): DatabaseSync {
  const db = new DatabaseSync(':memory:');
  createFrameTables(db, { wanted: WANTED, runtime: systemRuntime, place: 'memory' });
  return db;
}

function draft(partition: number, size: number): FrameDraft {
  return { partition, bytes: systemRuntime.bytes(size), count: 1, stampFirst: 'a', stampLast: 'b' };
}

test('an append that does not fit leaves nothing behind, and fits when there is room', () => {
  const db = database();
  const append = () => execute(db, 'memory', { type: 'append', packed: packDrafts([draft(0, 100), draft(1, 50_000)]) });
  assert.deepEqual(append(), [0, 0]);
  const pages = Number(db.prepare('PRAGMA page_count').get()?.page_count);
  db.exec(`PRAGMA max_page_count = ${pages + 5}`);
  assert.throws(append, { code: 'LOG_FULL' });
  assert.deepEqual([readPartition(db, 0).next, readPartition(db, 1).next], [1, 1]);
  assert.equal(db.prepare('SELECT count(*) AS n FROM wmb_log_frames').get()?.n, 2);
  db.exec(`PRAGMA max_page_count = ${pages + 100}`);
  assert.deepEqual(append(), [1, 1]);
});

test('an append that fails at its second frame leaves nothing of its first', () => {
  const db = database();
  const append = (...partitions: number[]) =>
    execute(db, 'memory', { type: 'append', packed: packDrafts(partitions.map((partition) => draft(partition, 100))) });
  append(1, 1);
  db.exec('UPDATE wmb_log_partitions SET next = 1 WHERE partition = 1');
  assert.throws(() => append(0, 1), { code: 'LOG_CORRUPT' });
  assert.equal(db.prepare('SELECT count(*) AS n FROM wmb_log_frames').get()?.n, 2);
  assert.deepEqual(append(0), [0]);
});

test('frames commit with the transaction that they are appended in, or not at all', () => {
  const db = database();
  db.exec('CREATE TABLE t (x); BEGIN; INSERT INTO t VALUES (1)');
  assert.deepEqual(appendFrames(db, [draft(1, 10), draft(1, 10)]), [0, 1]);
  db.exec('ROLLBACK; BEGIN; INSERT INTO t VALUES (2)');
  assert.deepEqual(appendFrames(db, [draft(1, 10)]), [0]);
  db.exec('COMMIT');
  assert.equal(readPartition(db, 1).next, 1);
  assert.deepEqual(
    db
      .prepare('SELECT x FROM t')
      .all()
      .map(({ x }) => x),
    [2],
  );
});

test('a log that was made before there were promises gets their table when it is opened', () => {
  const db = database();
  db.exec('DROP TABLE wmb_log_promise');
  createFrameTables(db, { wanted: WANTED, runtime: systemRuntime, place: 'memory' });
  execute(db, 'memory', { type: 'promise', stamp: 'c' });
  assert.deepEqual(execute(db, 'memory', { type: 'lease', holder: 'one', nowMs: 1 }), { lease: 1, stampLast: 'c' });
});

test('the tables are made once and keep their epoch', () => {
  const db = database();
  const again = createFrameTables(db, { wanted: WANTED, runtime: systemRuntime, place: 'memory' });
  assert.deepEqual(again, readIdentity(db, 'memory'));
  assert.throws(() => createFrameTables(db, { wanted: { ...WANTED, origin: 'x' }, runtime: systemRuntime, place: 'memory' }), {
    code: 'LOG_FOREIGN',
  });
});
