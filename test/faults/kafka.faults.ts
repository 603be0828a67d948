/** Rooms that keep their write logs in Kafka: brokers that die, stand still or are cut off, and daemons that die beside them. */
import type { Story } from './stories.ts';
import { inspected } from './way-back.ts';

export const KAFKA_STORIES: readonly Story[] = [
  {
    name: 'kafka: the broker of the master room is killed, and then that of the slave room',
    brokers: 1,
    async happens(arena) {
      for (const { kafka } of arena.servers) {
        await arena.messages.more(500);
        await kafka.kill();
        await arena.pause(2_000);
        await kafka.start();
      }
    },
  },
  {
    name: 'kafka: of three brokers those that lead partitions are killed one after the other; the two others go on',
    brokers: 3,
    async happens(arena) {
      const { brokers } = arena.server(0).kafka;
      for (const { container } of brokers) {
        await arena.messages.more(200);
        await container.kill();
        await arena.messages.more(300);
        await container.start();
        await arena.server(0).kafka.inSync();
      }
    },
  },
  {
    name: 'kafka: each room’s reship is killed, with the second one its broker, and both collectors in the middle of batches',
    brokers: 1,
    async happens(arena) {
      await arena.messages.reached(0.2);
      await arena.restart(0, 'reship', 'SIGKILL');
      await arena.messages.more(400);
      await Promise.all([0, 1].map((place) => arena.restart(place, 'collector', 'SIGKILL')));
      await arena.messages.more(400);
      const { kafka } = arena.server(1);
      await Promise.all([arena.rooms.end(arena.room(1), 'reship', 'SIGKILL'), kafka.kill()]);
      await kafka.start();
      await arena.start(1, 'reship');
    },
  },
  {
    name: 'kafka: a whole room loses its power, its Kafka with it, and comes back after five seconds',
    brokers: 1,
    async happens(arena) {
      await arena.messages.reached(0.3);
      await arena.losePower(1, 5_000);
    },
  },
  {
    name: 'kafka: a broker dies in the middle of a write: half a batch is at the end of every partition when it starts again',
    brokers: 1,
    smallLogDisk: true,
    async happens(arena) {
      await arena.messages.reached(0.3);
      const { kafka } = arena.server(0);
      const { topic, partitions } = await inspected(arena, 0);
      await kafka.kill();
      kafka.tear(topic, partitions.length);
      await kafka.start();
    },
  },
  {
    name: 'kafka: the disk under Kafka is full, and the broker gives up: it goes on when there is space and it is started again',
    brokers: 1,
    smallLogDisk: true,
    async happens(arena) {
      await arena.messages.reached(0.2);
      arena.disk.fill();
      const { container } = arena.server(0).kafka.broker();
      await container.ended();
      await arena.pause(2_000);
      arena.disk.free();
      await container.start();
    },
  },
  {
    name: 'kafka: Kafka stands still for eight seconds: connections stay open, nothing is answered',
    brokers: 1,
    async happens(arena) {
      await arena.messages.reached(0.3);
      const { container } = arena.server(0).kafka.broker();
      await container.freeze();
      await arena.pause(8_000);
      await container.thaw();
    },
  },
  {
    name: 'kafka: connections to Kafka are reset again and again in the middle of calls, and the rooms are 80 ms apart',
    brokers: 1,
    async happens(arena) {
      for (const room of arena.rooms.rooms) room.proxy.delay(40);
      for (let resets = 0; resets < 12; resets += 1) {
        await arena.messages.more(150);
        for (const { kafka } of arena.servers) for (const proxy of kafka.proxies) proxy.reset();
      }
    },
  },
];
