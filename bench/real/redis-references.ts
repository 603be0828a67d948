/** What Redis does with the same bytes and none of WMB. */
import type { Redis } from 'ioredis';
import type { RedisServer } from '../../test/containers/redis.ts';
import { KEYS } from '../load.ts';
import { packed } from './message-pack.ts';
import type { PlainWrite } from './writes.ts';

/** Nothing is compared, no mark is moved, no bucket is noted. `key value bucket head`, again and again. */
const BARE_ARGUMENTS = `local call = redis.call
for i = 1, #ARGV, 4 do
  call('SET', ARGV[i], ARGV[i + 1])
  call('HSET', ARGV[i + 2], ARGV[i], ARGV[i + 3])
end
return #ARGV`;

/** The same bytes as one argument that is taken apart in C, and the values in one command: what WMB's own function does, without its guards. */
const BARE_PACKED = `local call = redis.call
local values, buckets, heads = unpack(cmsgpack.unpack(ARGV[1]))
for i = 1, #buckets do call('HSET', buckets[i], values[2 * i - 1], heads[i]) end
call('MSET', unpack(values))
return #buckets`;

export type Send = (batch: readonly PlainWrite[]) => Promise<unknown>;

export interface BareScript {
  readonly name: string;
  send(client: Redis): Promise<Send>;
}

export const BARE_SCRIPTS: readonly BareScript[] = [
  {
    name: 'an argument for each string',
    async send(client) {
      const hash = await load(client, BARE_ARGUMENTS);
      return (batch) => client.call('EVALSHA', hash, '0', ...batch.flatMap(({ key, value, bucket, head }) => [key, value, bucket, head]));
    },
  },
  {
    name: 'one packed argument',
    async send(client) {
      const hash = await load(client, BARE_PACKED);
      return (batch) => client.call('EVALSHA', hash, '0', packed(batch));
    },
  },
];

async function load(client: Redis, script: string): Promise<string> {
  return String(await client.call('SCRIPT', 'LOAD', script));
}

/** Writes per second of redis-benchmark's pipelined SETs of values of `valueBytes` over the keys of the load, into all servers at the same time. */
export async function pipelinedSets(servers: readonly RedisServer[], count: number, valueBytes: number): Promise<number> {
  const set = ['SET', 'user:__rand_int__:profile', 'x'.repeat(valueBytes)];
  const rates = servers.map(async ({ container, port }) => {
    const options = ['-p', `${port}`, '-n', `${count}`, '-r', `${KEYS}`, '-P', '128', '-c', '8', '--csv'];
    const text = await container.exec('redis-benchmark', ...options, ...set);
    const [, rate] = /^"SET[^"]*","([\d.]+)"/m.exec(text) ?? [];
    if (rate === undefined) throw new Error(`redis-benchmark said what is not understood: ${text}`);
    return Number(rate);
  });
  return Math.min(...(await Promise.all(rates)));
}
