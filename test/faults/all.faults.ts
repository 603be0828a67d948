/** `npm run test:faults [-- --test-name-pattern=WORDS]`: every story of a fault on real servers, one after the other. Each takes about a minute. */
import { test } from 'node:test';
import { requiredEngine } from '../containers/engine.ts';
import { Arena } from './arena.ts';
import { DAEMON_STORIES } from './daemons.faults.ts';
import { DISK_STORIES } from './disk.faults.ts';
import { LINE_STORIES } from './lines.faults.ts';
import { MYSQL_STORIES } from './mysql.faults.ts';
import { REDIS_STORIES } from './redis.faults.ts';

const STORIES = [...DAEMON_STORIES, ...LINE_STORIES, ...REDIS_STORIES, ...MYSQL_STORIES, ...DISK_STORIES];

await requiredEngine();
for (const { name, happens, ...options } of STORIES)
  test(name, async (t) => {
    const arena = await Arena.open(t, options);
    await happens(arena);
    await arena.proves();
  });
