/** What every database adapter does, as a suite. SQL in here is what SQLite, MySQL and MariaDB all understand. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { formatStamp } from '../core/stamp.ts';
import type { Lane } from '../core/words.ts';
import type { MarkMove } from './cache.ts';
import type { DatabaseStore, DatabaseWrite, Row, Statement } from './database.ts';

/** A database of a master room, in which `schema` has been run. */
export interface DatabaseFixture {
  /** Opened. */
  readonly store: DatabaseStore;
  /** Closes the store and opens another on the same database. */
  reopen(): Promise<DatabaseStore>;
  /** Closes it and removes everything. */
  remove(): Promise<void>;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS users (
    id VARCHAR(64) NOT NULL,
    name VARCHAR(64),
    visits BIGINT,
    photo BLOB,
    wmb_stamp CHAR(24),
    PRIMARY KEY (id)
  );
  CREATE TABLE IF NOT EXISTS follows (
    followed BIGINT NOT NULL,
    follower BIGINT NOT NULL,
    since BIGINT NOT NULL,
    wmb_stamp CHAR(24),
    PRIMARY KEY (followed, follower)
  );
  CREATE TABLE IF NOT EXISTS plain (
    id BIGINT NOT NULL,
    note VARCHAR(200) UNIQUE,
    PRIMARY KEY (id)
  );
`;

const LANE: Lane = { log: 'writes', origin: 'beijing', partition: 3 };
const EPOCH = '00000000000000aa';
const OTHER_EPOCH = '00000000000000bb';

const stamp = (n: number) => formatStamp({ ms: 1_700_000_000_000 + n, counter: 0, writer: 0x0100_0001 });
const move = (expected: number, next: number, epoch = EPOCH): MarkMove => ({ ...LANE, epoch, expected, next });

function write(n: number, ...statements: Statement[]): DatabaseWrite {
  return { requestId: `r${n}`, stamp: stamp(n), seq: 0, index: n, statements };
}

const user = (id: string, values: Row): Statement => ({ op: 'upsert', table: 'users', key: { id }, values });
const sql = (text: string, ...params: Extract<Statement, { op: 'sql' }>['params']): Statement => ({ op: 'sql', text, params });

async function collect(store: DatabaseStore, table: string): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of store.rows(table)) rows.push({ ...row });
  return rows;
}

const statuses = (result: Awaited<ReturnType<DatabaseStore['execute']>>) =>
  result.moved ? result.outcomes.map((outcome) => outcome.status) : `mark is ${result.stored?.epoch}:${result.stored?.seq}`;

export function databaseContract(name: string, make: (schema: string) => Promise<DatabaseFixture>): void {
  describe(`database contract: ${name}`, () => {
    let fixture: DatabaseFixture;
    let store: DatabaseStore;
    beforeEach(async () => {
      fixture = await make(SCHEMA);
      store = fixture.store;
    });
    afterEach(() => fixture.remove());

    const run = (...writes: DatabaseWrite[]) => store.execute({ moves: [], lane: LANE, writes });
    /** Runs a batch in which one write request must be refused and its neighbours must not; returns the reason. */
    const refusal = async (...statements: Statement[]) => {
      const result = await run(write(1, user('before', { name: 'b' })), write(2, ...statements), write(3, user('after', { name: 'a' })));
      assert.deepEqual(statuses(result), ['committed', 'refused', 'committed']);
      assert.deepEqual(
        (await collect(store, 'users')).map((row) => row.id),
        ['after', 'before'],
      );
      const outcome = result.moved ? result.outcomes[1] : undefined;
      return outcome?.status === 'refused' ? outcome.reason : '';
    };

    describe('execute', () => {
      it('commits statements, outcomes and mark together, and keeps them over a reopen', async () => {
        const result = await store.execute({ moves: [move(-1, 0)], lane: LANE, writes: [write(1, user('a', { name: 'Ann' })), write(2)] });
        assert.deepEqual(statuses(result), ['committed', 'committed']);
        store = await fixture.reopen();
        assert.deepEqual(await collect(store, 'users'), [{ id: 'a', name: 'Ann', visits: null, photo: null, wmb_stamp: stamp(1) }]);
        assert.deepEqual(await store.marks(), [{ ...LANE, epoch: EPOCH, seq: 0 }]);
      });

      it('runs the statements of a batch in order', async () => {
        await run(
          write(1, sql('INSERT INTO plain (id, note) VALUES (?, ?)', 1, 'one'), sql('UPDATE plain SET note = ? WHERE id = ?', 'two', 1)),
        );
        await run(write(2, sql('UPDATE plain SET note = concat(note, ?) WHERE id = ?', '!', 1)));
        assert.deepEqual(await collect(store, 'plain'), [{ id: 1, note: 'two!' }]);
      });

      it('keeps text, whole numbers, 64-bit integers, bytes and NULL as they were given', async () => {
        const big = 9_007_199_254_740_993n;
        const photo = Uint8Array.of(0, 255, 1);
        await run(write(1, user('ünï', { name: '7', visits: big, photo })), write(2, user('b', { name: 5, visits: -3, photo: null })));
        const rows = await collect(store, 'users');
        const [b, umlaut] = rows;
        assert.deepEqual([b?.name, b?.visits, b?.photo], ['5', -3, null]);
        assert.deepEqual([umlaut?.id, umlaut?.name, umlaut?.visits], ['ünï', '7', big]);
        assert.deepEqual(new Uint8Array(umlaut?.photo as Uint8Array), photo);
      });
    });

    describe('versioned upsert', () => {
      it('ends with the greatest stamp in whatever order and however often the writes come', async () => {
        let key = 0;
        let seq = 0;
        const next = (n: number, id: string) => ({ ...write(n, user(id, { name: `n${n}`, visits: n })), requestId: `r${seq}`, seq });
        await fc.assert(
          fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 12 }), async (order) => {
            key += 1;
            const id = `k${key}`;
            for (const n of order) {
              seq += 1;
              await run(next(n, id));
            }
            const newest = Math.max(...order);
            const row = (await collect(store, 'users')).find((found) => found.id === id);
            assert.deepEqual([row?.name, row?.visits, row?.wmb_stamp], [`n${newest}`, newest, stamp(newest)]);
          }),
          { numRuns: 40 },
        );
      });

      it('is committed, and changes nothing, where a greater stamp is stored', async () => {
        assert.deepEqual(statuses(await run(write(2, user('a', { name: 'new' })), write(1, user('a', { name: 'old' })))), [
          'committed',
          'committed',
        ]);
        assert.equal((await collect(store, 'users'))[0]?.name, 'new');
      });

      it('wins over a row that plain SQL wrote without a stamp', async () => {
        await run(write(1, sql('INSERT INTO users (id, name) VALUES (?, ?)', 'a', 'plain')), write(2, user('a', { name: 'stamped' })));
        assert.equal((await collect(store, 'users'))[0]?.name, 'stamped');
      });

      it('takes a primary key of several columns', async () => {
        const follow = (since: number): Statement => ({
          op: 'upsert',
          table: 'follows',
          key: { followed: 1, follower: 2 },
          values: { since },
        });
        await run(write(2, follow(20)), write(1, follow(10)));
        assert.deepEqual(await collect(store, 'follows'), [{ followed: 1, follower: 2, since: 20, wmb_stamp: stamp(2) }]);
      });

      it('refuses a column that the table does not have, and names it', async () => {
        assert.match(await refusal(user('x', { nickname: 'x' })), /nickname/);
      });

      it('refuses a table that does not exist, and names it', async () => {
        assert.match(await refusal({ op: 'upsert', table: 'nowhere', key: { id: 'x' }, values: {} }), /nowhere/);
      });

      it('refuses a key that is not the primary key, and says what the primary key is', async () => {
        assert.match(await refusal({ op: 'upsert', table: 'users', key: { name: 'x' }, values: { visits: 1 } }), /primary key .*\bid\b/);
      });

      it('refuses names that are no identifiers', async () => {
        assert.match(
          await refusal({ op: 'upsert', table: 'users"; DROP TABLE users; --', key: { id: 'x' }, values: {} }),
          /no name for a table/,
        );
        assert.match(await refusal(user('x', { 'name = 1, visits': 1 })), /no name for a table/);
      });

      it('refuses a table without wmb_stamp, and a processor that sets it', async () => {
        assert.match(await refusal({ op: 'upsert', table: 'plain', key: { id: 1 }, values: { note: 'x' } }), /wmb_stamp/);
        assert.match(await refusal(user('x', { wmb_stamp: 'ffffffffffffffffffffffff' })), /wmb_stamp is set by WMB/);
      });

      it('refuses values that are no SQL values, and names the column', async () => {
        for (const value of [undefined, true, {}, Number.NaN, Number.POSITIVE_INFINITY, 2n ** 63n]) {
          assert.match(await refusal(user('x', { visits: value as number })), /visits/);
        }
      });
    });

    describe('a refused statement', () => {
      it('undoes its own write request, also what it had done before, and no other', async () => {
        const reason = await refusal(
          sql('INSERT INTO plain (id, note) VALUES (?, ?)', 1, 'a'),
          sql('INSERT INTO plain (id, note) VALUES (?, ?)', 2, 'a'),
        );
        assert.match(reason, /statement 2 of 2/);
        assert.deepEqual(await collect(store, 'plain'), []);
      });

      it('may be a syntax error, a NULL where none may be, or a wrong number of parameters', async () => {
        assert.match(await refusal(sql('INSERT INTO INTO plain')), /syntax/i);
        assert.match(await refusal(sql('INSERT INTO follows (followed, follower, since) VALUES (1, 2, NULL)')), /null/i);
        assert.match(await refusal(sql('INSERT INTO plain (id, note) VALUES (?, ?)', 1)), /2 placeholders/);
        assert.match(await refusal(sql('INSERT INTO plain (id) VALUES (?)', 1, 2)), /1 placeholder/);
      });

      it('may not run the transaction, change tables, or be several statements', async () => {
        for (const text of [
          'COMMIT',
          'ROLLBACK',
          'SAVEPOINT x',
          'CREATE TABLE other (id INT PRIMARY KEY)',
          'DROP TABLE plain',
          'ALTER TABLE plain ADD COLUMN x INT',
        ]) {
          assert.match(await refusal(sql(text)), /only SELECT, INSERT, UPDATE and DELETE/, text);
        }
        assert.match(await refusal(sql('DELETE FROM plain; DELETE FROM users')), /one SQL statement/);
      });

      it('may not touch WMB’s own tables', async () => {
        assert.match(await refusal(sql('DELETE FROM wmb_marks')), /wmb_marks.*WMB’s own/);
        assert.match(await refusal({ op: 'upsert', table: 'wmb_marks', key: { log: 'x' }, values: {} }), /wmb_marks.*WMB’s own/);
      });

      it('is recorded with its reason, also over a reopen, and the committed ones are not', async () => {
        const batch = [write(1, user('a', { name: 'a' })), write(2, user('b', { nickname: 'b' })), write(3)];
        await store.execute({ moves: [move(-1, 0)], lane: LANE, writes: batch });
        store = await fixture.reopen();
        const recorded = await store.recorded(LANE, 0);
        assert.deepEqual([...recorded.keys()], [2]);
        assert.match(recorded.get(2) ?? '', /nickname/);
        assert.equal((await store.recorded(LANE, 1)).size, 0);
        assert.equal((await store.recorded({ ...LANE, partition: 4 }, 0)).size, 0);
      });

      it('is recorded no more after a retry that succeeds', async () => {
        await store.execute({ moves: [move(-1, 0)], lane: LANE, writes: [write(2, user('b', { nickname: 'b' }))] });
        await store.execute({ moves: [], lane: LANE, writes: [write(2, user('b', { name: 'b' }))] });
        assert.equal((await store.recorded(LANE, 0)).size, 0);
      });

      it('holds up those of its key behind it in the batch, unless it passes, and they run when it has run', async () => {
        const of = (n: number, key: string, statement: Statement) => ({ ...write(n, statement), key });
        const bad = sql('INSERT INTO nowhere VALUES (1)');
        const insert = (id: number) => sql('INSERT INTO plain (id) VALUES (?)', id);
        const batch = [
          of(1, 'a', bad),
          of(2, 'b', insert(2)),
          of(3, 'a', insert(3)),
          { ...of(4, 'c', bad), passes: true },
          of(5, 'c', insert(5)),
        ];
        const result = await store.execute({ moves: [move(-1, 0)], lane: LANE, writes: batch });
        assert.deepEqual(statuses(result), ['refused', 'committed', 'refused', 'refused', 'committed']);
        assert.deepEqual([...(await store.recorded(LANE, 0)).keys()], [1, 3, 4]);
        assert.deepEqual(statuses(await run(of(1, 'a', insert(1)))), ['committed']);
        assert.deepEqual(statuses(await run(of(3, 'a', insert(3)))), ['committed']);
        assert.deepEqual(
          (await collect(store, 'plain')).map((row) => row.id),
          [1, 2, 3, 5],
        );
      });

      it('is one that was withheld, also where it has no statements yet, until it runs', async () => {
        const withheld = { ...write(2, user('b', { name: 'b' })), withheld: 'parked' };
        const result = await store.execute({ moves: [move(-1, 0)], lane: LANE, writes: [withheld, { ...write(3), withheld: 'parked' }] });
        assert.deepEqual(result.moved && result.outcomes.map((it) => it.status), ['refused', 'refused']);
        assert.equal((await store.recorded(LANE, 0)).size, 2);
        assert.deepEqual(await collect(store, 'users'), []);
        await store.execute({ moves: [], lane: LANE, writes: [write(2, user('b', { name: 'b' })), write(3, user('c', { name: 'c' }))] });
        assert.deepEqual([(await store.recorded(LANE, 0)).size, (await collect(store, 'users')).length], [0, 2]);
      });

      it('is forgotten when the mark of its lane goes back: its seq will be another’s', async () => {
        await store.execute({ moves: [move(-1, 0)], lane: LANE, writes: [write(2, user('b', { nickname: 'b' }))] });
        await store.execute({ moves: [move(0, -1)], lane: LANE, writes: [] });
        assert.equal((await store.recorded(LANE, 0)).size, 0);
      });

      it('is forgotten when its lane begins a new epoch, whose seqs start again', async () => {
        await store.execute({ moves: [move(-1, 0)], lane: LANE, writes: [write(2, user('b', { nickname: 'b' }))] });
        await store.execute({ moves: [move(-1, 0, OTHER_EPOCH)], lane: LANE, writes: [write(9, user('c', { name: 'c' }))] });
        assert.equal((await store.recorded(LANE, 0)).size, 0);
      });
    });

    it('does not run the statements of a committed write request again in a retry', async () => {
      const count = write(2, sql('UPDATE plain SET note = concat(note, ?) WHERE id = 1', '+'));
      await run(write(1, sql('INSERT INTO plain (id, note) VALUES (1, ?)', '')));
      for (let i = 0; i < 3; i += 1) assert.deepEqual(statuses(await run(count)), ['committed']);
      assert.deepEqual(await collect(store, 'plain'), [{ id: 1, note: '+' }]);
    });

    describe('marks', () => {
      const insert = write(1, sql('INSERT INTO plain (id) VALUES (?)', 1));

      it('move only from the expected seq: otherwise nothing changes and the stored mark comes back', async () => {
        await store.execute({ moves: [move(-1, 4)], lane: LANE, writes: [] });
        for (const stale of [move(-1, 0), move(3, 5), move(5, 6)]) {
          assert.equal(statuses(await store.execute({ moves: [stale], lane: LANE, writes: [insert] })), `mark is ${EPOCH}:4`);
        }
        assert.deepEqual(await collect(store, 'plain'), []);
        assert.deepEqual(statuses(await store.execute({ moves: [move(4, 5)], lane: LANE, writes: [insert] })), ['committed']);
      });

      it('count as nothing seen in another epoch', async () => {
        await store.execute({ moves: [move(-1, 4)], lane: LANE, writes: [] });
        assert.equal(statuses(await store.execute({ moves: [move(4, 5, OTHER_EPOCH)], lane: LANE, writes: [] })), `mark is ${EPOCH}:4`);
        assert.deepEqual(statuses(await store.execute({ moves: [move(-1, 0, OTHER_EPOCH)], lane: LANE, writes: [] })), []);
        assert.deepEqual(await store.marks(), [{ ...LANE, epoch: OTHER_EPOCH, seq: 0 }]);
      });

      it('move all together or not at all', async () => {
        const other: MarkMove = { ...move(7, 8), partition: 9 };
        const result = await store.execute({ moves: [move(-1, 0), other], lane: LANE, writes: [insert] });
        assert.deepEqual(result, { moved: false, stored: undefined });
        assert.deepEqual(await store.marks(), []);
        assert.deepEqual(await collect(store, 'plain'), []);
      });
    });

    describe('reading', () => {
      it('names the user’s tables in order and none of WMB’s own', async () => {
        assert.deepEqual(await store.tables(), ['follows', 'plain', 'users']);
      });

      it('gives all rows in primary key order', async () => {
        const keys = Array.from({ length: 1_500 }, (_, n) => [(n * 7) % 11, (n * 13) % 1_500] as const);
        const follows = keys.map(([followed, follower], n) =>
          write(n, { op: 'upsert', table: 'follows', key: { follower, followed }, values: { since: n } }),
        );
        await run(...follows);
        const found = (await collect(store, 'follows')).map((row) => [row.followed, row.follower]);
        assert.deepEqual(
          found,
          [...keys].sort((a, b) => a[0] - b[0] || a[1] - b[1]).map((key) => [...key]),
        );
      });

      it('gives each row that was there from beginning to end once, while others are written', async () => {
        const insert = (id: number) => write(id, sql('INSERT INTO plain (id) VALUES (?)', id));
        await run(...Array.from({ length: 1_200 }, (_, n) => insert(n * 10)));
        const seen: unknown[] = [];
        for await (const row of store.rows('plain')) {
          if (seen.length % 100 === 0) await run(insert(seen.length * 10 + 5), insert(11_999 - seen.length * 10));
          seen.push(row.id);
        }
        assert.deepEqual(
          seen.filter((id) => Number(id) % 10 === 0),
          Array.from({ length: 1_200 }, (_, n) => n * 10),
        );
        assert.deepEqual(
          seen,
          [...new Set(seen)].sort((a, b) => Number(a) - Number(b)),
        );
      });

      it('says that a table does not exist', async () => {
        await assert.rejects(() => collect(store, 'nowhere'), { code: 'NOT_FOUND' });
        await assert.rejects(() => collect(store, 'wmb_marks'), { code: 'NOT_FOUND' });
      });
    });
  });
}
