import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatStamp, type Stamp, stampMs, type Version, versionAt, versionOf } from '../stamp.ts';
import type { Effect } from './effects.ts';
import { randomEffects, TEST_MS } from './effects-kit.ts';
import { MemoryCell } from './memory-cell.ts';
import { oracle } from './oracle-kit.ts';
import { applyEffect, settledUpTo } from './rules.ts';
import { settleKey } from './settle.ts';
import { visible } from './visible.ts';

const KEYS = ['k', 'l'];
const RUNS = 4_000;

class Room {
  readonly cells = new Map<string, MemoryCell>();
  readonly inbox: Effect[];
  readonly seen: Effect[] = [];
  settled: Version = '';
  nowMs = TEST_MS.from;

  constructor(inbox: readonly Effect[]) {
    this.inbox = [...inbox];
  }

  deliver(effect: Effect): string {
    const cell = this.cells.get(effect.key) ?? new MemoryCell();
    this.cells.set(effect.key, cell);
    return applyEffect(cell, effect, this.settled);
  }

  settle(floor: Stamp): void {
    const settled = settledUpTo(floor, this.nowMs);
    if (settled > this.settled) this.settled = settled;
    for (const [key, cell] of this.cells) if (settleKey(cell, this.settled)) this.cells.delete(key);
  }

  read(key: string, nowMs: number) {
    const cell = this.cells.get(key);
    return cell && visible(key, cell, nowMs);
  }
}

/** Everything stamped up to it has been delivered everywhere. */
function soundFloor(rooms: readonly Room[]): Stamp {
  const missing = rooms.flatMap((room) => room.inbox.map((effect) => effect.version)).sort()[0];
  return versionAt(missing === undefined ? TEST_MS.to + 100 : stampMs(missing)).slice(0, 24);
}

/** One step of one room: deliver its next effect, deliver an old one again, settle, or let its clock run. */
function step(rooms: readonly Room[], room: Room, choice: number): void {
  const next = room.inbox[0];
  if (choice < 50 && next !== undefined) {
    room.deliver(next);
    room.seen.push(next);
    room.inbox.shift();
  } else if (choice < 75 && room.seen.length > 0) {
    const again = room.seen[(choice * 7) % room.seen.length] as Effect;
    const result = room.deliver(again);
    // A timeline member that has been dropped is added and hidden again.
    if (again.op !== 'timeline') assert.notEqual(result, 'applied');
  } else if (choice < 85) {
    room.nowMs = Math.min(TEST_MS.to + 10, room.nowMs + 4 * (choice % 10));
  } else {
    room.settle(soundFloor(rooms));
  }
}

/** One room settles everything at once, another in two steps, the third not at all. */
function settleSome(rooms: readonly Room[], nowMs: number): void {
  const [once, twice] = rooms;
  for (const room of rooms) room.nowMs = nowMs;
  once?.settle(soundFloor(rooms));
  twice?.settle(versionAt(TEST_MS.from + 20).slice(0, 24));
  twice?.settle(soundFloor(rooms));
}

const scenario = randomEffects(14).chain((effects) =>
  fc.record({
    effects: fc.constant(effects),
    orders: fc.tuple(...[0, 1, 2].map(() => fc.shuffledSubarray(effects, { minLength: effects.length, maxLength: effects.length }))),
    steps: fc.array(fc.tuple(fc.nat(2), fc.nat(99)), { maxLength: 90 }),
    sorted: fc.boolean(),
  }),
);

