import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Stamp, stampMs, type Version, versionAt } from '../stamp.ts';
import type { Effect } from './effects.ts';
import { randomEffects, TEST_MS } from './effects.testing.ts';
import { MemoryCell } from './memory-cell.ts';
import { oracle } from './oracle.testing.ts';
import { applyEffect, settledUpTo } from './rules.ts';
import { settleKey } from './settle.ts';
import { visible } from './visible.ts';

const KEYS = ['k', 'l'];

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
    room.nowMs = Math.min(TEST_MS.to + 10, room.nowMs + (choice % 10));
  } else {
    room.settle(soundFloor(rooms));
  }
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
      if (sorted) rooms.forEach((room) => { room.inbox.sort((a, b) => (a.version < b.version ? -1 : 1)); });
      for (const [index, choice] of steps) step(rooms, rooms[index] as Room, choice);
      for (const room of rooms) for (const effect of room.inbox.splice(0)) room.deliver(effect);
      rooms[1]?.settle(soundFloor(rooms));
      const from = Math.max(...rooms.map((room) => room.nowMs));
      for (const nowMs of [from, from + 3, from + 8, TEST_MS.to + 60]) {
        for (const key of KEYS) {
          const expected = oracle(key, effects, nowMs);
          for (const room of rooms) assert.deepEqual(room.read(key, nowMs), expected);
        }
      }
    }),
    { numRuns: Number(process.env['RUNS'] ?? 4_000) },
  );
});
