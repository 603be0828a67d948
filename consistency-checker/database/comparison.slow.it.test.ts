/** On real servers, with replication between them. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { MysqlComparable } from '../../store/mysql/comparable.ts';
import { makeSchema, makeUsers, type TestSchema } from '../../store/mysql/database-kit.ts';
import { forEachPair, forget, type ServerPair, until } from '../../store/mysql/pair-kit.ts';
import { replicateDatabase } from '../../store/mysql/replicate.ts';
import { Session } from '../../store/mysql/session.ts';
import type { DifferingRow } from '../../store/row-comparison.ts';
import { compareDatabases } from './comparison.ts';
import { repairRows } from './repair.ts';
import { keyName } from './row-name.ts';

const ROWS = 1_000_000;
const PASSWORD = 'Compare-7';
const SCHEMA = `
  CREATE TABLE big (id BIGINT NOT NULL, note VARCHAR(40), wmb_stamp CHAR(24), PRIMARY KEY (id));
  CREATE TABLE pairs (a VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, b BIGINT NOT NULL, x DECIMAL(10,2), y BLOB, PRIMARY KEY (a, b));
`;

function suite(pair: ServerPair): void {
  const { kind, master, slave } = pair;
  let made: TestSchema;
  let sides: { master: MysqlComparable; slave: MysqlComparable };
  const onServer = async (which: 'master' | 'slave', ...statements: string[]) => {
    const session = await Session.open({ ...pair[which], schema: made.options.schema, tls: undefined }, systemRuntime);
    for (const statement of statements) await session.query(statement);
    await session.close();
  };
  /** As who goes behind everybody's back: without a trace in the binlog, so that the transaction ids stay equal. */
  const behindBack = (...statements: string[]) => {
    const readOnly = kind === 'mysql' ? 'super_read_only' : 'read_only';
    return onServer('slave', `SET GLOBAL ${readOnly} = OFF`, 'SET SESSION sql_log_bin = 0', ...statements, `SET GLOBAL ${readOnly} = ON`);
  };
  const compare = async (tables?: string[]) => {
    const differing: DifferingRow[] = [];
    for await (const one of compareDatabases({ ...sides, tables, chunkRows: 10_000, rowsMax: 100, behindMsMax: 120_000 })) {
      differing.push(...one.differing);
    }
    return differing;
  };
  const told = (rows: readonly DifferingRow[]) => rows.map(({ table, key, kind: how }) => `${table} ${keyName(key)} ${how}`);
  const repaired = async (rows: readonly DifferingRow[], dryRun: boolean) => {
    const lines: string[] = [];
    for await (const line of repairRows({ ...sides, behindMsMax: 120_000, dryRun }, rows)) lines.push(line);
    return lines;
  };

  before(async () => {
    await forget(pair);
    made = await makeSchema(master, SCHEMA);
    const { schema } = made.options;
    await makeUsers(master, kind, schema, PASSWORD);
    const digits =
      '(SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)';
    const number = 'a.n + 10 * b.n + 100 * c.n + 1000 * d.n + 10000 * e.n + 100000 * f.n';
    const from = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${digits} ${name}`).join(', ');
    await onServer(
      'master',
      `INSERT INTO big SELECT ${number}, CONCAT('note ', ${number}), '000000000000000000000000' FROM ${from} LIMIT ${ROWS}`,
    );
    await onServer('master', "INSERT INTO pairs VALUES ('A', 1, 1.5, X'00ff'), ('a', 1, NULL, NULL), ('a', 2, 2, ''), ('ü', 1, 3, X'27')");
    const source = { source: master.address, user: 'wmb_replica', password: PASSWORD };
    for await (const _ of replicateDatabase({
      server: { ...slave, schema, tls: undefined },
      source,
      dryRun: false,
      runtime: systemRuntime,
    }));
    const server = { schema, user: 'wmb', password: PASSWORD, tls: undefined };
    const open = (address: string) => MysqlComparable.open({ ...server, address }, systemRuntime);
    await until(() =>
      open(slave.address).then(
        (it) => it.close().then(() => true),
        () => false,
      ),
    );
    sides = { master: await open(master.address), slave: await open(slave.address) };
    assert.ok(await sides.slave.reaches(await sides.master.position(), 120_000));
  });
  after(async () => {
    await Promise.all([sides?.master.close(), sides?.slave.close()]);
    await made.remove();
    await forget(pair);
  });

  it('finds nothing where nothing differs', async () => assert.deepEqual(await compare(), []));

  it('finds one swapped pair of values in a million rows, names both rows, and repairs them through the master', async () => {
    await behindBack("UPDATE big SET note = 'note 777778' WHERE id = 777777", "UPDATE big SET note = 'note 777777' WHERE id = 777778");
    const rows = await compare(['big']);
    assert.deepEqual(told(rows), ['big 777777 value', 'big 777778 value']);
    assert.match((await repaired(rows, true)).join('\n'), /^(UPDATE `big` SET wmb_stamp = '.*' WHERE `id` = 77777[78]\n?){4}$/);
    assert.equal((await compare(['big'])).length, 2, 'a dry run changes nothing');
    assert.deepEqual(
      (await repaired(rows, false)).filter((line) => !line.startsWith('UPDATE')),
      ['big 777777: repaired', 'big 777778: repaired'],
    );
    assert.deepEqual(await compare(['big']), []);
  });

  it('finds rows that are missing and rows that are too many, by keys of several columns', async () => {
    await behindBack(
      "DELETE FROM pairs WHERE a = 'a' AND b = 1",
      "INSERT INTO pairs VALUES ('z', 9, 1, NULL)",
      "UPDATE pairs SET y = X'2700' WHERE a = 'ü'",
    );
    const rows = await compare(['pairs']);
    assert.deepEqual(told(rows), ['pairs "a", 1 missing', 'pairs "ü", 1 value', 'pairs "z", 9 extra']);
    await assert.rejects(repaired(rows, false), /IDEMPOTENT/);
    const mode = kind === 'mysql' ? 'replica_exec_mode' : 'slave_exec_mode';
    await onServer('slave', `SET GLOBAL ${mode} = 'IDEMPOTENT'`);
    try {
      assert.equal((await repaired(rows, false)).filter((line) => line.endsWith(': repaired')).length, 3);
    } finally {
      await onServer('slave', `SET GLOBAL ${mode} = 'STRICT'`);
    }
    assert.deepEqual(await compare(), []);
  });

  it('calls nothing different that is written while it looks', async () => {
    let [isOver, written] = [false, 0];
    const session = await Session.open({ ...master, schema: made.options.schema, tls: undefined }, systemRuntime);
    const writing = (async () => {
      for (; !isOver; written += 1)
        await session.query(`UPDATE big SET note = CONCAT('again ', ${written}) WHERE id = ${(written * 7_919) % ROWS}`);
    })();
    try {
      assert.deepEqual(told(await compare(['big'])), []);
    } finally {
      isOver = true;
      await writing;
      await session.close();
    }
    assert.ok(written > 50, `${written} updates`);
  });
}

await forEachPair('master against slave database', suite);
