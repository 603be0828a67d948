import assert from 'node:assert/strict';
import { after, before, describe, it, test } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import type { Lane } from '../../core/words.ts';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { standstill } from '../../test/harness/standstill.ts';
import type { DatabaseStore, DatabaseWrite, Row, Statement } from '../database.ts';
import { MysqlDatabase, type MysqlDatabaseOptions } from './database.ts';
import { makeSchema, makeUsers, opened, openProxy, type TestSchema, type TestServer, testServer } from './database-kit.ts';
import { initDatabase } from './init.ts';
import type { Session } from './session.ts';

const SCHEMA = `
  CREATE TABLE accounts (id BIGINT NOT NULL, email VARCHAR(80) UNIQUE, balance BIGINT, wmb_stamp CHAR(24), PRIMARY KEY (id));
  CREATE TABLE parents (id BIGINT NOT NULL, wmb_stamp CHAR(24), PRIMARY KEY (id));
  CREATE TABLE children (id BIGINT NOT NULL, parent BIGINT NOT NULL, wmb_stamp CHAR(24), PRIMARY KEY (id), FOREIGN KEY (parent) REFERENCES parents (id));
  CREATE TABLE a (id BIGINT NOT NULL, x INT, y DECIMAL(20,4), z JSON, wmb_stamp CHAR(24), PRIMARY KEY (id));
  CREATE TABLE b (id BIGINT NOT NULL, x VARCHAR(40), wmb_stamp CHAR(24) CHARACTER SET ascii COLLATE ascii_bin, PRIMARY KEY (id));
`;
const LANE: Lane = { log: 'writes', origin: 'beijing', partition: 0 };
const EPOCH = '00000000000000aa';
const stamp = (n: number) => formatStamp({ ms: 1_700_000_000_000 + n, counter: 0, writer: 0x0100_0001 });
const move = (expected: number, next: number) => ({ ...LANE, epoch: EPOCH, expected, next });
const upsert = (table: string, id: number, values: Row): Statement => ({ op: 'upsert', table, key: { id }, values });
const sql = (text: string, ...params: Extract<Statement, { op: 'sql' }>['params']): Statement => ({ op: 'sql', text, params });

/** A lock is waited for for five seconds. */
const LOCK_MS_MAX = 20_000;
/** As long as a share takes to move. */
const TAKEN_OVER_MS_MAX = 10_000;

let requests = 0;
function write(n: number, ...statements: Statement[]): DatabaseWrite {
  requests += 1;
  return { requestId: `r${requests}`, stamp: stamp(n), seq: requests, index: 0, statements };
}

async function run(store: DatabaseStore, ...writes: DatabaseWrite[]) {
  const result = await store.execute({ moves: [], lane: LANE, writes });
  assert.ok(result.moved);
  return result.outcomes.map((outcome) => (outcome.status === 'committed' ? 'committed' : outcome.reason));
}

async function rowsOf(store: DatabaseStore, table: string): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const row of store.rows(table)) rows.push(row);
  return rows;
}

/** Of clients to the server, and what each is doing. */
async function connections(admin: Session): Promise<{ readonly id: string; readonly running: string }[]> {
  return (await admin.rows('SHOW FULL PROCESSLIST')).map((row) => ({ id: String(row.Id), running: String(row.Info) }));
}

