import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { credentials, Server, ServerCredentials, type ServiceError } from '@grpc/grpc-js';
import { bucketOf } from '../core/converge/bucket.ts';
import { stateDigest } from '../core/converge/state.ts';
import { formatStamp, versionOf } from '../core/stamp.ts';
import type { StampedWrite } from '../core/words.ts';
import { fromGrpcError } from '../daemon/grpc-errors.ts';
import { GRPC_MESSAGE_BYTES_MAX } from '../daemon/grpc-server.ts';
import { derivedFromWire, horizonFromWire, rangeToWire, receiptsFromWire, repairToWire, writeToWire } from '../daemon/inspection-wire.ts';
import type { LinkStatus } from '../proto/gen/wmb/v1/admin.ts';
import {
  type DeriveResponse,
  type DigestReceiptsResponse,
  type HorizonResponse,
  InspectionClient,
  InspectionService,
  type ReceiptsResponse,
  type RepairKeysResponse,
  type TakeDirtyResponse,
} from '../proto/gen/wmb/v1/inspection.ts';
import { MemoryCache } from '../store/memory/cache.ts';
import { EPOCH, type RoomOptions, START_MS, set, TestLog, TestRoom } from './admit/testing.ts';
import { Inspection } from './inspection.ts';
import { inspectionService } from './inspection-grpc.ts';
import { receiptDigest } from './receipts/receipt-digest.ts';

const LARGE = { 'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX };
const lane = { log: 'writes', origin: 'guangzhou', partition: 0, epoch: EPOCH } as const;
const laneStatus = { partition: 0, epoch: EPOCH, sinceMs: 1, mark: 0, lagMs: 0, parked: 0 };
const links: LinkStatus[] = [
  {
    origin: 'guangzhou',
    transport: 'rpc',
    paused: true,
    lanes: [
      { ...laneStatus, log: 'writes', state: 'paused', reason: 'by an operator', lagWrites: 9 },
      { ...laneStatus, log: 'changes', state: 'streaming', reason: 'resumed', lagWrites: 1 },
    ],
  },
];

const NO_GAPS = { gaps: () => [], retryGaps: () => {} };

async function serve(t: TestContext, options: RoomOptions = {}, told: readonly LinkStatus[] = links) {
  const room = await new TestRoom(options).open();
  const cache = new MemoryCache();
  const server = new Server(LARGE);
  const { config, processors, book, runtime, applier } = room;
  const service = inspectionService(
    new Inspection({
      config,
      processors,
      book,
      runtime,
      cache,
      horizon: () => applier.horizon(),
      links: () => told,
      copying: applier.copying,
      gaps: NO_GAPS,
    }),
  );
  server.addService(InspectionService, service);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const client = new InspectionClient(`127.0.0.1:${port}`, credentials.createInsecure(), LARGE);
  t.after(() => {
    client.close();
    server.forceShutdown();
  });
  return { room, cache, client };
}

function ask<T>(call: (answer: (error: ServiceError | null, response: T) => void) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, response) => (error === null ? resolve(response) : reject(fromGrpcError(error, 'collector'))));
  });
}

function write(kind: string, payload: unknown, counter = 0): StampedWrite {
  const stamp = formatStamp({ ms: START_MS, counter, writer: 1 });
  return { requestId: `r${counter}`, kind, key: 'k', payload: Buffer.from(JSON.stringify(payload)), trace: '', stamp };
}

test('the horizon has the marks of the lanes, and the states and lags of their links', async (t) => {
  const { room, client } = await serve(t);
  await room.run(new TestLog().add(set('a', '1')));
  const { nowMs, lanes } = horizonFromWire(await ask<HorizonResponse>((answer) => client.getHorizon({}, answer)));
  assert.equal(nowMs, room.runtime.now);
  assert.deepEqual(
    lanes.map(({ origin, epoch, mark, state, reason, lagWrites }) => [origin, epoch, mark, state, reason, lagWrites]),
    [
      ['beijing', '', -1, '', '', 0],
      ['guangzhou', EPOCH, 0, 'paused', 'by an operator', 9],
    ],
  );
  const [first, second] = await room.applier.horizon();
  assert.deepEqual(lanes, [first, { ...second, state: 'paused', reason: 'by an operator', lagWrites: 9 }]);
});

test('a lane without a link of its own says why the effects that it follows stand', async (t) => {
  const effects = { ...laneStatus, log: 'effects', state: 'paused', reason: 'by an operator', lagWrites: 9 };
  const { client } = await serve(t, {}, [{ origin: 'beijing', transport: 'rpc', paused: true, lanes: [effects] }]);
  const { lanes } = horizonFromWire(await ask<HorizonResponse>((answer) => client.getHorizon({}, answer)));
  const reason = 'the link from beijing, whose effects it follows, is paused: by an operator';
  assert.deepEqual(
    lanes.map((place) => [place.state, place.reason]),
    [
      ['', reason],
      ['', reason],
    ],
  );
});

