import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'node:test';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { silentLogger } from '../../core/logger.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { TcpProxy } from '../../test/harness/proxy.ts';
import { linkContract } from '../link.contract.ts';
import { LINK_PROTOCOL, type LinkHost, type ServedSession } from '../link.ts';
import { rpcDialer } from './dialer.ts';
import { addLinkService } from './service.ts';

async function serveLink(host: LinkHost): Promise<{ address: string; close: () => Promise<void> }> {
  const server = new Server();
  addLinkService(server, host, { runtime: systemRuntime, logger: silentLogger, certificates: false });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { address: `127.0.0.1:${port}`, close: async () => server.forceShutdown() };
}

linkContract('rpc link', async (host) => {
  const served = await serveLink(host);
  return { ...served, dialer: rpcDialer({ runtime: systemRuntime, answerMsMax: 10_000 }), nowhere: '127.0.0.1:1' };
});

const HELLO = {
  protocol: LINK_PROTOCOL,
  from: 'guangzhou',
  to: 'beijing',
  topologyEpoch: 1,
  instance: 'g',
  sentMs: 1,
  nonce: 'n',
  proof: '',
};

/** Two processes that answer for one room behind a balancer, which gives each connection to the next of them. */
test('frames come over the process that the session is with, wherever a balancer leads the second connection', {
  timeout: 20_000,
}, async (t) => {
  const served: ServedSession[] = [];
  const hostOf = (instance: string): LinkHost => ({
    welcome: () => ({ protocol: LINK_PROTOCOL, room: 'beijing', topologyEpoch: 1, instance, logs: [] }),
    serve: (session) => void served.push(session),
  });
  const servers = await Promise.all(['one', 'two', 'three'].map((instance) => serveLink(hostOf(instance))));
  const balancer = new TcpProxy(...servers.map(({ address }) => ({ host: '127.0.0.1', port: Number(address.split(':')[1]) })));
  t.after(() => Promise.all([balancer.close(), ...servers.map(({ close }) => close())]));
  const address = `127.0.0.1:${await balancer.listen()}`;
  for (let turn = 1; turn <= 4; turn += 1) {
    const session = await rpcDialer({ runtime: systemRuntime, answerMsMax: 10_000 }).dial(address, HELLO, new AbortController().signal);
    const frame = { log: 'writes', partition: 0, seq: turn, history: false, bytes: Buffer.from('frame') } as const;
    void served[turn - 1]?.sendFrames([frame]);
    for await (const frames of session.frames) {
      assert.deepEqual(
        frames.map(({ seq }) => seq),
        [turn],
      );
      session.close();
      break;
    }
  }
  assert.equal(served.length, 4);
});

/** Long enough for one that answers, on a busy machine. */
const ANSWER_MS_MAX = 2_000;

test('where a balancer leads a connection to a process that stands still, another one is made', { timeout: 20_000 }, async (t) => {
  const welcome = () => ({ protocol: LINK_PROTOCOL, room: 'beijing', topologyEpoch: 1, instance: 'one', logs: [] });
  const served: ServedSession[] = [];
  const server = await serveLink({ welcome, serve: (session) => void served.push(session) });
  const silent = createServer((socket) => void socket.on('error', () => {}));
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const ports = [Number(server.address.split(':')[1]), (silent.address() as AddressInfo).port];
  const balancer = new TcpProxy(...ports.map((port) => ({ host: '127.0.0.1', port })));
  t.after(() => Promise.all([balancer.close(), server.close(), silent.close()]));
  const address = `127.0.0.1:${await balancer.listen()}`;
  const dial = () => rpcDialer({ runtime: systemRuntime, answerMsMax: ANSWER_MS_MAX }).dial(address, HELLO, new AbortController().signal);
  const session = await dial();
  served[0]?.sendFrames([{ log: 'writes', partition: 0, seq: 1, history: false, bytes: Buffer.from('frame') }]);
  const { value } = await session.frames[Symbol.asyncIterator]().next();
  assert.equal(value?.[0]?.seq, 1);
  session.close();
  await assert.rejects(dial(), new RegExp(`no answer to the hello within ${ANSWER_MS_MAX} ms`));
});
