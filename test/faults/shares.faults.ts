/** Several collectors in both rooms. Only the master's process: what they make of every write request goes into one MySQL and one effect log in Kafka, and from there to the slave's. */
import assert from 'node:assert/strict';
import { Outcome, Wait } from '../../proto/gen/wmb/v1/writes.ts';
import { cacheWrite } from '../e2e/scene.ts';
import type { Arena } from './arena.ts';
import { ALL_THERE, ONE_GONE } from './members.ts';
import type { Story } from './stories.ts';

const ROOMS = [0, 1] as const;
const MASTER_AND_SLAVE = { mode: 'master-slave', shared: true, brokers: [1, undefined], messages: 6_000 } as const;
/** A transaction is under way after so long, and no answer of the server's has come. */
const HELD_MS = 300;
/** From when the others have the shares. Nothing would go on for as long as one stands still that holds rows. */
const GOES_ON_MS_MAX = 60_000;
/** Of every partition there are some. */
const KEYS = Array.from({ length: 64 }, (_, index) => `nothing:${index}`);

export const SHARES_STORIES: readonly Story[] = [
  {
    name: 'shares: two of the master’s collectors are killed in the middle of transactions, and the third has all shares',
    ...MASTER_AND_SLAVE,
    async happens(arena) {
      const members = arena.members(0);
      await allWork(arena);
      await inTransaction(arena, () => members.end(1, 'SIGKILL'));
      await members.divided(ONE_GONE);
      await inTransaction(arena, () => members.end(0, 'SIGKILL'));
      await members.divided([8], 2);
      await arena.messages.more(200);
      await Promise.all([members.start(0), members.start(1)]);
      await allWork(arena);
    },
  },
  {
    name: 'shares: a collector of each room stands still until the others have its shares, the master’s in the middle of a transaction, and wakes up',
    ...MASTER_AND_SLAVE,
    async happens(arena) {
      await allWork(arena);
      arena.members(1).freeze(2);
      await inTransaction(arena, async () => arena.members(0).freeze(2));
      for (const place of ROOMS) await arena.members(place).divided(ONE_GONE);
      await goesOn(arena);
      for (const place of ROOMS) arena.members(place).wake(2);
      await allWork(arena);
    },
  },
  {
    name: 'shares: in both rooms collectors leave and join while messages come',
    ...MASTER_AND_SLAVE,
    async happens(arena) {
      await allWork(arena);
      for (const which of [2, 0]) {
        await Promise.all(ROOMS.map((place) => arena.members(place).end(which, 'SIGTERM')));
        for (const place of ROOMS) await arena.members(place).divided(ONE_GONE, 1);
        await goesOn(arena);
        await Promise.all(ROOMS.map((place) => arena.members(place).start(which)));
        await allWork(arena);
      }
    },
  },
  {
    name: 'shares: over mq, where a collector of each room is killed and started again',
    ...MASTER_AND_SLAVE,
    mq: true,
    async happens(arena) {
      await allWork(arena);
      await Promise.all(ROOMS.map((place) => arena.members(place).end(1, 'SIGKILL')));
      for (const place of ROOMS) await arena.members(place).divided(ONE_GONE);
      await goesOn(arena);
      await Promise.all(ROOMS.map((place) => arena.members(place).start(1)));
      await allWork(arena);
    },
  },
];

/** Every collector of both rooms has its shares, and messages come. */
async function allWork(arena: Arena): Promise<void> {
  for (const place of ROOMS) await arena.members(place).divided(ALL_THERE);
  await arena.messages.more(200);
}

/** The master's collectors have begun to write the database, and wait for answers. */
async function inTransaction(arena: Arena, work: () => Promise<unknown>): Promise<void> {
  const { mysqlProxy } = arena.server(0);
  mysqlProxy.hold('back');
  await arena.pause(HELD_MS);
  await work();
  mysqlProxy.heal();
}

/** What the master takes now is soon processed in all partitions, behind what was under way. */
async function goesOn(arena: Arena): Promise<void> {
  const writes = KEYS.map((key) => cacheWrite(key, [['DEL', key]]));
  const answer = await arena.clients[0]?.submit({ writes, wait: Wait.WAIT_APPLIED, deadlineMs: GOES_ON_MS_MAX, batchId: 0 });
  assert.deepEqual(new Set(answer?.results.map(({ outcome, error }) => error?.message ?? outcome)), new Set([Outcome.OUTCOME_APPLIED]));
}
