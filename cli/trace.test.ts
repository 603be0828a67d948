import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driftId, type Hop } from '../consistency-checker/drift.ts';
import { DRIFT, STAMPED_MS } from '../consistency-checker/report/drift.fixture.ts';
import { WmbError } from '../core/errors.ts';
import type { ComparedKey, TraceResponse, WriteTimeline } from '../proto/gen/wmb/v1/checker.ts';
import { driftToWire, type FakeChecker, fakeChecker } from './drift/fakes.ts';
import { type FakeRoom, fakeRooms, wmb } from './testing.ts';

async function withRooms(rooms: readonly (FakeRoom | FakeChecker)[], use: (config: readonly string[]) => Promise<void>) {
  const fake = await fakeRooms(rooms.map((room) => ('room' in room ? fakeChecker(room) : room)));
  try {
    await use(['--config', fake.configFile]);
  } finally {
    fake.stop();
  }
}

const WRITE = driftToWire(DRIFT).write as WriteTimeline;
const NONE = (): WmbError => new WmbError('NOT_FOUND', 'nothing is known of it');

function hop(room: string, what: string, atMs: number, detail = ''): Hop {
  return { room, what, atMs, detail };
}

function answer(hops: readonly Hop[], write?: WriteTimeline): TraceResponse {
  return { write, payload: Buffer.from('{"to":7}'), hops: [...hops] };
}

/** The origin's log knows the request id; the peer only positions. */
const ORIGIN: FakeChecker = {
  room: 'beijing',
  trace: () => answer([hop('beijing', 'applied', STAMPED_MS + 12)], { ...WRITE, hops: WRITE.hops.slice(0, 2) }),
};

test('a write request is followed through all rooms, though only its origin knows the request id', async () => {
  const peer: FakeChecker = {
    room: 'guangzhou',
    trace: ({ write }) =>
      write === WRITE.position ? answer([hop('guangzhou', 'parked', STAMPED_MS + 1_031, 'PROCESSOR_FAILED, tried 2 times')]) : NONE(),
  };
  await withRooms([ORIGIN, peer], async (config) => {
    const { code, stdout } = await wmb(['trace', 'college-17', ...config]);
    assert.equal(code, 0);
    assert.match(stdout, /^request +college-17\nposition +beijing\/3@0f6a4c1e9b2d7a85:1042\.17\n/);
    assert.match(stdout, /\npayload +\{"to":7\}\n/);
    const rows = stdout.slice(stdout.indexOf('TIME')).trim().split('\n').slice(1);
    assert.deepEqual(
      rows.map((row) => row.replace(/^\S+ +/, '').replace(/ {2,}/g, ' ')),
      [
        '+0 ms beijing stamped',
        '+2 ms beijing logged',
        '+12 ms beijing applied',
        '+1.0 s guangzhou parked PROCESSOR_FAILED, tried 2 times',
      ],
    );
    const json = JSON.parse((await wmb(['trace', WRITE.position, '--json', ...config])).stdout);
    assert.deepEqual([json.write.requestId, json.payload, json.hops.length], ['college-17', '{"to":7}', 4]);
  });
});

test('a position that its origin does not have is not found, although the peers wait for it', async () => {
  const waits: FakeChecker = { room: 'guangzhou', trace: () => answer([hop('guangzhou', 'waiting', 0, 'the mark of the lane is 3')]) };
  const origin: FakeChecker = {
    room: 'beijing',
    trace: () => new WmbError('NOT_FOUND', 'the write log of beijing has nothing at it (yet): the mark of the lane is 3'),
  };
  await withRooms([origin, waits], async (config) => {
    const { code, stderr, stdout } = await wmb(['trace', 'beijing/3@0f6a4c1e9b2d7a85:99.0', ...config]);
    assert.deepEqual([code, stdout], [5, '']);
    assert.match(stderr, /NOT_FOUND: .*the write log of beijing has nothing at it \(yet\)/);
  });
});

test('what its origin has lost, and another room has applied, is told', async () => {
  const has: FakeChecker = { room: 'guangzhou', trace: () => answer([hop('guangzhou', 'applied', STAMPED_MS)]) };
  await withRooms([{ room: 'beijing', trace: NONE }, has], async (config) => {
    const { code, stdout } = await wmb(['trace', 'beijing/3@0f6a4c1e9b2d7a85:99.0', ...config]);
    assert.equal(code, 0);
    assert.match(stdout, /guangzhou +applied/);
  });
});