function suite(kind: 'mysql' | 'mariadb', server: TestServer): void {
  let made: TestSchema;
  let store: MysqlDatabase;
  before(async () => {
    made = await makeSchema(server, SCHEMA);
    store = await opened(made.options);
  });
  after(async () => {
    await store.close();
    await made.remove();
  });

  describe('many rows in one statement', () => {
    it('end with the greatest stamp of each key, every column from the same write request', async () => {
      await run(store, ...[3, 1, 5, 2, 4].map((n) => write(n, upsert('a', 1, { x: n, y: `${n}.5`, z: `{"n": ${n}}` }))));
      const [row] = await rowsOf(store, 'a');
      assert.deepEqual([row?.x, row?.y, JSON.parse(String(row?.z)), row?.wmb_stamp], [5, '5.5000', { n: 5 }, stamp(5)]);
    });

    it('keep the order of statements of different columns of one table', async () => {
      await run(store, write(11, upsert('a', 2, { x: 1 })), write(12, upsert('a', 2, { y: 2 })), write(13, upsert('a', 2, { x: 3 })));
      const row = (await rowsOf(store, 'a')).find(({ id }) => id === 2);
      assert.deepEqual([row?.x, row?.y], [3, '2.0000']);
    });

    it('among which one is refused lose that one only', async () => {
      const writes = Array.from({ length: 700 }, (_, n) =>
        write(n, upsert('b', n, { x: n === 333 || n === 334 ? 'x'.repeat(41) : `${n}` })),
      );
      const outcomes = await run(store, ...writes);
      assert.deepEqual(
        outcomes.flatMap((outcome, at) => (outcome === 'committed' ? [] : [at])),
        [333, 334],
      );
      assert.match(outcomes[333] ?? '', /statement 1 of 1 \(upsert into b\): .*x/);
      assert.equal((await rowsOf(store, 'b')).length, 698);
    });

    it('take text with everything in it that SQL gives a meaning', async () => {
      const text = `'"\\\0\n\r\x1a%_\`; -- é 𝛑 ?`;
      await run(store, write(1, upsert('b', 9_001, { x: text })), write(1, sql('INSERT INTO b (id, x) VALUES (?, ?)', 9_002, text)));
      const found = (await rowsOf(store, 'b')).filter(({ id }) => Number(id) > 9_000);
      assert.deepEqual(
        found.map(({ x }) => x),
        [text, text],
      );
    });
  });

  describe('an upsert into a table with another unique key', () => {
    it('never changes the row that has its unique value', async () => {
      await run(
        store,
        write(1, upsert('accounts', 1, { email: 'a@x', balance: 1 })),
        write(2, upsert('accounts', 2, { email: 'b@x', balance: 2 })),
      );
      const [outcome] = await run(store, write(9, upsert('accounts', 3, { email: 'a@x', balance: 9 })));
      assert.match(outcome ?? '', /Duplicate entry 'a@x'/);
      assert.deepEqual(
        (await rowsOf(store, 'accounts')).map(({ id, balance }) => [id, balance]),
        [
          [1, 1],
          [2, 2],
        ],
      );
    });

    it('wins by its stamp like any other', async () => {
      await run(
        store,
        write(5, upsert('accounts', 1, { email: 'c@x', balance: 5 })),
        write(4, upsert('accounts', 1, { email: 'd@x', balance: 4 })),
      );
      assert.deepEqual((await rowsOf(store, 'accounts'))[0], { id: 1, email: 'c@x', balance: 5, wmb_stamp: stamp(5) });
    });
  });

  it('statements on tables with foreign keys run in their order', async () => {
    const outcomes = await run(
      store,
      write(1, upsert('children', 1, { parent: 7 })),
      write(2, upsert('parents', 7, {})),
      write(3, upsert('children', 2, { parent: 7 })),
    );
    assert.match(outcomes[0] ?? '', /foreign key/i);
    assert.deepEqual(outcomes.slice(1), ['committed', 'committed']);
  });

  it('whole numbers of plain SQL stay exact', async () => {
    await run(
      store,
      write(
        1,
        sql('INSERT INTO accounts (id, balance) VALUES (?, ?)', 77, 9_007_199_254_740_993n),
        sql('UPDATE accounts SET balance = balance + ? WHERE id = ?', 2, 77),
      ),
    );
    assert.equal((await rowsOf(store, 'accounts')).find(({ id }) => id === 77)?.balance, 9_007_199_254_740_995n);
  });

  it('a statement larger than the server takes is refused before it is sent', async () => {
    const small = await opened(made.options);
    const [outcome, other] = await run(
      small,
      write(1, sql('UPDATE b SET x = ? WHERE id = 1', 'x'.repeat(70_000_000))),
      write(1, upsert('b', 8_000, { x: '' })),
    );
    assert.match(outcome ?? '', /max_allowed_packet/);
    assert.equal(other, 'committed');
    await small.close();
  });

  describe('other transactions', () => {
    it('that make a deadlock with a batch only delay it', async () => {
      await run(store, write(1, sql('INSERT INTO parents (id) VALUES (1001), (1002)')));
      const looker = await made.admin();
      const other = await made.admin();
      try {
        await other.query('START TRANSACTION');
        // The heavier transaction survives a deadlock.
        await other.query(`INSERT INTO parents (id) VALUES ${Array.from({ length: 500 }, (_, n) => `(${n + 2_000})`).join()}`);
        await other.query('UPDATE parents SET wmb_stamp = 1 WHERE id = 1002');
        const set = (id: number) => sql('UPDATE parents SET wmb_stamp = 2 WHERE id = ?', id);
        const locked = run(store, write(2, set(1001), set(1002)));
        await until(() => isRunning(looker, 'UPDATE parents SET wmb_stamp = 2'));
        await other.query('UPDATE parents SET wmb_stamp = 1 WHERE id = 1001');
        await other.query('COMMIT');
        assert.deepEqual(await locked, ['committed']);
      } finally {
        other.destroy();
        looker.destroy();
      }
    });

    it('that hold a lock for longer than it is waited for only delay it', async () => {
      const [other, looker] = [await made.admin(), await made.admin()];
      const waits = async () => Number((await looker.rows("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_waits'"))[0]?.Value);
      await run(store, write(1, sql('INSERT INTO parents (id) VALUES (1003)')));
      try {
        await other.query('START TRANSACTION');
        await other.query('UPDATE parents SET wmb_stamp = 1 WHERE id = 1003');
        const before = await waits();
        const locked = run(store, write(2, sql('UPDATE parents SET wmb_stamp = 2 WHERE id = 1003')));
        await until(async () => (await waits()) >= before + 2, LOCK_MS_MAX);
        await other.query('COMMIT');
        assert.deepEqual(await locked, ['committed']);
      } finally {
        other.destroy();
        looker.destroy();
      }
    });
  });

  describe('a connection', () => {
    it('that is lost with the answer to a commit: the mark says that it took place, and nothing runs twice', async () => {
      const { proxy, address } = await openProxy(server);
      const far = await opened({ ...made.options, address });
      const count = write(1, sql('UPDATE accounts SET balance = balance + 1 WHERE id = 2'));
      const before = (await rowsOf(store, 'accounts')).find(({ id }) => id === 2)?.balance;
      proxy.loseAnswerTo((packet) => packet.includes('COMMIT'));
      await assert.rejects(far.execute({ moves: [move(-1, 0)], lane: LANE, writes: [count] }), { code: 'STORE_UNAVAILABLE' });
      await until(async () => (await far.marks()).some(({ seq }) => seq === 0));
      assert.deepEqual(await far.execute({ moves: [move(-1, 0)], lane: LANE, writes: [count] }), {
        moved: false,
        stored: { ...LANE, epoch: EPOCH, seq: 0 },
      });
      assert.deepEqual(await run(far, count), ['committed'], 'a retry is recognised by its request id');
      assert.equal((await rowsOf(store, 'accounts')).find(({ id }) => id === 2)?.balance, Number(before) + 1);
      await far.close();
      await proxy.close();
    });

    it('that is lost before the commit: nothing of the batch is there, and the next one goes over a new connection', async () => {
      const { proxy, address } = await openProxy(server);
      const far = await opened({ ...made.options, address });
      proxy.loseAnswerTo((packet) => packet.includes('wmb_requests'));
      await assert.rejects(run(far, write(1, upsert('b', 9_500, { x: 'lost' }))), { code: 'STORE_UNAVAILABLE' });
      assert.equal(
        (await rowsOf(store, 'b')).some(({ id }) => id === 9_500),
        false,
      );
      assert.deepEqual(await run(far, write(1, upsert('b', 9_500, { x: 'found' }))), ['committed']);
      proxy.reset();
      await until(() =>
        far.marks().then(
          () => true,
          () => false,
        ),
      );
      assert.deepEqual(await run(far, write(1, upsert('b', 9_501, { x: 'after' }))), ['committed']);
      await far.close();
      await proxy.close();
    });
  });

  describe('a collector that stands still in the middle of a transaction', () => {
    it('soon loses it to the one that has its lanes by then; one that has nothing to write keeps its connection', async () => {
      const { proxy, address } = await openProxy(server);
      const [far, admin] = [await opened({ ...made.options, address }), await made.admin()];
      const watched = standstill();
      const others = await connections(admin);
      const idle = await opened(made.options);
      const idleIds = (await connections(admin)).map(({ id }) => id).filter((id) => !others.some((other) => other.id === id));
      const lane = { ...LANE, partition: 7 };
      const batch = (from: number, to: number) => ({
        moves: [{ ...move(from, to), partition: 7 }],
        lane,
        writes: [write(to, upsert('a', 77, { x: to }))],
      });
      await far.execute(batch(-1, 0));
      await admin.query('START TRANSACTION');
      await admin.rows('SELECT * FROM a WHERE id = 77 FOR UPDATE');
      const frozen = assert.rejects(far.execute(batch(0, 1)), { code: 'STORE_UNAVAILABLE' });
      await until(async () => (await connections(admin)).some(({ running }) => running.startsWith('INSERT INTO `a`')));
      proxy.hold();
      await admin.query('ROLLBACK');
      const waiting = standstill();
      assert.ok((await store.execute(batch(0, 2))).moved);
      const { awakeMs } = waiting();
      assert.ok(awakeMs < TAKEN_OVER_MS_MAX, `${awakeMs} ms`);
      proxy.heal();
      await frozen;
      assert.equal((await far.marks()).find(({ partition }) => partition === 7)?.seq, 2);
      assert.equal((await rowsOf(store, 'a')).find(({ id }) => id === 77)?.x, 2);
      const left = await connections(admin);
      // A process that stands still for seconds cannot say that it is there.
      const isKept = idleIds.length > 0 && idleIds.every((id) => left.some((it) => it.id === id));
      assert.ok(watched().longestMs > 3_000 || isKept);
      await Promise.all([far, idle, admin, proxy].map((each) => each.close()));
    });
  });

  describe('a start', () => {
    const start = async (changes: Partial<MysqlDatabaseOptions>) => {
      const other = new MysqlDatabase({ ...made.options, ...changes });
      try {
        await other.open();
      } finally {
        await other.close();
      }
    };

    it('says what is wrong, with a code and what to do', async () => {
      await assert.rejects(start({ password: 'wrong' }), { code: 'STORE_DENIED', message: /Access denied for user/ });
      await assert.rejects(start({ schema: 'wmb_test_nowhere' }), { code: 'STORE_UNPREPARED', message: /Unknown database/ });
      await assert.rejects(start({ address: '127.0.0.1:1' }), { code: 'STORE_UNAVAILABLE', message: /ECONNREFUSED/ });
      await assert.rejects(start({ master: 'shanghai' }), { code: 'STORE_FOREIGN', message: /master room is beijing, not shanghai/ });
    });

    it('needs the privileges of docs/mysql.md, and tables that replication and stamps can stand on', async () => {
      await makeUsers(server, kind, made.options.schema, 'Start-7');
      const admin = await made.admin();
      const user = { user: 'wmb', password: 'Start-7' };
      await start(user);
      await admin.query(`REVOKE INSERT, UPDATE, DELETE, TRIGGER ON ${made.options.schema}.* FROM wmb`);
      await assert.rejects(start(user), { code: 'STORE_DENIED', message: /INSERT/ });
      await admin.query('CREATE TABLE keyless (id INT)');
      await assert.rejects(start({}), { code: 'SCHEMA_INVALID', message: /table keyless has no PRIMARY KEY/ });
      await admin.query('DROP TABLE keyless');
      await admin.query('CREATE TABLE short (id INT PRIMARY KEY, wmb_stamp CHAR(10))');
      await assert.rejects(start({}), { code: 'SCHEMA_INVALID', message: /wmb_stamp of type char\(10\)/ });
      await admin.query('DROP TABLE short');
      await admin.close();
    });

    it('refuses a database without WMB’s tables, and one of a newer WMB', async () => {
      const admin = await made.admin();
      await admin.query('UPDATE wmb_identity SET version = 99');
      await assert.rejects(start({}), { code: 'STORE_FOREIGN', message: /newer WMB \(version 99/ });
      await admin.query('UPDATE wmb_identity SET version = 1');
      await admin.query('RENAME TABLE wmb_identity TO elsewhere');
      await assert.rejects(start({}), { code: 'STORE_UNPREPARED', message: /run `wmb db init` once/ });
      await admin.query('RENAME TABLE elsewhere TO wmb_identity');
      await admin.close();
    });

    it('refuses a binlog that slaves cannot follow, and waits for a server that takes no writes', async () => {
      const admin = await made.admin();
      await admin.query("SET GLOBAL binlog_format = 'MIXED'");
      await assert.rejects(start({}), { code: 'STORE_UNFIT', message: /binlog_format = MIXED.*SET .*binlog_format = 'ROW'/ });
      await start({ replicates: false });
      await admin.query("SET GLOBAL binlog_format = 'ROW'");
      await admin.query('SET GLOBAL read_only = ON');
      await assert.rejects(start({}), { code: 'STORE_UNAVAILABLE', message: /is read-only, and this is the master room/ });
      await admin.query('SET GLOBAL read_only = OFF');
      await admin.close();
    });
  });

  describe('init', () => {
    it('may be run again, and a dry run does nothing', async () => {
      const address = { ...server, schema: `${made.options.schema}_dry`, tls: undefined };
      const init = async (options: { schema: string; dryRun: boolean; master?: string }) => {
        const lines: string[] = [];
        for await (const line of initDatabase({
          server: { ...address, schema: options.schema },
          master: options.master ?? 'beijing',
          replicates: true,
          schemaFile: undefined,
          dryRun: options.dryRun,
          runtime: systemRuntime,
        }))
          lines.push(line);
        return lines;
      };
      assert.match((await init({ schema: address.schema, dryRun: true })).join('\n'), /CREATE DATABASE[\s\S]*CREATE TABLE wmb_marks/);
      await assert.rejects(start2(address.schema), { code: 'STORE_UNPREPARED' });
      assert.deepEqual(
        (await init({ schema: made.options.schema, dryRun: false })).slice(1),
        ['wmb_identity', 'wmb_marks', 'wmb_requests', 'wmb_heartbeat'].map((name) => `${name} is there`),
      );
      await assert.rejects(init({ schema: made.options.schema, dryRun: false, master: 'shanghai' }), { code: 'STORE_FOREIGN' });
    });
    const start2 = (schema: string) => opened({ ...made.options, schema }).then((other) => other.close());
  });
}

/** Whether such a statement is under way: it waits for a lock, for it has nothing else to do. */
async function isRunning(session: Awaited<ReturnType<TestSchema['admin']>>, sqlText: string): Promise<boolean> {
  return (await session.rows('SHOW PROCESSLIST')).some((row) => String(row.Info).startsWith(sqlText));
}

async function until(condition: () => Promise<boolean>, msMax = 20_000): Promise<void> {
  for (let look = 0; look < msMax / 10; look += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`it did not come about within ${msMax} ms`);
}

const [mysql, mariadb] = await Promise.all([testServer('WMB_TEST_MYSQL'), testServer('WMB_TEST_MARIADB')]);
// Both are up before the first suite begins: the hooks that remove them run when no suite is left that is known of.
for (const [product, kind, server] of [
  ['MySQL', 'mysql', mysql],
  ['MariaDB', 'mariadb', mariadb],
] as const) {
  if (server === undefined) test(`a database on ${product}`, { skip: NO_ENGINE }, () => {});
  else describe(`a database on ${product}`, () => suite(kind, server));
}
