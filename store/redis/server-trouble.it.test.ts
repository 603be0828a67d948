/** What happens to a server beside the cache (disks, restarts, silence), and what the cache makes of it: a code, a remedy, the order kept, and nothing lost. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Redis } from 'ioredis';
import { WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { containersAvailable, NO_ENGINE } from '../../test/containers/engine.ts';
import { type RedisServer as Container, startRedis } from '../../test/containers/redis.ts';
import { TcpProxy } from '../../test/harness/proxy.ts';
import { apply, marksOf, move, value, write } from '../cache-kit.ts';
import { RedisCache } from './cache.ts';
import type { RedisServer } from './connection.ts';
import { clientAt, SHIFT_MS, serverAt } from './redis-kit.ts';

const skip = !(await containersAvailable()) && NO_ENGINE;
const WAIT_MS_MAX = 60_000;
/** Of a server that is to be silent. */
const ANSWER_MS_MAX = 2_000;
const SILENT = new RegExp(`gave no answer within ${ANSWER_MS_MAX} ms`);
const SMALL_DISK = { path: '/data', megabytes: 8 };

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function cacheOn(address: string, more: Partial<RedisServer> = {}): Promise<RedisCache> {
  const store = new RedisCache({ nodes: [serverAt(address, more)], room: 'beijing', runtime: systemRuntime, shiftMs: SHIFT_MS });
  await store.open();
  closing.push(() => store.close());
  return store;
}

function clientOf(address: string): Redis {
  const client = clientAt(address);
  closing.push(() => client.disconnect());
  return client;
}

async function serverWith(options: Parameters<typeof startRedis>[0]): Promise<Container> {
  const server = await startRedis(options);
  closing.push(() => server.remove());
  return server;
}

/** Write request `seq` of a lane: a value and a counter, which shows whether it was done twice. */
function step(store: RedisCache, seq: number) {
  return apply(store, [write(1_000 + seq, ['SET', 'k', `v${seq}`], ['INCR', 'n'])], { moves: [move(0, seq - 1, seq)] });
}

/** Tries until it goes through, as a lane does. Nothing may be refused in another way. */
async function untilApplied(store: RedisCache, seq: number, code: string, message: RegExp): Promise<void> {
  const untilMs = performance.now() + WAIT_MS_MAX;
  for (;;) {
    try {
      await step(store, seq);
      return;
    } catch (cause) {
      if (performance.now() > untilMs) throw cause;
      assert.ok(cause instanceof WmbError, String(cause));
      assert.equal(cause.code, code);
      assert.match(cause.message, message);
      await systemRuntime.turn();
    }
  }
}

async function untilRefused(store: RedisCache, seqFrom: number, code: string, message: RegExp): Promise<number> {
  const untilMs = performance.now() + WAIT_MS_MAX;
  for (let seq = seqFrom; performance.now() < untilMs; seq += 1) {
    try {
      await step(store, seq);
    } catch (cause) {
      assert.ok(cause instanceof WmbError, String(cause));
      assert.equal(cause.code, code, cause.message);
      assert.match(cause.message, message);
      return seq;
    }
  }
  return assert.fail('nothing was refused');
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + WAIT_MS_MAX;
  while (!(await holds())) {
    assert.ok(performance.now() < untilMs, what);
    await systemRuntime.turn();
  }
}

async function assertAt(store: RedisCache, seq: number): Promise<void> {
  assert.deepEqual(
    (await marksOf(store)).map((mark) => mark.seq),
    [seq],
  );
  assert.deepEqual(await value(store, 'k'), { type: 'string', value: `v${seq}` });
  assert.deepEqual(await value(store, 'n'), { type: 'string', value: String(seq + 1) }, 'each was counted once');
}

const fill = (server: Container) => server.container.exec('sh', '-c', 'dd if=/dev/zero of=/data/filler bs=64k 2> /dev/null || true');
const free = (server: Container) => server.container.exec('rm', '/data/filler');

test('a server that cannot save its snapshot takes no writes: they wait, and go through when it can', { skip }, async () => {
  const server = await serverWith({ smallDisk: SMALL_DISK });
  const client = clientOf(server.address);
  await client.config('SET', 'save', '3600 1');
  const store = await cacheOn(server.address);
  await step(store, 0);
  await fill(server);
  await client.bgsave();
  await until('the snapshot fails', async () => /rdb_last_bgsave_status:err/.test(await client.info('persistence')));
  await assert.rejects(step(store, 1), (error) => {
    assert.ok(error instanceof WmbError && error.code === 'STORE_UNAVAILABLE', String(error));
    assert.match(error.message, /cannot save its data to disk: free space/);
    return true;
  });
  await assertAt(store, 0);
  await free(server);
  await client.bgsave();
  await untilApplied(store, 1, 'STORE_UNAVAILABLE', /cannot save its data to disk/);
  await assertAt(store, 1);
});

