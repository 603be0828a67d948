import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Effect } from '../../core/converge/effects.ts';
import { formatStamp, versionOf, writerId } from '../../core/stamp.ts';
import { KeyComparison } from './comparison.ts';
import { Chance } from './random-kit.ts';
import { type Draft, type SimRoom, TOPOLOGY, World } from './world-kit.ts';

const GRACE_MS = 1_500;
const QUIET_KEYS = 60;

function draft(chance: Chance, room: SimRoom): Draft {
  const value = String(chance.below(1_000));
  const name = `f${chance.below(6)}`;
  const number = chance.below(6);
  const pick = chance.below(16);
  if (pick < 3)
    return { op: 'set', key: `s${number}`, value, expireAtMs: chance.is(0.4) ? room.clock.nowMs() + 100 + chance.below(9_000) : 0 };
  if (pick < 5) return { op: 'hset', key: `h${number}`, field: name, value };
  if (pick < 6) return { op: 'hdel', key: `h${number}`, field: name };
  if (pick < 8) return { op: 'incr', key: `n${chance.below(2)}`, delta: String(chance.below(9) - 4) };
  if (pick < 9) return { op: 'hincr', key: `h${number}`, field: `n${chance.below(2)}`, delta: '1' };
  if (pick < 10) return { op: 'zincr', key: `z${number}`, member: name, delta: 0.1 };
  if (pick < 12) return { op: 'timeline', key: `t${number}`, member: `m${chance.below(30)}`, cap: 3 + chance.below(4) };
  if (pick < 13) return { op: chance.is(0.5) ? 'sadd' : 'srem', key: `m${number}`, member: name };
  if (pick < 14) return { op: 'del', key: `${chance.of(['s', 'h', 'n', 'z', 't', 'm'])}${number}` };
  if (pick < 15)
    return { op: 'expire', key: `${chance.of(['h', 'z', 't'])}${number}`, expireAtMs: room.clock.nowMs() + 100 + chance.below(9_000) };
  return { op: 'set', key: `${chance.of(['h', 'm', 'n'])}${number}`, value, expireAtMs: 0 };
}

/** Fields and counters that are written all the time, in keys of their own; one of them is tampered with. */
function steady(chance: Chance, room: SimRoom, turn: number): void {
  const number = chance.below(4);
  room.origin.submit([{ op: 'hset', key: `hot${number}`, field: `f${chance.below(4)}`, value: String(turn) }]);
  room.origin.submit([{ op: 'incr', key: `count${number}`, delta: '1' }]);
}

class Traffic {
  readonly chance: Chance;
  readonly world: World;
  readonly comparisons: readonly KeyComparison[];
  /** By key: the one who finds it, 0 or 1. */
  readonly confirmed: readonly [Set<string>, Set<string>] = [new Set(), new Set()];
  readonly drifted = new Set<string>();
  rounds = 0;
  lagging = 0;
  #turn = 0;

  constructor(seed: number) {
    this.chance = new Chance(seed);
    this.world = new World(this.chance);
    this.world.delayMsMax = this.chance.of([0, 5, 60]);
    const [a, b] = this.world.rooms;
    b.clock.skewMs = this.chance.of([0, 300, 3_000, -3_000]);
    const views = this.world.rooms.map((room) => this.world.view(room));
    this.comparisons = [a, b].map(
      (room, index) =>
        new KeyComparison({
          ...{ mine: views[index] as never, theirs: views[1 - index] as never },
          ...{ topology: TOPOLOGY, graceMs: GRACE_MS, runtime: room.clock },
        }),
    );
  }

  async begin(): Promise<void> {
    for (let key = 0; key < QUIET_KEYS; key += 1) {
      this.world.rooms[0].origin.submit([{ op: 'set', key: `quiet${key}`, value: 'x', expireAtMs: 0 }]);
      this.world.rooms[0].origin.submit([{ op: 'hset', key: `quiet hash${key}`, field: 'f', value: 'x' }]);
    }
    for (let key = 0; key < 4; key += 1) {
      this.world.rooms[1].origin.submit([{ op: 'hset', key: `hot${key}`, field: 'once', value: 'x' }]);
    }
    await this.world.pump();
    this.world.start();
  }

  /** Some traffic, some trouble, and a round of each checker, at the same time. */
  async turn(): Promise<void> {
    const { chance, world } = this;
    this.#turn += 1;
    for (let step = 0; step < 4; step += 1) {
      const room = chance.of(world.rooms);
      for (let count = chance.below(4); count > 0; count -= 1) {
        const first = draft(chance, room);
        room.origin.submit(chance.is(0.1) ? [first, draft(chance, room)] : [first]);
      }
      steady(chance, room, this.#turn);
      await world.pump(true);
      if (chance.is(0.3)) await world.settle();
      await world.time.advance(chance.below(60));
    }
    this.#trouble();
    await this.#rounds();
  }

  #trouble(): void {
    const { chance, world } = this;
    const room = chance.of(world.rooms);
    if (chance.is(0.02))
      for (const lane of room.lanes.values()) if (chance.is(0.5)) lane.cutUntilMs = room.clock.monotonicMs() + chance.below(8_000);
    if (chance.is(0.01)) room.restartKeeper();
    if (chance.is(0.05)) room.forgetful = !room.forgetful;
    if (chance.is(0.02)) world.silent = !world.silent;
    else if (chance.is(0.3)) world.silent = false;
  }

