import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer as createTcpServer, type Server as NetServer, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { credentials, Server, ServerCredentials, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { WmbError } from '../../core/errors.ts';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { LinkClient, LinkService, type SessionDown, type SessionUp } from '../../proto/gen/wmb/v1/link.ts';
import type { Hello, LinkHost, ServedSession } from '../link.ts';
import { rpcDialer } from './dialer.ts';
import { addLinkService } from './service.ts';

const HELLO: Hello = { protocol: 1, from: 'guangzhou', to: 'beijing', topologyEpoch: 1, instance: 'g', sentMs: 1, nonce: '', proof: '' };
const WELCOME: SessionDown = {
  message: { $case: 'welcome', value: { protocol: 1, room: 'beijing', topologyEpoch: 1, instance: 'b', logs: [], sessionId: 'x' } },
};
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function listen(server: NetServer): Promise<string> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function grpcServer(add: (server: Server) => void): Promise<string> {
  const server = new Server();
  add(server);
  closers.push(() => server.forceShutdown());
  const port = await new Promise<number>((resolve) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  );
  return `127.0.0.1:${port}`;
}

function dial(address: string, answerMsMax = 15_000) {
  return rpcDialer({ runtime: systemRuntime, answerMsMax }).dial(address, HELLO, new AbortController().signal);
}

const is = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof WmbError);
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};

test('an HTTP server at the peer’s address is PEER_GARBAGE', { timeout: 20_000 }, async () => {
  const address = await listen(createHttpServer((_, response) => response.end('hello')));
  await assert.rejects(dial(address), is('PEER_GARBAGE', /does not speak the link protocol/));
});

test('an HTTP/2 server that knows no gRPC is PEER_GARBAGE', { timeout: 20_000 }, async () => {
  const server = createHttp2Server();
  server.on('stream', (stream) => {
    stream.respond({ ':status': 404, 'content-type': 'text/html' });
    stream.end('<html>no</html>');
  });
  await assert.rejects(dial(await listen(server)), is('PEER_GARBAGE', /does not speak the link protocol/));
});

test('a server that answers random bytes is PEER_GARBAGE', { timeout: 20_000 }, async () => {
  const address = await listen(
    createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.write(randomBytes(4096));
    }),
  );
  await assert.rejects(dial(address), is('PEER_GARBAGE', /does not speak the link protocol/));
});

test('a gRPC server without the link service is PEER_GARBAGE', { timeout: 20_000 }, async () => {
  const address = await grpcServer(() => {});
  await assert.rejects(dial(address), is('PEER_GARBAGE', /unimplemented|does not implement/i));
});

test('a server that closes at once is PEER_UNREACHABLE', { timeout: 20_000 }, async () => {
  const address = await listen(createTcpServer((socket) => socket.destroy()));
  await assert.rejects(dial(address), is('PEER_UNREACHABLE', /does not answer/));
});

test('a server that takes the connection and says nothing is PEER_UNREACHABLE after the answer limit', { timeout: 20_000 }, async () => {
  const address = await listen(createTcpServer(() => {}));
  await assert.rejects(dial(address, 100), is('PEER_UNREACHABLE', /no answer to the hello within 100 ms/));
});

/** A link service that answers every hello with `answers`. */
function answering(...answers: SessionDown[]): Promise<string> {
  const implementation: UntypedServiceImplementation = {
    session: (call: {
      on: (event: string, f: () => void) => void;
      once: (event: string, f: () => void) => void;
      write: (message: SessionDown) => void;
      end: () => void;
    }) => {
      call.on('error', () => {});
      call.once('data', () => {
        for (const answer of answers) call.write(answer);
        call.end();
      });
    },
    frames: (call: { end: () => void }) => call.end(),
  };
  return grpcServer((server) => server.addService(LinkService, implementation));
}

