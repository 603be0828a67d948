/** What people get from a checker over gRPC, over real connections, with the rest of the checker played. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { type ClientReadableStream, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { noMetrics } from '../core/metrics.ts';
import { systemRuntime } from '../core/runtime.ts';
import { CheckerClient, CheckerService, type CheckerStatus, type DriftReport, type RepairProgress } from '../proto/gen/wmb/v1/checker.ts';
import { unary } from '../test/harness/clients.ts';
import { configOf } from '../test/links/rig.ts';
import type { CompareStep } from './compare.ts';
import { roundMeters } from './meters.ts';
import { checkerService, type PeopleOptions } from './people-grpc.ts';
import type { RepairRequest, RepairStep } from './repair/repairer.ts';
import { RepairRuns } from './repair/runs.ts';
import { DRIFT } from './report/drift.fixture.ts';
import { MemoryDriftBook } from './report/memory-book.ts';
import { WatchedBook } from './report/watched-book.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function serve(more: Partial<PeopleOptions> = {}): Promise<{ client: CheckerClient; book: WatchedBook }> {
  const book = new WatchedBook(new MemoryDriftBook());
  const config = configOf({ room: 'beijing', addresses: { beijing: '', guangzhou: '' } });
  const round = { rounds: 2, roundBytes: 3, roundMs: 4, answered: true, silence: undefined };
  const peer = { room: 'guangzhou', verifiedMs: 7.5, reason: 'r', suspects: 1, ...round };
  const options: PeopleOptions = {
    status: {
      config,
      instance: 'b-1',
      checker: { peers: () => [{ ...peer, open: 5, canaryAgeMs: 6 }] },
      book,
      leaves: { keys: 9, built: 0.5 },
      copy: { text: 'copying' },
      database: { text: 'compared' },
      startedMs: systemRuntime.monotonicMs() - 1_000,
      runtime: systemRuntime,
    },
    book,
    async *repair() {},
    async *compare() {},
    trace: () => Promise.reject(new Error('not here')),
    ...more,
  };
  const server = new Server();
  server.addService(CheckerService, checkerService(options));
  const port = await new Promise<number>((resolve) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  );
  const client = new CheckerClient(`127.0.0.1:${port}`, credentials.createInsecure());
  closers.push(() => {
    client.close();
    server.forceShutdown();
  });
  return { client, book };
}

async function all<T>(stream: ClientReadableStream<T>): Promise<T[]> {
  const messages: T[] = [];
  for await (const message of stream) messages.push(message as T);
  return messages;
}

const REQUEST = { ids: [] as string[], all: true, apply: true, limit: 0, from: '', by: 'li' };
const STEP: RepairStep = {
  id: 'a',
  subject: 'k',
  action: 'push',
  result: 'repaired',
  detail: '',
  diff: ['+ 1'],
  done: 1,
  total: 2,
};

test('the status tells the peers, the counts and how far the tree is', { timeout: 20_000 }, async () => {
  const { client, book } = await serve();
  await book.put([DRIFT, { ...DRIFT, id: 'b', status: 'healed' }]);
  const askedMs = Date.now();
  const status = await unary<CheckerStatus>((answer) => client.getStatus({}, answer));
  const { uptimeMs, nowMs, ...rest } = status;
  assert.ok(uptimeMs >= 1_000 && nowMs >= askedMs && nowMs <= Date.now());
  assert.deepEqual(rest, {
    room: 'beijing',
    topologyEpoch: 1,
    instance: 'b-1',
    peers: [{ room: 'guangzhou', verifiedMs: 7, reason: 'r', suspects: 1, open: 5, canaryAgeMs: 6, rounds: 2, roundBytes: 3, roundMs: 4 }],
    open: 1,
    repaired: 0,
    healed: 1,
    keys: 9,
    built: 0.5,
    copy: 'copying',
    database: 'compared',
  });
});

test('a drift arrives whole; drifts are listed by status or id, with their total', { timeout: 20_000 }, async () => {
  const { client, book } = await serve();
  await book.put([DRIFT, { ...DRIFT, id: 'b', status: 'healed' }]);
  const list = (status: string, id = '', limit = 0) =>
    unary<{ drifts: DriftReport[]; total: number }>((answer) => client.listDrifts({ status, limit, id }, answer));
  const { drifts, total } = await list('');
  assert.equal(total, 1);
  const { subject, elements, sides, write, repair, ...rest } = DRIFT;
  const [found] = drifts;
  assert.deepEqual([found?.subjectType, found?.subject, found?.sides], [subject.type, subject.name, sides]);
  assert.deepEqual(found?.elements, [
    {
      name: '',
      sides: [
        { version: elements[0]?.versions[0], value: '42' },
        { version: '', value: undefined },
      ],
    },
  ]);
  assert.deepEqual([found?.write, found?.repair], [write, repair]);
  for (const [field, value] of Object.entries(rest)) assert.deepEqual(found?.[field as keyof DriftReport], value, field);
  assert.equal((await list('all')).total, 2);
  assert.deepEqual(
    (await list('', 'b')).drifts.map(({ id }) => id),
    ['b'],
  );
  assert.deepEqual(await list('', 'none'), { drifts: [], total: 0 });
  await assert.rejects(list('lost'), /there are no lost drifts/);
});

test('whoever watches gets what is open and then every change, until they hang up', { timeout: 20_000 }, async () => {
  const { client, book } = await serve();
  await book.found(DRIFT);
  const stream = client.watchDrifts({});
  stream.on('error', () => {});
  const messages = stream[Symbol.asyncIterator]();
  const next = async () => {
    const { value } = await messages.next();
    return `${value?.id} ${value?.status}`;
  };
  assert.equal(await next(), `${DRIFT.id} open`);
  await book.found({ ...DRIFT, id: 'b' });
  assert.equal(await next(), 'b open');
  await book.settle(DRIFT.id, { status: 'healed', closedMs: 1, note: '' });
  assert.equal(await next(), `${DRIFT.id} healed`);
  stream.cancel();
});

test('a repair streams its steps, and needs to be told what to repair', { timeout: 20_000 }, async () => {
  const asked: RepairRequest[] = [];
  const { client } = await serve({
    async *repair(request) {
      asked.push(request);
      yield STEP;
      yield { ...STEP, id: 'b', done: 2 };
    },
  });
  const steps = await all<RepairProgress>(client.repair({ ...REQUEST, ids: ['a', 'b'], all: false }));
  assert.deepEqual(steps, [STEP, { ...STEP, id: 'b', done: 2 }]);
  assert.deepEqual(asked[0]?.ids, ['a', 'b']);
  await all(client.repair(REQUEST));
  assert.equal(asked[1]?.ids, 'all');
  await assert.rejects(all(client.repair({ ...REQUEST, all: false })), /name drifts, or say all/);
});

test('one comparison at a time, and another when it has ended or was given up', { timeout: 20_000 }, async () => {
  const step: CompareStep = { compared: 1, different: 0, keys: [], done: false };
  const { client } = await serve({
    async *compare(_, signal) {
      yield step;
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    },
  });
  const first = client.compare({ peer: 'guangzhou', prefix: '' });
  first.on('error', () => {});
  await first[Symbol.asyncIterator]().next();
  await assert.rejects(all(client.compare({ peer: 'guangzhou', prefix: '' })), /compared already/);
  first.cancel();
  for (let tries = 0; ; tries += 1) {
    const second = client.compare({ peer: 'guangzhou', prefix: '' });
    second.on('error', () => {});
    const begun = await second[Symbol.asyncIterator]()
      .next()
      .then(
        () => true,
        () => false,
      );
    second.cancel();
    if (begun) break;
    assert.ok(tries < 200, 'the first comparison never ends');
  }
});

// ── runs ──

/** A repair of `total` keys, each of which takes a turn of its own; `worked` tells the keys that were finished. */
function runsOf(total: number): { runs: RepairRuns; worked: number[]; release: () => void } {
  const worked: number[] = [];
  let release = () => {};
  const runs = new RepairRuns({
    repairer: {
      recover: async () => {},
      async *run(_, signal) {
        for (let key = 0; key < total && !signal.aborted; key += 1) {
          await new Promise<void>((resolve) => {
            release = resolve;
          });
          worked.push(key);
          yield { ...STEP, done: key + 1, total };
        }
      },
    },
    meters: roundMeters(noMetrics),
  });
  return { runs, worked, release: () => release() };
}

