import { test } from 'node:test';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { cacheContract } from '../cache.contract.ts';
import { cacheAt, started, testServers } from './redis-kit.ts';

const servers = await testServers();
const [first] = servers;
// All are up before the first suite begins: the hooks that remove them run when no suite is left that is known of.
const [second, oldest] = first === undefined ? [] : await Promise.all([started('Redis'), started('Redis 7', 'redis:7')]);
if (first === undefined || second === undefined || oldest === undefined) test('the cache on Redis', { skip: NO_ENGINE }, () => {});
else {
  for (const { product, address } of [...servers, oldest]) cacheContract(`the cache on ${product}`, () => cacheAt([address]));
  cacheContract('the cache on two nodes', () => cacheAt([first.address, second.address]));
  cacheContract('the cache of one of several collectors', () => cacheAt([first.address], undefined, 1));
}