test('receipts and their digests come for ranges, and nothing for what is not known', async (t) => {
  const { room, client } = await serve(t);
  const log = new TestLog();
  for (let frame = 0; frame < 100; frame += 1) log.add(set('a', `${frame}`, frame === 70 ? { id: 'guangzhou-3' } : {}));
  await room.run(log);
  const range = (from: number, to: number) => rangeToWire({ lane, from, to });
  const { frames } = await ask<ReceiptsResponse>((answer) => client.getReceipts(range(1, 98), answer));
  const receipts = receiptsFromWire(frames);
  assert.deepEqual(
    receipts.map(({ seq }) => seq),
    Array.from({ length: 98 }, (_, at) => at + 1),
  );
  assert.deepEqual(
    receipts.filter(({ exceptions }) => exceptions.length > 0).map(({ seq, exceptions }) => [seq, exceptions[0]?.outcome]),
    [[70, 'duplicate']],
  );
  const { digests } = await ask<DigestReceiptsResponse>((answer) =>
    client.digestReceipts({ ranges: [range(1, 98), range(0, 100), { ...range(0, 1), epoch: 'ffffffffffffffff' }, range(0, 69)] }, answer),
  );
  assert.deepEqual(digests.slice(0, 3), [receiptDigest(receipts), '', '']);
  assert.match(digests[3] ?? '', /^[0-9a-f]{16}$/);
});

test('what processors make of write requests is answered one by one, failures too, and nothing is applied', async (t) => {
  const { room, client } = await serve(t, { kindRooms: ['guangzhou'] });
  const writes = [
    write('cache', [['SET', 'k', '1']], 1),
    write('cache', 'no commands', 2),
    write('wmb.canary', '', 3),
    write('message', {}, 4),
    write('nobody', {}, 5),
  ];
  const answered = await ask<DeriveResponse>((answer) => client.derive({ writes: writes.map(writeToWire) }, answer));
  const derived = answered.writes.map(derivedFromWire);
  assert.deepEqual(
    derived.map(({ stamp }) => stamp),
    writes.map(({ stamp }) => stamp),
  );
  assert.deepEqual(derived[0]?.effects, [
    { op: 'set', key: 'k', version: versionOf(writes[0]?.stamp ?? '', 0), value: '1', expireAtMs: 0 },
  ]);
  assert.match(derived[1]?.error ?? '', /^PROCESSOR_FAILED: /);
  assert.deepEqual([derived[2]?.effects, derived[2]?.error], [[], '']);
  assert.match(derived[3]?.error ?? '', /the kind “message” is processed in guangzhou, and not here/);
  assert.match(derived[4]?.error ?? '', /no processor for the kind “nobody”/);
  assert.deepEqual([room.cache.batches.length, room.database.executed], [0, []]);
});

test('a slave room of a master–slave topology derives nothing', async (t) => {
  const { client } = await serve(t, { mode: 'master-slave', id: 'guangzhou' });
  const asked = ask<DeriveResponse>((answer) => client.derive({ writes: [writeToWire(write('cache', []))] }, answer));
  await assert.rejects(asked, { code: 'NOT_FOUND', message: /ask the master room/ });
});

test('written buckets are taken once, and keys are put right only where they are as expected', async (t) => {
  const { cache, client, room } = await serve(t);
  const version = versionOf(formatStamp({ ms: START_MS, counter: 0, writer: 1 }), 0);
  await cache.apply({
    generation: 0,
    moves: [],
    writes: [[{ op: 'set', key: 'a', version, value: '1', expireAtMs: 0 }]],
    floor: '',
    nowMs: 0,
  });
  const dirty = () => ask<TakeDirtyResponse>((answer) => client.takeDirty({ max: 10 }, answer));
  assert.deepEqual([(await dirty()).buckets, (await dirty()).buckets], [[bucketOf('a')], []]);
  const right = versionOf(formatStamp({ ms: START_MS, counter: 1, writer: 1 }), 0);
  const effects = [{ op: 'set', key: 'b', version: right, value: '2', expireAtMs: 0 }] as const;
  const repairs = [stateDigest(undefined), '0123456789abcdef'].map((expected) =>
    repairToWire({ action: 'resend', key: 'b', expected, seen: right, effects }),
  );
  const { outcomes } = await ask<RepairKeysResponse>((answer) => client.repairKeys({ repairs }, answer));
  assert.deepEqual(outcomes, ['repaired', 'overtaken']);
  assert.equal((await cache.get('b', room.runtime.now))?.version, right);
});

