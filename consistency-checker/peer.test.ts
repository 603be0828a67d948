/** A room's checker asked by another one, over real connections: who may ask, and what comes of answers that cannot be. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { Config } from '../core/config/types.ts';
import { bucketOf } from '../core/converge/bucket.ts';
import { WmbError } from '../core/errors.ts';
import { silentLogger } from '../core/logger.ts';
import { systemRuntime } from '../core/runtime.ts';
import { formatStamp } from '../core/stamp.ts';
import { type PeerServer, PeerService } from '../proto/gen/wmb/v1/checker.ts';
import { configOf } from '../test/links/rig.ts';
import { peerService } from './peer-grpc.ts';
import { PeerGate, peerHello } from './peer-hello.ts';
import { RemoteRoom } from './remote-room.ts';
import type { CopySide, RoomView } from './room.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const ADDRESSES = { beijing: 'x:1', guangzhou: 'x:2' };

function config(room: string, more: { secret?: string; epoch?: number } = {}): Config {
  return configOf({ room, addresses: ADDRESSES, ...more });
}

const STAMP = formatStamp({ ms: 5_000, counter: 0, writer: 1 << 24 });
const WRITE = { requestId: 'r', kind: 'cache', key: 'k', trace: '', payload: Buffer.from('x'), stamp: STAMP };
const LANE = { log: 'writes', origin: 'beijing', partition: 1, epoch: '0123456789abcdef' } as const;
const STATE = { key: 'k', type: 'string', kill: '', expireAtMs: 0, caps: [], increments: [], expiries: [] } as const;

/** Beijing, with something to say to every question. */
const beijing: RoomView & CopySide = {
  room: 'beijing',
  horizon: async () => ({ nowMs: 7_000, lanes: [{ ...LANE, mark: 4, seen: STAMP, state: 'streaming', reason: '', lagWrites: 2 }] }),
  nodes: async ({ parents }) => ({ digests: Buffer.alloc(128 * parents.length, 3), keys: 9, built: 0.5 }),
  entries: async (buckets) =>
    buckets.map((bucket) => (bucket === bucketOf('k') ? [{ key: 'k', version: `${STAMP}0000`, hash: 'a'.repeat(16), expireAtMs: 4 }] : [])),
  states: async (keys) =>
    keys.map((key) => ({
      key,
      state: key === 'k' ? { ...STATE, registers: [{ name: '', version: `${STAMP}0000`, value: 'v' }] } : undefined,
      changedBehindMs: 6,
    })),
  receiptDigests: async (ranges) => ranges.map((_, at) => (at === 0 ? 'b'.repeat(16) : '')),
  receipts: async ({ from }) => [
    {
      seq: from,
      count: 2,
      stampFirst: STAMP,
      stampLast: STAMP,
      appliedMs: 8,
      exceptions: [{ index: 1, requestId: 'r', outcome: 'parked', code: 'PROCESSOR_FAILED', parkedMs: 5, attempts: 1 }],
    },
  ],
  findWrites: async () => [{ position: { ...LANE, seq: 3, index: 0 }, write: WRITE }],
  keys: async (buckets) => buckets.map((bucket) => (bucket === bucketOf('k') ? ['k', 'k2'] : [])),
  cachePlaces: async () => ({
    ...{ room: 'beijing', nowMs: 7_000, life: 'b-1/0/0', settled: `${STAMP}ffff` },
    lanes: ['beijing', 'guangzhou'].flatMap((origin) =>
      Array.from({ length: 8 }, (_, partition) => ({
        ...{
          ...LANE,
          origin,
          partition,
          cache: 7,
          others: 9,
          applied: 4,
          seen: STAMP,
          state: 'stopped-on-gap',
          reason: 'LOG_GAP: gone',
          logFrom: 8,
        },
      })),
    ),
  }),
  derive: async (writes) => writes.map(({ stamp }) => ({ stamp, effects: [{ op: 'del', key: 'k', version: `${stamp}0000` }], error: '' })),
};

async function serve(implementation: PeerServer, credentials = ServerCredentials.createInsecure()): Promise<string> {
  const server = new Server();
  server.addService(PeerService, implementation);
  closers.push(() => server.forceShutdown());
  const port = await new Promise<number>((resolve) => server.bindAsync('127.0.0.1:0', credentials, (_, bound) => resolve(bound)));
  return `127.0.0.1:${port}`;
}

function peerOf(view: RoomView & CopySide, of: Config = config('beijing')): PeerServer {
  return peerService({
    own: view,
    gate: new PeerGate({ config: of, runtime: systemRuntime }),
    runtime: systemRuntime,
    logger: silentLogger,
  });
}

function remote(
  address: string,
  { of = config('guangzhou'), callMsMax = 15_000, tls = undefined as Parameters<typeof asTarget>[0]['tls'] } = {},
): RemoteRoom {
  const room = new RemoteRoom({
    room: 'beijing',
    config: of,
    instance: 'g-1',
    runtime: systemRuntime,
    target: asTarget({ address, callMsMax, tls }),
  });
  closers.push(() => room.close());
  return room;
}