test('three rooms that got the same effects in any order, with duplicates and floors, show what one room in version order shows', () => {
  fc.assert(
    fc.property(scenario, ({ effects, orders, steps, sorted }) => {
      const rooms = orders.map((order) => new Room(order));
      if (sorted)
        rooms.forEach((room) => {
          room.inbox.sort((a, b) => (a.version < b.version ? -1 : 1));
        });
      for (const [index, choice] of steps) step(rooms, rooms[index] as Room, choice);
      for (const room of rooms) for (const effect of room.inbox.splice(0)) room.deliver(effect);
      const from = Math.max(...rooms.map((room) => room.nowMs));
      settleSome(rooms, from);
      for (const nowMs of [from, from + 3, from + 8, TEST_MS.to + 60]) {
        for (const key of KEYS) {
          const expected = oracle(key, effects, nowMs);
          for (const room of rooms) assert.deepEqual(room.read(key, nowMs), expected);
        }
      }
    }),
    { numRuns: RUNS },
  );
});

/** The same effects, in order, into one room that settles after each and one that never does. */
function inTwoRooms(effects: readonly Effect[]): readonly [Room, Room] {
  const [settling, keeping] = [new Room(effects), new Room(effects)];
  settling.nowMs = TEST_MS.to;
  for (const effect of effects) {
    settling.deliver(effect);
    settling.settle(effect.version.slice(0, 24));
    keeping.deliver(effect);
  }
  return [settling, keeping];
}

test('settling after every effect, in order, changes nothing that is visible', () => {
  fc.assert(
    fc.property(randomEffects(20), (effects) => {
      effects.sort((a, b) => (a.version.slice(0, 24) < b.version.slice(0, 24) ? -1 : 1));
      const [settling, keeping] = inTwoRooms(effects.filter((effect) => effect.version.endsWith('0000')));
      for (const key of KEYS) assert.deepEqual(settling.read(key, TEST_MS.to), keeping.read(key, TEST_MS.to));
    }),
    { numRuns: RUNS },
  );
});

test('a forgotten removal still takes the older expiry away when another type comes', () => {
  const v = (ms: number) => versionOf(formatStamp({ ms, counter: 0, writer: 1 }), 0);
  const [settling, keeping] = inTwoRooms([
    { op: 'hset', key: 'k', field: 'f', value: 'x', version: v(1_001) },
    { op: 'expire', key: 'k', expireAtMs: 1_100, version: v(1_002) },
    { op: 'hdel', key: 'k', field: 'f', version: v(1_003) },
    { op: 'incr', key: 'k', delta: '1', version: v(1_004) },
  ]);
  assert.equal(keeping.read('k', 1_010)?.expireAtMs, 0);
  assert.deepEqual(settling.read('k', 1_010), keeping.read('k', 1_010));
});

const timelines = fc.uniqueArray(fc.record({ at: fc.nat(200), member: fc.nat(40), cap: fc.constantFrom(1, 3, 9) }), {
  minLength: 20,
  maxLength: 80,
  selector: ({ at }) => at,
});

test('timelines whose caps change hold the same members in any order, although hidden members are dropped on the way', () => {
  fc.assert(
    fc.property(timelines, fc.nat(200), (adds, floorAt) => {
      const stamp = (at: number) => formatStamp({ ms: TEST_MS.from, counter: at, writer: 1 });
      const effects: Effect[] = adds.map(({ at, member, cap }) => ({
        op: 'timeline',
        key: 'k',
        member: `m${member}`,
        cap,
        version: versionOf(stamp(at), 0),
      }));
      const [shuffled, settling] = [new Room([]), new Room([])];
      settling.nowMs = TEST_MS.to;
      const [below, above] = [
        effects.filter(({ version }) => version < stamp(floorAt)),
        effects.filter(({ version }) => version >= stamp(floorAt)),
      ];
      for (const effect of effects) shuffled.deliver(effect);
      for (const effect of below) settling.deliver(effect);
      if (floorAt > 0) settling.settle(stamp(floorAt - 1));
      for (const effect of above) settling.deliver(effect);
      const expected = oracle('k', effects, TEST_MS.to);
      for (const room of [shuffled, settling]) assert.deepEqual(room.read('k', TEST_MS.to), expected);
    }),
    { numRuns: RUNS / 4 },
  );
});
