import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DRIFT } from '../consistency-checker/report/drift.fixture.ts';
import { WmbError } from '../core/errors.ts';
import { toGrpcError } from '../daemon/grpc-errors.ts';
import type { KeyEntry, ParkedWrite } from '../proto/gen/wmb/v1/admin.ts';
import { Outcome, Wait, type WriteRequest } from '../proto/gen/wmb/v1/writes.ts';
import { fakeChecker } from './drift/fakes.ts';
import { type FakeRoom, fakeRooms, wmb } from './testing.ts';

type Answer = (error: unknown, response?: unknown) => void;

/** A handler that always answers alike, and remembers what it was asked. */
function answering(response: unknown) {
  const asked: unknown[] = [];
  const handler = (call: { request: unknown }, answer: Answer) => {
    asked.push(call.request);
    if (response instanceof Error) answer(toGrpcError(response));
    else answer(null, response);
  };
  return { asked, handler };
}

async function withRooms(rooms: readonly FakeRoom[], use: (config: readonly string[]) => Promise<void>): Promise<void> {
  const fake = await fakeRooms(rooms);
  try {
    await use(['--config', fake.configFile]);
  } finally {
    fake.stop();
  }
}

function keyed(entry: Partial<KeyEntry>): FakeRoom {
  const whole: KeyEntry = {
    key: 'k',
    found: true,
    type: 'string',
    value: '',
    elements: [],
    expireAtMs: 0,
    version: '0190aabbccdd0000010000010000',
    ...entry,
  };
  return { collector: { getKeys: answering({ entries: [whole] }).handler } };
}

test('a key that is the same in all rooms is shown side by side with exit code 0', async () => {
  await withRooms([keyed({ value: '5' }), keyed({ value: '5', version: '0190aabbccde0000010000010000' })], async (config) => {
    const { code, stdout } = await wmb(['get', 'k', ...config]);
    assert.equal(code, 0);
    assert.match(stdout, /^k +beijing +guangzhou\n/);
    assert.match(stdout, /\nvalue +5 +5\n/);
    assert.doesNotMatch(stdout, /≠/);
  });
});

test('a key that differs is marked where it differs, with exit code 7', async () => {
  const hash = (value: string) =>
    keyed({
      type: 'hash',
      elements: [
        { name: 'a', value: '1' },
        { name: 'b', value },
      ],
    });
  await withRooms([hash('2'), hash('3')], async (config) => {
    const { code, stdout, stderr } = await wmb(['get', 'k', ...config]);
    assert.equal(code, 7);
    assert.match(stdout, /\n\[a\] +1 +1\n\[b\] +2 +3 +≠\n/);
    assert.match(stderr, /^wmb: DIFFERENCE: the key k differs between the rooms beijing, guangzhou/);
    const json = JSON.parse((await wmb(['get', 'k', '--json', ...config])).stdout);
    assert.equal(json.different, true);
    assert.deepEqual(
      json.rooms.map((room: { room: string; found: boolean }) => [room.room, room.found]),
      [
        ['beijing', true],
        ['guangzhou', true],
      ],
    );
  });
});

test('a key that one room lacks is a difference', async () => {
  await withRooms([keyed({ value: '5' }), keyed({ found: false, type: '', version: '' })], async (config) => {
    assert.equal((await wmb(['get', 'k', ...config])).code, 7);
  });
});

test('a room that does not answer is shown as such beside the others, with exit code 4', async () => {
  await withRooms([keyed({ value: '5' }), {}], async (config) => {
    const { code, stdout, stderr } = await wmb(['get', 'k', ...config]);
    assert.equal(code, 4);
    assert.match(stdout, /\nvalue +5 +\?/);
    assert.match(stderr, /collector of guangzhou at 127\.0\.2\.3:1 does not answer \(ECONNREFUSED\)/);
    assert.equal((await wmb(['get', 'k', '--rooms', 'beijing', ...config])).code, 0);
  });
});

