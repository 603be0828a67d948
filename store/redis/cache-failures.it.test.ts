/** What a server may do to its cache, and what the cache makes of it: a code, a remedy, and nothing lost. */
import assert from 'node:assert/strict';
import { after, afterEach, describe, test } from 'node:test';
import type { Redis } from 'ioredis';
import { BUCKETS, bucketOf } from '../../core/converge/bucket.ts';
import { isDamaged, isEvicted } from '../../core/converge/state.ts';
import { type ErrorCode, WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { type RedisServer as Container, startRedis } from '../../test/containers/redis.ts';
import { apply, marksOf, move, NOW, stamp, sweep, value, write } from '../cache-kit.ts';
import { RedisCache, type RedisCacheOptions } from './cache.ts';
import { RedisCacheInspector } from './cache-inspector.ts';
import { clientAt, SHIFT_MS, serverAt, testServers } from './redis-kit.ts';

const [first] = await testServers();
const refusal = (code: ErrorCode, message: RegExp) => (error: unknown) =>
  error instanceof WmbError && error.code === code && message.test(error.message);

let container: Container | undefined;
let client: Redis | undefined;
let open: RedisCache[] = [];

async function fresh(): Promise<{ readonly address: string; readonly client: Redis }> {
  container ??= await startRedis();
  client ??= clientAt(container.address);
  await client.flushall();
  return { address: container.address, client };
}

async function openCache(address: string, more: Partial<RedisCacheOptions> = {}): Promise<RedisCache> {
  const store = new RedisCache({ nodes: [serverAt(address)], room: 'beijing', runtime: systemRuntime, shiftMs: SHIFT_MS, ...more });
  await store.open();
  open.push(store);
  return store;
}

afterEach(async () => {
  for (const store of open) await store.close();
  open = [];
});

after(async () => {
  client?.disconnect();
  await container?.remove();
});

if (first === undefined) test('failures of the cache on Redis', { skip: NO_ENGINE }, () => {});
else {
  describe('at start', startTests);
  describe('while it runs', runningTests);
  describe('evictions', evictionTests);
  describe('functions', functionTests);
  describe('several nodes', () => nodeTests(first.address));
}

function startTests(): void {
  test('a server that is not there can be tried again later', async () => {
    await assert.rejects(openCache('127.0.0.1:1'), refusal('STORE_UNAVAILABLE', /127\.0\.0\.1:1 cannot be reached/));
  });
  test('a wrong password, and none where one is wanted, are told as that', async () => {
    const secured = await startRedis({ password: 'right' });
    try {
      const nodes = (password: string | undefined) => ({ nodes: [serverAt(secured.address, { password })] });
      await assert.rejects(openCache('', nodes('wrong')), refusal('STORE_DENIED', /password/));
      await assert.rejects(openCache('', nodes(undefined)), refusal('STORE_DENIED', /password/));
      await openCache('', nodes('right'));
    } finally {
      await secured.remove();
    }
  });
  test('a node of a Redis Cluster is refused', async () => {
    const cluster = await startRedis({ flags: ['--cluster-enabled', 'yes'] });
    try {
      await assert.rejects(openCache(cluster.address), refusal('STORE_UNFIT', /cluster mode; list plain servers/));
    } finally {
      await cluster.remove();
    }
  });
  for (const policy of ['allkeys-lru', 'allkeys-random']) {
    test(`${policy} is refused: it would evict the versions`, async () => {
      const { address, client } = await fresh();
      await client.config('SET', 'maxmemory-policy', policy);
      await assert.rejects(openCache(address), refusal('STORE_UNFIT', /maxmemory-policy volatile-lru/));
      await client.config('SET', 'maxmemory-policy', 'noeviction');
      await openCache(address);
    });
  }
  test('an argument limit that no batch fits into is refused', async () => {
    const { address, client } = await fresh();
    await client.config('SET', 'proto-max-bulk-len', '1mb');
    await assert.rejects(openCache(address), refusal('STORE_UNFIT', /proto-max-bulk-len/));
    await client.config('SET', 'proto-max-bulk-len', '512mb');
  });
  test('a logical database that the server does not have is refused: nothing is written into another one', async () => {
    const { address, client } = await fresh();
    const nodes = [serverAt(address, { database: 99 })];
    await assert.rejects(openCache(address, { nodes }), refusal('STORE_UNFIT', /no logical database of this number; lower `database`/));
    assert.equal(await client.dbsize(), 0);
  });
  test('another room’s cache, and one of a newer WMB, are left alone', async () => {
    const { address, client } = await fresh();
    await openCache(address);
    const before = await client.hgetall('wmb:room');
    await client.call('FUNCTION', 'FLUSH');
    await assert.rejects(openCache(address, { room: 'guangzhou' }), refusal('STORE_FOREIGN', /of room beijing, and this is guangzhou/));
    assert.deepEqual(await client.hgetall('wmb:room'), before);
    assert.deepEqual(await client.call('FUNCTION', 'LIST'), []);
    await client.hset('wmb:room', 'schema', '99');
    await assert.rejects(openCache(address), refusal('STORE_FOREIGN', /newer WMB/));
    const inspector = new RedisCacheInspector({ nodes: [serverAt(address)], room: 'beijing', runtime: systemRuntime });
    await assert.rejects(inspector.open(), refusal('STORE_FOREIGN', /newer WMB/));
  });
  test('an inspector of a cache that is not made yet says so, and sees it when it is', async () => {
    const { address } = await fresh();
    const inspector = new RedisCacheInspector({ nodes: [serverAt(address)], room: 'beijing', runtime: systemRuntime });
    await assert.rejects(inspector.open(), refusal('STORE_UNAVAILABLE', /collector makes it/));
    const store = await openCache(address);
    await apply(store, [write(1_000, ['SET', 'k', 'v'])]);
    assert.equal((await inspector.states(['k']))[0]?.type, 'string');
    await inspector.close();
  });
}

function runningTests(): void {
  const batch = (store: RedisCache, key = 'k') =>
    store.apply({
      generation: 0,
      moves: [move(0, 1, 2)],
      writes: [write(2_000, ['SET', key, 'w'], ['HSET', 'h', 'g', '2'])],
      floor: '',
      nowMs: NOW,
    });
  const begun = async () => {
    const { address, client } = await fresh();
    const store = await openCache(address);
    await apply(store, [write(1_000, ['SET', 'k', 'v'], ['HSET', 'h', 'f', '1'])], { moves: [move(0, -1, 1)] });
    return { store, client };
  };
  const CONDITIONS: readonly (readonly [
    what: string,
    code: ErrorCode,
    message: RegExp,
    on: readonly string[][],
    off: readonly string[][],
  ])[] = [
    [
      'a server that has reached its maxmemory',
      'STORE_FULL',
      /raise maxmemory/,
      [['CONFIG', 'SET', 'maxmemory', '1']],
      [['CONFIG', 'SET', 'maxmemory', '0']],
    ],
    [
      'a server that became a replica',
      'STORE_UNAVAILABLE',
      /is a replica and takes no writes/,
      [
        ['CONFIG', 'SET', 'replica-serve-stale-data', 'yes'],
        ['REPLICAOF', '127.0.0.1', '1'],
      ],
      [['REPLICAOF', 'NO', 'ONE']],
    ],
    [
      'a server with too few replicas',
      'STORE_UNAVAILABLE',
      /NOREPLICAS/,
      [['CONFIG', 'SET', 'min-replicas-to-write', '1']],
      [['CONFIG', 'SET', 'min-replicas-to-write', '0']],
    ],
  ];
  for (const [what, code, message, on, off] of CONDITIONS) {
    test(`${what}: nothing is changed, and the same batch goes through afterwards`, async () => {
      const { store, client } = await begun();
      for (const command of on) await client.call(...(command as [string, ...string[]]));
      await assert.rejects(batch(store), refusal(code, message));
      for (const command of off) await client.call(...(command as [string, ...string[]]));
      assert.deepEqual(
        (await untilAnswer(() => marksOf(store))).map(({ seq }) => seq),
        [1],
      );
      assert.deepEqual(await value(store, 'k'), { type: 'string', value: 'v' });
      assert.deepEqual(await batch(store), { moved: true, outcomes: ['applied'] });
      assert.deepEqual(await value(store, 'k'), { type: 'string', value: 'w' });
    });
  }
  test('a batch over the server’s limit waits, and goes through when the limit is raised', async () => {
    const { address, client } = await fresh();
    await client.config('SET', 'proto-max-bulk-len', '64mb');
    const store = await openCache(address);
    const large = () => apply(store, [write(1_000, ['SET', 'k', 'x'.repeat(65 * 1024 * 1024)])], { moves: [move(0, -1, 0)] });
    await assert.rejects(large(), refusal('STORE_UNAVAILABLE', /takes no argument of 68\d+ bytes.*raise its proto-max-bulk-len/));
    await client.config('SET', 'proto-max-bulk-len', '512mb');
    await untilAnswer(large);
    assert.deepEqual(
      (await marksOf(store)).map(({ seq }) => seq),
      [0],
    );
    assert.equal(await client.strlen('k'), 65 * 1024 * 1024);
  });
  test('a lost connection comes back by itself, and the marks say how far it got', async () => {
    const { store, client } = await begun();
    await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    const { generation, marks } = await untilAnswer(() => store.marks());
    assert.deepEqual([generation, marks.map(({ seq }) => seq)], [0, [1]]);
    assert.deepEqual(await batch(store), { moved: true, outcomes: ['applied'] });
  });
  test('a call whose answer is lost is taken for done or not done, whichever it was', async () => {
    for (const isDone of [true, false]) {
      const { store, client } = await begun();
      const killed = isDone ? batch(store).then(() => client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')) : undefined;
      const [lost] = await Promise.allSettled([isDone ? killed : batchUnderKill(client, () => batch(store))]);
      const { generation, marks } = await untilAnswer(() => store.marks());
      assert.equal(generation, 0, 'the revision that is there is one that this cache has left');
      if (marks[0]?.seq === 1) assert.deepEqual(await batch(store), { moved: true, outcomes: ['applied'] });
      assert.deepEqual(await value(store, 'k'), { type: 'string', value: 'w' });
      assert.ok(lost !== undefined);
      await store.close();
    }
  });
  test('a second collector on the same server is noticed by the first', async () => {
    const { store } = await begun();
    const other = await openCache(container?.address ?? '');
    await apply(other, [write(3_000, ['SET', 'k', 'theirs'])]);
    assert.deepEqual(await batch(store), { moved: false, generation: 1, stored: undefined });
  });
}

/** Sends the batch and the killing of its connection at once. */
async function batchUnderKill(client: Redis, send: () => Promise<unknown>): Promise<void> {
  await Promise.all([send(), client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')]);
}

async function untilAnswer<T>(ask: () => Promise<T>): Promise<T> {
  const untilMs = performance.now() + 60_000;
  for (;;) {
    try {
      return await ask();
    } catch (cause) {
      if (!(cause instanceof WmbError) || cause.code !== 'STORE_UNAVAILABLE' || performance.now() > untilMs) throw cause;
      await systemRuntime.turn();
    }
  }
}

function evictionTests(): void {
  test('an evicted key is neither missing nor damaged, and the next write brings it back', async () => {
    const { address, client } = await fresh();
    await client.config('SET', 'maxmemory-policy', 'volatile-lru', 'maxmemory', '1gb');
    const store = await openCache(address, { shiftMs: 0 });
    const nowMs = Date.now();
    await apply(
      store,
      [
        write(
          1_000,
          ['SET', 'k', 'v', 'PXAT', nowMs + 60_000],
          ['HSET', 'h', 'f', '1'],
          ['HDEL', 'h', 'g'],
          ['PEXPIREAT', 'h', nowMs + 60_000],
        ),
      ],
      { nowMs },
    );
    const inspector = new RedisCacheInspector({ nodes: [serverAt(address)], room: 'beijing', runtime: systemRuntime });
    // As an eviction does it; which key it takes cannot be told beforehand.
    await client.del('k', 'h');
    await sweep(store, stamp(5_000), nowMs);
    for (const key of ['k', 'h']) {
      const entry = (await inspector.entries([bucketOf(key)], nowMs)).flat().find((one) => one.key === key);
      assert.equal(entry?.hash, '0'.repeat(16));
      const [state] = await inspector.states([key]);
      assert.deepEqual([isEvicted(state), isDamaged(state)], [true, false]);
    }
    await apply(store, [write(2_000, ['SET', 'k', 'w'], ['SET', 'h', 'x'])], { nowMs });
    for (const key of ['k', 'h']) assert.equal(isEvicted((await inspector.states([key]))[0]), false);
    await inspector.close();
    await client.config('SET', 'maxmemory-policy', 'noeviction', 'maxmemory', '0');
  });
  test('a key without expiry that is gone was not evicted', async () => {
    const { address, client } = await fresh();
    await client.config('SET', 'maxmemory-policy', 'volatile-lru', 'maxmemory', '1gb');
    const store = await openCache(address);
    await apply(store, [write(1_000, ['SET', 'k', 'v'])]);
    const inspector = new RedisCacheInspector({ nodes: [serverAt(address)], room: 'beijing', runtime: systemRuntime });
    await client.del('k');
    assert.deepEqual((await inspector.states(['k']))[0]?.registers[0]?.value, null);
    await inspector.close();
    await client.config('SET', 'maxmemory-policy', 'noeviction', 'maxmemory', '0');
  });
}

function functionTests(): void {
  test('functions that vanish are loaded again', async () => {
    const { address, client } = await fresh();
    const store = await openCache(address);
    await client.call('FUNCTION', 'FLUSH');
    await apply(store, [write(1_000, ['SET', 'k', 'v'])]);
    assert.deepEqual(await value(store, 'k'), { type: 'string', value: 'v' });
  });
  test('where functions may not be loaded, scripts do the same, and are loaded again where they vanish', async () => {
    const { address, client } = await fresh();
    await client.call('ACL', 'SETUSER', 'scripted', 'on', '>pass', '~*', '+@all', '-function');
    const nodes = [serverAt(address, { user: 'scripted', password: 'pass' })];
    await client.call('FUNCTION', 'FLUSH');
    const store = await openCache(address, { nodes });
    await apply(store, [write(1_000, ['SET', 'k', 'v'], ['HSET', 'h', 'f', '1'])], { moves: [move(0, -1, 1)] });
    await client.script('FLUSH');
    await apply(store, [write(2_000, ['SET', 'k', 'w'])], { moves: [move(0, 1, 2)] });
    assert.deepEqual(await value(store, 'k'), { type: 'string', value: 'w' });
    assert.deepEqual(await client.call('FUNCTION', 'LIST'), []);
    assert.ok((await store.takeDirty(BUCKETS)).length > 0);
  });
  test('a privilege that is missing is named', async () => {
    const { address, client } = await fresh();
    await client.call('ACL', 'SETUSER', 'poor', 'on', '>pass', '~*', '+@all', '-fcall', '-evalsha');
    const nodes = [serverAt(address, { user: 'poor', password: 'pass' })];
    await assert.rejects(openCache(address, { nodes }), refusal('STORE_DENIED', /fcall|evalsha/i));
  });
  test('privileges that only some keys would need are named at start, with functions and with scripts', async () => {
    const { address, client } = await fresh();
    for (const scripted of [[], ['-function']]) {
      await client.call('ACL', 'SETUSER', 'poorer', 'reset', 'on', '>pass', '~*', '+@all', '-zadd', '-persist', ...scripted);
      const nodes = [serverAt(address, { user: 'poorer', password: 'pass' })];
      await assert.rejects(
        openCache(address, { nodes }),
        refusal('STORE_DENIED', /does not let the user do what WMB needs: PERSIST, ZADD /),
      );
      assert.equal(await client.exists('wmb:room'), 0);
    }
  });
}

function nodeTests(other: string): void {
  test('where one node has failed the other is ahead, and goes the way again without moving its mark', async () => {
    const { address, client } = await fresh();
    const second = clientAt(other);
    await second.flushall();
    const store = await openCache('', { nodes: [serverAt(address), serverAt(other)] });
    const keys = Array.from({ length: 40 }, (_, index) => `k${index}`);
    const writes = keys.map((key, index) => write(1_000 + index, ['SET', key, 'v'], ['INCR', `n${index}`]));
    await apply(store, [], { moves: [move(0, -1, 0)] });
    await client.config('SET', 'maxmemory', '1');
    await assert.rejects(apply(store, writes, { moves: [move(0, 0, 1)] }), refusal('STORE_FULL', /maxmemory/));
    await client.config('SET', 'maxmemory', '0');
    assert.deepEqual(
      (await marksOf(store)).map(({ seq }) => seq),
      [0],
      'the smallest of both',
    );
    assert.equal((await second.hvals('wmb:marks'))[0]?.endsWith(':1'), true);
    await apply(store, writes, { moves: [move(0, 0, 1)] });
    assert.deepEqual(
      (await marksOf(store)).map(({ seq }) => seq),
      [1],
    );
    for (const [index, key] of keys.entries()) {
      assert.deepEqual(await value(store, key), { type: 'string', value: 'v' });
      assert.deepEqual(await value(store, `n${index}`), { type: 'string', value: '1' }, 'counted once');
    }
    const sizes = await Promise.all([client, second].map(async (each) => (await each.keys('k*')).length));
    assert.ok(
      sizes.every((size) => size > 5),
      `${sizes}`,
    );
    second.disconnect();
  });
}
