/** Applications: they submit calls, wait, and when no answer comes submit the same request ids again, to the same room. */
import type { IncomingWrite, WaitFor, WriteResult } from '../reship/intake/call.ts';
import { FRAGILE } from './config.ts';
import type { Random } from './random.ts';
import type { Room } from './room.ts';
import type { World } from './world.ts';

const TRIES_MAX = 6;
const OVERWRITE_CHANCE = 0.3;
const OVERWRITE_MS_MAX = 1_000;
const ELEMENTS = ['a', 'b', 'c'] as const;

export class Workload {
  readonly #world: World;
  #calls = 0;
  #open = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Every application has its answer, or has given up. */
  get idle(): boolean {
    return this.#open === 0;
  }

  /** Spreads the calls of one round, `calls` of each room, over `ms` milliseconds. */
  begin(ms: number, calls = this.#world.plan.calls): void {
    const { rooms, random, clock } = this.#world;
    for (const room of rooms) {
      for (let call = 0; call < calls; call += 1) {
        this.#open += 1;
        clock.after(random.next() * ms, () => {
          void this.#call(room).finally(() => {
            this.#open -= 1;
          });
        });
      }
    }
  }

  /** Some of them, at once. */
  async overwrite(room: Room, keys: readonly string[]): Promise<void> {
    const { random, clock } = this.#world;
    const chosen = keys.filter(() => random.chance(OVERWRITE_CHANCE));
    if (chosen.length === 0) return;
    const writes = chosen.map((key) => cacheWrite(this.#requestId(room), key, [['SET', key, 'over']]));
    const answer = room.reship?.intake.submit(writes, { wait: 'applied', deadlineMs: OVERWRITE_MS_MAX });
    await Promise.race([answer, clock.wait(OVERWRITE_MS_MAX)]);
  }

  async #call(room: Room): Promise<void> {
    const { random, clock } = this.#world;
    const count = random.chance(0.1) ? random.int(5, 12) : random.int(1, 3);
    let writes = Array.from({ length: count }, () => this.#write(room));
    const wait: WaitFor = random.chance(0.8) ? 'logged' : random.pick(['applied', 'everywhere'] as const);
    for (let tries = 0; tries < TRIES_MAX && writes.length > 0; tries += 1) {
      const intake = room.reship?.intake;
      const answer = intake?.submit(writes, { wait, deadlineMs: 300 });
      const results = await Promise.race([answer ?? clock.wait(100), clock.wait(2_000)]);
      if (results !== undefined) {
        this.#world.watch.answered(room, results);
        writes = writes.filter((_, place) => isWorthRetrying(results[place]));
        // Some applications are not sure that they heard, and submit again what was acked.
        if (writes.length === 0 && random.chance(0.05)) void intake?.submit([this.#write(room)], { wait: 'logged', deadlineMs: 0 });
      }
      await clock.wait(random.int(10, 300));
    }
  }

  #write(room: Room): IncomingWrite {
    const { random, plan, poison } = this.#world;
    const requestId = this.#requestId(room);
    const key = `k${random.int(1, plan.keys)}`;
    const commands = Array.from({ length: random.chance(0.2) ? 2 : 1 }, () => command(key, this.#world));
    const poisoned = plan.poisonChance > 0 && !poison.isMended && random.chance(plan.poisonChance);
    if (poisoned) poison.add(requestId);
    return { ...cacheWrite(requestId, key, commands), kind: poisoned ? FRAGILE : 'cache' };
  }

  #requestId(room: Room): string {
    this.#calls += 1;
    return `${room.id}-${this.#calls}`;
  }
}

function cacheWrite(requestId: string, key: string, commands: readonly Command[]): IncomingWrite {
  return { requestId, kind: 'cache', key, trace: '', payload: Buffer.from(JSON.stringify(commands)) };
}

function isWorthRetrying(result: WriteResult | undefined): boolean {
  return result?.error !== undefined && result.position === '' && result.error.retry !== 'never';
}

type Command = readonly (string | number)[];
type Maker = (key: string, random: Random, nowMs: number) => Command;

/** Every key leans to one type, so that not everything is a clash of types. */
const FAMILIES: readonly (readonly Maker[])[] = [
  [
    (key, random) => ['SET', key, random.int(1, 99)],
    (key, random) => ['SET', key, random.int(1, 99), 'PX', random.int(1, 4_000)],
    (key) => ['INCR', key],
    (key, random) => ['DECRBY', key, random.int(1, 9)],
    (key, random) => ['INCRBY', key, random.int(1, 9)],
  ],
  [
    (key, random) => ['HSET', key, random.pick(ELEMENTS), random.int(1, 99)],
    (key, random) => ['HDEL', key, random.pick(ELEMENTS)],
    (key, random) => ['HINCRBY', key, random.pick(ELEMENTS), random.int(-5, 5)],
  ],
  [(key, random) => ['SADD', key, random.pick(ELEMENTS)], (key, random) => ['SREM', key, random.pick(ELEMENTS)]],
  [
    (key, random) => ['ZADD', key, random.int(1, 9), random.pick(ELEMENTS)],
    (key, random) => ['ZREM', key, random.pick(ELEMENTS)],
    (key, random) => ['ZINCRBY', key, 0.1, random.pick(ELEMENTS)],
  ],
  [(key, random) => ['WMB.TIMELINE', key, random.int(1, 4), `m${random.int(1, 9)}`]],
];

const ANY: readonly Maker[] = [
  (key) => ['DEL', key],
  (key) => ['PERSIST', key],
  (key, random) => ['PEXPIRE', key, random.int(1, 5_000)],
  (key, random, nowMs) => ['PEXPIREAT', key, Math.floor(nowMs) + random.int(-500, 4_000)],
];

function command(key: string, { random, clock }: World): Command {
  const family = FAMILIES[Number(key.slice(1)) % FAMILIES.length] ?? ANY;
  const makers = random.chance(0.25) ? ANY : random.chance(0.04) ? random.pick(FAMILIES) : family;
  return random.pick(makers)(key, random, clock.ms);
}
