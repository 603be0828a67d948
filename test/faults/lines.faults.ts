/** Lines between the rooms that are long, cut, silent, and clocks that are wrong. */
import type { Story } from './stories.ts';

export const LINE_STORIES: readonly Story[] = [
  {
    name: 'the rooms are 80 ms apart, and every few seconds the line is cut',
    async happens(arena) {
      for (const room of arena.rooms.rooms) room.proxy.delay(40);
      for (let cuts = 0; cuts < 5; cuts += 1) {
        await arena.messages.more(300);
        for (const room of arena.rooms.rooms) room.proxy.cut();
        await arena.pause(1_500);
        for (const room of arena.rooms.rooms) room.proxy.heal();
      }
    },
  },
  {
    name: 'the line between the rooms is half open for ten seconds: nothing comes, and nothing says so',
    async happens(arena) {
      await arena.messages.reached(0.2);
      for (const room of arena.rooms.rooms) room.proxy.hold();
      await arena.pause(10_000);
      for (const room of arena.rooms.rooms) room.proxy.heal();
    },
  },
  {
    name: 'the clock of the master room runs three seconds ahead',
    clockAheadMs: 3_000,
    async happens(arena) {
      await arena.messages.reached(0.5);
      await arena.restart(0, 'reship', 'SIGKILL');
    },
  },
];