  async #rounds(): Promise<void> {
    const both = this.comparisons.map(async (comparison, index) => {
      try {
        const { confirmed, suspects } = await comparison.round();
        for (const { key } of confirmed) this.confirmed[index as 0 | 1].add(key);
        if (suspects > 0) this.lagging += 1;
      } catch {
        // Silence; the next round goes on.
      }
      this.rounds += 1;
    });
    // Writes go on while the rooms are asked.
    const during = this.world.time.advance(1).then(() => this.world.pump(true));
    await this.world.rooms[0].clock.until(Promise.all([...both, during]));
  }

  /** Calm: everything arrives, and every leaf is looked at. */
  async end(): Promise<void> {
    for (const room of this.world.rooms) {
      room.forgetful = false;
      for (const lane of room.lanes.values()) lane.cutUntilMs = 0;
    }
    this.world.silent = false;
    for (let second = 0; second < 75; second += 1) {
      await this.world.pump();
      await this.world.time.advance(1_000);
      await this.#rounds();
    }
  }
}

test('two rooms under traffic with lag, cuts, restarts, skewed clocks and expiring keys have no drift, in thousands of rounds', async () => {
  let [rounds, lagging] = [0, 0];
  for (let seed = 1; seed <= 5; seed += 1) {
    const traffic = new Traffic(seed);
    await traffic.begin();
    for (let turn = 0; turn < 200; turn += 1) await traffic.turn();
    assert.deepEqual(
      traffic.confirmed.map((keys) => [...keys]),
      [[], []],
      `seed ${seed}`,
    );
    rounds += traffic.rounds;
    lagging += traffic.lagging;
    await traffic.end();
    assert.deepEqual(
      traffic.confirmed.map((keys) => [...keys]),
      [[], []],
      `seed ${seed}`,
    );
    assert.deepEqual(
      traffic.comparisons.map((comparison) => comparison.suspectKeys()),
      [[], []],
      `seed ${seed}`,
    );
  }
  assert.ok(rounds >= 2_000, `${rounds} rounds`);
  assert.ok(lagging > rounds / 4, `${lagging} of them had something to suspect`);
});

type Harm = (traffic: Traffic, room: SimRoom) => void | Promise<void>;

const quietKey = (traffic: Traffic): string => {
  const key = `quiet${traffic.chance.of(['', ' hash'])}${traffic.chance.below(QUIET_KEYS)}`;
  return traffic.drifted.has(key) ? quietKey(traffic) : key;
};

const harms: Readonly<Record<string, Harm>> = {
  deleted(traffic, room) {
    const key = quietKey(traffic);
    const cell = room.cache.cell(key);
    cell?.dropUpTo('ffff');
    Object.assign(cell?.head ?? {}, { type: 'none', kill: '', expireAtMs: 0 });
    traffic.drifted.add(key);
  },
  changed(traffic, room) {
    const key = quietKey(traffic);
    const cell = room.cache.cell(key);
    for (const [name, { version }] of cell?.registers() ?? []) cell?.setRegister(name, { version, value: 'y' });
    traffic.drifted.add(key);
  },
  async created(traffic, room) {
    const key = `created${traffic.chance.below(100)}`;
    const version = versionOf(formatStamp({ ms: room.clock.nowMs(), counter: 0, writer: writerId(1, 9) }), 0);
    await room.apply([[{ op: 'set', key, value: 'x', expireAtMs: 0, version }]]);
    traffic.drifted.add(key);
  },
  'a write lost'(traffic, room) {
    const key = quietKey(traffic);
    lose(room, (effect) => effect.key === key);
    const hash = key.includes('hash');
    traffic.chance.of(traffic.world.rooms).origin.submit([hash ? { op: 'hset', key, field: 'f', value: 'z' } : { op: 'del', key }]);
    traffic.drifted.add(key);
  },
  'a field of a hot hash lost'(traffic, room) {
    const key = `hot${traffic.chance.below(4)}`;
    lose(room, (effect) => effect.key === key && effect.op === 'hset' && effect.field === 'once');
    traffic.world.rooms[0].origin.submit([{ op: 'hset', key, field: 'once', value: 'new' }]);
    traffic.drifted.add(key);
  },
  'an increment of a hot counter lost'(traffic, room) {
    const key = `count${traffic.chance.below(4)}`;
    lose(room, (effect) => effect.key === key && effect.op === 'incr' && effect.delta === '1000');
    traffic.world.rooms[1].origin.submit([{ op: 'incr', key, delta: '1000' }]);
    traffic.drifted.add(key);
  },
};

function lose(room: SimRoom, which: (effect: Effect) => boolean): void {
  const before = room.loses;
  room.loses = (effect) => before(effect) || which(effect);
}

test('exactly the drifts that were made under traffic are confirmed, by both rooms’ checkers', async () => {
  let total = 0;
  for (let seed = 101; seed <= 105; seed += 1) {
    const traffic = new Traffic(seed);
    await traffic.begin();
    for (let turn = 0; turn < 160; turn += 1) {
      await traffic.turn();
      const [kind] = turn > 30 && traffic.chance.is(0.06) ? [traffic.chance.of(Object.keys(harms))] : [];
      // Both rooms harmed in one key could agree again.
      if (kind !== undefined) await harms[kind]?.(traffic, traffic.world.rooms[1]);
    }
    await traffic.end();
    const made = [...traffic.drifted].sort();
    total += made.length;
    for (const found of traffic.confirmed) assert.deepEqual([...found].sort(), made, `seed ${seed}`);
  }
  assert.ok(total > 15, `${total} drifts`);
});
