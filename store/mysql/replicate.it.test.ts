import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { systemRuntime } from '../../core/runtime.ts';
import { formatStamp } from '../../core/stamp.ts';
import type { Lane } from '../../core/words.ts';
import { makeSchema, makeUsers, opened, type TestSchema, type TestServer } from './database-kit.ts';
import { forEachPair, forget, type ServerPair, until } from './pair-kit.ts';
import { replicateDatabase, type Source } from './replicate.ts';
import { MysqlReplication } from './replication.ts';
import { Session } from './session.ts';

const LANE: Lane = { log: 'writes', origin: 'beijing', partition: 0 };
const PASSWORD = 'Replica-7';
const SCHEMA = 'CREATE TABLE t (id BIGINT NOT NULL, x INT, wmb_stamp CHAR(24), PRIMARY KEY (id));';

function suite(product: ServerPair): void {
  const { kind, master, slave, stranger } = product;
  let made: TestSchema;
  let replication: MysqlReplication;
  const source = { source: master.address, user: 'wmb_replica', password: PASSWORD };
  const replicate = async (dryRun: boolean, from: Partial<Source> = {}) => {
    const lines: string[] = [];
    const server = { ...slave, schema: made.options.schema, tls: undefined };
    const order = { server, source: { ...source, ...from }, dryRun, runtime: systemRuntime };
    for await (const line of replicateDatabase(order)) lines.push(line);
    return lines.join('\n');
  };
  const on = async (server: TestServer, texts: readonly string[]) => {
    const session = await Session.open({ ...server, schema: undefined, tls: undefined }, systemRuntime);
    for (const text of texts) await session.query(text);
    await session.close();
  };
  const onSlave = (...texts: string[]) => on(slave, texts);
  const unheard = { source: '127.0.0.1:1' };
  before(async () => {
    await forget(product);
    made = await makeSchema(master, SCHEMA);
    await makeUsers(master, kind, made.options.schema, PASSWORD);
    const server = { ...slave, user: 'wmb', password: PASSWORD, schema: made.options.schema, tls: undefined };
    replication = new MysqlReplication({ server, source, runtime: systemRuntime });
  });
  after(async () => {
    await replication.close();
    await made.remove();
    await forget(product);
  });

  it('a dry run says what would be done, without the password, and does nothing', async () => {
    const said = await replicate(true);
    assert.match(said, /lacks \d+ transactions[\s\S]*CHANGE [\s\S]*START [\s\S]*SET /);
    assert.doesNotMatch(said, new RegExp(PASSWORD));
    assert.doesNotMatch(await replicate(true), /follows/);
  });

  it('what is wrong with the server that is to be followed is said before anything is done', async () => {
    await assert.rejects(replicate(false, { password: 'wrong' }), { code: 'STORE_DENIED', message: /Access denied for user/ });
    const itself = { source: slave.address, user: slave.user, password: slave.password };
    await assert.rejects(replicate(false, itself), { code: 'STORE_UNFIT', message: /has server_id = 2, as the master’s.*one of its own/ });
    assert.match(await replicate(true), /CHANGE /);
  });

  it('a server whose settings do not do is refused, whichever of the two it is', async () => {
    for (const [server, who] of [
      [slave, slave.address],
      [master, `the master’s server ${master.address}`],
    ] as const) {
      await on(server, ["SET GLOBAL binlog_row_image = 'MINIMAL'"]);
      const unfit = { code: 'STORE_UNFIT', message: new RegExp(`${who} has binlog_row_image = MINIMAL`) };
      await assert.rejects(replicate(false), unfit);
      await on(server, ["SET GLOBAL binlog_row_image = 'FULL'"]);
    }
  });

  it('a server of another product is not followed', { skip: stranger === undefined }, async () => {
    assert.ok(stranger !== undefined);
    const { address, user, password } = stranger;
    const [mine, theirs] = kind === 'mysql' ? ['MySQL', 'MariaDB'] : ['MariaDB', 'MySQL'];
    const message = new RegExp(` is ${mine} .* and the master’s is ${theirs} .*their transaction ids do not go together`);
    await assert.rejects(replicate(false, { source: address, user, password }), { code: 'STORE_UNFIT', message });
  });

  it('a master that cannot be reached from here is told, and the servers compare themselves', async () => {
    const said = await replicate(true, unheard);
    assert.match(said, /127\.0\.0\.1:1 cannot be reached from here; the servers compare themselves when they meet\nCHANGE /);
  });

  it('what the server has committed by itself must be forgotten first, which is enough while it has none of the schema’s tables', async () => {
    const reset = kind === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER';
    await onSlave('CREATE DATABASE strange');
    const refused = { code: 'REPLICA_DIVERGED', message: new RegExp(`what the master does not have.*forget them there with ${reset}$`) };
    for (const from of [{}, unheard]) await assert.rejects(replicate(false, from), refused);
    await onSlave('DROP DATABASE strange', reset);
    assert.match(await replicate(true), /CHANGE /);
  });

  it('tables of the schema that came from no master are not followed into', async () => {
    const { schema } = made.options;
    const unlogged = 'SET SESSION sql_log_bin = 0';
    await onSlave(unlogged, `CREATE DATABASE ${schema}`, `CREATE TABLE ${schema}.t (id BIGINT PRIMARY KEY)`);
    const refused = { code: 'REPLICA_DIVERGED', message: new RegExp(`has tables in the schema ${schema} that came from no master: drop`) };
    for (const from of [{}, unheard]) await assert.rejects(replicate(false, from), refused);
    await onSlave(unlogged, `DROP DATABASE ${schema}`);
  });

  it('a user who may not replicate is told by the server', async () => {
    await assert.rejects(replicate(false, { user: 'wmb' }), {
      code: 'STORE_UNAVAILABLE',
      message: /was told to follow the master’s, and does not: .*Access denied for user 'wmb'/,
    });
  });

  it('a slave is made to follow, once, and takes no other writes', async () => {
    assert.match(await replicate(false), new RegExp(`it follows ${master.address}`));
    assert.match(await replicate(false), /follows .* already$/);
    // The users come by replication too.
    await until(() =>
      replication.status().then(
        ({ missing }) => missing === 0,
        () => false,
      ),
    );
    const session = await Session.open(
      { ...slave, schema: made.options.schema, user: 'wmb', password: PASSWORD, tls: undefined },
      systemRuntime,
    );
    await assert.rejects(session.query('INSERT INTO t (id) VALUES (1)'), /read.only/);
    await session.close();
    if (kind === 'mysql') await assert.rejects(onSlave('CREATE DATABASE strange'), /--super-read-only/);
  });

  it('what the master’s marks say in the slave, its tables hold', async () => {
    const store = await opened(made.options);
    const replica = await opened({ ...made.options, ...slave, role: 'slave', user: 'wmb', password: PASSWORD });
    const stamp = formatStamp({ ms: 1_700_000_000_000, counter: 0, writer: 0x0100_0001 });
    for (let seq = 0; seq < 40; seq += 1) {
      const statements = [{ op: 'upsert' as const, table: 't', key: { id: seq }, values: { x: seq } }];
      await store.execute({
        moves: [{ ...LANE, epoch: '00000000000000aa', expected: seq - 1, next: seq }],
        lane: LANE,
        writes: [{ requestId: `r${seq}`, stamp, seq, index: 0, statements }],
      });
      const mark = (await replica.marks())[0]?.seq ?? -1;
      let rows = 0;
      for await (const _ of replica.rows('t')) rows += 1;
      assert.ok(rows > mark, `${rows} rows behind the mark ${mark}`);
    }
    await until(async () => (await replica.marks())[0]?.seq === 39);
    await assert.rejects(replica.execute({ moves: [], lane: LANE, writes: [] }), { code: 'INTERNAL' });
    await store.close();
    await replica.close();
  });

  it('a heartbeat arrives, and a thread that does not run is told with what it misses', async () => {
    const beats = new MysqlReplication({
      server: { ...made.options, schema: made.options.schema },
      source: undefined,
      runtime: systemRuntime,
    });
    await beats.beat(123_456);
    await until(async () => (await replication.status()).heartbeatMs === 123_456);
    assert.equal((await replication.status()).state, 'following');
    await onSlave(kind === 'mysql' ? 'STOP REPLICA' : 'STOP SLAVE');
    await beats.beat(123_457);
    const { state, reason, missing, heartbeatMs } = await replication.status();
    assert.deepEqual([state, missing, heartbeatMs], ['stopped', 1, 123_456]);
    assert.match(reason, /the thread was stopped/);
    await onSlave(kind === 'mysql' ? 'START REPLICA' : 'START SLAVE');
    await until(async () => (await replication.status()).heartbeatMs === 123_457);
    await beats.close();
  });

  it('a slave that has written by itself has diverged: that is told with the transaction, and nothing is set up over it', async () => {
    const readOnly = kind === 'mysql' ? 'super_read_only' : 'read_only';
    await onSlave(`SET GLOBAL ${readOnly} = OFF`, 'CREATE DATABASE strange', `SET GLOBAL ${readOnly} = ON`);
    const { state, reason } = await replication.status();
    assert.equal(state, 'diverged');
    assert.match(reason, /committed by itself what the master does not have \(\S+\); make this database anew/);
    await assert.rejects(replicate(false), { code: 'REPLICA_DIVERGED', message: /has committed what the master does not have/ });
  });

  it('a master that has lost the binlogs which the server lacks is not followed', async () => {
    await forget(product);
    await on(master, [`INSERT INTO ${made.options.schema}.t (id) VALUES (1000)`, 'FLUSH BINARY LOGS']);
    const logs = async () => {
      const session = await Session.open({ ...master, schema: undefined, tls: undefined }, systemRuntime);
      const rows = await session.rows('SHOW BINARY LOGS');
      await session.close();
      return rows.map((row) => String(row.Log_name));
    };
    // What somebody still reads is not removed.
    await until(async () => {
      await on(master, [`PURGE BINARY LOGS TO '${(await logs()).at(-1)}'`]);
      return (await logs()).length === 1;
    });
    const message =
      kind === 'mysql' ? /no longer has \S+ in its binlogs, which this one lacks; make this database anew/ : /make this database anew/;
    await assert.rejects(replicate(false, master), { code: 'REPLICA_DIVERGED', message });
  });
}

await forEachPair('replication', suite);
