/** `npm run test:faults [-- WORDS]`: the stories of faults on real servers whose names contain the words, one after the other. Each takes about a minute. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requiredEngine } from '../containers/engine.ts';
import { Arena } from './arena.ts';
import { DAEMON_STORIES } from './daemons.faults.ts';
import { DISK_STORIES } from './disk.faults.ts';
import { KAFKA_STORIES } from './kafka.faults.ts';
import { KAFKA_LOSS_STORIES } from './kafka-loss.faults.ts';
import { LINE_STORIES } from './lines.faults.ts';
import { MADE_STORIES } from './made.faults.ts';
import { MQ_STORIES } from './mq.faults.ts';
import { MQ_LOSS_STORIES } from './mq-loss.faults.ts';
import { MYSQL_STORIES } from './mysql.faults.ts';
import { REDIS_STORIES } from './redis.faults.ts';
import { RESHIPS_STORIES } from './reships.faults.ts';
import { SHARES_STORIES } from './shares.faults.ts';

const STORY_MS_MAX = 900_000;
const STORIES = [
  ...DAEMON_STORIES,
  ...LINE_STORIES,
  ...REDIS_STORIES,
  ...MYSQL_STORIES,
  ...DISK_STORIES,
  ...KAFKA_STORIES,
  ...KAFKA_LOSS_STORIES,
  ...MQ_STORIES,
  ...MQ_LOSS_STORIES,
  ...SHARES_STORIES,
  ...RESHIPS_STORIES,
  ...MADE_STORIES,
];

await requiredEngine();
const words = process.argv.slice(2).join(' ');
const chosen = STORIES.filter(({ name }) => name.includes(words));
if (chosen.length === 0)
  throw new Error(`no story has “${words}” in its name; there are:\n  ${STORIES.map(({ name }) => name).join('\n  ')}`);

for (const { name, happens, noticed, ...options } of chosen)
  test(name, { timeout: STORY_MS_MAX }, async (t) => {
    const arena = await Arena.open(t, options);
    await happens(arena);
    if (noticed === undefined) await arena.proves();
    else await assert.rejects(arena.proves(), noticed);
  });
