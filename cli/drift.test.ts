import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ALARM, DRIFT } from '../consistency-checker/report/drift.fixture.ts';
import { type FakeChecker, fakeChecker } from './drift/fakes.ts';
import { type FakeRoom, type FakeRooms, fakeRooms, startWmb, wmb } from './testing.ts';

const BEIJING: FakeChecker = { room: 'beijing', peers: [{ room: 'guangzhou' }] };
const GUANGZHOU: FakeChecker = { room: 'guangzhou', peers: [{ room: 'beijing' }] };

async function withRooms(rooms: readonly (FakeRoom | FakeChecker)[], use: (config: readonly string[], fake: FakeRooms) => Promise<void>) {
  const fake = await fakeRooms(rooms.map((room) => ('room' in room ? fakeChecker(room) : room)));
  try {
    await use(['--config', fake.configFile], fake);
  } finally {
    fake.stop();
  }
}

test('rooms that agree are one line for the pair, with exit code 0', async () => {
  await withRooms([BEIJING, GUANGZHOU], async (config) => {
    const { code, stdout, stderr } = await wmb(['drift', 'list', ...config]);
    assert.deepEqual([code, stdout, stderr], [0, 'beijing ⇄ guangzhou  verified 2 s ago, 59,835 keys, 0 drifts\n', '']);
  });
});

test('what both checkers report is listed once, with exit code 7, and fits into 80 columns', async () => {
  const drifts = [DRIFT, ALARM];
  await withRooms(
    [
      { ...BEIJING, drifts },
      { ...GUANGZHOU, drifts: [DRIFT] },
    ],
    async (config) => {
      const { code, stdout, stderr } = await wmb(['drift', 'list', ...config]);
      assert.equal(code, 7);
      assert.match(
        stdout,
        /^beijing ⇄ guangzhou {2}verified 2 s ago, 59,835 keys, 1 drift, 1 alarm\n\nID +KIND +SUBJECT +WRONG +CAUSE +SINCE\n/,
      );
      assert.equal(stdout.match(/1f3a5b7c +missing +unread:7 +guangzhou +missed-apply +/g)?.length, 1);
      assert.match(stdout, /\n99aa0011 +stuck +writes\/beijing\/3 +path +/);
      for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
      assert.match(stderr, /^wmb: DIFFERENCE: 1 drift and 1 alarm are open; see `wmb drift show ID`/);
      const json = JSON.parse((await wmb(['drift', 'list', '--json', ...config])).stdout);
      assert.deepEqual(json.drifts, JSON.parse(JSON.stringify(drifts)));
      assert.deepEqual([json.open, json.pairs[0].rooms, json.silent], [2, ['beijing', 'guangzhou'], []]);
    },
  );
});

test('how a slave’s database stands with the master’s is told above the list, and in JSON', async () => {
  const database = `not compared with the database of beijing (never yet as a whole): replication is stopped`;
  await withRooms([BEIJING, { ...GUANGZHOU, status: { database } }], async (config) => {
    const { code, stdout } = await wmb(['drift', 'list', ...config]);
    assert.equal(code, 0);
    assert.ok(stdout.includes(`\ndatabase of guangzhou: ${database}\n`), stdout);
    assert.deepEqual(JSON.parse((await wmb(['drift', 'list', '--json', ...config])).stdout).databases, [
      { room: 'guangzhou', text: database },
    ]);
  });
});

test('a drift is as old as the older of two records of it: a checker that was away has found it later', async () => {
  const again = { ...DRIFT, firstSeenMs: DRIFT.firstSeenMs + 60_000, confirmedMs: DRIFT.confirmedMs + 60_000 };
  for (const [ours, theirs] of [
    [DRIFT, again],
    [again, DRIFT],
  ] as const)
    await withRooms(
      [
        { ...BEIJING, drifts: [ours] },
        { ...GUANGZHOU, drifts: [theirs] },
      ],
      async (config) => {
        const { drifts } = JSON.parse((await wmb(['drift', 'list', '--json', ...config])).stdout);
        assert.deepEqual([drifts.length, drifts[0].confirmedMs, drifts[0].firstSeenMs], [1, DRIFT.confirmedMs, DRIFT.firstSeenMs]);
      },
    );
});