const RESHIP = {
  room: 'beijing',
  topologyEpoch: 3,
  instance: 'i',
  uptimeMs: 61_000,
  nowMs: 1,
  ...{ logs: [], topics: [], members: [] },
  peers: [{ room: 'guangzhou', connected: false, lanes: [] }],
};
const LANE = { log: 'writes', epoch: '00', reason: '', sinceMs: 0, lagWrites: 2, lagMs: 30, parked: 1 };
const COLLECTOR = {
  ...{ room: 'beijing', topologyEpoch: 3, instance: 'i', uptimeMs: 5, nowMs: 1, parked: 2, floor: '', members: [] },
  links: [
    {
      origin: 'beijing',
      transport: 'rpc',
      paused: false,
      lanes: [
        { ...LANE, partition: 0, state: 'streaming', mark: 7 },
        { ...LANE, partition: 1, state: 'streaming', mark: 8 },
      ],
    },
    {
      origin: 'guangzhou',
      transport: 'rpc',
      paused: false,
      lanes: [
        { ...LANE, partition: 0, state: 'streaming', mark: -1 },
        { ...LANE, partition: 1, state: 'stopped-on-gap', mark: 4, reason: 'LOG_GAP' },
      ],
    },
  ],
};

test('status shows daemons and links of all rooms, and those that do not answer as unreachable', async () => {
  const beijing = { reship: { getStatus: answering(RESHIP).handler }, collector: { getStatus: answering(COLLECTOR).handler } };
  await withRooms([beijing, {}], async (config) => {
    const { code, stdout } = await wmb(['status', ...config]);
    assert.equal(code, 0);
    assert.match(stdout, /^topology epoch 3, independent, 4 partitions\n/);
    assert.match(stdout, /\nbeijing +reship +up 1 min 1 s +taken 0, logs 0\.0 MiB, not connected: guangzhou\n/);
    assert.match(stdout, /\nguangzhou +collector +UNREACHABLE +127\.0\.2\.3:1 does not answer/);
    assert.match(stdout, /\nbeijing \(local\) +writes +streaming +4 +30 ms +2\n/);
    assert.match(stdout, /\nguangzhou → beijing +writes +stopped-on-gap 1, streaming 1 +4 +30 ms +2 +LOG_GAP\n/);
    const lanes = await wmb(['status', '--lanes', ...config]);
    assert.match(lanes.stdout, /\nguangzhou → beijing +writes\/1 +stopped-on-gap +2 +30 ms +1 +4 +LOG_GAP\n/);
    const json = JSON.parse((await wmb(['status', '--json', ...config])).stdout);
    assert.deepEqual(
      json.rooms.map((room: { room: string; links: unknown[] }) => [room.room, room.links.length]),
      [
        ['beijing', 2],
        ['guangzhou', 0],
      ],
    );
    assert.equal(json.rooms[1].reship.error.code, 'UNREACHABLE');
  });
});

test('rooms without a checker say so, rooms with one say how they stand', async () => {
  await withRooms([{}, {}], async (config) => {
    assert.match((await wmb(['status', ...config])).stdout, /\nno room has a checker: whether the rooms agree is not verified/);
  });
  const checker = fakeChecker({ room: 'beijing', peers: [{ room: 'guangzhou' }], drifts: [DRIFT] });
  await withRooms([checker, {}], async (config) => {
    const { code, stdout } = await wmb(['status', ...config]);
    assert.equal(code, 0);
    assert.match(stdout, /\nbeijing +checker +up 1 min 1 s +keys 59,835, open 1\n/);
    assert.match(stdout, /\nguangzhou +checker +none +not in the topology\n/);
    assert.match(stdout, /\nbeijing ⇄ guangzhou {2}verified 2 s ago, 59,835 keys, 1 drift\n$/);
    const json = JSON.parse((await wmb(['status', '--json', ...config])).stdout);
    assert.deepEqual([json.open, json.pairs[0].drifts, json.rooms[1].checker], [{ drifts: 1, alarms: 0 }, 1, undefined]);
  });
});

