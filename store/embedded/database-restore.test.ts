/** What docs/databases.md says of restoring a slave, done as it says. */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, test } from 'node:test';
import { database, makeDirectory, opened, removeDirectories, rowsOf, run, ship, sql } from './database-kit.ts';

const SCHEMA = 'CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY, note TEXT);';
const DOCS = new URL('../../docs/databases.md', import.meta.url);

afterEach(removeDirectories);

test('a slave made anew from the running master’s file follows from there', async (t) => {
  const master = await opened({ role: 'master', schema: SCHEMA });
  t.after(() => master.store.close());
  await run(master.store, [sql("INSERT INTO plain VALUES (1, 'one')")]);
  const copy = join(makeDirectory(), 'copy.db');
  const person = new DatabaseSync(master.file);
  person.exec(`VACUUM INTO '${copy}'`);
  person.close();
  await run(master.store, [sql("INSERT INTO plain VALUES (2, 'two')")]);

  const script = /```sql\n([\s\S]*?)```/.exec(
    readFileSync(DOCS, 'utf8').slice(readFileSync(DOCS, 'utf8').indexOf('has to be restored')),
  )?.[1];
  const slave = database({ role: 'slave', schema: SCHEMA });
  const db = new DatabaseSync(copy);
  db.exec(script ?? assert.fail('the page has no script'));
  db.close();
  copyFileSync(copy, slave.file);
  rmSync(copy);
  await slave.store.open();
  t.after(() => slave.store.close());
  await ship(master, slave.store);
  assert.deepEqual(await rowsOf(slave.store, 'plain'), await rowsOf(master.store, 'plain'));
  assert.equal((await rowsOf(slave.store, 'plain')).length, 2);
});
