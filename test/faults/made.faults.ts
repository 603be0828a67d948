/** Stories in which something is wrong in the end: what is proven after all the others would say so. */
import { allSettled } from '../harness/clients.ts';
import type { Arena } from './arena.ts';
import type { Story } from './stories.ts';

const REST_MS_MAX = 120_000;

export const MADE_STORIES: readonly Story[] = [
  {
    name: 'made: a key is gone from the slave room’s Redis when everything has come to rest',
    noticed: /the cache of guangzhou against what the messages say: 1 differences/,
    async happens(arena) {
      await rested(arena);
      const [key = ''] = (await arena.clients[1]?.dump())?.keys() ?? [];
      await arena.server(1).redis.cli('DEL', key);
    },
  },
  {
    name: 'made: a row of the slave’s database holds what nobody wrote',
    noticed: /the database of guangzhou against what the messages say: 1 differences/,
    async happens(arena) {
      await rested(arena);
      await arena
        .server(1)
        .sql('SET GLOBAL super_read_only = OFF; SET sql_log_bin = 0; UPDATE messages.messages SET sender = 0 ORDER BY id LIMIT 1');
    },
  },
];

async function rested(arena: Arena): Promise<void> {
  await arena.messages.end();
  await allSettled(arena.clients, REST_MS_MAX);
}
