import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Checkpoints } from './checkpoints.ts';

const PAGES = 100;

interface Written {
  readonly file: string;
  readonly db: DatabaseSync;
  readonly checkpoints: Checkpoints;
  /** Commits one row; says how long the WAL is then. */
  commit(): number;
}

function writtenFile(t: TestContext, pages = PAGES): Written {
  const directory = mkdtempSync(join(tmpdir(), 'wmb-checkpoints-'));
  const file = join(directory, 'a.db');
  const db = new DatabaseSync(file);
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE rows (id INTEGER PRIMARY KEY, filler BLOB)');
  const checkpoints = new Checkpoints({ db, file, pages });
  t.after(async () => {
    await checkpoints.close();
    if (db.isOpen) db.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const insert = db.prepare('INSERT INTO rows (filler) VALUES (zeroblob(3000))');
  const state = db.prepare('PRAGMA wal_checkpoint(NOOP)');
  const commit = () => {
    insert.run();
    checkpoints.committed();
    return Number(state.get()?.log);
  };
  return { file, db, checkpoints, commit };
}

/** Commits, with `pause` between any two, until the WAL begins anew; fails when it has grown to `pagesMax`. */
async function untilBegunAnew({ commit }: Written, pagesMax: number, pause: () => Promise<void> = () => setTimeout(2)): Promise<void> {
  for (let before = 0, pages = commit(); pages >= before; before = pages, pages = commit()) {
    assert.ok(pages < pagesMax, `the WAL has ${pages} pages`);
    await pause();
  }
}

test('a WAL that has reached its limit begins anew while commits go on, long before SQLite would see to it itself', async (t) => {
  const written = writtenFile(t, 1_000);
  await untilBegunAnew(written, 4_000);
  assert.equal(written.db.prepare('PRAGMA integrity_check').get()?.['integrity_check'], 'ok');
});

test('while a reader keeps the WAL from beginning anew the commits go on, and it begins anew when the reader is gone', async (t) => {
  const written = writtenFile(t);
  const reader = new DatabaseSync(written.file, { readOnly: true });
  reader.exec('BEGIN');
  reader.prepare('SELECT count(*) FROM rows').get();
  for (let pages = 0; pages < 3 * PAGES; pages = written.commit()) await setTimeout(0);
  reader.close();
  await untilBegunAnew(written, 16 * PAGES);
});

test('closed before the writer it leaves no WAL behind', async (t) => {
  const written = writtenFile(t);
  await untilBegunAnew(written, 8 * PAGES);
  await written.checkpoints.close();
  written.db.close();
  assert.equal(existsSync(`${written.file}-wal`), false);
});

test('where its thread cannot open the file SQLite’s own checkpoint bounds the WAL', async (t) => {
  const written = writtenFile(t);
  const elsewhere = new Checkpoints({ db: written.db, file: join(written.file, 'nowhere.db'), pages: PAGES });
  t.after(() => elsewhere.close());
  let pagesMost = 0;
  for (let commits = 0; commits < 20 * PAGES; commits += 1) {
    written.db.exec('INSERT INTO rows (filler) VALUES (zeroblob(3000))');
    elsewhere.committed();
    pagesMost = Math.max(pagesMost, Number(written.db.prepare('PRAGMA wal_checkpoint(NOOP)').get()?.['log']));
    if (commits % 10 === 0) await setTimeout(0);
  }
  assert.ok(pagesMost > PAGES && pagesMost < 10 * PAGES, `the WAL had ${pagesMost} pages`);
});

test('a file that has come in the place of the writer’s is left alone: the WAL beside it is not its own', async (t) => {
  const { db, file } = writtenFile(t, 100_000);
  const { ino: inode } = statSync(file);
  db.exec(`VACUUM INTO '${file}.copy'; INSERT INTO rows (filler) VALUES (zeroblob(300000))`);
  renameSync(`${file}.copy`, file);
  const before = statSync(file).size;
  const thread = new Worker(new URL('./checkpoint-worker.ts', import.meta.url), { workerData: { file, inode } });
  t.after(() => thread.terminate());
  thread.postMessage(undefined);
  await Promise.race([once(thread, 'message'), once(thread, 'error')]).catch(() => {});
  assert.equal(statSync(file).size, before);
});