test('a server whose append-only file has no space left: writes wait in order, and go through when there is space', { skip }, async () => {
  const server = await serverWith({ smallDisk: SMALL_DISK, flags: ['--appendonly', 'yes', '--appendfsync', 'everysec'] });
  const store = await cacheOn(server.address);
  await step(store, 0);
  await fill(server);
  const refused = await untilRefused(store, 1, 'STORE_UNAVAILABLE', /cannot save its data to disk: free space/);
  await assertAt(store, refused - 1);
  await free(server);
  await untilApplied(store, refused, 'STORE_UNAVAILABLE', /cannot save its data to disk/);
  await assertAt(store, refused);
});

test('a server that loads a large snapshot is told as that, at start too, and goes on with what it has', { skip }, async () => {
  // Each key takes so many microseconds.
  const flags = ['--key-load-delay', '5000', '--loading-process-events-interval-bytes', '1024'];
  const server = await serverWith({ flags });
  const client = clientOf(server.address);
  const store = await cacheOn(server.address);
  await step(store, 0);
  await client.mset(...Array.from({ length: 2_000 }, (_, index) => [`other${index}`, 'x'.repeat(100)]).flat());
  client.disconnect();
  const snapshot = await server.snapshot();
  await server.container.kill();
  await server.container.writeFile('/data/dump.rdb', snapshot);
  const started = server.container.start();
  await assert.rejects(loading(store), { code: 'STORE_UNAVAILABLE', message: /is still loading its data/ });
  await assert.rejects(cacheOn(server.address), { code: 'STORE_UNAVAILABLE', message: /is still loading its data/ });
  await server.cli('CONFIG', 'SET', 'key-load-delay', '0');
  await started;
  await untilApplied(store, 1, 'STORE_UNAVAILABLE', /loading|cannot be reached/);
  await assertAt(store, 1);
});

/** The first failure that is not that nobody listens. */
async function loading(store: RedisCache): Promise<unknown> {
  const untilMs = performance.now() + WAIT_MS_MAX;
  for (;;) {
    try {
      return await step(store, 1);
    } catch (cause) {
      if (!(cause instanceof WmbError) || !/cannot be reached/.test(cause.message) || performance.now() > untilMs) throw cause;
      await systemRuntime.turn();
    }
  }
}

test('a password that is changed under a running cache: it says so, and goes on when it is the old one again', { skip }, async () => {
  const server = await serverWith({});
  const client = clientOf(server.address);
  await client.config('SET', 'requirepass', 'old');
  const secured = await cacheOn(server.address, { password: 'old' });
  await step(secured, 0);
  await client.config('SET', 'requirepass', 'new');
  await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await until('it is told', async () => {
    const [told] = await Promise.allSettled([step(secured, 1)]);
    return (
      told.status === 'rejected' && told.reason.code === 'STORE_DENIED' && /refuses the user or its password/.test(told.reason.message)
    );
  });
  await client.config('SET', 'requirepass', 'old');
  await until('it goes on', async () => (await Promise.allSettled([step(secured, 1)]))[0].status === 'fulfilled');
  await assertAt(secured, 1);
});

test('a server that stands still is given up after a while, and taken up where it is when it goes on', { skip }, async () => {
  const server = await serverWith({});
  const store = await cacheOn(server.address, { answerMsMax: ANSWER_MS_MAX });
  await settledMark(store, 0);
  await server.container.freeze();
  await assert.rejects(step(store, 1), { code: 'STORE_UNAVAILABLE', message: SILENT });
  await assert.rejects(step(store, 1), { code: 'STORE_UNAVAILABLE', message: /no answer|connection/ });
  await server.container.thaw();
  await settledMark(store, 1);
  await assertAt(store, 1);
});

test('a connection of which nothing comes through any more is made anew', { skip }, async () => {
  const server = await serverWith({});
  const proxy = new TcpProxy({ host: server.host, port: server.port });
  const store = await cacheOn(`127.0.0.1:${await proxy.listen()}`, { answerMsMax: ANSWER_MS_MAX });
  closing.push(() => proxy.close());
  await settledMark(store, 0);
  for (const direction of ['there', 'back'] as const) {
    const seq = direction === 'there' ? 1 : 2;
    proxy.hold(direction);
    await assert.rejects(step(store, seq), { code: 'STORE_UNAVAILABLE', message: SILENT });
    proxy.heal();
    await settledMark(store, seq);
    await assertAt(store, seq);
  }
});

/** As a lane does: looks at the mark and does what it says is missing. */
async function settledMark(store: RedisCache, seq: number): Promise<void> {
  const untilMs = performance.now() + WAIT_MS_MAX;
  for (;;) {
    try {
      const [mark] = await marksOf(store);
      if (mark?.seq === seq) return;
      await step(store, seq);
      return;
    } catch (cause) {
      assert.ok(cause instanceof WmbError && cause.code === 'STORE_UNAVAILABLE', String(cause));
      if (performance.now() > untilMs) throw cause;
      await systemRuntime.turn();
    }
  }
}
