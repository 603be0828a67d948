import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, it } from 'node:test';
import type { WmbError } from '../../core/errors.ts';
import { splitSql } from '../sql-text.ts';
import {
  database,
  dump,
  EPOCH,
  LANE,
  MASTER,
  makeDirectory,
  opened,
  removeDirectories,
  rowsOf,
  run,
  SLAVE,
  ship,
  sql,
} from './database-kit.ts';

const SCHEMA = 'CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY, note TEXT);';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  removeDirectories();
});

/** Another process that runs `body` on a master's database in `directory`; resolves when it has printed its first line. */
async function otherProcess(directory: string, body: string): Promise<ChildProcess> {
  const kit = new URL('database-kit.ts', import.meta.url).href;
  const script = `import { EPOCH, LANE, opened, sql, stamp } from '${kit}'; const { store } = await opened({ role: 'master', schema: ${JSON.stringify(SCHEMA)}, directory: ${JSON.stringify(directory)} });${body}`;
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function schemaError(schema: string): Promise<string> {
  const { store } = database({ role: 'master', schema });
  const error = (await store.open().then(
    () => store.close(),
    (cause: unknown) => cause,
  )) as WmbError | undefined;
  assert.equal(error?.code, 'SCHEMA_INVALID', schema);
  return error?.message ?? '';
}

describe('the owner of an embedded database', () => {
  it('is one: a second one is told the process that owns it, while readers may open it', async () => {
    const directory = makeDirectory();
    const owner = await otherProcess(directory, `console.log('open'); setInterval(() => {}, 1000);`);
    const second = database({ role: 'master', schema: SCHEMA, directory });
    await assert.rejects(second.store.open(), {
      code: 'STORE_LOCKED',
      message: new RegExp(`database\\.db is open in process ${owner.pid};`),
    });
    const reader = new DatabaseSync(second.file, { readOnly: true });
    assert.deepEqual(reader.prepare('SELECT * FROM plain').all(), []);
    reader.close();
  });

  it('is no more after a SIGKILL', async () => {
    const directory = makeDirectory();
    await kill(await otherProcess(directory, `console.log('open'); setInterval(() => {}, 1000);`));
    const { store } = await opened({ role: 'master', schema: SCHEMA, directory });
    await store.close();
  });

  it('is one within a process too, and no more after a close', async () => {
    const first = await opened({ role: 'master', schema: SCHEMA });
    const second = database({ role: 'master', schema: SCHEMA, directory: first.directory });
    await assert.rejects(second.store.open(), { code: 'STORE_LOCKED', message: /is open in this process/ });
    await first.store.close();
    await second.store.open();
    await second.store.close();
  });
});

describe('an embedded master that is killed in the middle of its work', () => {
  it('has whole batches only, its mark and its changes log agree with its rows, and it goes on', async () => {
    const directory = makeDirectory();
    const body = `
      for (let seq = 0; ; seq += 1) {
        const writes = [0, 1, 2].map((index) => ({ requestId: 'r' + seq + '.' + index, stamp: stamp(seq * 3 + index), seq, index,
          statements: [sql('INSERT INTO plain (id, note) VALUES (?, ?)', seq * 3 + index, 'n')] }));
        await store.execute({ moves: [{ ...LANE, epoch: EPOCH, expected: seq - 1, next: seq }], lane: LANE, writes });
        if (seq === 20) console.log('working');
      }`;
    await kill(await otherProcess(directory, body));
    const master = await opened({ role: 'master', schema: SCHEMA, directory });
    const slave = await opened({ role: 'slave', schema: SCHEMA });
    const [mark] = await master.store.marks();
    assert.ok(mark && mark.seq >= 20);
    assert.equal((await rowsOf(master.store, 'plain')).length, (mark.seq + 1) * 3);
    await run(master.store, [sql('DELETE FROM plain WHERE id = 0')]);
    await ship(master, slave.store);
    assert.deepEqual(await dump(slave.store), await dump(master.store));
    await master.store.close();
    await slave.store.close();
  });
});

describe('opening an embedded database', () => {
  it('refuses the database of another room, of another role, or of a newer WMB, and says whose it is', async () => {
    const made = await opened({ role: 'master', schema: SCHEMA });
    await made.store.close();
    const { directory, file } = made;
    await assert.rejects(database({ role: 'master', directory, room: 'shanghai' }).store.open(), {
      code: 'STORE_FOREIGN',
      message: /is the master database of room beijing, not the master database of room shanghai/,
    });
    await assert.rejects(database({ role: 'slave', directory, room: MASTER }).store.open(), { code: 'STORE_FOREIGN' });
    const db = new DatabaseSync(file);
    db.exec('UPDATE wmb_identity SET version = 99');
    db.close();
    await assert.rejects(database({ role: 'master', directory }).store.open(), { code: 'STORE_FOREIGN', message: /newer WMB/ });
  });

  it('changes nothing in a database that it refuses', async () => {
    const made = await opened({ role: 'master', schema: SCHEMA });
    await made.store.close();
    const other = database({
      role: 'master',
      directory: made.directory,
      room: SLAVE,
      schema: 'CREATE TABLE other (id INTEGER PRIMARY KEY)',
    });
    await assert.rejects(other.store.open(), { code: 'STORE_FOREIGN' });
    const again = await opened({ role: 'master', directory: made.directory });
    assert.deepEqual(await again.store.tables(), ['plain']);
    await again.store.close();
  });

  it('says that a file is no database, and that a directory cannot be made', async () => {
    const directory = makeDirectory();
    writeFileSync(join(directory, 'database.db'), 'This is not a database. '.repeat(100));
    await assert.rejects(database({ role: 'master', directory }).store.open(), { code: 'STORE_CORRUPT' });
    await assert.rejects(database({ role: 'master', directory: join(directory, 'database.db', 'below') }).store.open(), {
      code: 'STORE_READONLY',
    });
  });

  it('says that a directory cannot be written', { skip: process.getuid?.() === 0 ? 'root may write everywhere' : false }, async () => {
    const directory = makeDirectory();
    chmodSync(directory, 0o500);
    await assert.rejects(database({ role: 'master', directory }).store.open(), { code: 'STORE_READONLY' });
  });

  it('works before open and after close with a clear error', async () => {
    const { store } = database({ role: 'master' });
    await assert.rejects(store.marks(), { code: 'STORE_UNAVAILABLE', message: /is not open/ });
    await store.close();
  });
});

describe('the schema file', () => {
  it('is run at every open, and its errors name file, line and statement', async () => {
    const text = `-- tables\n${SCHEMA}\n\n/* a\n comment; */ CREATE INDEX broken\n  ON plain (colour);`;
    assert.match(await schemaError(text), /schema\.sql:5: no such column: colour, in “CREATE INDEX broken ON plain \(colour\)”/);
    assert.match(await schemaError(`${SCHEMA}\nCREATE TABEL x (id)`), /schema\.sql:2: near "TABEL": syntax error/);
  });

  it('leaves nothing behind when it has an error', async () => {
    const { store, file } = database({ role: 'master', schema: `${SCHEMA} CREATE TABLE nokey (a);` });
    await assert.rejects(store.open(), { code: 'SCHEMA_INVALID' });
    const db = new DatabaseSync(file);
    assert.deepEqual(db.prepare('SELECT name FROM sqlite_schema').all(), []);
    db.close();
  });

  it('must be readable', async () => {
    const directory = makeDirectory();
    const { store } = database({ role: 'master', directory, schema: SCHEMA });
    removeDirectories();
    await assert.rejects(store.open(), { code: 'CONFIG_UNREADABLE', message: /schema\.sql cannot be read/ });
  });

  it('must give every table a primary key without NULLs, for changes must name their rows', async () => {
    assert.match(await schemaError('CREATE TABLE t (a)'), /table t has no PRIMARY KEY/);
    assert.match(await schemaError('CREATE TABLE t (a TEXT PRIMARY KEY)'), /table t has a primary key column a that may be NULL.*NOT NULL/);
    assert.match(await schemaError('CREATE TABLE t (a INT NOT NULL, b INT, PRIMARY KEY (a, b))'), /column b that may be NULL/);
    const { store } = await opened({
      role: 'master',
      schema:
        'CREATE TABLE r (a INTEGER PRIMARY KEY); CREATE TABLE w (a TEXT PRIMARY KEY) WITHOUT ROWID; CREATE TABLE s (a TEXT PRIMARY KEY) STRICT;',
    });
    await store.close();
  });

  it('may make tables, indexes, views and triggers, and nothing else', async () => {
    const forbidden: readonly (readonly [string, RegExp])[] = [
      ['PRAGMA synchronous = OFF', /only tables, indexes, views and triggers/],
      ['BEGIN', /only tables/],
      ['COMMIT', /only tables/],
      [`ATTACH 'x.db' AS x`, /only tables/],
      ['CREATE TEMP TABLE t (id INTEGER PRIMARY KEY)', /only tables/],
      ['CREATE VIRTUAL TABLE t USING fts5(x)', /only tables/],
      ['DROP TABLE plain', /no DROP TABLE/],
      ['VACUUM', /VACUUM/],
      ['INSERT INTO plain (id) VALUES (1)', /may not change rows \(of plain\)/],
      ['CREATE TABLE wmb_mine (id INTEGER PRIMARY KEY)', /wmb_mine: names that begin with wmb_/],
      ['CREATE INDEX mine ON wmb_marks (seq)', /wmb_marks: names that begin with wmb_/],
      ['DELETE FROM wmb_marks', /may not change rows/],
      ['CREATE TABLE t (id INTEGER PRIMARY KEY, p INTEGER REFERENCES plain (id) DEFERRABLE INITIALLY DEFERRED)', /deferred foreign key/],
    ];
    for (const [statement, said] of forbidden) assert.match(await schemaError(`${SCHEMA} ${statement}`), said, statement);
    const allowed = `${SCHEMA} CREATE INDEX IF NOT EXISTS i ON plain (note); CREATE VIEW IF NOT EXISTS v AS SELECT id FROM plain;
      CREATE TRIGGER IF NOT EXISTS t AFTER DELETE ON plain BEGIN SELECT 1; SELECT 2; END; ALTER TABLE plain ADD COLUMN more TEXT;`;
    const { store } = await opened({ role: 'master', schema: allowed });
    assert.deepEqual(await store.tables(), ['plain']);
    await store.close();
  });
});

describe('splitting SQL', () => {
  it('ends statements at semicolons, but not in quotes, comments and the bodies of triggers', () => {
    const texts = [
      `INSERT INTO t VALUES (';', ";", [;], \`;\`, 'it''s;')`,
      'SELECT 1 -- ; \n + 2 /* ; */',
      'CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; UPDATE t SET a = CASE WHEN 1 THEN 2 END; END',
      'CREATE TABLE trigger_log (id INTEGER)',
    ];
    assert.deepEqual(
      splitSql(`;;${texts.join(';\n')};;  -- end`, 'sqlite').map((part) => part.text),
      texts,
    );
  });

  it('counts placeholders outside of quotes and comments', () => {
    assert.equal(splitSql(`SELECT ?, '?', "?" -- ?\n , ? /* ? */`, 'sqlite')[0]?.placeholders, 2);
  });
});

describe('an embedded master', () => {
  it('refuses a statement that rolls everything back, and commits the other write requests of the batch', async () => {
    const { store } = await opened({ role: 'master', schema: SCHEMA });
    const insert = (id: number) => sql('INSERT INTO plain (id) VALUES (?)', id);
    const result = await run(
      store,
      [insert(1)],
      [insert(2), sql('INSERT OR ROLLBACK INTO plain (id) VALUES (1)')],
      [insert(3)],
      [sql('INSERT OR ROLLBACK INTO plain (id) VALUES (3)')],
    );
    assert.ok(result.moved);
    assert.deepEqual(
      result.outcomes.map((outcome) => outcome.status),
      ['committed', 'refused', 'committed', 'refused'],
    );
    assert.match(JSON.stringify(result.outcomes[1]), /UNIQUE constraint failed: plain\.id \(it rolls the whole transaction back/);
    assert.deepEqual(
      (await rowsOf(store, 'plain')).map((row) => row.id),
      [1, 3],
    );
    await store.close();
  });

  it('undoes the whole batch, mark included, and says STORE_FULL when SQLite has no space', async () => {
    // A table whose rowids are used up makes SQLite report the very error of a full disk.
    const { store } = await opened({
      role: 'master',
      schema: 'CREATE TABLE IF NOT EXISTS ids (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT)',
    });
    await run(store, [sql('INSERT INTO ids (id) VALUES (9223372036854775807)')]);
    const writes = ['UPDATE ids SET note = 1', 'INSERT INTO ids (note) VALUES (2)'].map((text, index) => ({
      requestId: `f${index}`,
      stamp: '0'.repeat(24),
      seq: 0,
      index,
      statements: [sql(text)],
    }));
    await assert.rejects(store.execute({ moves: [{ ...LANE, epoch: EPOCH, expected: -1, next: 0 }], lane: LANE, writes }), {
      code: 'STORE_FULL',
    });
    assert.deepEqual(await store.marks(), []);
    assert.equal((await rowsOf(store, 'ids'))[0]?.note, null);
    await run(store, [sql('UPDATE ids SET note = 3')]);
    assert.equal((await rowsOf(store, 'ids'))[0]?.note, '3');
    await store.close();
  });

  it('refuses what triggers of the user do to WMB’s own tables, whatever fires them', async () => {
    const schema = `CREATE TABLE IF NOT EXISTS stamped (id INTEGER PRIMARY KEY, wmb_stamp TEXT);
      CREATE TRIGGER IF NOT EXISTS evil AFTER INSERT ON stamped BEGIN DELETE FROM wmb_marks; END;`;
    const { store } = await opened({ role: 'master', schema });
    for (const statement of [
      sql('INSERT INTO stamped (id) VALUES (1)'),
      { op: 'upsert', table: 'stamped', key: { id: 1 }, values: {} } as const,
    ]) {
      const result = await run(store, [statement]);
      assert.match(JSON.stringify(result), /wmb_marks: names that begin with wmb_ are WMB’s own/);
    }
    assert.deepEqual(await rowsOf(store, 'stamped'), []);
    await store.close();
  });
});
