/** A link over mq whose inbox, or whose origin's log, is not what it was: it heals, or it is said, and there is a way back. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cacheWrite, until } from '../e2e/scene.ts';
import { allSettled } from '../harness/clients.ts';
import { type Arena, INBOX } from './arena.ts';
import type { Story } from './stories.ts';
import { acceptLoss, beginEpoch, lanesOf, stopped } from './way-back.ts';

const LINK = { origin: 0, peer: 1 } as const;
const SETTLE_MS_MAX = 60_000;
const MIB = 1_048_576;
const BALLAST_BYTES = 8_192;
/** Keys of write requests that the log loses before they were sent. */
const LOST = Array.from({ length: 6 }, (_, index) => `lost:${index}`);

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
  {
    name: 'mq: a log in Kafka drops what a room still needs that is cut off: its lanes stop with the range, and after a skip the checkers repair it',
    mq: true,
    brokers: [1, undefined],
    retention: { ageMsMin: 0, bytesMax: MIB, overflow: 'drop' },
    duplicateWindowWrites: 20,
    givesUp: true,
    async happens(arena) {
      await arena.messages.reached(0.2);
      const [client] = arena.clients;
      assert.ok(client);
      await arena.messages.without(client, async () => {
        await allSettled([client], SETTLE_MS_MAX);
        for (const line of arena.lines) line.cut();
        for (const key of LOST) await taken(arena, key, [['INCRBY', key, 7]]);
        await fillLog(arena, 3 * MIB);
        await until('retention has overtaken the room', () => isOvertaken(arena));
      });
      for (const line of arena.lines) line.heal();
      await stopped(arena, LINK);
      const told = await reasons(arena);
      assert.ok(all(told, /LOG_GAP: .* frames \d+ to \d+ are no longer in the log/), told.join('; '));
      await acceptLoss(arena, LINK);
      await arena.rests();
      const before = await arena.clients[1]?.dump();
      for (const key of LOST) assert.equal(before?.get(key), undefined);
      await arena.verified(() => arena.tries(0, 'repair', '--all', '--from', 'beijing', '--apply'));
      const after = await arena.clients[1]?.dump();
      for (const key of LOST) assert.equal(after?.get(key)?.value, '7');
      assert.ok(arena.givenUp >= LOST.length);
      // What is compared in the end are messages.
      for (const key of LOST) await taken(arena, key, [['DEL', key]]);
    },
  },
];

async function reasons(arena: Arena): Promise<readonly string[]> {
  return (await lanesOf(arena, LINK)).map(({ reason }) => reason);
}

function all(told: readonly string[], text: RegExp): boolean {
  return told.length > 0 && told.every((each) => text.test(each));
}

/** A write request that is no message. */
async function taken(arena: Arena, key: string, commands: readonly (readonly (string | number)[])[]): Promise<void> {
  assert.equal(await arena.refusal(0, cacheWrite(key, commands)), undefined);
}

/** With what leaves nothing in a cache. */
async function fillLog(arena: Arena, bytes: number): Promise<void> {
  for (let filled = 0; filled < bytes; filled += BALLAST_BYTES) {
    const key = `ballast:${filled}`;
    await taken(arena, key, [
      ['SET', key, randomBytes(BALLAST_BYTES).toString('base64')],
      ['DEL', key],
    ]);
  }
}

/** In every lane. */
async function isOvertaken(arena: Arena): Promise<boolean> {
  const status = await arena.clients[0]?.reshipStatus();
  const firsts = status?.logs.flatMap(({ partitions }) => partitions.map(({ first }) => first)) ?? [];
  const lanes = await lanesOf(arena, LINK);
  return lanes.length > 0 && lanes.every(({ partition, mark }) => (firsts[partition] ?? 0) > mark + 1);
}
