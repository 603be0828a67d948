/**
 * A slave's database that is changed past its binlog while the rooms work: the slave's checker finds each row, explains it, repairs it through the master and closes it, and reports nothing else.
 * On both products, with the users that docs/mysql.md makes.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { credentials } from '@grpc/grpc-js';
import { type Ended, wmb as run } from '../../cli/testing.ts';
import type { Drift } from '../../consistency-checker/drift.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { CheckerClient, type CheckerStatus } from '../../proto/gen/wmb/v1/checker.ts';
import { Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { makeUsers } from '../../store/mysql/database-kit.ts';
import { forEachPair, forget, type ServerPair } from '../../store/mysql/pair-kit.ts';
import { Session } from '../../store/mysql/session.ts';
import { RoomClients, unary } from '../harness/clients.ts';
import { COMPILED_ONCE, Rooms } from '../harness/rooms.ts';
import { QUICK_LINK, scratch, until, write } from './scene.ts';

const SCHEMA = 'wmb_test_rows';
const ROWS = 20_000;
/** Traffic leaves these alone. */
const QUIET_ROWS = 1_000;
const WAIT_MS_MAX = 120_000;
const EXAMPLE = new URL('../../examples/messages/', import.meta.url).pathname;
const PASSWORDS = { WMB_TEST_ROWS_PASSWORD: 'Rows-7', WMB_TEST_ROWS_ROOT: '' };
const DATABASE = { roundMs: 200, workMsMax: 400 };
const CHECKER = { roundMs: 300, graceMs: 1_500, sweepMs: 10_000, canaryMs: 500, silenceMsMax: 60_000, database: DATABASE };
const TABLES = `
  CREATE TABLE notes (id BIGINT NOT NULL, note VARCHAR(40), wmb_stamp CHAR(24), PRIMARY KEY (id));
  CREATE TABLE switches (id BIGINT NOT NULL, state VARCHAR(3) NOT NULL, PRIMARY KEY (id));
`;

interface Stage {
  readonly rooms: Rooms;
  readonly clients: RoomClients;
  readonly checker: CheckerClient;
  /** As a person of the room would. */
  wmb(room: number, ...args: string[]): Promise<Ended>;
  sql(which: 'master' | 'slave', ...statements: string[]): Promise<void>;
  /** Without a trace in the binlog. */
  behindBack(...statements: string[]): Promise<void>;
  list(status: string): Promise<readonly Drift[]>;
}

async function stageOf(pair: ServerPair): Promise<Stage> {
  const { kind, master, slave } = pair;
  await forget(pair);
  await makeUsers(master, kind, SCHEMA, PASSWORDS.WMB_TEST_ROWS_PASSWORD);
  Object.assign(process.env, { ...PASSWORDS, WMB_TEST_ROWS_ROOT: master.password });
  const directory = scratch();
  const schemaFile = join(directory, 'schema.sql');
  writeFileSync(schemaFile, readFileSync(join(EXAMPLE, 'schema.sql'), 'utf8') + TABLES);
  const password = { env: 'WMB_TEST_ROWS_PASSWORD' };
  const database = { adapter: 'mysql', name: SCHEMA, user: 'wmb', password, schemaFile };
  const rooms = await Rooms.prepare({
    ...{ count: 2, mode: 'master-slave', partitions: 2, directory, daemons: ['reship', 'collector', 'checker'] },
    processorFile: join(EXAMPLE, 'processor.ts'),
    topologySettings: { databases: 'mysql' },
    roomSettings: (room) => ({
      link: QUICK_LINK,
      checker: CHECKER,
      database:
        room === 'beijing'
          ? { ...database, address: master.address }
          : { ...database, address: slave.address, replication: { source: master.address, user: 'wmb_replica', password } },
    }),
  });
  const wmb: Stage['wmb'] = (room, ...args) => run([...args, '--config', rooms.room(room).configFile], { env: COMPILED_ONCE });
  const sql = async (which: 'master' | 'slave', ...statements: string[]) => {
    const session = await Session.open({ ...pair[which], schema: SCHEMA, tls: undefined }, systemRuntime);
    for (const statement of statements) await session.query(statement);
    await session.close();
  };
  const asRoot = ['--user', master.user, '--password-env', 'WMB_TEST_ROWS_ROOT'];
  for (const [room, ...args] of [
    [0, 'init'],
    [1, 'replicate', '--apply'],
  ] as const) {
    const { code, stdout, stderr } = await wmb(room, 'db', ...args, ...asRoot);
    assert.equal(code, 0, stdout + stderr);
  }
  await fill(sql);
  process.once('exit', () => rooms.killAll());
  await rooms.startAll();
  const readOnly = kind === 'mysql' ? 'super_read_only' : 'read_only';
  const checker = new CheckerClient(rooms.room(1).checker.grpc, credentials.createInsecure());
  return {
    ...{ rooms, clients: new RoomClients(rooms.room(0)), checker, wmb, sql },
    behindBack: (...statements) =>
      sql('slave', `SET GLOBAL ${readOnly} = OFF`, 'SET SESSION sql_log_bin = 0', ...statements, `SET GLOBAL ${readOnly} = ON`),
    async list(status) {
      const { stdout, stderr } = await wmb(0, 'drift', 'list', '--status', status, '--json');
      assert.notEqual(stdout, '', stderr);
      return (JSON.parse(stdout) as { drifts: readonly Drift[] }).drifts;
    },
  };
}