test('effects that do not fit into one answer are refused, and said so', async (t) => {
  const { client, room } = await serve(t);
  room.processors.kinds['message'] = (write) => ({ cache: [['SET', write.key, 'x'.repeat(13 * 1024 * 1024)]] });
  const writes = [1, 2].map((counter) => writeToWire(write('message', {}, counter)));
  await assert.rejects(
    ask<DeriveResponse>((answer) => client.derive({ writes }, answer)),
    { code: 'USAGE', message: /the effects of 2 write requests are too many for one answer/ },
  );
  const one = await ask<DeriveResponse>((answer) => client.derive({ writes: writes.slice(1) }, answer));
  assert.equal(one.writes[0]?.effects[0]?.value.length, 13 * 1024 * 1024);
});

const range = rangeToWire({ lane, from: 0, to: 0 });
const repair = repairToWire({
  action: 'resend',
  key: 'b',
  expected: '',
  seen: '',
  effects: [{ op: 'del', key: 'b', version: '0'.repeat(28) }],
});
const large = { ...write('cache', []), payload: Buffer.alloc(4 * 1024 * 1024 + 1) };
type Question = (client: InspectionClient, answer: (error: ServiceError | null) => void) => unknown;
const BAD: readonly (readonly [what: string, question: Question, message: RegExp])[] = [
  ['more buckets than there are', (client, answer) => client.takeDirty({ max: 65_537 }, answer), /65537 buckets at once/],
  [
    'a range that ends before it begins',
    (client, answer) => client.getReceipts({ ...range, from: 3 }, answer),
    /to is 0, not a seq not below/,
  ],
  ['more frames than are answered', (client, answer) => client.getReceipts({ ...range, to: 4_096 }, answer), /4097 frames of a range/],
  ['a lane of no room', (client, answer) => client.getReceipts({ ...range, origin: '' }, answer), /origin is "", not the id of a room/],
  [
    'more ranges than are answered',
    (client, answer) => client.digestReceipts({ ranges: Array.from({ length: 1_025 }, () => range) }, answer),
    /1025 ranges at once/,
  ],
  [
    'more frames in all ranges than are answered',
    (client, answer) => client.digestReceipts({ ranges: Array.from({ length: 65 }, () => ({ ...range, to: 4_095 })) }, answer),
    /266240 frames of all ranges/,
  ],
  [
    'more write requests than are derived',
    (client, answer) => client.derive({ writes: Array.from({ length: 1_025 }, () => writeToWire(write('cache', []))) }, answer),
    /1025 write requests at once/,
  ],
  [
    'more payload than is derived',
    (client, answer) => client.derive({ writes: [writeToWire(large), writeToWire(large)] }, answer),
    /8388610 bytes of payload/,
  ],
  [
    'a write request without a stamp',
    (client, answer) => client.derive({ writes: [{ write: undefined, stamp: '' }] }, answer),
    /write is nothing/,
  ],
  [
    'more repairs than are done',
    (client, answer) => client.repairKeys({ repairs: Array.from({ length: 257 }, () => repair) }, answer),
    /257 repairs at once/,
  ],
  [
    'a repair of nothing',
    (client, answer) => client.repairKeys({ repairs: [{ ...repair, effects: [] }] }, answer),
    /not a state or effects/,
  ],
];

for (const [what, question, message] of BAD) {
  test(`${what}: refused by name`, async (t) => {
    const { client } = await serve(t);
    await assert.rejects(
      ask((answer) => question(client, (error) => answer(error, undefined))),
      { code: 'USAGE', message },
    );
  });
}

test('receipts that do not fit into one answer are refused, not cut short', async (t) => {
  const { client, room } = await serve(t);
  const requestId = 'r'.repeat(128);
  const exceptions = (seq: number) =>
    Array.from({ length: 4_096 }, (_, index) => ({ seq, index, requestId, outcome: 'duplicate', code: '' }) as const);
  const frame = {
    count: 4_096,
    stampFirst: '',
    stampLast: formatStamp({ ms: START_MS, counter: 0, writer: 1 }),
    through: '',
    appliedMs: 1,
  };
  for (let seq = 0; seq < 64; seq += 1)
    await room.book.record([{ lane, frames: [{ ...frame, seq }], exceptions: exceptions(seq), parked: [] }]);
  const receipts = (to: number) => ask<ReceiptsResponse>((answer) => client.getReceipts(rangeToWire({ lane, from: 0, to }), answer));
  await assert.rejects(receipts(63), { code: 'USAGE', message: /frames 0 to 63 are too many for one answer; ask for fewer/ });
  assert.equal((await receipts(15)).frames.length, 16);
});
