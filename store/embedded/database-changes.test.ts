import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { checkFrame } from '../../link/frame.ts';
import type { SqlValue } from '../database.ts';
import { changedTables } from './database-changes.ts';
import {
  changesOf,
  database,
  dump,
  EPOCH,
  LANE,
  MASTER,
  opened,
  removeDirectories,
  rowsOf,
  run,
  ship,
  sql,
  stamp,
  type TestDatabase,
} from './database-kit.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY, note TEXT, n INTEGER DEFAULT 7);
  CREATE TABLE IF NOT EXISTS typed (a TEXT NOT NULL, b BLOB NOT NULL, i INTEGER, r REAL, t TEXT, x, PRIMARY KEY (b, a)) WITHOUT ROWID;
`;

const open: TestDatabase[] = [];
afterEach(async () => {
  for (const { store } of open.splice(0)) await store.close();
  removeDirectories();
});

async function make(role: 'master' | 'slave', schema: string = SCHEMA): Promise<TestDatabase> {
  const made = await opened({ role, schema });
  open.push(made);
  return made;
}

const insert = (id: number, note: string | null = null) => [sql('INSERT INTO plain (id, note) VALUES (?, ?)', id, note)];

/** Changes a slave's file as a person with a SQL client would. */
function byHand(slave: TestDatabase, text: string): void {
  const db = new DatabaseSync(slave.file);
  db.exec(text);
  db.close();
}

describe('the changes of an embedded master', () => {
  it('are one frame per batch, stamped with the greatest stamp, and none where nothing changed', async () => {
    let told = 0;
    const master = await opened({
      role: 'master',
      schema: SCHEMA,
      onChanges: () => {
        told += 1;
      },
    });
    open.push(master);
    await run(master.store, insert(1), insert(2), insert(3));
    await run(master.store, [sql('SELECT 1')]);
    await run(master.store, [sql('UPDATE plain SET note = NULL WHERE id = 99')]);
    await run(master.store, [sql('INSERT INTO nowhere VALUES (1)')]);
    assert.equal((await changesOf(master)).length, 1);
    assert.equal(told, 1);
  });

  it('name the master, partition 0 and the log’s epoch, and their stamps never go back', async () => {
    const master = await make('master');
    const write = (n: number) => ({ requestId: `w${n}`, stamp: stamp(n), seq: n, index: 0, statements: insert(n) });
    await master.store.execute({ moves: [], lane: LANE, writes: [write(9), write(5)] });
    await master.store.execute({ moves: [], lane: LANE, writes: [write(3)] });
    const db = new DatabaseSync(master.file, { readOnly: true });
    const headers = db
      .prepare('SELECT frame FROM wmb_log_frames ORDER BY id')
      .all()
      .map((row) => checkFrame(row.frame as Uint8Array));
    db.close();
    assert.deepEqual(
      headers.map(({ log, origin, partition, stampLast }) => [log, origin, partition, stampLast]),
      [
        ['changes', MASTER, 0, stamp(9)],
        ['changes', MASTER, 0, stamp(9)],
      ],
    );
  });

  it('do not hold what a refused write request did', async () => {
    const [master, slave] = [await make('master'), await make('slave')];
    await run(master.store, insert(1), [...insert(2), sql('INSERT INTO plain (id) VALUES (1)')], insert(3));
    await ship(master, slave.store);
    assert.deepEqual(
      (await rowsOf(slave.store, 'plain')).map((row) => row.id),
      [1, 3],
    );
  });

  it('carry the marks, so that a slave knows how far the master’s database had come', async () => {
    const [master, slave] = [await make('master'), await make('slave')];
    await master.store.execute({ moves: [{ ...LANE, epoch: EPOCH, expected: -1, next: 41 }], lane: LANE, writes: [] });
    await ship(master, slave.store);
    const [changes] = await changesOf(master);
    assert.deepEqual(await slave.store.marks(), [
      { ...LANE, epoch: EPOCH, seq: 41 },
      { log: 'changes', origin: MASTER, partition: 0, epoch: changes?.move.epoch, seq: 0 },
    ]);
  });

  it('carry every type, NULLs, defaults, empty and large values, and keys of several columns without a rowid', async () => {
    const [master, slave] = [await make('master'), await make('slave')];
    const put = (...params: SqlValue[]) => sql('INSERT INTO typed (a, b, i, r, t, x) VALUES (?, ?, ?, ?, ?, ?)', ...params);
    await run(master.store, [
      put('a', Uint8Array.of(), 2n ** 63n - 1n, 1.5, 'ünï\u0000x', null),
      put('', Uint8Array.of(0, 255), -(2n ** 63n), -0.1, '', Uint8Array.of(1)),
      put('b', new Uint8Array(200_000).fill(7), null, null, null, 'x'.repeat(70_000)),
      sql('INSERT INTO plain (id) VALUES (5)'),
    ]);
    await run(master.store, [sql('UPDATE typed SET x = NULL, t = ? WHERE a = ?', 'y', 'b'), sql(`DELETE FROM typed WHERE a = ''`)]);
    await ship(master, slave.store);
    assert.deepEqual(await dump(slave.store), await dump(master.store));
    assert.equal((await rowsOf(slave.store, 'typed')).length, 2);
    assert.equal((await rowsOf(slave.store, 'plain'))[0]?.n, 7);
  });

  it('make a slave equal to the master after any sequence of batches', async () => {
    const id = fc.integer({ min: 1, max: 6 });
    const statement = fc.oneof(
      fc.tuple(id, fc.string()).map(([n, note]) => sql('INSERT INTO plain (id, note) VALUES (?, ?)', n, note)),
      fc
        .tuple(id, fc.string())
        .map(([n, note]) => sql('INSERT INTO plain (id, note) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET note = excluded.note', n, note)),
      fc.tuple(id, id).map(([from, to]) => sql('UPDATE plain SET id = ? WHERE id = ?', to, from)),
      id.map((n) => sql('DELETE FROM plain WHERE id = ?', n)),
      fc.constant(sql('UPDATE plain SET n = n + 1')),
    );
    const batches = fc.array(fc.array(fc.array(statement, { maxLength: 3 }), { maxLength: 4 }), { minLength: 1, maxLength: 5 });
    const [master, slave] = [await make('master'), await make('slave')];
    await fc.assert(
      fc.asyncProperty(batches, async (list) => {
        for (const writes of list) await run(master.store, ...writes);
        await ship(master, slave.store);
        assert.deepEqual(await dump(slave.store), await dump(master.store));
      }),
      { numRuns: 40 },
    );
  });

  it('larger than a frame go as one frame per write request, and a write request that alone is larger is refused', async () => {
    const [master, slave] = [await make('master'), await make('slave')];
    const blob = (id: number, bytes: number) => [sql('INSERT INTO plain (id, note) VALUES (?, zeroblob(?))', id, bytes)];
    const result = await run(master.store, blob(1, 9_000_000), blob(2, 17_000_000), blob(3, 9_000_000));
    const outcomes = result.moved ? result.outcomes : [];
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status),
      ['committed', 'refused', 'committed'],
    );
    assert.match(JSON.stringify(outcomes[1]), /its row changes take 17\d{6} bytes; at most 16\d{6}/);
    assert.equal(await ship(master, slave.store), 2);
    assert.deepEqual(
      (await rowsOf(slave.store, 'plain')).map((row) => row.id),
      [1, 3],
    );
  });
});

describe('a slave', () => {
  it('applies a frame once: one that comes again, or out of turn, changes nothing and says where it stands', async () => {
    const [master, slave] = [await make('master'), await make('slave')];
    for (const id of [1, 2, 3]) await run(master.store, insert(id));
    const [first, second, third] = await changesOf(master);
    assert.ok(first && second && third);
    assert.deepEqual((await slave.store.applyChanges(first.move, [first.payload])).moved, true);
    for (const change of [first, third]) {
      const { moved, stored } = await slave.store.applyChanges(change.move, [change.payload]);
      assert.deepEqual([moved, stored?.seq], [false, 0]);
    }
    await slave.store.applyChanges(second.move, [second.payload]);
    assert.deepEqual(
      (await rowsOf(slave.store, 'plain')).map((row) => row.id),
      [1, 2],
    );
  });

  it('takes changes of the master’s changes log only, and no statements', async () => {
    const [master, slave] = [await make('master'), await make('slave')];
    await run(master.store, insert(1));
    const [change] = await changesOf(master);
    assert.ok(change);
    await assert.rejects(
      slave.store.applyChanges({ ...change.move, origin: 'shanghai' }, [change.payload]),
      /takes no changes from changes\/shanghai/,
    );
    await assert.rejects(master.store.applyChanges(change.move, [change.payload]), /master database of room beijing takes no changes/);
    await assert.rejects(run(slave.store, insert(2)), /statements run in the master room only/);
  });

  it('stops, naming table, conflict and position, where a row was changed, deleted or inserted by hand, and applies nothing of the frame', async () => {
    const cases: readonly (readonly [byHand: string, statement: string, said: RegExp])[] = [
      [`UPDATE plain SET note = 'mine' WHERE id = 1`, `UPDATE plain SET note = 'new' WHERE id = 1`, /\(data\)/],
      ['DELETE FROM plain WHERE id = 1', `UPDATE plain SET note = 'new' WHERE id = 1`, /\(notfound\)/],
      ['INSERT INTO plain (id) VALUES (3)', 'INSERT INTO plain (id) VALUES (3)', /\(conflict\)/],
      [`CREATE UNIQUE INDEX one_note ON plain (note)`, `UPDATE plain SET note = 'old' WHERE id = 2`, /\(constraint\)/],
    ];
    for (const [hand, statement, said] of cases) {
      const [master, slave] = [await make('master'), await make('slave')];
      await run(master.store, insert(1, 'old'), insert(2, 'other'));
      await ship(master, slave.store);
      byHand(slave, hand);
      const before = await dump(slave.store);
      await run(master.store, [sql('INSERT INTO typed (a, b) VALUES (?, ?)', 'a', Uint8Array.of(1)), sql(statement)]);
      const failure = (await ship(master, slave.store).catch((cause: unknown) => cause)) as Error & { code: string };
      assert.equal(failure.code, 'CHANGES_CONFLICT', hand);
      assert.match(failure.message, said);
      assert.match(failure.message, /table plain: .*beijing\.changes\/0@[0-9a-f]{16}:1\)/);
      assert.deepEqual(await dump(slave.store), before);
      assert.equal((await slave.store.marks()).find((mark) => mark.log === 'changes')?.seq, 0);
    }
  });

  it('stops instead of skipping a table that it does not have, or has with fewer columns or another key', async () => {
    const fits = 'CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY, note TEXT, n INTEGER)';
    const cases: readonly (readonly [schema: string, said: RegExp])[] = [
      ['', /table typed is missing here/],
      ['CREATE TABLE IF NOT EXISTS typed (a TEXT NOT NULL, b BLOB NOT NULL, PRIMARY KEY (b, a))', /table typed has fewer columns/],
      ['CREATE TABLE IF NOT EXISTS typed (a TEXT NOT NULL, b BLOB NOT NULL, i, r, t, x, PRIMARY KEY (a))', /another primary key/],
    ];
    for (const [schema, said] of cases) {
      const [master, slave] = [await make('master'), await make('slave', `${fits};${schema}`)];
      await run(master.store, [...insert(1), sql('INSERT INTO typed (a, b) VALUES (?, ?)', 'a', Uint8Array.of(1))]);
      await assert.rejects(ship(master, slave.store), { code: 'CHANGES_CONFLICT', message: said });
      assert.deepEqual(await rowsOf(slave.store, 'plain'), []);
    }
  });

  it('follows a table to which it has added a column before the master did', async () => {
    const schema = (more: string) => `CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY, note TEXT${more})`;
    const [master, slave] = [await make('master', schema('')), await make('slave', schema(', more TEXT DEFAULT 5'))];
    await run(master.store, insert(1, 'a'), insert(2, 'b'));
    await run(master.store, [sql('UPDATE plain SET note = ? WHERE id = 1', 'c'), sql('DELETE FROM plain WHERE id = 2')]);
    await ship(master, slave.store);
    assert.deepEqual(await rowsOf(slave.store, 'plain'), [{ id: 1, note: 'c', more: '5' }]);
  });

  it('refuses bytes that are no changeset', async () => {
    const [master, slave] = [await make('master'), await make('slave')];
    await run(master.store, insert(1, 'some note'));
    const [change] = await changesOf(master);
    assert.ok(change);
    const cut = change.payload.subarray(0, change.payload.length - 3);
    for (const payload of [cut, Uint8Array.of(1, 2, 3), Uint8Array.of(0x54)]) {
      await assert.rejects(slave.store.applyChanges(change.move, [payload]), { code: 'CHANGES_CONFLICT', message: /no SQLite changeset/ });
    }
    assert.deepEqual(await rowsOf(slave.store, 'plain'), []);
  });

  it('does not fire triggers again, nor run cascades: what they did in the master arrives as rows', async () => {
    const schema = `
      CREATE TABLE IF NOT EXISTS parents (id INTEGER PRIMARY KEY);
      CREATE TABLE IF NOT EXISTS children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id) ON DELETE CASCADE);
      CREATE TABLE IF NOT EXISTS counts (name TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL);
      CREATE TRIGGER IF NOT EXISTS counted AFTER INSERT ON children BEGIN
        INSERT INTO counts VALUES ('children', 1) ON CONFLICT (name) DO UPDATE SET n = n + 1;
      END;`;
    const [master, slave] = [await make('master', schema), await make('slave', schema)];
    await run(master.store, [sql('INSERT INTO parents VALUES (1), (2)'), sql('INSERT INTO children VALUES (1, 1), (2, 1), (3, 2)')]);
    await run(master.store, [sql('DELETE FROM parents WHERE id = 1')]);
    await ship(master, slave.store);
    assert.deepEqual(await dump(slave.store), await dump(master.store));
    assert.deepEqual(await rowsOf(slave.store, 'counts'), [{ name: 'children', n: 3 }]);
    assert.deepEqual(await rowsOf(slave.store, 'children'), [{ id: 3, parent: 2 }]);
  });

  it('follows a UNIQUE value that one row gives up and another takes in the same batch', async () => {
    const schema = 'CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY, note TEXT UNIQUE)';
    const [master, slave] = [await make('master', schema), await make('slave', schema)];
    await run(master.store, insert(1, 'a'), insert(2, 'b'), insert(3, 'c'));
    await run(master.store, [
      sql(`UPDATE plain SET note = 'd' WHERE id = 3`),
      sql(`UPDATE plain SET note = 'c' WHERE id = 1`),
      sql(`UPDATE plain SET note = 'a' WHERE id = 2`),
    ]);
    await ship(master, slave.store);
    assert.deepEqual(await dump(slave.store), await dump(master.store));
  });

  it('follows UNIQUE values that go round in a circle within one batch', async () => {
    const schema = 'CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY, note TEXT UNIQUE)';
    const [master, slave] = [await make('master', schema), await make('slave', schema)];
    await run(master.store, insert(1, 'a'), insert(2, 'b'), insert(3, 'c'));
    const rename = (id: number, note: string) => sql('UPDATE plain SET note = ? WHERE id = ?', note, id);
    await run(master.store, [rename(1, 'x'), rename(3, 'a'), rename(2, 'c'), rename(1, 'b')]);
    await ship(master, slave.store);
    assert.deepEqual(
      (await rowsOf(slave.store, 'plain')).map((row) => row.note),
      ['b', 'c', 'a'],
    );
  });

  it('follows generated columns and AUTOINCREMENT', async () => {
    const schema = `CREATE TABLE IF NOT EXISTS plain (id INTEGER PRIMARY KEY AUTOINCREMENT, note TEXT,
      loud TEXT GENERATED ALWAYS AS (upper(note)) STORED, quiet TEXT GENERATED ALWAYS AS (lower(note)) VIRTUAL)`;
    const [master, slave] = [await make('master', schema), await make('slave', schema)];
    await run(master.store, [sql('INSERT INTO plain (note) VALUES (?)', 'Ab')]);
    await ship(master, slave.store);
    assert.deepEqual(await rowsOf(slave.store, 'plain'), [{ id: 1, note: 'Ab', loud: 'AB', quiet: 'ab' }]);
  });

  it('goes on after its mark when it is opened again', async () => {
    const [master, slave] = [await make('master'), database({ role: 'slave', schema: SCHEMA })];
    for (const id of [1, 2, 3]) {
      await run(master.store, insert(id));
      await slave.store.open();
      assert.equal(await ship(master, slave.store), 1);
      await slave.store.close();
    }
    await slave.store.open();
    assert.deepEqual(await dump(slave.store), await dump(master.store));
    await slave.store.close();
  });
});

describe('the walk over a changeset', () => {
  it('finds the tables of every changeset that SQLite makes', () => {
    const value = fc.oneof(
      fc.constant(null),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.double({ noNaN: true }),
      fc.string(),
      fc.uint8Array({ maxLength: 300 }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), value, value), { minLength: 1, maxLength: 8 }), (rows) => {
        const db = new DatabaseSync(':memory:');
        db.exec('CREATE TABLE one (id INTEGER PRIMARY KEY, x, y); CREATE TABLE "zwei drei" (x, id INTEGER PRIMARY KEY, y);');
        db.exec(`INSERT INTO one VALUES (100, 'old', 1), (101, 'gone', 2)`);
        const session = db.createSession();
        for (const [first, x, y] of rows) db.prepare(`INSERT INTO ${first ? 'one' : '"zwei drei"'} (x, y) VALUES (?, ?)`).run(x, y);
        db.exec(`UPDATE one SET x = 'new' WHERE id = 100; DELETE FROM one WHERE id = 101`);
        const found = changedTables(session.changeset());
        db.close();
        const names = ['one', ...(rows.some(([first]) => !first) ? ['zwei drei'] : [])];
        assert.deepEqual(found.map((table) => table.name).sort(), names);
        for (const table of found) assert.deepEqual(table.keyPlaces, table.name === 'one' ? [1, 0, 0] : [0, 1, 0]);
      }),
      { numRuns: 200 },
    );
  });
});
