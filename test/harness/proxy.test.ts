import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts, TcpProxy } from './proxy.ts';

/** Answers with what it is sent, and ends when the other side has. */
let echo: Awaited<ReturnType<typeof startEcho>>;
let proxy: TcpProxy;
let port: number;

async function startEcho() {
  const received: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => received.push(chunk.toString()));
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, received, port: (server.address() as AddressInfo).port };
}

beforeEach(async () => {
  echo = await startEcho();
  proxy = new TcpProxy({ host: '127.0.0.1', port: echo.port });
  port = await proxy.listen();
});

afterEach(async () => {
  await proxy.close();
  echo.server.close();
});

async function open(): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  return socket;
}

async function ask(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString();
}

/** Milliseconds that `work` takes. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

/** The least of some: what is late once was held up by the machine. */
async function leastOf(timing: () => Promise<number>): Promise<number> {
  const all: number[] = [];
  for (let tried = 0; tried < 5; tried += 1) all.push(await timing());
  return Math.min(...all);
}

/** What holds for a silent connection after this long: longer than an answer takes on loopback, by far. */
const SILENT_MS = 150;
const silent = (socket: Socket) => Promise.race([once(socket, 'data').then(() => false), sleep(SILENT_MS, true)]);

test('an answer comes back, and the end of either side after what was sent before it', async () => {
  proxy.delay(30);
  const socket = await open();
  const bytes = Buffer.alloc(3_000_000, 'abcdefg');
  socket.end(bytes);
  assert.ok(bytes.equals(await buffer(socket)));
});

test('a delay is added in each direction, or in the one that is named', async () => {
  const socket = await open();
  proxy.delay(60);
  assert.ok((await timed(() => ask(socket, 'a'))) >= 119);
  proxy.delay(0);
  proxy.delay(60, 'back');
  const oneWay = await leastOf(() => timed(() => ask(socket, 'b')));
  assert.ok(oneWay >= 59 && oneWay < 119, `${oneWay} ms`);
  socket.destroy();
});

test('bytes keep their order when the delay becomes shorter', async () => {
  const socket = await open();
  proxy.delay(100, 'there');
  socket.write('first ');
  await sleep(20);
  proxy.delay(0, 'there');
  socket.end('second');
  assert.equal((await buffer(socket)).toString(), 'first second');
});

test('a bandwidth holds for its direction', async () => {
  const bytes = Buffer.alloc(60_000);
  const transfer = async () => {
    const socket = await open();
    socket.end(bytes);
    assert.equal((await buffer(socket)).length, bytes.length);
  };
  proxy.bandwidth(200_000, 'there');
  const slowMs = await timed(transfer);
  assert.ok(slowMs >= 295, `${slowMs} ms for 60 kB at 200 kB/s`);
  proxy.bandwidth(Number.POSITIVE_INFINITY);
  assert.ok((await leastOf(() => timed(transfer))) < slowMs / 2);
});

test('what a slow line has not sent makes the sender wait, instead of memory grow', async () => {
  const socket = await open();
  proxy.bandwidth(10_000, 'there');
  const bytes = Buffer.alloc(50_000_000);
  socket.write(bytes);
  await sleep(SILENT_MS);
  assert.ok(socket.writableLength > bytes.length / 2);
  socket.destroy();
});

test('a cut breaks connections and refuses new ones until it is healed', async () => {
  const closed = once((await open()).resume(), 'close');
  proxy.cut();
  await closed;
  await once(connect({ host: '127.0.0.1', port }).resume(), 'close');
  proxy.heal();
  assert.equal(await ask(await open(), 'again'), 'again');
});

test('a reset breaks connections by RST and takes new ones', async () => {
  const socket = await open();
  assert.equal(await ask(socket, 'a'), 'a');
  const failed = once(socket, 'error') as Promise<[NodeJS.ErrnoException]>;
  proxy.reset();
  assert.equal((await failed)[0].code, 'ECONNRESET');
  assert.equal(await ask(await open(), 'again'), 'again');
});

test('held, old and new connections stay open and silent; healed, everything arrives', async () => {
  const old = await open();
  proxy.hold();
  const young = await open();
  old.write('old');
  young.write('young');
  assert.deepEqual(await Promise.all([silent(old), silent(young)]), [true, true]);
  assert.deepEqual(echo.received, []);
  const answers = Promise.all([once(old, 'data'), once(young, 'data')]);
  proxy.heal();
  assert.deepEqual(
    (await answers).map(([bytes]) => String(bytes)),
    ['old', 'young'],
  );
});

test('held one way only, what is asked arrives and the answer does not', async () => {
  const socket = await open();
  proxy.hold('back');
  socket.write('asked');
  while (echo.received.length === 0) await sleep(1);
  assert.equal(await silent(socket), true);
  assert.deepEqual(echo.received, ['asked']);
  socket.destroy();
});

test('an answer is lost once: what was asked is delivered, and its connection breaks', async () => {
  const [socket, other] = [await open(), await open()];
  proxy.loseAnswerTo((packet) => packet.includes('COMMIT'));
  assert.equal(await ask(socket, 'INSERT'), 'INSERT');
  const closed = once(socket, 'close');
  const answers: unknown[] = [];
  socket.on('data', (bytes) => answers.push(bytes));
  socket.write('COMMIT 1');
  await closed;
  assert.deepEqual([answers, echo.received, proxy.broken], [[], ['INSERT', 'COMMIT 1'], 1]);
  assert.equal(await ask(other, 'COMMIT 2'), 'COMMIT 2');
});

test('half of a packet arrives once, and its connection breaks', async () => {
  const [socket, other] = [await open(), await open()];
  proxy.tear((packet) => packet.includes('COMMIT'));
  assert.equal(await ask(socket, 'INSERT'), 'INSERT');
  const closed = once(socket, 'close');
  const answers: unknown[] = [];
  socket.on('data', (bytes) => answers.push(bytes));
  socket.write('COMMIT 1');
  await closed;
  assert.equal(await ask(other, 'COMMIT 2'), 'COMMIT 2');
  assert.deepEqual([answers, echo.received, proxy.broken], [[], ['INSERT', 'COMM', 'COMMIT 2'], 1]);
});

test('a free port is given to one asker only', async () => {
  const ports = (await Promise.all(Array.from({ length: 40 }, () => freePorts(50)))).flat();
  assert.equal(new Set(ports).size, 2_000);
});
