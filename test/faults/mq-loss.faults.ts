/** A link over mq whose inbox, or whose origin's log, is not what it was: it heals, or it is said, and there is a way back. */
import assert from 'node:assert/strict';
import { until } from '../e2e/scene.ts';
import { allSettled } from '../harness/clients.ts';
import { type Arena, INBOX } from './arena.ts';
import type { Story } from './stories.ts';
import { beginEpoch, lanesOf } from './way-back.ts';

const LINK = { origin: 0, peer: 1 } as const;
const SETTLE_MS_MAX = 60_000;

export const MQ_LOSS_STORIES: readonly Story[] = [
  {
    name: 'mq: the topics of the inbox are deleted under load, and made again with `wmb link init`',
    mq: true,
    async happens(arena) {
      await arena.messages.reached(0.3);
      await arena.server(1).kafka.deleteTopics([INBOX, 'wmb.inbox.beijing.down', 'wmb.inbox.beijing.up']);
      await until('the lanes say so', async () => all(await reasons(arena), /INBOX_UNPREPARED: .*wmb link init/));
      await arena.messages.more(200);
      assert.match(await arena.wmb(1, 'link', 'init'), /^(topic \S+: made, .*\n?){3}$/);
    },
  },
  {
    name: 'mq: the log begins with a new epoch while its frames go through an inbox',
    mq: true,
    brokers: 1,
    async happens(arena) {
      await arena.messages.reached(0.3);
      const [client] = arena.clients;
      assert.ok(client);
      await arena.messages.without(client, async () => {
        await allSettled([client], SETTLE_MS_MAX);
        await beginEpoch(arena, 0);
      });
    },
  },
];

async function reasons(arena: Arena): Promise<readonly string[]> {
  return (await lanesOf(arena, LINK)).map(({ reason }) => reason);
}

function all(told: readonly string[], text: RegExp): boolean {
  return told.length > 0 && told.every((each) => text.test(each));
}
