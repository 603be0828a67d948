/** A link over mq: brokers, daemons and rooms that die on its way, and lines to the inbox that are long, cut, or break in the middle of a request. */
import assert from 'node:assert/strict';
import { cacheWrite, until } from '../e2e/scene.ts';
import { type Arena, INBOX } from './arena.ts';
import { isAppendTo } from './room-kafka.ts';
import type { Story } from './stories.ts';
import { inspected } from './way-back.ts';

export const MQ_STORIES: readonly Story[] = [
  {
    name: 'mq: the broker with the inbox is killed twice in the middle of traffic',
    mq: true,
    async happens(arena) {
      const { kafka } = arena.server(1);
      for (let times = 0; times < 2; times += 1) {
        await arena.messages.more(500);
        await kafka.kill();
        await arena.messages.more(300);
        await kafka.start();
      }
    },
  },
  {
    name: 'mq: the reship that fills the inbox and the collector that empties it are killed in the middle of batches, apart and at once',
    mq: true,
    async happens(arena) {
      for (let times = 0; times < 2; times += 1) {
        await arena.messages.more(300);
        await arena.restart(0, 'reship', 'SIGKILL');
        await arena.messages.more(300);
        await arena.restart(1, 'collector', 'SIGKILL');
      }
      await arena.messages.more(300);
      await Promise.all([arena.restart(0, 'reship', 'SIGKILL', 0), arena.restart(1, 'collector', 'SIGKILL')]);
    },
  },
  {
    name: 'mq: each room loses its power in turn, its log with it, and the second one the inbox too',
    mq: true,
    brokers: 1,
    async happens(arena) {
      await arena.messages.reached(0.2);
      await arena.losePower(1, 5_000);
      await arena.messages.more(400);
      await arena.losePower(0, 5_000);
    },
  },
  {
    name: 'mq: the link is switched to rpc and back again and again, also while the line between the rooms is cut',
    mq: true,
    async happens(arena) {
      for (let times = 0; times < 2; times += 1) {
        await arena.messages.more(200);
        await switchTo(arena, 'rpc');
        await arena.messages.more(200);
        for (const line of arena.lines) line.cut();
        await switchTo(arena, 'mq');
        await switchTo(arena, 'rpc');
        await arena.messages.more(200);
        await switchTo(arena, 'mq');
        for (const line of arena.lines) line.heal();
      }
    },
  },
  {
    name: 'mq: the rooms are 80 ms apart, and every few seconds the line between them is cut, or silent',
    mq: true,
    async happens(arena) {
      for (const line of arena.lines) line.delay(40);
      for (let times = 0; times < 6; times += 1) {
        await arena.messages.more(300);
        for (const line of arena.lines)
          if (times % 2 === 0) line.cut();
          else line.hold();
        await arena.pause(1_500);
        for (const line of arena.lines) line.heal();
      }
    },
  },
  {
    name: 'mq: requests to append are torn, and answers to them lost, on the way to the log and to the inbox',
    mq: true,
    brokers: 1,
    async happens(arena) {
      const { topic } = await inspected(arena, 0);
      const [[toLog], [toInbox]] = [arena.server(0).kafka.proxies, arena.server(1).kafka.lines];
      assert.ok(toLog && toInbox);
      for (let times = 1; times <= 12; times += 1) {
        await arena.messages.more(150);
        const how = times % 2 === 0 ? 'tear' : 'loseAnswerTo';
        toLog[how](isAppendTo(topic));
        toInbox[how](isAppendTo(INBOX));
        await until('both have', async () => toLog.broken === times && toInbox.broken === times);
      }
    },
  },
  {
    name: 'mq: two of the three brokers under a log and an inbox are gone: submits are refused, and it goes on when the brokers are back',
    mq: true,
    brokers: [1, 3],
    async happens(arena) {
      await arena.messages.reached(0.3);
      const gone = arena.server(1).kafka.brokers.slice(1);
      for (const { container } of gone) await container.kill();
      assert.equal(await arena.refusal(1, cacheWrite('nothing', [['DEL', 'nothing']])), 'LOG_UNAVAILABLE');
      await Promise.all(gone.map(({ container }) => container.start()));
      await arena.server(1).kafka.inSync();
    },
  },
];

async function switchTo(arena: Arena, transport: 'rpc' | 'mq'): Promise<void> {
  assert.match(await arena.wmb(1, 'link', 'transport', 'beijing', 'guangzhou', transport), new RegExp(`runs over ${transport} now`));
}