async function fill(sql: Stage['sql']): Promise<void> {
  const notes = Array.from({ length: ROWS }, (_, id) => `(${id}, 'note ${id}', '${'0'.repeat(24)}')`);
  const switches = Array.from({ length: 50 }, (_, id) => `(${id}, 'on')`);
  await sql('master', `INSERT INTO notes VALUES ${notes.join(',')}`, `INSERT INTO switches VALUES ${switches.join(',')}`);
}

/** Write requests in the master room, and, straight in its database, rows that are changed and rows that are switched on and off. */
class Traffic {
  readonly #stage: Stage;
  readonly #running: Promise<unknown>;
  #isOver = false;
  statements = 0;

  constructor(stage: Stage, master: ServerPair['master']) {
    this.#stage = stage;
    this.#running = Promise.all([this.#messages(), this.#statements(master)]);
    this.#running.catch(() => {});
  }

  async #messages(): Promise<void> {
    for (let at = 1; !this.#isOver; at += 1) {
      const batch = Array.from({ length: 20 }, (_, n) =>
        write({ kind: 'message', key: `user:${n + 1}`, payload: JSON.stringify({ from: n + 1, to: n + 2, at }) }),
      );
      const { results } = await this.#stage.clients.submit({ writes: batch, wait: Wait.WAIT_LOGGED, deadlineMs: 15_000, batchId: 0 });
      assert.ok(results.every(({ error }) => error === undefined));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async #statements(master: ServerPair['master']): Promise<void> {
    const session = await Session.open({ ...master, schema: SCHEMA, tls: undefined }, systemRuntime);
    for (; !this.#isOver; this.statements += 1) {
      const id = QUIET_ROWS + ((this.statements * 7_919) % (ROWS - QUIET_ROWS));
      if (this.statements % 2 === 0) await session.query(`UPDATE notes SET note = 'again ${this.statements}' WHERE id = ${id}`);
      else await session.query(`UPDATE switches SET state = IF(state = 'on', 'off', 'on') WHERE id = ${this.statements % 50}`);
    }
    await session.close();
  }