test('a drift that the checker of its wrong room has repaired is not open, though the other checker has not looked yet', async () => {
  const repaired = { ...DRIFT, status: 'repaired', closedMs: 5 } as const;
  await withRooms(
    [
      { ...BEIJING, drifts: [DRIFT] },
      { ...GUANGZHOU, drifts: [repaired] },
    ],
    async (config) => {
      assert.equal((await wmb(['drift', 'list', ...config])).code, 0);
      const all = await wmb(['drift', 'list', '--status', 'all', ...config]);
      assert.match(all.stdout, /1f3a5b7c .* repaired\n/);
      assert.equal(all.code, 0);
    },
  );
});

test('a drift is as old as the first of both checkers says: one that was away has found it later', async () => {
  const found = { ...DRIFT, wrong: 'guangzhou' } as const;
  const again = { ...found, firstSeenMs: DRIFT.firstSeenMs + 3_600_000, confirmedMs: DRIFT.confirmedMs + 3_600_000 };
  await withRooms(
    [
      { ...BEIJING, drifts: [found] },
      { ...GUANGZHOU, drifts: [again] },
    ],
    async (config) => {
      const [told] = JSON.parse((await wmb(['drift', 'list', '--json', ...config])).stdout).drifts;
      assert.deepEqual([told.firstSeenMs, told.confirmedMs], [DRIFT.firstSeenMs, DRIFT.confirmedMs]);
    },
  );
});

test('a room whose checker is away is said on stderr and in its pair; the others are listed', async () => {
  await withRooms([{ ...BEIJING, drifts: [DRIFT] }, { checker: 'away' }], async (config) => {
    const { code, stdout, stderr } = await wmb(['drift', 'list', ...config]);
    assert.equal(code, 7);
    assert.match(stdout, /1f3a5b7c/);
    assert.match(stderr, /^wmb: UNREACHABLE: checker of guangzhou at 127\.0\.2\.5:1 does not answer \(ECONNREFUSED\)\n/);
    assert.equal((await wmb(['drift', 'list', '--room', 'guangzhou', ...config])).code, 4);
  });
});

test('a pair that is not verified says for how long and why', async () => {
  const peers = [{ room: 'guangzhou', verifiedMs: 1_000, reason: 'PEER_UNREACHABLE: the checker of guangzhou is silent' }];
  await withRooms([{ ...BEIJING, peers, status: { nowMs: 41_000 } }, { checker: 'away' }], async (config) => {
    const { code, stdout } = await wmb(['drift', 'list', ...config]);
    assert.equal(code, 0);
    assert.match(
      stdout,
      /^beijing ⇄ guangzhou {2}not verified for 40 s: PEER_UNREACHABLE: the checker of guangzhou is silent; UNREACHABLE /,
    );
  });
});

test('without a checker in the topology it is said how to add one', async () => {
  await withRooms([{}, {}], async (config) => {
    for (const args of [['drift', 'list'], ['repair', '--all'], ['compare'], ['trace', 'r1'], ['drift', 'watch']]) {
      const { code, stderr } = await wmb([...args, ...config]);
      assert.equal(code, 3, args.join(' '));
      assert.match(stderr, /^wmb: CHECKER_ABSENT: .* has a checker in the topology|no checker in the topology/);
      assert.match(stderr, /Add `checker: \{ grpc: HOST:PORT, http: HOST:PORT \}`/);
    }
  });
});

test('all of a drift is shown by the first digits of its id, on a page of 80 columns', async () => {
  await withRooms([{ ...BEIJING, drifts: [DRIFT, ALARM] }, GUANGZHOU], async (config) => {
    const { code, stdout } = await wmb(['drift', 'show', '1f3', ...config]);
    assert.equal(code, 0);
    const texts = [DRIFT.cause, 'guangzhou (wrong)', 'college-17', 'beijing/3@0f6a4c1e9b2d7a85:1042.17'];
    for (const text of texts) assert.ok(stdout.includes(text), text);
    assert.match(stdout, /\nwritten +2026-11-22T20:15:44\.123Z +—\nby +beijing +—\n/);
    assert.match(stdout, / stamped\n.* logged\n.*\+12 ms +beijing +applied\n.*\+1\.0 s +guangzhou +applied\n/);
    assert.match(
      stdout,
      /repair {2}resend from beijing to guangzhou: [\s\S]*again\n {4}- nothing\n {4}\+ "42"\ncommand {2}wmb repair 1f3a5b7c --apply\n$/,
    );
    for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
    assert.deepEqual(JSON.parse((await wmb(['drift', 'show', DRIFT.id, '--json', ...config])).stdout), DRIFT);
  });
});

