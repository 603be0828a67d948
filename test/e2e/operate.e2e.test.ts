import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { ProcessorService, type ProcessRequest, type ProcessResponse } from '../../proto/gen/wmb/v1/processor.ts';
import { Outcome, Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { freePorts } from '../harness/proxy.ts';
import { cacheWrite, QUICK_LINK, Scene, scratch, until, write } from './scene.ts';

const directory = scratch();
const moduleFile = join(directory, 'note.mjs');
const DEFINE = new URL('../../collector/process/processor.ts', import.meta.url).href;
const [port] = await freePorts(1);
const service = `127.0.0.1:${port}`;

/** The processor of kind note: as it was written first, it cannot bear a note without a text. */
function writeModule(text: string): void {
  const body = `note: (write) => { const note = write.json(); return { cache: [['SET', write.key, ${text}], ['INCR', 'notes']] }; }`;
  writeFileSync(moduleFile, `import { defineProcessor } from '${DEFINE}';\nexport const processor = defineProcessor({ ${body} });\n`);
}
writeModule('note.text.toUpperCase()');

/** Stands for a processor in another language: all it knows of WMB is its proto file. */
async function startService(): Promise<Server> {
  const server = new Server();
  const process = (call: { request: ProcessRequest }, answer: (error: null, response: ProcessResponse) => void) => {
    const { key, payload, stampMs } = call.request;
    answer(null, { commands: [{ args: ['HSET', key, 'said', payload.toString(), 'at', String(stampMs)] }], statements: [] });
  };
  server.addService(ProcessorService, { process });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(service, ServerCredentials.createInsecure(), (error) => (error === null ? resolve() : reject(error)));
  });
  return server;
}
let running = await startService();

const scene = await Scene.open({
  count: 2,
  mode: 'independent',
  partitions: 2,
  directory,
  topologySettings: { kinds: { note: {}, remote: {} } },
  roomSettings: { link: QUICK_LINK, processors: { note: { module: moduleFile }, remote: { grpc: service, timeoutMs: 60_000 } } },
});
const note = (key: string, requestId: string, payload: object) => write({ kind: 'note', key, requestId, payload: JSON.stringify(payload) });

interface Listed {
  readonly total: number;
  readonly writes: readonly { readonly requestId: string; readonly code: string; readonly position: string }[];
}

async function parked(index: number): Promise<(readonly [string, string])[]> {
  const { writes } = await scene.wmbJson<Listed>(index, 'parked', 'list');
  return writes.map(({ requestId, code }) => [requestId, code] as const);
}

/** Waits until a room's mark has passed all that was submitted, parked or not. */
function seen(): Promise<void> {
  return scene.settled();
}

test('a poisoned write request holds up its own key only; corrected, it is retried in its place', async () => {
  const results = await scene.submit(
    0,
    [note('n:sick', 'sick-1', {}), note('n:sick', 'sick-2', { text: 'after' }), note('n:well', 'well-1', { text: 'fine' })],
    Wait.WAIT_APPLIED,
  );
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    [Outcome.OUTCOME_PARKED, Outcome.OUTCOME_PARKED, Outcome.OUTCOME_APPLIED],
  );
  const [later] = await scene.submit(0, [note('n:sick', 'sick-3', { text: 'last' })], Wait.WAIT_APPLIED);
  assert.equal(later?.outcome, Outcome.OUTCOME_PARKED);
  await seen();
  for (const index of [0, 1]) {
    assert.equal(await scene.value(index, 'n:well'), 'FINE');
    assert.equal(await scene.get(index, 'n:sick'), undefined);
    assert.deepEqual(await parked(index), [
      ['sick-1', 'PROCESSOR_FAILED'],
      ['sick-2', 'BEHIND_PARKED'],
      ['sick-3', 'BEHIND_PARKED'],
    ]);
  }

  const shown = await scene.wmb(1, 'parked', 'show', 'sick-1');
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /reason +PROCESSOR_FAILED: .*toUpperCase/);
  assert.match(shown.stdout, /what to do +Correct the processor/);
  const unready = await scene.wmb(0, 'parked', 'retry', 'sick-1');
  assert.equal(unready.code, 5);
  assert.match(unready.stderr, /^wmb: PROCESSOR_FAILED: /);

  writeModule("(note.text ?? '').toUpperCase()");
  await Promise.all([0, 1].map((index) => scene.restart(index, 'collector', 'SIGTERM')));
  for (const index of [0, 1]) {
    const { outcomes } = await scene.wmbJson<{ outcomes: { requestId: string; outcome: string }[] }>(index, 'parked', 'retry', 'sick-1');
    assert.ok(outcomes.length > 0 && outcomes.every(({ outcome }) => outcome === 'applied'), JSON.stringify(outcomes));
    await until('those behind it follow', async () => (await scene.value(index, 'n:sick')) === 'LAST');
    await until('nothing is parked any more', async () => (await parked(index)).length === 0);
  }
  const held = await scene.equalRooms();
  assert.equal((held.get('notes') as { value: string }).value, '4');
});