test('links into a room whose collector is down are shown as their origin knows them', async () => {
  const lanes = [0, 1].map((partition) => ({ log: 'writes', partition, ackedSeq: 7, parkedSeq: 7, lagWrites: 50, lagMs: 4_200 }));
  const reship = { ...RESHIP, peers: [{ room: 'guangzhou', connected: false, lanes }] };
  await withRooms([{ reship: { getStatus: answering(reship).handler } }, {}], async (config) => {
    const { stdout } = await wmb(['status', ...config]);
    assert.match(stdout, /\nbeijing → guangzhou +writes +unknown +100 +4\.2 s +the collector does not answer; as beijing knows it\n/);
    const shown = await wmb(['status', '--lanes', ...config]);
    assert.match(shown.stdout, /\nbeijing → guangzhou +writes\/1 +unknown +50 +4\.2 s +7 +the collector does not answer/);
    const json = JSON.parse((await wmb(['status', '--json', ...config])).stdout);
    assert.deepEqual(
      json.rooms[1].links.map(({ origin, knownBy, lanes: known }: { origin: string; knownBy: string; lanes: unknown[] }) => [
        origin,
        knownBy,
        known.length,
      ]),
      [['beijing', 'origin', 2]],
    );
  });
});

test('status is exit code 4 when no daemon of any room answers', async () => {
  await withRooms([{}, {}], async (config) => assert.equal((await wmb(['status', ...config])).code, 4));
});

test('a link is paused and resumed at the peer’s collector', async () => {
  const setLink = answering({ lanes: [] });
  await withRooms([{}, { collector: { setLink: setLink.handler } }], async (config) => {
    assert.equal((await wmb(['link', 'pause', 'beijing', 'guangzhou', ...config])).code, 0);
    assert.equal((await wmb(['link', 'resume', 'beijing', 'guangzhou', ...config])).code, 0);
    assert.deepEqual(setLink.asked, [
      { origin: 'beijing', paused: true },
      { origin: 'beijing', paused: false },
    ]);
  });
});

const LOST = {
  log: 'writes',
  partition: 1,
  reason: 'LOG_GAP: gone',
  refused: '',
  epoch: '0a',
  missingFrom: 3,
  nextEpoch: '0a',
  nextSeq: 7,
};

test('a gap is skipped only with --yes; without it the loss is told', async () => {
  const skipGap = answering({ lanes: [{ ...LOST, missingTo: 7 }] });
  await withRooms([{}, { collector: { skipGap: skipGap.handler } }], async (config) => {
    const dry = await wmb(['link', 'skip', 'beijing', 'guangzhou', ...config]);
    assert.equal(dry.code, 0);
    assert.equal(
      dry.stdout,
      'writes/beijing/1  would be lost: seq 3 to 7 of log epoch 0a (an unknown number of write requests); goes on after seq 7 of log epoch 0a\n',
    );
    assert.match(dry.stderr, /nothing was changed; say --yes/);
    const done = await wmb(['link', 'skip', 'beijing', 'guangzhou', '--yes', '--json', ...config]);
    assert.deepEqual([JSON.parse(done.stdout).skipped, JSON.parse(done.stdout).lanes[0].missingTo, done.stderr], [true, 7, '']);
    assert.deepEqual(skipGap.asked, [
      { origin: 'beijing', confirmed: false },
      { origin: 'beijing', confirmed: true },
    ]);
  });
});

test('a room’s own lanes are skipped and resumed in the room itself', async () => {
  const [skipGap, setLink] = [answering({ lanes: [LOST] }), answering({ lanes: [] })];
  await withRooms([{ collector: { skipGap: skipGap.handler, setLink: setLink.handler } }], async (config) => {
    assert.equal((await wmb(['link', 'skip', 'beijing', 'beijing', '--yes', ...config])).code, 0);
    assert.equal((await wmb(['link', 'resume', 'beijing', 'beijing', ...config])).code, 0);
    assert.deepEqual([skipGap.asked, setLink.asked], [[{ origin: 'beijing', confirmed: true }], [{ origin: 'beijing', paused: false }]]);
  });
});