  async end(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}

function suite(pair: ServerPair): void {
  let stage: Stage;
  let traffic: Traffic;
  const waited = <T>(what: string, probe: () => Promise<T | undefined | false>) => until(what, probe, WAIT_MS_MAX);
  const status = () => unary<CheckerStatus>((answer) => stage.checker.getStatus({}, answer));
  const repair = (...args: string[]) => stage.wmb(0, 'repair', ...args);
  /** Since now everything was read once more, and a round has been after it. */
  const passes = async (count: number) => {
    for (let pass = 0; pass < count; pass += 1) {
      await waited('a pass is under way', async () => /now in table/.test((await status()).database));
      await waited('it is over', async () => /^compared .* last as a whole now(?!, now in)/.test((await status()).database));
    }
  };
  const open = async (...names: string[]) => {
    const found = await waited(`${names} are open`, async () => {
      const drifts = await stage.list('open');
      return drifts.length >= names.length && drifts;
    });
    assert.deepEqual(found.map(({ subject }) => subject.name).sort(), names);
    return new Map(found.map((drift) => [drift.subject.name, drift]));
  };
  const ids: string[] = [];

  before(async () => {
    stage = await stageOf(pair);
    traffic = new Traffic(stage, pair.master);
  });
  after(async () => {
    await traffic?.end();
    stage?.checker.close();
    stage?.clients.close();
    await stage?.rooms.stop();
    await stage?.sql('master', `DROP DATABASE ${SCHEMA}`);
    await forget(pair);
  });

  it('nothing is reported under traffic, whatever is switched on and off', async () => {
    await passes(3);
    assert.deepEqual(await stage.list('all'), []);
    assert.ok(traffic.statements > 100, `${traffic.statements} statements`);
  });

  it('two swapped values are found and explained, repaired through the master, and closed', async () => {
    await stage.behindBack("UPDATE notes SET note = 'note 78' WHERE id = 77", "UPDATE notes SET note = 'note 77' WHERE id = 78");
    const drifts = await open('notes(77)', 'notes(78)');
    for (const { id, kind, level, wrong, cause } of drifts.values()) {
      ids.push(id);
      assert.deepEqual([kind, level, wrong, cause], ['row', 'L4', 'guangzhou', 'behind-back']);
    }
    const shown = await stage.wmb(0, 'drift', 'show', drifts.get('notes(77)')?.id ?? '');
    for (const text of [
      'row         notes(77)',
      '"note 77"',
      '"note 78"',
      'rewrite from beijing to guangzhou',
      '- notes(77).note = "note 78"',
    ])
      assert.ok(shown.stdout.includes(text), shown.stdout);
    // A slave that is some seconds behind is not waited for.
    const dry = await waited('the repair is planned', async () => {
      const planned = await repair(...ids);
      return planned.code === 0 && planned;
    });
    assert.match(dry.stdout, /planned {2}rewrite in guangzhou {2}notes\(77\)[\s\S]*UPDATE `notes` SET wmb_stamp = /);
    await open('notes(77)', 'notes(78)');
    const done = await repair(...ids, '--apply');
    assert.equal(done.code, 0, done.stdout + done.stderr);
    assert.deepEqual(await stage.list('open'), []);
    assert.deepEqual((await stage.list('repaired')).map(({ id }) => id).sort(), [...ids].sort());
    const audit = await stage.wmb(0, 'drift', 'audit');
    assert.match(audit.stdout, /rewrite +notes\(77\) +repaired/);
  });

  it('a row that is missing and one too many are told with the remedy, and repaired when the slave overwrites', async () => {
    await stage.behindBack('DELETE FROM notes WHERE id = 5', "INSERT INTO notes VALUES (-3, 'nobody', NULL)");
    const drifts = await open('notes(-3)', 'notes(5)');
    const some = [...drifts.values()].map(({ id }) => id);
    assert.match(drifts.get('notes(5)')?.repair.text ?? '', /IDEMPOTENT/);
    const refused = await repair(...some, '--apply');
    assert.equal(refused.code, 7);
    assert.match(refused.stdout, /refused[\s\S]*IDEMPOTENT/);
    const mode = pair.kind === 'mysql' ? 'replica_exec_mode' : 'slave_exec_mode';
    await stage.sql('slave', `SET GLOBAL ${mode} = 'IDEMPOTENT'`);
    const done = await repair(...some, '--apply');
    await stage.sql('slave', `SET GLOBAL ${mode} = 'STRICT'`);
    assert.equal(done.code, 0, done.stdout + done.stderr);
    ids.push(...some);
  });

  it('what was put right by hand closes by itself', async () => {
    await stage.behindBack("UPDATE notes SET note = 'by hand' WHERE id = 9");
    const [drift] = (await open('notes(9)')).values();
    ids.push(drift?.id ?? '');
    await stage.behindBack("UPDATE notes SET note = 'note 9' WHERE id = 9");
    const healed = await waited('it is closed', async () => (await stage.list('healed'))[0]);
    assert.equal(healed.id, drift?.id);
  });

  it('while replication stands nothing is reported, and it is said that nothing is compared', async () => {
    const thread = pair.kind === 'mysql' ? 'REPLICA' : 'SLAVE';
    await stage.sql('slave', `STOP ${thread}`);
    await waited('that is said', async () => /^not compared .*replication is stopped/.test((await status()).database));
    await stage.sql('slave', `START ${thread}`);
    await passes(2);
  });

  it('who waits for everywhere waits for the slave’s database too, and a trace says how far that is', async () => {
    const thread = pair.kind === 'mysql' ? 'REPLICA' : 'SLAVE';
    const message = write({ kind: 'message', key: 'user:1', payload: JSON.stringify({ from: 1, to: 2, at: 1 }) });
    const submit = async (deadlineMs: number) =>
      (await stage.clients.submit({ writes: [message], wait: Wait.WAIT_EVERYWHERE, deadlineMs, batchId: 0 })).results[0]?.error?.code;
    const trace = async () => (await stage.wmb(0, 'trace', message.requestId)).stdout;
    await stage.sql('slave', `STOP ${thread}`);
    assert.equal(await submit(3_000), 'WAIT_TIMEOUT');
    const isBehind = /guangzhou +applied .*its database has come to frame \d+ of the lane/;
    await waited('the cache has it and the database has not', async () => isBehind.test(await trace()));
    await stage.sql('slave', `START ${thread}`);
    assert.equal(await submit(WAIT_MS_MAX), undefined);
    assert.match(await trace(), /guangzhou +applied .*its database is past it too/);
  });

  it('nothing else was ever reported', async () => {
    const compared = /^database of guangzhou: compared with the database of beijing, last as a whole /m;
    await waited('the database is compared', async () => compared.test((await stage.wmb(1, 'drift', 'list')).stdout));
    const all = await stage.list('all');
    assert.deepEqual(all.map(({ id }) => id).sort(), [...ids].sort());
    assert.deepEqual(await stage.list('open'), []);
  });
}

await forEachPair('rows of a slave’s database', suite);
