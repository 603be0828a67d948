import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import fastify from 'fastify';
import { WmbError } from '../core/errors.ts';
import { fromGrpcError } from '../daemon/grpc-errors.ts';
import {
  CollectorClient,
  CollectorService,
  type GetKeysResponse,
  type ListParkedResponse,
  type ParkedResult,
} from '../proto/gen/wmb/v1/admin.ts';
import { collectorAdmin, type LinkAdmin } from './admin-grpc.ts';
import { set, TestLog, TestRoom } from './admit/testing.ts';
import { addKeysRoute } from './keys-http.ts';

const links: LinkAdmin = {
  setTransport: async () => 'rpc',
  links: () => [{ origin: 'guangzhou', transport: 'rpc', paused: false, lanes: [] }],
  setPaused: (origin) => {
    throw new WmbError('ROOM_UNKNOWN', `no link from ${origin}`);
  },
  skipGaps: async () => [],
};

async function serve(t: TestContext): Promise<{ room: TestRoom; client: CollectorClient; address: string }> {
  const room = await new TestRoom().open();
  const { config, cache, runtime, applier } = room;
  const server = new Server();
  const admin = collectorAdmin({ config, cache, runtime, links, parking: applier.parking, floor: () => applier.floor(), instance: 'i' });
  server.addService(CollectorService, admin);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const client = new CollectorClient(`127.0.0.1:${port}`, credentials.createInsecure());
  t.after(() => {
    client.close();
    server.forceShutdown();
  });
  return { room, client, address: `127.0.0.1:${port}` };
}

test('keys are read one by one and scanned in order', async (t) => {
  const { room, client } = await serve(t);
  const writes = Array.from({ length: 300 }, (_, at) => set(`k${String(at).padStart(3, '0')}`, `v${at}`));
  await room.run(new TestLog().add(...writes));
  const got = await new Promise<GetKeysResponse>((resolve, reject) =>
    client.getKeys({ keys: ['k007', 'none'] }, (error, response) => (error === null ? resolve(response) : reject(error))),
  );
  assert.deepEqual(
    got.entries.map((entry) => [entry.key, entry.found, entry.type, entry.value]),
    [
      ['k007', true, 'string', 'v7'],
      ['none', false, '', ''],
    ],
  );
  const scanned: string[] = [];
  for await (const part of client.scanKeys({ prefix: 'k' })) for (const entry of (part as GetKeysResponse).entries) scanned.push(entry.key);
  assert.deepEqual([scanned.length, scanned[0], scanned[299]], [300, 'k000', 'k299']);
});

test('parked write requests are listed, retried and discarded over gRPC', async (t) => {
  const { room, client, address } = await serve(t);
  room.processors.kinds['message'] = () => {
    throw new Error('boom');
  };
  await room.run(new TestLog().add({ kind: 'message', key: 'a', payload: { secret: 1 } }, { kind: 'message', key: 'b' }));
  const list = (await promisify(client.listParked.bind(client))({ limit: 0, after: '' })) as unknown as ListParkedResponse;
  assert.equal(list.total, 2);
  assert.deepEqual(
    [list.writes[0]?.position, list.writes[0]?.code, String(list.writes[0]?.payload)],
    ['guangzhou/0@0123456789abcdef:0.0', 'PROCESSOR_FAILED', '{"secret":1}'],
  );
  const discarded = (await promisify(client.discardParked.bind(client))({
    writes: ['guangzhou-1'],
    all: false,
  })) as unknown as ParkedResult;
  assert.deepEqual(
    discarded.outcomes.map((it) => [it.requestId, it.outcome]),
    [['guangzhou-1', 5]],
  );
  room.processors.kinds['message'] = (write) => ({ cache: [['SET', write.key, 'ok']] });
  const retried = (await promisify(client.retryParked.bind(client))({ writes: [], all: true })) as unknown as ParkedResult;
  assert.deepEqual(
    retried.outcomes.map((it) => [it.requestId, it.outcome]),
    [['guangzhou-2', 1]],
  );
  await assert.rejects(
    promisify(client.retryParked.bind(client))({ writes: [], all: false }),
    (error) => fromGrpcError(error, address).code === 'USAGE',
  );
});

test('status tells links and floor, and a refusal to set a link comes with its code', async (t) => {
  const { client, address } = await serve(t);
  const status = (await promisify(client.getStatus.bind(client))({})) as unknown as { room: string; links: { origin: string }[] };
  assert.deepEqual([status.room, status.links[0]?.origin], ['beijing', 'guangzhou']);
  await assert.rejects(
    promisify(client.setLink.bind(client))({ origin: 'x', paused: true }),
    (error) => fromGrpcError(error, address).code === 'ROOM_UNKNOWN',
  );
});

test('a key is read over HTTP; nothing visible is NOT_FOUND', async (t) => {
  const room = await new TestRoom().open();
  await room.run(new TestLog().add(set('a/b c', '1')));
  const app = fastify();
  t.after(() => app.close());
  addKeysRoute(app, { cache: room.cache, runtime: room.runtime });
  app.setErrorHandler((error, _request, reply) => reply.code(404).send({ code: (error as WmbError).code }));
  const found = await app.inject({ url: `/v1/keys/${encodeURIComponent('a/b c')}` });
  assert.deepEqual(
    { ...found.json<object>(), version: undefined },
    { key: 'a/b c', type: 'string', value: '1', expireAtMs: 0, version: undefined },
  );
  const missing = await app.inject({ url: '/v1/keys/none' });
  assert.deepEqual([missing.statusCode, missing.json()], [404, { code: 'NOT_FOUND' }]);
});
