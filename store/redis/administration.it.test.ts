import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { WmbError } from '../../core/errors.ts';
import { systemRuntime } from '../../core/runtime.ts';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { apply, marksOf, move, stamp, sweep, value, write } from '../cache-kit.ts';
import { RedisAdministration } from './administration.ts';
import { RedisCache } from './cache.ts';
import { RedisCacheInspector } from './cache-inspector.ts';
import { cacheAt, clientAt, SHIFT_MS, serverAt, testServers } from './redis-kit.ts';

const [server] = await testServers();
const skip = server === undefined && NO_ENGINE;
const address = server?.address ?? '';

async function linesOf(lines: AsyncIterable<string>): Promise<readonly string[]> {
  const all: string[] = [];
  for await (const line of lines) all.push(line);
  return all;
}

test('init marks the server and tells what it does; a dry run changes nothing; another room is refused', { skip }, async () => {
  const client = clientAt(address);
  await client.flushall();
  const administration = (room: string) => new RedisAdministration({ nodes: [serverAt(address)], room, runtime: systemRuntime });
  assert.equal((await linesOf(administration('beijing').init(true))).length, 2);
  assert.equal(await client.dbsize(), 0);
  assert.match(
    (await linesOf(administration('beijing').init(false))).join('\n'),
    /maxmemory-policy noeviction[\s\S]*functions[\s\S]*room beijing/,
  );
  assert.equal(await client.hget('wmb:room', 'id'), 'beijing');
  const foreign = (error: unknown) => error instanceof WmbError && error.code === 'STORE_FOREIGN';
  await client.call('FUNCTION', 'FLUSH');
  await assert.rejects(linesOf(administration('guangzhou').init(false)), foreign);
  await assert.rejects(administration('guangzhou').inspect('k'), foreign);
  await assert.rejects(administration('guangzhou').footprint(1), foreign);
  assert.deepEqual(await client.call('FUNCTION', 'LIST'), [], 'nothing is loaded into another room’s server');
  client.disconnect();
});

test('inspect tells of a key what stands in it and by which write requests', { skip }, async () => {
  const under = await cacheAt([address]);
  await apply(under.store, [write(1_000, ['SET', 's', 'v'], ['HSET', 'h', 'f', '1'], ['HINCRBY', 'h', 'f', 2], ['DEL', 'd'])]);
  const administration = new RedisAdministration({ nodes: [serverAt(address)], room: 'beijing', runtime: systemRuntime });
  const [s, h, d, none] = await Promise.all(['s', 'h', 'd', 'none'].map((key) => administration.inspect(key)));
  assert.match(s?.head ?? '', /^string set by 0{9}3e8/);
  assert.deepEqual([h?.type, h?.elements, h?.versions.length], ['hash', 1, 1]);
  assert.match(h?.versions[0]?.text ?? '', /1 increments up to/);
  assert.match(d?.head ?? '', /^deleted by/);
  assert.match(none?.head ?? '', /^none/);
  const [weighed] = await administration.footprint(1_000);
  assert.ok(weighed !== undefined && weighed.keys === 2 && weighed.dataBytesPerKey > 0 && weighed.headBytesPerKey > 0);
  await under.cleanup();
});

test('the user whom docs/redis.md says to make may do all that the cache needs', { skip }, async () => {
  const client = clientAt(address);
  await client.flushall();
  const page = readFileSync(new URL('../../docs/redis.md', import.meta.url), 'utf8');
  const [, line = ''] = /^(ACL SETUSER .*)$/m.exec(page) ?? [];
  const [name = '', ...args] = line.replace('PASSWORD', 'secret').split(' ');
  await client.call(name, ...args);
  const nodes = [serverAt(address, { user: 'wmb', password: 'secret' })];
  const options = { nodes, room: 'beijing', runtime: systemRuntime, shiftMs: SHIFT_MS };
  await client.call('FUNCTION', 'FLUSH');
  const store = new RedisCache(options);
  await store.open();
  const inspector = new RedisCacheInspector(options);
  const commands = [
    ['SET', 's', 'v', 'PXAT', 20_000],
    ['HSET', 'h', 'f', '1'],
    ['SADD', 'm', 'a'],
    ['ZADD', 'z', 1, 'a'],
    ['INCR', 'n'],
    ['DEL', 'd'],
  ];
  await apply(store, [write(1_000, ...commands, ['WMB.TIMELINE', 't', 2, 'a'])], { moves: [move(0, -1, 0)] });
  await apply(store, [write(2_000, ['HDEL', 'h', 'f'], ['SREM', 'm', 'a'], ['ZREM', 'z', 'a'], ['PERSIST', 's'], ['SADD', 'h', 'm'])]);
  await sweep(store, stamp(5_000));
  assert.deepEqual(await value(store, 'h'), { type: 'set', members: ['m'] });
  assert.equal((await store.takeDirty(1)).length, 1);
  assert.equal((await marksOf(store)).length, 1);
  assert.equal((await inspector.states(['n']))[0]?.type, 'string');
  await inspector.close();
  await store.close();
  client.disconnect();
});