test('a lane that cannot be skipped, and a link without a gap, are exit code 5', async () => {
  const refused = answering({
    lanes: [
      { ...LOST, refused: 'restore it' },
      { ...LOST, writes: 4 },
    ],
  });
  await withRooms([{}, { collector: { skipGap: refused.handler } }], async (config) => {
    const { code, stdout, stderr } = await wmb(['link', 'skip', 'beijing', 'guangzhou', '--yes', ...config]);
    assert.equal(code, 5);
    assert.match(stdout, /refused: restore it\n.*given up: seq 3 to the end .*\(4 write requests\)/);
    assert.match(stderr, /LOG_GAP: 1 of 2 stopped lanes cannot be skipped/);
  });
  const none = answering(new WmbError('NOT_FOUND', 'no lane has stopped'));
  await withRooms([{}, { collector: { skipGap: none.handler } }], async (config) => {
    assert.equal((await wmb(['link', 'skip', 'beijing', 'guangzhou', ...config])).code, 5);
  });
});

test('retrying all of the parking lot goes on until the collector says that nothing is left', async () => {
  const asked: string[] = [];
  const retryParked = (call: { request: { after?: string } }, answer: Answer) => {
    const after = call.request.after ?? '';
    asked.push(after);
    const outcome = { position: 'p', requestId: `r${asked.length}`, outcome: Outcome.OUTCOME_APPLIED, code: '', message: '' };
    answer(null, { outcomes: [outcome], next: asked.length < 3 ? `p${asked.length}` : '' });
  };
  await withRooms([{ collector: { retryParked } }], async (config) => {
    const { stdout } = await wmb(['parked', 'retry', '--all', ...config]);
    assert.deepEqual([asked, stdout], [['', 'p1', 'p2'], 'r1  applied\nr2  applied\nr3  applied\n']);
  });
});

const PARKED: ParkedWrite = {
  ...{
    position: 'beijing/0@00:1.0',
    requestId: 'r1',
    kind: 'message',
    key: 'user:7',
    stamp: '00',
    code: 'PROCESSOR_FAILED',
    message: 'it threw',
  },
  ...{ parkedMs: 1, attempts: 2, payload: Buffer.from('{"to":\u001b[2J}') },
};

