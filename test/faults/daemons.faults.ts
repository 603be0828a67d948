/** Daemons that die, one after the other and all of a room at once. */
import type { Story } from './stories.ts';

export const DAEMON_STORIES: readonly Story[] = [
  {
    name: 'the collector of the slave room is killed three times in the middle of batches',
    async happens(arena) {
      for (let times = 0; times < 3; times += 1) {
        await arena.messages.more(400);
        await arena.restart(1, 'collector', 'SIGKILL');
      }
    },
  },
  {
    name: 'the collector of the master room is killed three times while it writes the database',
    async happens(arena) {
      for (let times = 0; times < 3; times += 1) {
        await arena.messages.more(400);
        await arena.restart(0, 'collector', 'SIGKILL');
      }
    },
  },
  {
    name: 'each room’s reship is killed while applications submit, and they submit again',
    async happens(arena) {
      await arena.messages.reached(0.2);
      await arena.restart(0, 'reship', 'SIGKILL');
      await arena.messages.more(400);
      await arena.restart(1, 'reship', 'SIGKILL');
    },
  },
  {
    name: 'both checkers are killed in the middle of their rounds',
    async happens(arena) {
      await arena.messages.reached(0.2);
      await Promise.all([0, 1].map((place) => arena.restart(place, 'checker', 'SIGKILL')));
      await arena.messages.more(400);
      await Promise.all([0, 1].map((place) => arena.restart(place, 'checker', 'SIGKILL')));
    },
  },
  {
    name: 'a whole room loses its power, servers and daemons alike, and comes back after ten seconds',
    async happens(arena) {
      await arena.messages.reached(0.3);
      await arena.losePower(1, 10_000);
    },
  },
  {
    name: 'all daemons are restarted one after the other, as an upgrade does it',
    async happens(arena) {
      await arena.messages.reached(0.1);
      for (const daemon of ['checker', 'collector', 'reship'] as const)
        for (const place of [0, 1]) {
          await arena.messages.more(100);
          await arena.restart(place, daemon, 'SIGTERM', 0);
        }
    },
  },
  {
    name: 'a peer is gone for the whole backlog: its collector comes back when everything is submitted',
    async happens(arena) {
      await arena.messages.reached(0.1);
      await arena.rooms.end(arena.room(1), 'collector', 'SIGKILL');
      await arena.messages.end();
      await arena.start(1, 'collector');
    },
  },
];
