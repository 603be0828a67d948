import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualTime } from '../../core/flow/virtual-time.testing.ts';
import { silentLogger } from '../../core/logger.ts';
import { noMetrics } from '../../core/metrics.ts';
import type { ReplicaStatus } from '../../store/replica.ts';
import type { Drift } from '../drift.ts';
import { databaseMeters, roundMeters } from '../meters.ts';
import type { RepairRequest } from '../repair/repairer.ts';
import { Repairer } from '../repair/repairer.ts';
import { MemoryDriftBook } from '../report/memory-book.ts';
import { WatchedBook } from '../report/watched-book.ts';
import { World } from '../rooms-kit.ts';
import { DatabaseRounds } from './rounds.ts';
import { Side } from './side-kit.ts';

const GRACE_MS = 10_000;
const ROUND_MS = 4_000;
const FOLLOWING: ReplicaStatus = { state: 'following', reason: '', missing: 0, heartbeatMs: undefined };
const OLDER = '01a204e67dfb000001000002';
const NEWER = '01a204e67dfc000001000002';

class Rig {
  readonly time = new VirtualTime();
  readonly book = new WatchedBook(new MemoryDriftBook());
  readonly master: Side;
  readonly slave: Side;
  replica = FOLLOWING;
  opened = 0;
  closed = 0;
  readonly rounds: DatabaseRounds;

  constructor(rows = 20, settings = { roundMs: ROUND_MS, workMsMax: 1_000 }) {
    this.master = new Side(rows);
    this.slave = new Side(rows, this.master);
    for (const side of [this.master, this.slave])
      side.close = async () => {
        this.closed += 1;
      };
    this.rounds = new DatabaseRounds({
      rooms: { master: 'guangzhou', slave: 'beijing' },
      open: async () => {
        this.opened += 2;
        return { master: this.master, slave: this.slave };
      },
      replica: async () => this.replica,
      stamped: async () => undefined,
      book: this.book,
      meters: { ...roundMeters(noMetrics), ...databaseMeters(noMetrics, () => 0) },
      settings,
      graceMs: GRACE_MS,
      runtime: this.time,
      logger: silentLogger,
    });
  }

  async run(ms: number): Promise<void> {
    await this.rounds.start();
    await this.time.advance(ms);
  }

  /** One of them, when the grace period is over. */
  async drift(): Promise<Drift> {
    await this.run(2 * GRACE_MS);
    const [drift, ...others] = this.book.openDrifts.values();
    assert.ok(drift !== undefined && others.length === 0, `${this.subjects()}`);
    return drift;
  }

  subjects(): readonly string[] {
    return [...this.book.openDrifts.values()].map(({ subject }) => subject.name).sort();
  }

  async repair(more: Partial<RepairRequest> = {}): Promise<readonly string[]> {
    const { explainer, own } = new World().checker('beijing', 'guangzhou');
    const repairer = new Repairer({
      own: own.view,
      rooms: () => undefined,
      mender: {
        repair: () => Promise.reject(new Error('no key is repaired')),
        retryParked: () => Promise.reject(new Error('nor retried')),
      },
      book: this.book,
      explainer,
      differs: (drift) => this.rounds.differs(drift),
      rewrite: (row) => this.rounds.rewrite(row),
      limits: { keysMax: 10, keysPerSecondMax: 1_000 },
      runtime: this.time,
      logger: silentLogger,
    });
    const results: string[] = [];
    const request: RepairRequest = { ids: 'all', apply: true, limit: 0, from: '', by: 'tester', ...more };
    const running = (async () => {
      for await (const { action, result, detail } of repairer.run(request, new AbortController().signal))
        results.push(`${action} ${result}: ${detail}`);
    })();
    await this.time.advance(10_000);
    await running;
    return results;
  }
}