test('parked write requests are listed, shown with the remedy, retried and discarded', async () => {
  const listParked = { asked: [] as unknown[] };
  const handler = (call: { request: { after: string } }, answer: Answer) => {
    listParked.asked.push(call.request);
    answer(null, { writes: call.request.after === '' ? [PARKED] : [], total: 1 });
  };
  const retryParked = answering({
    outcomes: [{ position: PARKED.position, requestId: 'r1', outcome: Outcome.OUTCOME_APPLIED, code: '', message: '' }],
  });
  const discardParked = answering(new WmbError('NOT_FOUND', 'nothing is parked as r9'));
  await withRooms(
    [{ collector: { listParked: handler, retryParked: retryParked.handler, discardParked: discardParked.handler } }],
    async (config) => {
      assert.match((await wmb(['parked', 'list', ...config])).stdout, /\nr1 +message +user:7 +PROCESSOR_FAILED .* 2 +it threw\n/);
      const shown = await wmb(['parked', 'show', 'r1', ...config]);
      assert.match(shown.stdout, /what to do {2}Correct the processor/);
      assert.match(shown.stdout, /payload +\{"to":\\x1b\[2J\}/);
      assert.equal((await wmb(['parked', 'show', 'r2', ...config])).code, 5);
      const retried = await wmb(['parked', 'retry', 'r1', '--json', ...config]);
      assert.equal(JSON.parse(retried.stdout).outcomes[0].outcome, 'applied');
      assert.deepEqual(retryParked.asked, [{ writes: ['r1'], all: false, after: '' }]);
      const discarded = await wmb(['parked', 'discard', 'r9', ...config]);
      assert.equal(discarded.code, 5);
      assert.match(discarded.stderr, /^wmb: NOT_FOUND: nothing is parked as r9 — /);
    },
  );
});

test('a parked write request that the checker reports is shown with the id of its drift', async () => {
  const drift = { ...DRIFT, kind: 'parked', subject: { type: 'write', name: PARKED.position } } as const;
  const listParked = answering({ writes: [PARKED], total: 1 }).handler;
  await withRooms([{ collector: { listParked }, ...fakeChecker({ room: 'beijing', drifts: [drift] }) }], async (config) => {
    assert.match((await wmb(['parked', 'list', ...config])).stdout, /\nr1 +message +user:7 +PROCESSOR_FAILED .* 2 +1f3a5b7c +it threw\n/);
    assert.match((await wmb(['parked', 'show', 'r1', ...config])).stdout, /\ndrift +1f3a5b7c \(wmb drift show 1f3a5b7c\)\n/);
  });
  await withRooms([{ collector: { listParked }, checker: 'away' }], async (config) => {
    assert.match((await wmb(['parked', 'list', ...config])).stdout, /\nr1 +message /);
  });
});

test('a write request is submitted with its options, and the result told', async () => {
  const submit = answering({
    results: [{ requestId: 'r1', stamp: 'ab', position: 'beijing/0@00:1.0', outcome: Outcome.OUTCOME_APPLIED }],
    batchId: 0,
  });
  await withRooms([{ writes: { submit: submit.handler } }], async (config) => {
    const { code, stdout } = await wmb([
      'submit',
      '--key',
      'k',
      '--payload',
      '[["SET","k","v"]]',
      '--wait',
      'applied',
      '--request-id',
      'r1',
      '--json',
      ...config,
    ]);
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), { requestId: 'r1', stamp: 'ab', position: 'beijing/0@00:1.0', outcome: 'applied' });
    const { writes, wait } = submit.asked[0] as { writes: WriteRequest[]; wait: Wait };
    assert.equal(wait, Wait.WAIT_APPLIED);
    assert.deepEqual(
      writes.map(({ requestId, kind, key, payload }) => [requestId, kind, key, payload.toString()]),
      [['r1', 'cache', 'k', '[["SET","k","v"]]']],
    );
  });
});

test('a refused write request is told with its code, and decides the exit code', async () => {
  const error = { code: 'KIND_UNKNOWN', message: 'no kind “x”', retry: 'never', retryAfterMs: 0 };
  const submit = answering({ results: [{ requestId: 'r1', stamp: '', position: '', outcome: 0, error }], batchId: 0 });
  await withRooms([{ writes: { submit: submit.handler } }], async (config) => {
    const { code, stdout, stderr } = await wmb(['submit', '-', ...config], {
      stdin: '{"kind":"x","key":"k","payload":[12345678901234567890]}\n\n',
    });
    assert.equal(code, 5);
    assert.match(stdout, /^r1 {2}not taken {2}KIND_UNKNOWN: no kind “x”\n$/);
    assert.match(stderr, /^wmb: KIND_UNKNOWN: /);
    const { writes } = submit.asked[0] as { writes: WriteRequest[] };
    assert.equal(writes[0]?.payload.toString(), '[12345678901234567890]');
    assert.match(writes[0]?.requestId ?? '', /^[0-9a-f]{32}$/);
  });
});

test('a broken line on stdin is named among the results, and the others are submitted', async () => {
  const good = {
    requestId: 'r1',
    stamp: '01a20488d32c000001000002',
    position: 'beijing/7@0e86262b7e74dbf6:0.0',
    outcome: 0,
    error: undefined,
  };
  const submit = answering({ results: [good], batchId: 0 });
  await withRooms([{ writes: { submit: submit.handler } }], async (config) => {
    const stdin = '{"kind":\n{"kind":"cache","key":"k","requestId":"r1"}\n';
    const { code, stdout, stderr } = await wmb(['submit', '-', ...config], { stdin });
    assert.equal(code, 5);
    assert.equal(submit.asked.length, 1);
    const [bad = '', taken = ''] = stdout.split('\n');
    assert.match(`${bad}${stderr}`, /WRITE_INVALID.*line 1: is not JSON/);
    assert.match(taken, /^r1 .*beijing\/7@/);
  });
});
