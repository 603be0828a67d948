import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import type { Hello, LinkHost } from '../link.ts';
import type { LinkTls } from './channel.ts';
import { rpcDialer } from './dialer.ts';
import { addLinkService } from './service.ts';

const read = (name: string) => readFileSync(new URL(`testdata/${name}`, import.meta.url));
const tlsOf = (room: string): LinkTls => ({ ca: read('ca.pem'), cert: read(`${room}.pem`), key: read(`${room}.key.pem`) });
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function hello(names: { from?: string; to?: string } = {}): Hello {
  return { protocol: 1, from: 'guangzhou', to: 'beijing', topologyEpoch: 1, instance: 'g', sentMs: 1, nonce: '', proof: '', ...names };
}

async function serve(tls: LinkTls | undefined): Promise<string> {
  const pair = tls && { cert_chain: tls.cert, private_key: tls.key };
  const credentials = pair ? ServerCredentials.createSsl(tls.ca, [pair], true) : ServerCredentials.createInsecure();
  const host: LinkHost = { welcome: () => ({ protocol: 1, room: 'beijing', topologyEpoch: 1, instance: 'b', logs: [] }), serve() {} };
  const server = new Server();
  addLinkService(server, host, { runtime: systemRuntime, logger: silentLogger, certificates: true });
  closers.push(() => server.forceShutdown());
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  return `127.0.0.1:${port}`;
}

function dial(address: string, tls: LinkTls | undefined, names: { from?: string; to?: string } = {}) {
  return rpcDialer({ runtime: systemRuntime, tls, answerMsMax: 15_000 }).dial(address, hello(names), new AbortController().signal);
}

test('rooms whose certificates name them reach each other', { timeout: 20_000 }, async () => {
  const session = await dial(await serve(tlsOf('beijing')), tlsOf('guangzhou'));
  assert.equal(session.welcome.room, 'beijing');
  session.close();
});

test('a certificate that does not name the room that the hello claims is refused', { timeout: 20_000 }, async () => {
  const address = await serve(tlsOf('beijing'));
  await assert.rejects(dial(address, tlsOf('guangzhou'), { from: 'shanghai' }), {
    code: 'IDENTITY_REFUSED',
    message: /certificate does not name room "shanghai" \(it names DNS:guangzhou/,
  });
  await assert.rejects(dial(address, tlsOf('beijing')), { code: 'IDENTITY_REFUSED', message: /does not name room "guangzhou"/ });
});

test('a dialler refuses a server whose certificate names another room', { timeout: 20_000 }, async () => {
  const address = await serve(tlsOf('guangzhou'));
  await assert.rejects(dial(address, tlsOf('guangzhou')), { code: 'IDENTITY_REFUSED', message: /does not name room "beijing"/ });
});

test('without TLS nobody gets in where certificates are asked for', { timeout: 20_000 }, async () => {
  await assert.rejects(dial(await serve(tlsOf('beijing')), undefined), (error: { code: string }) =>
    /^PEER_(UNREACHABLE|GARBAGE)$/.test(error.code),
  );
  await assert.rejects(dial(await serve(undefined), undefined), { code: 'IDENTITY_REFUSED', message: /it names nothing/ });
});
