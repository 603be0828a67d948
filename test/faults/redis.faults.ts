/** Redis servers that die, forget, go back, are promoted, are full, or stand still. */
import type { Story } from './stories.ts';

export const REDIS_STORIES: readonly Story[] = [
  {
    name: 'the Redis of the slave room is killed, and comes back with what its append-only file held',
    redisFlags: ['--appendonly', 'yes', '--appendfsync', 'everysec'],
    async happens(arena) {
      for (let times = 0; times < 2; times += 1) {
        await arena.messages.more(600);
        await arena.server(1).redis.container.kill();
        await arena.pause(2_000);
        await arena.server(1).redis.container.start();
      }
    },
  },
  {
    name: 'the Redis of the master room is killed without any persistence, and comes back empty',
    redisFlags: ['--save', '', '--appendonly', 'no'],
    async happens(arena) {
      await arena.messages.reached(0.4);
      await arena.server(0).redis.container.kill();
      await arena.pause(2_000);
      await arena.server(0).redis.container.start();
    },
  },
  {
    name: 'the Redis of the slave room is restored from an older snapshot while its collector runs',
    async happens(arena) {
      await arena.messages.reached(0.2);
      const { redis } = arena.server(1);
      const snapshot = await redis.snapshot();
      await arena.messages.more(1_000);
      await redis.restore(snapshot);
      await arena.messages.more(300);
    },
  },
  {
    name: 'somebody runs FLUSHALL on the slave room’s Redis in the middle of the traffic',
    async happens(arena) {
      await arena.messages.reached(0.3);
      await arena.server(1).redis.cli('FLUSHALL');
    },
  },
  {
    name: 'a replica is promoted that lacks the last second of writes',
    async happens(arena) {
      await arena.messages.reached(0.3);
      await arena.server(1).failOverRedis(async () => arena.messages.more(400));
    },
  },
  {
    name: 'Redis takes no writes for a while: it was made a replica by mistake, and is given its role back',
    async happens(arena) {
      await arena.messages.reached(0.3);
      // Of a server that is not there: of one that is, it would take everything.
      await arena.server(1).redis.cli('REPLICAOF', '127.0.0.1', '1');
      await arena.messages.more(400);
      await arena.server(1).redis.cli('REPLICAOF', 'NO', 'ONE');
    },
  },
  {
    name: 'Redis is full for a while: it refuses writes until it is given more memory',
    async happens(arena) {
      await arena.messages.reached(0.3);
      await arena.server(1).redis.cli('CONFIG', 'SET', 'maxmemory', '1mb');
      await arena.messages.more(400);
      await arena.server(1).redis.cli('CONFIG', 'SET', 'maxmemory', '0');
    },
  },
  {
    name: 'Redis stands still for eight seconds: connections stay open, nothing is answered',
    async happens(arena) {
      await arena.messages.reached(0.3);
      await arena.server(1).redis.container.freeze();
      await arena.pause(8_000);
      await arena.server(1).redis.container.thaw();
    },
  },
  {
    name: 'connections to Redis are reset again and again in the middle of calls',
    async happens(arena) {
      for (let resets = 0; resets < 12; resets += 1) {
        await arena.messages.more(150);
        for (const { redisProxy } of arena.servers) redisProxy.reset();
      }
    },
  },
];
