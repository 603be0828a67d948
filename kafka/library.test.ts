import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { exchangeWith, libraryBroker, type SocketPlace } from './library.ts';
import { Parts } from './parts.ts';

/** Answers every request with nothing but its number. */
async function broker() {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('data', (request) => {
      const answer = Buffer.alloc(8);
      answer.writeInt32BE(4, 0);
      request.copy(answer, 4, 8, 12);
      socket.write(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const place = server.address();
  const close = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: typeof place === 'object' && place !== null ? place.port : 0, close };
}

test('an answer makes nobody wait for a negative time: Node would warn of it, in the daemon’s own output', async (t) => {
  const warnings: string[] = [];
  const onWarning = ({ name }: Error) => warnings.push(name);
  process.on('warning', onWarning);
  const { port, close } = await broker();
  const connected = libraryBroker({
    ...{ host: '127.0.0.1', port, clientId: 'test', ssl: undefined, sasl: undefined, connectionTimeout: 5_000, requestTimeout: 5_000 },
    socketFactory: ({ host, port: at, onConnect }: SocketPlace) => connect({ host, port: at }, onConnect),
  });
  t.after(async () => {
    process.off('warning', onWarning);
    await connected.disconnect();
    close();
  });
  const exchange = {
    apiKey: 3,
    apiVersion: 0,
    apiName: 'Test',
    waitMs: 0,
    encode: () => new Parts(0),
    decode: () => ({ value: 'answered', throttledMs: 0 }),
  };
  for (let n = 0; n < 3; n += 1) assert.equal(await exchangeWith(connected, exchange), 'answered');
  // Warnings come a turn later.
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
});