test('an id that is none, and one that begins several, are told apart', async () => {
  const other = { ...DRIFT, id: '1f3a0000' };
  await withRooms([{ ...BEIJING, drifts: [DRIFT, other] }, { checker: 'away' }], async (config) => {
    const none = await wmb(['drift', 'show', 'ffff', ...config]);
    assert.equal(none.code, 5);
    assert.match(none.stderr, /NOT_FOUND: no drift has the id “ffff” \(guangzhou could not be asked\)/);
    const several = await wmb(['drift', 'show', '1f3a', ...config]);
    assert.equal(several.code, 2);
    assert.match(several.stderr, /USAGE: 2 drifts begin with “1f3a”: 1f3a0000, 1f3a5b7c/);
  });
});

test('the report is written as one page, with what could not be asked', async () => {
  await withRooms(
    [{ ...BEIJING, drifts: [{ ...DRIFT, subject: { type: 'key', name: '<script>' } }] }, { checker: 'away' }],
    async (config, fake) => {
      const file = join(fake.directory, 'drifts.html');
      const { code, stdout, stderr } = await wmb(['drift', 'list', '--html', file, ...config]);
      assert.equal(code, 7);
      assert.equal(stdout, '');
      assert.match(stderr, /drifts\.html written\n/);
      const html = readFileSync(file, 'utf8');
      assert.match(html, /^<!doctype html>/);
      assert.match(html, /&lt;script&gt;/);
      assert.match(html, /guangzhou could not be asked: UNREACHABLE/);
      const unwritable = await wmb(['drift', 'list', '--html', join(fake.directory, 'none', 'x.html'), ...config]);
      assert.match(unwritable.stderr, /USAGE: .*x\.html cannot be written \(ENOENT\)/);
    },
  );
});

test('drifts are watched as they come: each news once, a checker that goes away is asked again, Ctrl-C ends it', async () => {
  const healed = { ...DRIFT, status: 'healed', closedMs: DRIFT.confirmedMs + 1_000, note: 'both sides are equal' } as const;
  // When both are watched it has no news, so that they come in one order.
  const beijing: FakeChecker = { ...BEIJING, watch: (calls) => ({ drifts: [[DRIFT], [healed]][calls - 1] ?? [], ends: calls === 1 }) };
  await withRooms([beijing, { ...GUANGZHOU, watch: () => ({ drifts: [DRIFT, healed] }) }], async (config) => {
    const running = startWmb(['drift', 'watch', '--room', 'beijing', ...config]);
    await running.until('healed');
    running.kill('SIGINT');
    const { code, stdout, stderr } = await running.ended;
    assert.equal(code, 0);
    assert.equal(
      stdout,
      '2026-11-22T20:15:52Z  1f3a5b7c  open      missing  unread:7: wrong in guangzhou, missed-apply\n' +
        '2026-11-22T20:15:53Z  1f3a5b7c  healed    missing  unread:7: both sides are equal\n',
    );
    assert.match(stderr, /the checker of beijing has ended; it is asked again until it answers\nthe checker of beijing answers again\n/);
    const both = startWmb(['drift', 'watch', '--json', ...config]);
    await both.until('"healed"');
    both.kill('SIGINT');
    const lines = (await both.ended).stdout.trim().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).status),
      ['open', 'healed'],
    );
  });
});

test('the audit of all rooms is one list, newest first', async () => {
  const entry = { atMs: 1_000, driftId: DRIFT.id, action: 'resend', subject: 'unread:7', result: 'repaired', by: 'li@host7', detail: '' };
  const later = { ...entry, atMs: 61_000, result: 'overtaken', detail: 'the key was written meanwhile' };
  await withRooms(
    [
      { ...BEIJING, audit: [entry] },
      { ...GUANGZHOU, audit: [later] },
    ],
    async (config) => {
      const { code, stdout } = await wmb(['drift', 'audit', ...config]);
      assert.equal(code, 0);
      assert.match(
        stdout,
        /\n1970-01-01T00:01:01Z +guangzhou +1f3a5b7c +resend +unread:7 +overtaken +li@host7 +the key was written meanwhile\n1970-01-01T00:00:01Z +beijing /,
      );
      assert.equal(JSON.parse((await wmb(['drift', 'audit', '--json', '--limit', '1', ...config])).stdout).entries.length, 1);
    },
  );
});