function asTarget(more: { address: string; callMsMax: number; tls: { ca: Buffer; cert: Buffer; key: Buffer } | undefined }) {
  return { who: 'checker of beijing', room: 'beijing', runtime: systemRuntime, silence: 'PEER_UNREACHABLE', ...more } as const;
}

const RANGE = { lane: LANE, from: 10, to: 20 };

test('what one room’s checker says of it arrives in the other as it was said', { timeout: 20_000 }, async () => {
  const room = remote(await serve(peerOf(beijing)));
  const bucket = bucketOf('k');
  const same = async <T>(ask: (view: RoomView & CopySide) => Promise<T>) => assert.deepEqual(await ask(room), await ask(beijing));
  await same((view) => view.horizon());
  await same((view) => view.cachePlaces());
  await same((view) => view.keys([bucket, (bucket + 1) % 65_536]));
  await same((view) => view.nodes({ level: 0, parents: [0] }));
  await same((view) => view.nodes({ level: 3, parents: [1, 2] }));
  await same((view) => view.entries([bucket, (bucket + 1) % 65_536]));
  await same((view) => view.states(['k', 'l']));
  await same((view) => view.receiptDigests([RANGE, RANGE]));
  await same((view) => view.receipts(RANGE));
  await same((view) => view.findWrites({ by: 'stamp', stamps: [STAMP] }));
  await same((view) => view.findWrites({ by: 'position', positions: [{ ...LANE, seq: 3, index: 0 }] }));
  await same((view) => view.findWrites({ by: 'request', requestId: 'r', limitMs: 100 }));
  await same((view) => view.derive([WRITE]));
});

test('more than one call may ask for is asked for in several', { timeout: 20_000 }, async () => {
  const asked: number[] = [];
  const counting = {
    ...beijing,
    states: (keys: readonly string[]) => {
      asked.push(keys.length);
      return beijing.states(keys);
    },
  };
  const room = remote(await serve(peerOf(counting)));
  const keys = Array.from({ length: 600 }, (_, n) => `key${n}`);
  assert.deepEqual(
    (await room.states(keys)).map(({ key }) => key),
    keys,
  );
  assert.deepEqual(asked, [256, 256, 88]);
});

test('an answer too large for one message is asked for in halves', { timeout: 20_000 }, async () => {
  const value = 'x'.repeat(9 * 1024 * 1024);
  const large: RoomView & CopySide = {
    ...beijing,
    states: async (keys) =>
      keys.map((key) => ({ key, state: { ...STATE, key, registers: [{ name: '', version: `${STAMP}0000`, value }] }, changedBehindMs: 0 })),
  };
  const implementation = peerOf(large);
  const server = new Server({ 'grpc.max_send_message_length': 32 * 1024 * 1024 });
  server.addService(PeerService, implementation);
  closers.push(() => server.forceShutdown());
  const port = await new Promise<number>((resolve) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  );
  const answers = await remote(`127.0.0.1:${port}`).states(['a', 'b', 'c', 'd', 'e']);
  assert.deepEqual(
    answers.map(({ key }) => key),
    ['a', 'b', 'c', 'd', 'e'],
  );
});

const rejects = (room: RemoteRoom, code: string, message: RegExp) => assert.rejects(room.horizon(), { code, message });

test('only rooms of the topology that hold its secret and its epoch are answered, and each is told why not', {
  timeout: 20_000,
}, async () => {
  const address = await serve(peerOf(beijing));
  const as = (of: Config) => remote(address, { of });
  await rejects(as(config('guangzhou', { secret: 'another secret of sixteen' })), 'IDENTITY_REFUSED', /proof does not match/);
  await rejects(as(config('guangzhou', { secret: '' })), 'IDENTITY_REFUSED', /has no link secret/);
  await rejects(as(config('guangzhou', { epoch: 2 })), 'TOPOLOGY_STALE', /epoch 2, room beijing holds 1: beijing is older/);
  const stranger = { ...config('guangzhou'), room: { ...config('guangzhou').room, id: 'shanghai' } };
  await rejects(as(stranger), 'ROOM_UNKNOWN', /shanghai is not in the topology of room beijing/);
  await rejects(
    remote(await serve(peerOf(beijing, config('guangzhou')))),
    'ROOM_UNKNOWN',
    /this is the checker of guangzhou, not of beijing/,
  );
});

