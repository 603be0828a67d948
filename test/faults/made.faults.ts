/** Stories in which something is wrong in the end: what is proven after all the others would say so. */
import type { Story } from './stories.ts';

export const MADE_STORIES: readonly Story[] = [
  {
    name: 'made: a key is gone from the slave room’s Redis when everything has come to rest',
    noticed: /the cache of guangzhou against what the messages say: 1 differences/,
    async happens(arena) {
      await arena.rests();
      const [key = ''] = (await arena.clients[1]?.dump())?.keys() ?? [];
      await arena.server(1).redis.cli('DEL', key);
    },
  },
  {
    name: 'made: a row of the slave’s database holds what nobody wrote',
    noticed: /the database of guangzhou against what the messages say: 1 differences/,
    async happens(arena) {
      await arena.rests();
      await arena
        .server(1)
        .sql('SET GLOBAL super_read_only = OFF; SET sql_log_bin = 0; UPDATE messages.messages SET sender = 0 ORDER BY id LIMIT 1');
    },
  },
];