test('a poisoned write request that is discarded lets the next of its key follow, in each room by itself', async () => {
  const poison = write({ kind: 'note', key: 'n:gone', requestId: 'gone-1', payload: 'no json' });
  await scene.submit(1, [poison, note('n:gone', 'gone-2', { text: 'next' })], Wait.WAIT_APPLIED);
  await seen();
  const { writes } = await scene.wmbJson<Listed>(0, 'parked', 'list', '--room', 'guangzhou');
  assert.deepEqual(
    writes.map(({ requestId }) => requestId),
    ['gone-1', 'gone-2'],
  );
  assert.equal((await scene.wmb(0, 'parked', 'discard', writes[0]?.position ?? '', '--room', 'guangzhou')).code, 0);
  await until('the next follows', async () => (await scene.value(1, 'n:gone')) === 'NEXT');
  assert.equal(await scene.get(0, 'n:gone'), undefined);
  assert.equal((await scene.wmb(0, 'parked', 'discard', 'gone-1')).code, 0);
  await until('the next follows there too', async () => (await scene.value(0, 'n:gone')) === 'NEXT');
  const unknown = await scene.wmb(0, 'parked', 'discard', 'gone-1');
  assert.equal(unknown.code, 5);
  assert.match(unknown.stderr, /^wmb: NOT_FOUND: /);
  await scene.equalRooms();
});

test('a processor in another language: while it is down nothing is parked and its lanes wait; then they go on', async () => {
  const said = (key: string, text: string) => write({ kind: 'remote', key, payload: text });
  await scene.submit(0, [said('r:1', 'hello')], Wait.WAIT_EVERYWHERE);
  for (const index of [0, 1]) assert.deepEqual((await scene.get(index, 'r:1'))?.elements[1], { name: 'said', value: 'hello' });

  running.forceShutdown();
  const texts = Array.from({ length: 20 }, (_, at) => said(`r:${at % 5}`, `during ${at}`));
  await Promise.all([scene.submit(0, texts.slice(0, 10)), scene.submit(1, texts.slice(10))]);
  for (const index of [0, 1]) {
    await until(`room ${index} shows why it waits`, async () => {
      const lanes = [...(await scene.lanes(index, 0)), ...(await scene.lanes(index, 1))];
      return lanes.some((lane) => lane.state === 'backing-off' && lane.reason.startsWith('PROCESSOR_UNAVAILABLE: '));
    });
    assert.equal((await scene.collector(index)).parked, 0);
  }
  running = await startService();
  const held = await scene.equalRooms();
  for (const key of ['r:0', 'r:4']) assert.match(JSON.stringify(held.get(key)), /during/);
  for (const index of [0, 1]) assert.equal((await scene.collector(index)).parked, 0);
});

test('a paused link lags and loses nothing, stays paused over a restart of the collector, and is seen in wmb status', async () => {
  const paused = await scene.wmb(0, 'link', 'pause', 'beijing', 'guangzhou');
  assert.equal(paused.code, 0, paused.stderr);
  const submitSome = (name: string) =>
    scene.submit(
      0,
      Array.from({ length: 50 }, (_, at) =>
        cacheWrite(`p:${at}`, [
          ['INCR', `p:${at % 4}`],
          ['SET', `p:${name}:${at}`, name],
        ]),
      ),
      Wait.WAIT_APPLIED,
    );
  const lagShown = (writes: number) =>
    until(`status shows a lag of ${writes}`, async () => {
      const lag = (await scene.lanes(1, 0)).reduce((sum, lane) => sum + lane.lagWrites, 0);
      return lag === writes || Promise.reject(new Error(`lag ${lag}`));
    });
  await submitSome('first');
  await lagShown(50);
  await scene.restart(1, 'collector', 'SIGKILL');
  await submitSome('second');
  await lagShown(100);
  assert.equal(await scene.get(1, 'p:first:0'), undefined);
  const shown = /\nbeijing → guangzhou +writes +paused +100 /;
  await until('wmb status shows it', async () => shown.test((await scene.wmb(0, 'status')).stdout));
  const status = await scene.wmbJson<{ rooms: { room: string; links: { origin: string; paused: boolean }[] }[] }>(0, 'status');
  const links = status.rooms.flatMap(({ room, links }) => links.map(({ origin, paused: is }) => [origin, room, is]));
  assert.deepEqual(
    links.filter(([, , is]) => is),
    [['beijing', 'guangzhou', true]],
  );
  // The other direction is another link.
  await scene.submit(1, [cacheWrite('p:back', [['SET', 'p:back', 'v']])], Wait.WAIT_EVERYWHERE);

  assert.equal((await scene.wmb(1, 'link', 'resume', 'beijing', 'guangzhou')).code, 0);
  const held = await scene.equalRooms();
  for (const name of ['p:first:49', 'p:second:49', 'p:back']) assert.ok(held.has(name), name);
  running.forceShutdown();
});
