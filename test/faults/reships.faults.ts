/** Several reships in the first room, all of which take messages and append them to one log in Kafka. */
import type { Arena } from './arena.ts';
import type { Story } from './stories.ts';

const THREE_RESHIPS = { reships: true, brokers: [1, undefined] } as const;
const DOWN_MS = 1_000;

export const RESHIPS_STORIES: readonly Story[] = [
  {
    name: 'reships: each of the three is killed while all of them take messages, and started again',
    ...THREE_RESHIPS,
    async happens(arena) {
      await arena.reships.met(3);
      for (let which = 0; which < arena.reships.count; which += 1) {
        await arena.messages.more(300);
        await killed(arena, which);
      }
    },
  },
  {
    name: 'reships: the broker is killed under all three, and then two of them, one of which stays away for some seconds',
    ...THREE_RESHIPS,
    async happens(arena) {
      await arena.reships.met(3);
      await arena.messages.more(300);
      const { kafka } = arena.server(0);
      await kafka.kill();
      await arena.pause(DOWN_MS);
      await kafka.start();
      await arena.messages.more(300);
      await arena.reships.end(2, 'SIGTERM');
      await arena.reships.met(2);
      await killed(arena, 1);
      await arena.messages.more(300);
      await arena.reships.start(2);
      await arena.reships.met(3);
    },
  },
  {
    name: 'reships: over mq, each of them is killed, whichever feeds the inbox',
    ...THREE_RESHIPS,
    mq: true,
    async happens(arena) {
      await arena.reships.met(3);
      for (let which = 0; which < arena.reships.count; which += 1) {
        await arena.messages.more(200);
        await killed(arena, which);
      }
    },
  },
];

async function killed(arena: Arena, which: number): Promise<void> {
  await arena.reships.end(which, 'SIGKILL');
  await arena.pause(DOWN_MS);
  await arena.reships.start(which);
}
