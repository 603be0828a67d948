import { test } from 'node:test';
import { NO_ENGINE } from '../../test/containers/engine.ts';
import { cacheContract } from '../cache.contract.ts';
import { cacheAt, started, testServers } from './redis-kit.ts';

const servers = await testServers();
const [first] = servers;
if (first === undefined) test('the cache on Redis', { skip: NO_ENGINE }, () => {});
else {
  for (const { product, address } of servers) cacheContract(`the cache on ${product}`, () => cacheAt([address]));
  const second = await started('Redis');
  cacheContract('the cache on two nodes', () => cacheAt([first.address, second.address]));
}
