/** Lines between the rooms that are long, narrow, cut, silent, and clocks that are wrong. */
import type { Story } from './stories.ts';

/** Not much more than the messages need: what a cut has held up is long on its way. */
const NARROW_BYTES_PER_SECOND = 50_000;

export const LINE_STORIES: readonly Story[] = [
  {
    name: 'the rooms are 80 ms apart on a narrow line, and every few seconds it is cut',
    async happens(arena) {
      for (const { proxy } of arena.rooms.rooms) {
        proxy.delay(40);
        proxy.bandwidth(NARROW_BYTES_PER_SECOND);
      }
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
