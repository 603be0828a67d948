/** A disk that is full. */
import { until } from '../e2e/scene.ts';
import type { Story } from './stories.ts';

export const DISK_STORIES: readonly Story[] = [
  {
    name: 'the disk under a write log is full: submits are refused with a hint, nothing acked is lost, and it goes on when there is space',
    smallLogDisk: true,
    async happens(arena) {
      await arena.messages.reached(0.2);
      arena.disk.fill();
      await until('submits are refused', async () => arena.messages.again > 0);
      await arena.pause(3_000);
      arena.disk.free();
    },
  },
];
