import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatStamp, stampMs, type Version, versionAt, versionOf } from '../stamp.ts';
import type { Effect } from './effects.ts';
import { randomEffects, TEST_MS } from './effects-kit.ts';
import { MemoryCell } from './memory-cell.ts';
import { type Mending, mend } from './mend.ts';
import { oracle } from './oracle-kit.ts';
import { applyEffect } from './rules.ts';
import { settleKey } from './settle.ts';
import { exportState, type KeyState, stateDigest, visibleOf } from './state.ts';
import { visible } from './visible.ts';

const RUNS = 4_000;
const END_MS = TEST_MS.to + 60;
const v = (ms: number): Version => versionOf(formatStamp({ ms, counter: 0, writer: 1 }), 0);

/** One key in one room. */
class Room {
  readonly cell = new MemoryCell();
  settled: Version = '';

  deliver(effects: readonly Effect[]): void {
    for (const effect of effects) applyEffect(this.cell, effect, this.settled);
  }

  settle(ms: number): void {
    this.settled = versionAt(ms);
    settleKey(this.cell, this.settled);
  }

  get state(): KeyState {
    return exportState('k', this.cell) ?? EMPTY;
  }

  get digest(): string {
    return stateDigest(exportState('k', this.cell));
  }

  shows(nowMs: number) {
    return visible('k', this.cell, nowMs);
  }
}

const EMPTY: KeyState = { key: 'k', type: 'none', kill: '', expireAtMs: 0, caps: [], registers: [], increments: [], expiries: [] };

/**
 * Both rooms have passed everything before `passedMs`, and the floor lies at `floorMs`, below it. The wrong room has missed some of that, or got what nobody
 * wrote. Beyond it each room has some, and all of it comes in the end.
 */
const scene = randomEffects(16).chain((all) => {
  const effects = all.map((effect) => ({ ...effect, key: 'k' }));
  const subset = () => fc.subarray(effects);
  return fc.record({
    effects: fc.constant(effects),
    passedMs: fc.integer({ min: TEST_MS.from, max: TEST_MS.to + 1 }),
    floors: fc.tuple(fc.nat(45), fc.nat(45)),
    applied: subset(),
    beyond: fc.tuple(subset(), subset()),
    shuffled: fc.shuffledSubarray(effects, { minLength: effects.length, maxLength: effects.length }),
    invented: randomEffects(3).map((others) => others.map((effect) => ({ ...effect, key: 'k' }))),
    seed: fc.nat(),
  });
});
type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never;

interface Played {
  readonly right: Room;
  readonly wrong: Room;
  /** What one of them, or the right one alone below the horizon, has got. */
  readonly both: readonly Effect[];
  readonly horizon: Version;
  readonly nowMs: number;
}

function play({ effects, passedMs, floors, applied, beyond, shuffled, invented }: Scene): Played {
  const [right, wrong] = [new Room(), new Room()];
  const passed = (effect: Effect) => stampMs(effect.version) < passedMs;
  const own = beyond.map((some) => some.filter((effect) => !passed(effect)));
  right.deliver([...shuffled.filter(passed), ...(own[0] ?? [])]);
  const taken = new Set(effects.map(({ version }) => version));
  const behind = invented.filter((effect) => passed(effect) && !taken.has(effect.version));
  wrong.deliver([...applied.filter(passed), ...behind, ...(own[1] ?? [])]);
  const [settledRight, settledWrong] = floors.map((at) => Math.min(TEST_MS.from + at, passedMs));
  if (settledRight !== undefined) right.settle(settledRight);
  if (settledWrong !== undefined) wrong.settle(settledWrong);
  return { right, wrong, both: [...effects.filter(passed), ...own.flat()], horizon: versionAt(passedMs), nowMs: passedMs };
}

function push({ right, wrong, horizon }: Played): Mending {
  return { action: 'push', key: 'k', expected: wrong.digest, seen: horizon, upTo: horizon, state: right.state };
}

function assertShows(room: Room, effects: readonly Effect[], fromMs: number): void {
  for (const nowMs of [fromMs, fromMs + 3, fromMs + 9, END_MS]) assert.deepEqual(room.shows(nowMs), oracle('k', effects, nowMs));
}