describe('the rounds of a slave’s database', () => {
  it('report two swapped values as drifts of the slave, after the grace period and not before', async () => {
    const rig = new Rig();
    rig.slave.rowsById.set(11, 'v12');
    rig.slave.rowsById.set(12, 'v11');
    await rig.run(GRACE_MS - 1);
    assert.deepEqual(rig.subjects(), []);
    await rig.time.advance(2 * ROUND_MS);
    assert.deepEqual(rig.subjects(), ['t(11)', 't(12)']);
    const drift = [...rig.book.openDrifts.values()].find(({ subject }) => subject.name === 't(11)');
    assert.ok(drift !== undefined);
    assert.deepEqual([drift.level, drift.kind, drift.wrong, drift.cause], ['L4', 'row', 'beijing', 'unknown']);
    assert.deepEqual(
      drift.sides.map(({ room, shows, hash }) => [room, shows, hash]),
      [
        ['beijing', 'id = 11, note = "v12", wmb_stamp = ""', 'v12'],
        ['guangzhou', 'id = 11, note = "v11", wmb_stamp = ""', 'v11'],
      ],
    );
    assert.deepEqual(drift.elements, [{ name: 'note', versions: ['', ''], values: ['"v12"', '"v11"'] }]);
    assert.deepEqual(drift.repair.diff, ['- t(11).note = "v12"', '+ t(11).note = "v11"', 'WRITE 11']);
    assert.deepEqual([drift.repair.action, drift.repair.from, drift.repair.to], ['rewrite', 'guangzhou', 'beijing']);
  });

  it('report nothing that is equal again before the grace period is over, nor what never rests', async () => {
    const rig = new Rig();
    rig.slave.rowsById.set(11, 'late');
    rig.slave.rowsById.set(12, 'hot');
    let looks = 0;
    rig.master.beforeLook = () => {
      looks += 1;
      rig.master.set(12, `written ${looks}`);
    };
    await rig.run(GRACE_MS / 2);
    rig.slave.rowsById.set(11, 'v11');
    await rig.time.advance(5 * GRACE_MS);
    assert.ok(looks > 10);
    assert.deepEqual(rig.subjects(), []);
    assert.match(rig.rounds.text, /^compared with the database of guangzhou, last as a whole .*; 1 row changed between two looks$/);
  });

  it('report nothing that differs in another way at each look: that may be writes under way', async () => {
    const rig = new Rig();
    rig.slave.rowsById.set(11, 'a');
    await rig.rounds.start();
    for (let turn = 0; turn < 20; turn += 1) {
      await rig.time.advance(ROUND_MS);
      rig.slave.rowsById.set(11, `a${turn}`);
    }
    assert.deepEqual(rig.subjects(), []);
    await rig.time.advance(2 * GRACE_MS);
    assert.deepEqual(rig.subjects(), ['t(11)']);
  });

  it('report nothing that is written there and back all the time', async () => {
    const rig = new Rig(20, { roundMs: 1_000, workMsMax: 1_000 });
    let state = 1;
    const chance = () => {
      state = (state * 48_271) % 2_147_483_647;
      return state > 1_073_741_824;
    };
    const found: string[] = [];
    rig.book.onChange(({ subject }) => found.push(subject.name));
    for (const side of [rig.master, rig.slave])
      side.beforeLook = () => {
        for (let id = 0; id < 20; id += 1) side.rowsById.set(id, chance() ? 'on' : 'off');
      };
    rig.slave.rowsById.set(0, 'off');
    await rig.run(1_000_000);
    assert.deepEqual(found, []);
  });

  it('close a drift when both show the same again, and tell what it shows now while they do not', async () => {
    const rig = new Rig();
    rig.slave.rowsById.delete(11);
    const { id } = await rig.drift();
    rig.slave.rowsById.set(11, 'x');
    await rig.time.advance(2 * ROUND_MS);
    assert.match(rig.book.openDrifts.get(id)?.sides[0].shows ?? '', /"x"/);
    rig.slave.rowsById.set(11, 'v11');
    await rig.time.advance(2 * ROUND_MS);
    assert.deepEqual((await rig.book.get(id))?.status, 'healed');
  });

  it('read no more in a round than they may, and go on from there in the next', async () => {
    const rig = new Rig(23_000, { roundMs: ROUND_MS, workMsMax: 0 });
    rig.slave.rowsById.set(22_999, 'x');
    await rig.run(ROUND_MS);
    assert.equal(rig.slave.digested, 2);
    assert.match(rig.rounds.text, /never yet as a whole, now in table t$/);
    await rig.time.advance(5 * ROUND_MS + 2 * GRACE_MS);
    assert.equal(rig.rounds.unverifiedMs !== undefined, true);
  });

  it('do not compare while replication stands, and say so; a connection is never left open', async () => {
    const rig = new Rig();
    rig.slave.rowsById.set(11, 'x');
    rig.replica = { ...FOLLOWING, state: 'stopped', reason: 'START REPLICA' };
    await rig.run(3 * GRACE_MS);
    assert.match(rig.rounds.text, /^not compared with the database of guangzhou \(never yet as a whole\): .*stopped: START REPLICA/);
    assert.deepEqual([rig.subjects(), rig.opened], [[], 0]);
    rig.replica = FOLLOWING;
    rig.slave.reaches = async () => false;
    await rig.time.advance(3 * GRACE_MS);
    assert.match(rig.rounds.text, /did not come as far/);
    assert.deepEqual([rig.subjects(), rig.opened > 0, rig.opened], [[], true, rig.closed]);
  });

  it('name tables that only one side has, and compare the others', async () => {
    const rig = new Rig();
    rig.master.names = ['a', 't'];
    rig.slave.names = ['t', 'z'];
    rig.slave.rowsById.set(11, 'x');
    await rig.drift();
    assert.match(rig.rounds.text, /the slave’s database does not have what the master’s has: a; the master’s .* has: z$/);
  });

  it('say that a table has other columns in the slave, report none of its rows, and compare it again when it has the same', async () => {
    const rig = new Rig();
    rig.slave.rowsById.set(11, 'x');
    rig.slave.shapes.set('t', 'id; primary key id');
    await rig.run(4 * GRACE_MS);
    assert.deepEqual(rig.subjects(), []);
    assert.match(
      rig.rounds.text,
      /^not compared .*table t is another one in the slave’s database \(id; primary key id\) than in the master’s \(id, note;/,
    );
    rig.slave.shapes.clear();
    await rig.time.advance(4 * GRACE_MS);
    assert.deepEqual(rig.subjects(), ['t(11)']);
    rig.slave.shapes.set('t', 'id; primary key id');
    await rig.time.advance(4 * GRACE_MS);
    assert.deepEqual(rig.subjects(), ['t(11)'], 'nobody knows that it is gone');
  });

  it('search no further where thousands differ', async () => {
    const rig = new Rig(3_000, { roundMs: ROUND_MS, workMsMax: 60_000 });
    for (let id = 0; id < 3_000; id += 1) rig.slave.rowsById.set(id, 'x');
    await rig.run(4 * GRACE_MS);
    assert.equal(rig.subjects().length, 1_000);
    assert.match(rig.rounds.text, /1000 rows differ, and no more are looked for/);
  });

  it('end with the round under way', async () => {
    const rig = new Rig();
    await rig.run(ROUND_MS);
    await rig.rounds.drain();
    await rig.time.advance(5 * ROUND_MS);
    assert.deepEqual([rig.opened, rig.closed], [4, 4]);
  });
});

describe('which side of a row is wrong', () => {
  const stamped = async (master: string, slave: string) => {
    const rig = new Rig();
    rig.slave.rowsById.set(11, 'x');
    rig.master.stamps.set(11, master);
    rig.slave.stamps.set(11, slave);
    return { rig, drift: await rig.drift() };
  };

  it('is the slave, changed behind the binlog’s back, where both have the same stamp', async () => {
    const { drift } = await stamped(OLDER, OLDER);
    assert.deepEqual([drift.wrong, drift.cause], ['beijing', 'behind-back']);
  });

  it('is the slave where its stamp is older', async () => {
    assert.equal((await stamped(NEWER, OLDER)).drift.wrong, 'beijing');
  });

  it('cannot be told where the slave’s stamp is newer, and is not repaired before somebody says that the master is right', async () => {
    const { rig, drift } = await stamped(OLDER, NEWER);
    assert.deepEqual([drift.wrong, drift.repair.command], ['', `wmb repair ${drift.id} --from guangzhou --apply`]);
    assert.match((await rig.repair())[0] ?? '', /^rewrite refused: .*newer stamp/);
    assert.match((await rig.repair({ from: 'beijing', ids: [drift.id] }))[0] ?? '', /refused: --from beijing would write into the master/);
    assert.equal(rig.slave.rowsById.get(11), 'x');
    assert.match((await rig.repair({ from: 'guangzhou' }))[0] ?? '', /^rewrite repaired/);
    assert.equal(rig.slave.rowsById.get(11), 'v11');
  });

  it('cannot be told where the slave has gone its own way; the remedy is named', async () => {
    const rig = new Rig();
    rig.slave.rowsById.set(11, 'x');
    rig.replica = { ...FOLLOWING, state: 'diverged', reason: 'make it anew' };
    const drift = await rig.drift();
    assert.deepEqual([drift.wrong, drift.repair.text.startsWith('make it anew. ')], ['', true]);
    assert.match(rig.rounds.text, /not compared .*: make it anew$/);
  });
});

describe('the repair of a row', () => {
  it('changes nothing in a dry run; applied it is verified, audited and closed', async () => {
    const rig = new Rig();
    rig.slave.rowsById.set(11, 'x');
    const { id } = await rig.drift();
    assert.match((await rig.repair({ apply: false }))[0] ?? '', /^rewrite planned: writes the row anew in guangzhou, unchanged/);
    assert.deepEqual([rig.slave.rowsById.get(11), rig.book.openDrifts.size], ['x', 1]);
    assert.match((await rig.repair())[0] ?? '', /^rewrite repaired: .*verified/);
    assert.deepEqual([rig.slave.rowsById.get(11), (await rig.book.get(id))?.status], ['v11', 'repaired']);
    assert.deepEqual(
      (await rig.book.audits(10)).map(({ action, result, subject, by }) => [action, result, subject, by]),
      [['rewrite', 'repaired', 't(11)', 'tester']],
    );
  });

  it('is called failed where replication has not carried it over, and the drift stays open', async () => {
    const rig = new Rig();
    rig.slave.rowsById.set(11, 'x');
    await rig.drift();
    rig.master.follower = undefined;
    assert.match((await rig.repair())[0] ?? '', /^rewrite failed: the repair was done, and the rooms still differ/);
    assert.match([...rig.book.openDrifts.values()][0]?.note ?? '', /still differ/);
  });

  it('is refused, with the remedy, where the slave would not take a row that is missing or too many', async () => {
    const rig = new Rig();
    rig.slave.overwriting = false;
    rig.slave.rowsById.set(99, 'x');
    const drift = await rig.drift();
    assert.deepEqual([drift.wrong, drift.repair.action, drift.sides[1].shows], ['beijing', 'none', 'no such row']);
    assert.match(drift.repair.text, /IDEMPOTENT/);
    assert.match((await rig.repair())[0] ?? '', /refused: .*IDEMPOTENT/);
    rig.slave.overwriting = true;
    assert.match((await rig.repair())[0] ?? '', /^rewrite repaired: inserts the row in guangzhou and deletes it again/);
    assert.equal(rig.slave.rowsById.has(99), false);
  });

  it('is refused in tables with triggers or foreign keys', async () => {
    const rig = new Rig();
    rig.master.refusal = 't has triggers';
    rig.slave.rowsById.set(11, 'x');
    assert.deepEqual((await rig.drift()).repair.action, 'none');
    assert.match((await rig.repair())[0] ?? '', /refused: t has triggers/);
  });

  it('finds nothing to do where both show the same by now', async () => {
    const rig = new Rig();
    rig.slave.rowsById.set(11, 'x');
    const { id } = await rig.drift();
    rig.slave.rowsById.set(11, 'v11');
    assert.match((await rig.repair())[0] ?? '', /unchanged/);
    assert.equal((await rig.book.get(id))?.status, 'healed');
  });
});