test('messages in the wrong order are PEER_GARBAGE', { timeout: 20_000 }, async () => {
  const pulse: SessionDown = { message: { $case: 'pulse', value: { sentMs: 1, floor: '', ends: [] } } };
  await assert.rejects(dial(await answering(pulse)), is('PEER_GARBAGE', /answered a hello with pulse/));
  await assert.rejects(dial(await answering()), is('PEER_GARBAGE', /without an answer to the hello/));
  const session = await dial(await answering(WELCOME, WELCOME));
  for await (const _ of session.control);
  is('PEER_GARBAGE', /welcome in the middle of a session/)(await session.closed);
});

test('names and stamps that the link does not know end the session as PEER_GARBAGE', { timeout: 20_000 }, async () => {
  const cases: [SessionDown, RegExp][] = [
    [{ message: { $case: 'resumed', value: { log: 'diary', partition: 0, historyFrom: 0, liveFrom: 0 } } }, /a log "diary"/],
    [{ message: { $case: 'pulse', value: { sentMs: 1, floor: 'soon', ends: [] } } }, /"soon" for a stamp/],
    [{ message: undefined }, /an unknown message/],
  ];
  for (const [message, expected] of cases) {
    const session = await dial(await answering(WELCOME, message));
    for await (const _ of session.control);
    is('PEER_GARBAGE', expected)(await session.closed);
  }
});

/** A served link and a bare client of it. */
async function bareClient(host: Partial<LinkHost> = {}, helloMsMax = 15_000): Promise<{ client: LinkClient; served: ServedSession[] }> {
  const served: ServedSession[] = [];
  const welcome = () => ({ protocol: 1, room: 'beijing', topologyEpoch: 1, instance: 'b', logs: [] });
  const options = { runtime: systemRuntime, logger: silentLogger, certificates: false, helloMsMax };
  const address = await grpcServer((server) =>
    addLinkService(server, { welcome, serve: (session) => void served.push(session), ...host }, options),
  );
  const client = new LinkClient(address, credentials.createInsecure());
  closers.push(() => client.close());
  return { client, served };
}

async function firstAnswer(client: LinkClient, ...messages: SessionUp[]): Promise<SessionDown> {
  const call = client.session();
  call.on('error', () => {});
  for (const message of messages) call.write(message);
  const [answer] = (await once(call, 'data')) as [SessionDown];
  call.cancel();
  return answer;
}

function errorCode(answer: SessionDown): string | undefined {
  return answer.message?.$case === 'error' ? answer.message.value.code : undefined;
}

test('a dialler that says something else than hello, or nothing, is told so and let go', { timeout: 20_000 }, async () => {
  const { client, served } = await bareClient();
  assert.equal(errorCode(await firstAnswer(client, { message: { $case: 'observed', value: '' } })), 'PEER_GARBAGE');
  const hasty = await bareClient({}, 100);
  assert.equal(errorCode(await firstAnswer(hasty.client)), 'PEER_GARBAGE');
  assert.deepEqual([served, hasty.served], [[], []]);
});

test('a dialler that says hello twice loses its session', { timeout: 20_000 }, async () => {
  const { client, served } = await bareClient();
  const hello: SessionUp = { message: { $case: 'hello', value: HELLO } };
  await firstAnswer(client, hello, hello);
  const session = served[0];
  assert.ok(session);
  for await (const _ of session.control);
  assert.notEqual(await session.closed, undefined);
});

test('frames are given to nobody who does not name a session', { timeout: 20_000 }, async () => {
  const { client } = await bareClient();
  const call = client.frames({ sessionId: 'guessed' });
  call.resume();
  const [error] = (await once(call, 'error')) as [Error];
  assert.match(error.message, /no session has this id/);
});

test('a host that fails on a hello refuses it and lives on', { timeout: 20_000 }, async () => {
  const { client } = await bareClient({
    welcome: () => {
      throw new TypeError('a defect');
    },
  });
  assert.equal(errorCode(await firstAnswer(client, { message: { $case: 'hello', value: HELLO } })), 'INTERNAL');
});