test('after a push the room shows what one does that got everything once and in order, its own newer writes included', () => {
  fc.assert(
    fc.property(scene, (given) => {
      const played = play(given);
      const outcome = mend(played.wrong.cell, push(played), played.wrong.settled);
      assert.ok(outcome === 'repaired' || outcome === 'unchanged');
      assertShows(played.wrong, played.both, played.nowMs);
      assert.equal(mend(played.wrong.cell, push(played), played.wrong.settled), 'unchanged', 'a second push finds nothing to do');
    }),
    { numRuns: RUNS },
  );
});

test('after a push everything that is still to come, in any order and with duplicates, leads to what the oracle shows, swept or not', () => {
  fc.assert(
    fc.property(scene, (given) => {
      const played = play(given);
      const { wrong, right } = played;
      mend(wrong.cell, push(played), wrong.settled);
      for (const room of [wrong, right]) {
        room.deliver(given.shuffled.filter((effect) => stampMs(effect.version) >= given.passedMs));
        if (given.seed % 2 === 0) room.settle(TEST_MS.to + 5);
        assertShows(room, given.effects, TEST_MS.to + 5);
      }
    }),
    { numRuns: RUNS },
  );
});

test('after a push of a right room, where nobody has written beyond it, both show the same', () => {
  fc.assert(
    fc.property(scene, (given) => {
      const played = play({ ...given, beyond: [[], []] });
      mend(played.wrong.cell, push(played), played.wrong.settled);
      for (const nowMs of [played.nowMs, END_MS]) assert.deepEqual(played.wrong.shows(nowMs), played.right.shows(nowMs));
    }),
    { numRuns: RUNS },
  );
});

test('a repair brings in no version that neither room had, and loses none of this room’s newer ones', () => {
  fc.assert(
    fc.property(scene, (given) => {
      const played = play(given);
      const { right, wrong, horizon } = played;
      const before = [...versionsOf(right.state), ...versionsOf(wrong.state)];
      const newest = versionsOf(wrong.state).reduce((a, b) => (a > b ? a : b), '');
      mend(wrong.cell, push(played), wrong.settled);
      const after = versionsOf(wrong.state);
      assert.deepEqual(
        after.filter((version) => !before.includes(version)),
        [],
      );
      if (newest > horizon) assert.ok(after.some((version) => version >= newest));
    }),
    { numRuns: RUNS },
  );
});

function versionsOf({ kill, caps, registers, increments, expiries }: KeyState): Version[] {
  return [kill, ...[caps, registers, increments, expiries].flat().map(({ version }) => version)];
}

test('effects that are sent again leave a room that has missed them as if it had not, also below its floor', () => {
  const registers = randomEffects(12).map((effects) =>
    effects.flatMap((effect) => (['hset', 'hdel'].includes(effect.op) ? [{ ...effect, key: 'k' }] : [])),
  );
  fc.assert(
    fc.property(registers, fc.nat(), fc.integer({ min: TEST_MS.from, max: TEST_MS.to + 1 }), (effects, missed, floorMs) => {
      const [right, wrong] = [new Room(), new Room()];
      right.deliver(effects);
      wrong.deliver(effects.filter((_, index) => ((missed >> index) & 1) === 0));
      for (const room of [right, wrong]) room.settle(floorMs);
      const winners = effects.filter(({ version }) => right.state.registers.some((register) => register.version === version));
      const seen = versionAt(TEST_MS.to + 1);
      const again: Mending = { action: 'resend', key: 'k', expected: wrong.digest, seen, effects: winners };
      const live = (room: Room) => room.state.registers.filter(({ value }) => value !== null).map(({ version }) => version);
      mend(wrong.cell, again, wrong.settled);
      for (const version of live(right)) assert.ok(live(wrong).includes(version));
    }),
    { numRuns: RUNS / 4 },
  );
});

const HSET: Effect = { op: 'hset', key: 'k', field: 'f', value: 'x', version: v(1_001) };

function resend(room: Room, effects: readonly Effect[], more: Partial<Mending> = {}): Mending {
  return { action: 'resend', key: 'k', expected: room.digest, seen: v(2_000), effects, ...more } as Mending;
}

test('a key that was written meanwhile is left alone', () => {
  const room = new Room();
  const seen = resend(room, [HSET]);
  room.deliver([{ ...HSET, value: 'newer', version: v(1_010) }]);
  const before = room.state;
  assert.equal(mend(room.cell, seen, ''), 'overtaken');
  assert.deepEqual(room.state, before);
});

