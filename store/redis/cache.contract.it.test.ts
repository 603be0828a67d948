import { describe } from 'node:test';
import { cacheContract } from '../cache.contract.ts';
import { cacheAt, testServer } from './redis-kit.ts';

const address = testServer();

describe('on a real server', { skip: address === undefined && 'WMB_TEST_REDIS names no server' }, () => {
  cacheContract('the cache on Redis', () => cacheAt([address ?? '']));
});