test('a checker of another protocol is refused, with both numbers and the room to upgrade', () => {
  const gate = new PeerGate({ config: config('beijing'), runtime: systemRuntime });
  const hello = peerHello({ config: config('guangzhou'), instance: 'g', runtime: systemRuntime }, 'beijing', 'getNodes');
  const as = (protocol: number) => () => gate.admit({ hello: { ...hello, protocol }, method: 'getNodes', certificate: undefined });
  assert.throws(as(2), {
    code: 'PROTOCOL_VERSION',
    message: /guangzhou speaks protocol 2, the checker of beijing speaks 1: upgrade beijing/,
  });
  assert.throws(as(0), { code: 'PROTOCOL_VERSION', message: /protocol 0, .* speaks 1: upgrade guangzhou/ });
  assert.throws(() => gate.admit({ hello: undefined, method: 'getNodes', certificate: undefined }), { code: 'PEER_GARBAGE' });
});

test('a recorded hello opens no second call, and no call of another method', () => {
  const options = { config: config('guangzhou'), instance: 'g', runtime: systemRuntime };
  const gate = new PeerGate({ config: config('beijing'), runtime: systemRuntime });
  const hello = peerHello(options, 'beijing', 'getNodes');
  assert.throws(() => gate.admit({ hello, method: 'getStates', certificate: undefined }), { code: 'IDENTITY_REFUSED', message: /proof/ });
  assert.equal(gate.admit({ hello, method: 'getNodes', certificate: undefined }), 'guangzhou');
  assert.throws(() => gate.admit({ hello, method: 'getNodes', certificate: undefined }), { code: 'IDENTITY_REFUSED', message: /nonce/ });
});

test('with TLS the caller must show the certificate of the room that it claims to be, and so must who answers', {
  timeout: 20_000,
}, async () => {
  const pem = (name: string) => readFileSync(new URL(`../link/rpc/testdata/${name}.pem`, import.meta.url));
  const tlsOf = (room: string) => ({ ca: pem('ca'), cert: pem(room), key: pem(`${room}.key`) });
  const withTls = (of: Config): Config => ({ ...of, room: { ...of.room, tls: { caFile: '', certFile: '', keyFile: '' } } });
  const serverOf = (room: string) =>
    serve(
      peerOf(beijing, withTls(config('beijing'))),
      ServerCredentials.createSsl(pem('ca'), [{ cert_chain: pem(room), private_key: pem(`${room}.key`) }], true),
    );
  const address = await serverOf('beijing');
  assert.equal((await remote(address, { tls: tlsOf('guangzhou') }).horizon()).nowMs, 7_000);
  await rejects(remote(address, { tls: tlsOf('beijing') }), 'IDENTITY_REFUSED', /does not name room "guangzhou"/);
  await rejects(remote(await serverOf('guangzhou'), { tls: tlsOf('guangzhou') }), 'IDENTITY_REFUSED', /does not name room .*beijing/);
});

test('a question beyond the limits, or that cannot be, is refused', { timeout: 20_000 }, async () => {
  const room = remote(await serve(peerOf(beijing)));
  const parents = Array.from({ length: 257 }, () => 0);
  await assert.rejects(room.nodes({ level: 3, parents }), { code: 'PEER_GARBAGE', message: /asks for 257 nodes; at most 256/ });
  await assert.rejects(room.receipts({ ...RANGE, to: 99_999 }), { code: 'PEER_GARBAGE', message: /seqs/ });
  await assert.rejects(room.findWrites({ by: 'stamp', stamps: ['soon'] }), { code: 'PEER_GARBAGE', message: /"soon", which is no stamp/ });
});

test('an error of the room that is asked comes through with its code and says who it comes from', { timeout: 20_000 }, async () => {
  const failing = { ...beijing, derive: () => Promise.reject(new WmbError('NOT_FOUND', 'a slave room derives nothing')) };
  const room = remote(await serve(peerOf(failing)));
  await assert.rejects(room.derive([WRITE]), { code: 'NOT_FOUND', message: /^checker of beijing at 127.*: a slave room derives nothing$/ });
});

test('a peer that takes the connection and never answers is silence after the limit, and so is one that is not there', {
  timeout: 20_000,
}, async () => {
  const sockets: Socket[] = [];
  const deaf = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
  closers.push(() => {
    deaf.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise((resolve) => deaf.once('listening', resolve));
  const address = `127.0.0.1:${(deaf.address() as AddressInfo).port}`;
  await rejects(remote(address, { callMsMax: 100 }), 'PEER_UNREACHABLE', /checker of beijing at .* did not answer within 100 ms/);
  const hanging = await serve(peerOf({ ...beijing, horizon: () => new Promise(() => {}) }));
  await rejects(remote(hanging, { callMsMax: 100 }), 'PEER_UNREACHABLE', /did not answer within 100 ms/);
  await rejects(remote('127.0.0.1:1'), 'PEER_UNREACHABLE', /does not answer \(ECONNREFUSED\)/);
});

test('something that is no checker is garbage', { timeout: 20_000 }, async () => {
  const empty = new Server();
  closers.push(() => empty.forceShutdown());
  const port = await new Promise<number>((resolve) =>
    empty.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  );
  await rejects(remote(`127.0.0.1:${port}`), 'PEER_GARBAGE', /does not speak the checker’s protocol/);
});