test('a room that may have forgotten a delete that the right side had not passed takes nothing back', () => {
  const room = new Room();
  room.deliver([HSET, { op: 'hdel', key: 'k', field: 'f', version: v(1_020) }]);
  room.settle(1_030);
  assert.equal(room.shows(1_040), undefined);
  const right = new Room();
  right.deliver([HSET]);
  const stale = { key: 'k', expected: room.digest, seen: versionAt(1_015), upTo: versionAt(1_015) };
  assert.equal(mend(room.cell, { ...stale, action: 'push', state: right.state }, room.settled), 'outdated');
  assert.equal(mend(room.cell, { ...stale, action: 'resend', effects: [HSET] }, room.settled), 'outdated');
  assert.equal(room.shows(1_040), undefined);
});

test('a delete that is remembered stands against what is sent again', () => {
  const room = new Room();
  room.deliver([{ op: 'del', key: 'k', version: v(1_020) }]);
  assert.equal(mend(room.cell, resend(room, [HSET]), ''), 'unchanged');
  assert.equal(room.shows(1_040), undefined);
});

test('a delete beyond the horizon stands against what is pushed, and so does its tombstone', () => {
  const [room, right] = [new Room(), new Room()];
  right.deliver([HSET]);
  room.deliver([{ op: 'hdel', key: 'k', field: 'f', version: v(1_020) }]);
  const pushed: Mending = { action: 'push', key: 'k', expected: room.digest, seen: v(1_015), upTo: v(1_010), state: right.state };
  assert.equal(mend(room.cell, pushed, ''), 'unchanged');
  assert.equal(room.shows(1_040), undefined);
});

test('a delete beyond the horizon takes what is pushed away', () => {
  const [room, right] = [new Room(), new Room()];
  right.deliver([HSET]);
  room.deliver([{ op: 'del', key: 'k', version: v(1_020) }]);
  const pushed: Mending = { action: 'push', key: 'k', expected: room.digest, seen: v(1_015), upTo: v(1_010), state: right.state };
  assert.equal(mend(room.cell, pushed, ''), 'unchanged');
});

test('increments that were folded here after the horizon was read do not stand for those of the right side', () => {
  const [room, right] = [new Room(), new Room()];
  const counted: Effect[] = [1_001, 1_005, 1_009].map((ms) => ({ op: 'hincr', key: 'k', field: 'n', delta: '1', version: v(ms) }));
  right.deliver(counted);
  room.deliver(counted.slice(1));
  room.settle(1_010);
  const pushed: Mending = { action: 'push', key: 'k', expected: room.digest, seen: v(1_011), upTo: v(1_003), state: right.state };
  assert.equal(mend(room.cell, pushed, room.settled), 'repaired');
  assert.deepEqual(visibleOf(room.state, 1_040)?.value, { type: 'hash', fields: [['n', '3']] });
});

test('a push never replaces what lies beyond what the right side had seen', () => {
  const room = new Room();
  room.deliver([HSET]);
  const pushed: Mending = { action: 'push', key: 'k', expected: room.digest, seen: v(1_000), upTo: v(1_010), state: EMPTY };
  assert.equal(mend(room.cell, pushed, ''), 'unchanged');
  assert.equal(mend(room.cell, { ...pushed, seen: v(1_010) }, ''), 'repaired');
  assert.equal(exportState('k', room.cell), undefined);
});

test('what has no version or a malformed one counts for nothing, on either side', () => {
  const broken = ['', 'zzzz', '0'.repeat(27), 'F'.repeat(28)];
  for (const version of broken) {
    const [room, right] = [new Room(), new Room()];
    right.deliver([HSET]);
    room.cell.head.type = 'hash';
    room.cell.head.kill = version;
    room.cell.setRegister('f', { version, value: 'forged' });
    room.cell.setRegister('g', { version, value: 'forged' });
    const forged = room.state;
    const pushed: Mending = { action: 'push', key: 'k', expected: room.digest, seen: v(2_000), upTo: v(2_000), state: right.state };
    assert.equal(mend(room.cell, pushed, ''), 'repaired');
    assert.deepEqual(room.state, right.state);
    const back: Mending = { ...pushed, state: forged, expected: room.digest };
    mend(room.cell, back, '');
    assert.equal(room.shows(1_040), undefined, 'a forged state brings nothing in');
  }
});

test('effects of other keys are not for this one', () => {
  const room = new Room();
  assert.equal(mend(room.cell, resend(room, [{ ...HSET, key: 'l' }]), ''), 'unchanged');
});