test('a room whose checker is away is unknown with the reason; what the origin knows of it stands otherwise', async () => {
  await withRooms([ORIGIN, { checker: 'away' }], async (config) => {
    const { code, stdout } = await wmb(['trace', 'college-17', ...config]);
    assert.equal(code, 0);
    assert.match(stdout, /\n— +guangzhou +unknown +UNREACHABLE checker of guangzhou at/);
  });
  const origin: FakeChecker = { room: 'beijing', trace: () => answer([], { ...WRITE, hops: [...WRITE.hops] }) };
  await withRooms([origin, { checker: 'away' }], async (config) => {
    assert.match((await wmb(['trace', 'college-17', ...config])).stdout, /\+1\.0 s +guangzhou +applied\n/);
  });
});

test('a write request that no room knows is not found, with what that may mean', async () => {
  await withRooms([{ room: 'beijing', trace: NONE }, { checker: 'away' }], async (config) => {
    const { code, stderr } = await wmb(['trace', 'r9', ...config]);
    assert.equal(code, 5);
    assert.match(
      stderr,
      /NOT_FOUND: no room knows a write request with the request id “r9” \(guangzhou could not be asked\); it was never acked, or it is older than/,
    );
  });
  await withRooms([{ checker: 'away' }, { checker: 'away' }], async (config) =>
    assert.equal((await wmb(['trace', 'r9', ...config])).code, 4),
  );
});

function compared(key: string, verdict: string): ComparedKey {
  const side = { version: '', hash: '', bytes: 0, expireAtMs: 0 };
  const sides = [
    { ...side, room: 'beijing', shows: '"1"' },
    { ...side, room: 'guangzhou', shows: 'nothing' },
  ];
  return { key, sides, verdict };
}

test('two rooms are compared key by key: differences are listed with their drift ids and exit code 7', async () => {
  const asked: unknown[] = [];
  const beijing: FakeChecker = {
    room: 'beijing',
    compare: (request) => {
      asked.push(request);
      return [
        { compared: 1_000, different: 3, keys: [compared('a', 'difference'), compared('b', 'lag')], done: false },
        { compared: 59_835, different: 1, keys: [], done: true },
      ];
    },
  };
  await withRooms([beijing, { room: 'guangzhou' }], async (config) => {
    const { code, stdout, stderr } = await wmb(['compare', '--prefix', 'p', ...config]);
    assert.equal(code, 7);
    assert.deepEqual(asked, [{ peer: 'guangzhou', prefix: 'p' }]);
    const id = driftId(['beijing', 'guangzhou'], { type: 'key', name: 'a' });
    assert.match(stdout, new RegExp(`\\na +"1" +nothing +${id}\\nb +"1" +nothing +lag\\n`));
    assert.match(stdout, /\nbeijing ⇄ guangzhou {2}59,835 keys compared, 1 differ, 1 on their way\n$/);
    assert.match(stderr, /^wmb: DIFFERENCE: 1 of 59,835 keys differs between beijing and guangzhou/);
    assert.equal(JSON.parse((await wmb(['compare', '--json', ...config])).stdout).different, 1);
  });
});

test('a checker that takes the connection and says nothing is told of, and not waited for', async () => {
  await withRooms([{ checker: 'silent' }, { room: 'guangzhou' }], async (config) => {
    const { code, stderr } = await wmb(['compare', '--rooms', 'beijing,guangzhou', ...config]);
    assert.equal(code, 4);
    assert.match(stderr, /^wmb: UNREACHABLE: checker of beijing at 127\.0\.0\.1:\d+ does not answer \(no answer in time\)/);
  });
});

test('lag alone is no difference, and a comparison that breaks off is none at all', async () => {
  const lag: FakeChecker = { room: 'beijing', compare: () => [{ compared: 5, different: 0, keys: [compared('b', 'lag')], done: true }] };
  await withRooms([lag, { room: 'guangzhou' }], async (config) => {
    const { code, stdout } = await wmb(['compare', '--rooms', 'beijing,guangzhou', ...config]);
    assert.equal(code, 0);
    assert.match(stdout, /5 keys compared, no difference, 1 on their way\n$/);
    assert.equal((await wmb(['compare', '--rooms', 'beijing', ...config])).code, 2);
    assert.equal((await wmb(['compare', '--rooms', 'beijing,beijing', ...config])).code, 2);
  });
  const broken: FakeChecker = { room: 'beijing', compare: () => [{ compared: 5, different: 0, keys: [], done: false }] };
  await withRooms([broken, { room: 'guangzhou' }], async (config) => {
    const { code, stderr } = await wmb(['compare', ...config]);
    assert.equal(code, 4);
    assert.match(stderr, /ended the comparison after 5 keys without a result/);
  });
});
