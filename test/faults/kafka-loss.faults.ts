/** Rooms that keep their write logs in Kafka, where somebody makes the topic anew: it is said, and there is a way back. */
import { until } from '../e2e/scene.ts';
import type { Story } from './stories.ts';
import { beginEpoch, inspected, stopped } from './way-back.ts';

export const KAFKA_LOSS_STORIES: readonly Story[] = [
  {
    name: 'kafka: the topic of a log is deleted and made anew under load: appends stop, and the log begins again with a new epoch',
    brokers: 1,
    messages: 6_000,
    refusedFor: 'LOG_GAP',
    async happens(arena) {
      const { topic, partitions } = await inspected(arena, 0);
      await arena.messages.reached(0.1);
      await arena.server(0).kafka.remake(topic, partitions.length);
      await until('submits are refused', async () => arena.messages.refused > 0);
      // Each lane takes first what is still in memory.
      for (const peer of [0, 1]) await stopped(arena, { origin: 0, peer });
      await beginEpoch(arena, 0);
    },
  },
];