const APPLY: RepairRequest = { ids: 'all', apply: true, limit: 0, from: '', by: 'li' };

test('when the daemon ends a repair finishes its key and begins no other', async () => {
  const { runs, worked, release } = runsOf(5);
  const steps = runs.run(APPLY, new AbortController().signal);
  const reading = (async () => {
    for await (const _ of steps);
  })();
  await systemRuntime.turn();
  release();
  await systemRuntime.turn();
  assert.deepEqual(worked, [0]);
  let drained = false;
  const draining = runs.drain().then(() => {
    drained = true;
  });
  await systemRuntime.turn();
  assert.equal(drained, false);
  release();
  await draining;
  await reading;
  assert.deepEqual(worked, [0, 1]);
  await assert.rejects(runs.run(APPLY, new AbortController().signal).next(), { code: 'DRAINING' });
});

test('one repair changes keys at a time; a dry run beside it is free', async () => {
  const { runs, release } = runsOf(1);
  const { signal } = new AbortController();
  const first = runs.run(APPLY, signal);
  const step = first.next();
  await assert.rejects(runs.run(APPLY, signal).next(), { code: 'OVERLOADED' });
  const firstRelease = release;
  firstRelease();
  await step;
  const dry = runs.run({ ...APPLY, apply: false }, signal);
  const dryStep = dry.next();
  await systemRuntime.turn();
  release();
  assert.equal((await dryStep).done, false);
  await first.return();
  const again = runs.run(APPLY, signal).next();
  await systemRuntime.turn();
  release();
  assert.equal((await again).done, false);
});
