import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Effect } from '../../core/converge/effects.ts';
import { randomEffects, TEST_MS } from '../../core/converge/effects-kit.ts';
import { MemoryCell } from '../../core/converge/memory-cell.ts';
import { applyEffect, settledUpTo } from '../../core/converge/rules.ts';
import { settleKey } from '../../core/converge/settle.ts';
import { exportState, type KeyState, visibleOf } from '../../core/converge/state.ts';
import { formatStamp, parseStamp, type Version, versionAt, versionOf, writerId } from '../../core/stamp.ts';
import { compareStates, elementDifferences } from './elements.ts';
import { everythingSettled, type Settled } from './settled.ts';

const RUNS = 3_000;
const at = (ms: number, room = 1): Version => versionOf(formatStamp({ ms, counter: 0, writer: writerId(room, 1) }), 0);
const NOW = 10_000;

/** The writers of the kit are of no room. */
function inRooms(effects: readonly Effect[]): readonly Effect[] {
  return effects.map((effect) => {
    const { ms, counter, writer } = parseStamp(effect.version);
    return { ...effect, key: 'k', version: formatStamp({ ms, counter, writer: writerId(writer, 1) }) + effect.version.slice(24) };
  });
}

function stateOf(effects: readonly Effect[], settled: Version = ''): KeyState | undefined {
  const room = new Room(effects);
  while (room.inbox.length > 0) room.deliver(0);
  room.settle(settled);
  return room.state;
}

class Room {
  readonly inbox: Effect[];
  nowMs = TEST_MS.from;
  #cell = new MemoryCell();
  #settled: Version = '';

  constructor(inbox: readonly Effect[]) {
    this.inbox = [...inbox];
  }

  get state(): KeyState | undefined {
    return exportState('k', this.#cell);
  }

  deliver(index: number): void {
    const [effect] = this.inbox.splice(index % this.inbox.length, 1);
    if (effect !== undefined) assert.notEqual(applyEffect(this.#cell, effect, this.#settled), 'late');
  }

  settle(settled: Version): void {
    if (settled > this.#settled) this.#settled = settled;
    if (settleKey(this.#cell, this.#settled)) this.#cell = new MemoryCell();
  }
}

/** By what has not been delivered: nothing of its origin from there on has passed. */
function settledBefore(missing: readonly Effect[]): Settled {
  const first = new Map<number, Version>();
  for (const { version } of missing) {
    const room = parseStamp(version).writer >>> 24;
    if (version < (first.get(room) ?? 'ffff')) first.set(room, version);
  }
  const all = [...first.values()].sort()[0] ?? 'ffff';
  return {
    all: `${all.slice(0, 12)}0000000000000000`,
    passage: (version) => (version < (first.get(parseStamp(version).writer >>> 24) ?? 'ffff') ? 'passed' : 'ahead'),
  };
}

function step(rooms: readonly [Room, Room], choice: number): void {
  const room = rooms[choice % 2] as Room;
  const pick = choice >>> 1;
  if (pick % 5 === 0) room.nowMs = Math.min(TEST_MS.to + 10, room.nowMs + (pick % 9));
  else if (pick % 5 === 1) {
    const missing = rooms.flatMap(({ inbox }) => inbox.map(({ version }) => version)).sort()[0] ?? versionAt(TEST_MS.to + 100);
    room.settle(settledUpTo(versionAt(parseStamp(missing).ms).slice(0, 24), room.nowMs));
  } else if (room.inbox.length > 0) room.deliver(pick >>> 3);
}

const steps = fc.array(fc.nat(), { minLength: 10, maxLength: 60 });

test('whatever two correct rooms have applied, settled and not yet received, no difference between them has passed', () => {
  fc.assert(
    fc.property(randomEffects(14), steps, (effects, choices) => {
      const all = inRooms(effects);
      const rooms = [new Room(all), new Room(all)] as const;
      for (const choice of choices) {
        step(rooms, choice);
        const [mine, theirs] = rooms;
        const settled = settledBefore([...mine.inbox, ...theirs.inbox]);
        const nowMs = Math.max(mine.nowMs, theirs.nowMs);
        const found = compareStates({ mine: mine.state, theirs: theirs.state, nowMs, settled });
        assert.deepEqual(
          found.filter(({ passage }) => passage === 'passed'),
          [],
        );
      }
    }),
    { numRuns: RUNS },
  );
});

test('elements differ wherever an application would see something else, and otherwise in their versions at most', () => {
  fc.assert(
    fc.property(
      randomEffects(10),
      fc.nat(),
      fc.nat(),
      fc.integer({ min: TEST_MS.from, max: TEST_MS.to + 10 }),
      (effects, lost, floor, nowMs) => {
        const all = inRooms(effects);
        const mine = stateOf(all);
        const theirs = stateOf(
          all.filter((_, index) => index !== lost % all.length),
          versionAt(TEST_MS.from + (floor % 40)),
        );
        const same = JSON.stringify(visibleOf(mine, nowMs)) === JSON.stringify(visibleOf(theirs, nowMs));
        const found = elementDifferences(mine, theirs, nowMs);
        const seen = found.filter(({ values: [a, b] }) => !same || a !== b);
        assert.equal(seen.length === 0, same, JSON.stringify({ found, mine, theirs }));
      },
    ),
    { numRuns: RUNS },
  );
});

const hset = (field: string, value: string, ms: number, room = 1): Effect => ({
  op: 'hset',
  key: 'k',
  field,
  value,
  version: at(ms, room),
});
const incr = (delta: string, ms: number, room = 1): Effect => ({ op: 'incr', key: 'k', delta, version: at(ms, room) });
const set = (value: string, ms: number, expireAtMs = 0): Effect => ({ op: 'set', key: 'k', value, expireAtMs, version: at(ms) });
const del = (ms: number): Effect => ({ op: 'del', key: 'k', version: at(ms) });
const upTo = (ms: number): Settled => ({ all: at(ms), passage: (version) => (version <= at(ms) ? 'passed' : 'ahead') });
const names = (mine: readonly Effect[], theirs: readonly Effect[]) => elementDifferences(stateOf(mine), stateOf(theirs), NOW);

test('a lost field is told from the other fields, with both sides’ versions and values', () => {
  assert.deepEqual(names([hset('a', '1', 5), hset('b', '2', 6)], [hset('a', '1', 5)]), [
    { name: 'b', versions: [at(6), ''], values: ['2', null] },
  ]);
  assert.deepEqual(names([hset('a', '1', 5)], [hset('a', '2', 7)]), [{ name: 'a', versions: [at(5), at(7)], values: ['1', '2'] }]);
});

test('a field that one side has removed carries the version of the removal', () => {
  const removed: Effect = { op: 'hdel', key: 'k', field: 'a', version: at(8) };
  const found = names([hset('a', '1', 5), hset('b', '1', 5, 2)], [hset('a', '1', 5), removed, hset('b', '1', 5, 2)]);
  assert.deepEqual(found, [{ name: 'a', versions: [at(5), at(8)], values: ['1', null] }]);
});

test('a deletion of the key as a whole is one difference without a name', () => {
  assert.deepEqual(names([set('x', 5)], [set('x', 5), del(6)]), [{ name: '', versions: [at(5), at(6)], values: ['x', null] }]);
  const fields = [hset('a', '1', 5), hset('b', '2', 6)];
  assert.deepEqual(names([...fields, del(7)], fields), [{ name: '', versions: [at(7), at(6)], values: [null, 'hash of 2 elements'] }]);
});

test('an expiry that one side has lost is one difference without a name, before and after its moment', () => {
  const expire: Effect = { op: 'expire', key: 'k', expireAtMs: NOW + 5, version: at(8) };
  const [mine, theirs] = [stateOf([hset('a', '1', 5)]), stateOf([hset('a', '1', 5), expire])];
  assert.deepEqual(elementDifferences(mine, theirs, NOW), [
    { name: '', versions: ['', at(8)], values: ['expires never', `expires at ${NOW + 5}`] },
  ]);
  assert.deepEqual(elementDifferences(mine, theirs, NOW + 5), [
    { name: '', versions: ['', at(8)], values: ['expires never', `expired at ${NOW + 5}`] },
  ]);
});

test('where one side has taken an expiry away, and the other takes the key for expired, what took it away is what differs', () => {
  const expire: Effect = { op: 'expire', key: 'k', expireAtMs: NOW - 5, version: at(8) };
  const persist: Effect = { op: 'expire', key: 'k', expireAtMs: 0, version: at(9, 2) };
  const [mine, theirs] = [stateOf([hset('a', '1', 5), expire, persist]), stateOf([hset('a', '1', 5), expire])];
  assert.deepEqual(
    elementDifferences(mine, theirs, NOW).map(({ versions, values }) => ({ versions, values })),
    [{ versions: [at(9, 2), at(8)], values: ['expires never', `expired at ${NOW - 5}`] }],
  );
});

test('what died by an expiry that is still on its way elsewhere is lag', () => {
  const effects: readonly Effect[] = [incr('1', 1), incr('1', 9)];
  const expire: Effect = { op: 'expire', key: 'k', expireAtMs: 5, version: at(3, 2) };
  const settled: Settled = { all: '', passage: (version) => (version === expire.version ? 'ahead' : 'passed') };
  const found = compareStates({ mine: stateOf(effects), theirs: stateOf([...effects, expire]), nowMs: NOW, settled });
  assert.deepEqual(
    found.map(({ values, passage }) => ({ values, passage })),
    [{ values: ['2', '1'], passage: 'ahead' }],
  );
});

test('what is on its way is lag, although the other side would take it for expired', () => {
  const expire: Effect = { op: 'expire', key: 'k', expireAtMs: 9, version: at(2) };
  const mine = stateOf([expire, incr('1', 3)]);
  const theirs = stateOf([expire, incr('1', 3), hset('a', 'x', 4)]);
  const found = compareStates({ mine, theirs, nowMs: NOW, settled: upTo(3) });
  assert.deepEqual(
    found.map(({ name, passage }) => ({ name, passage })),
    [{ name: 'a', passage: 'ahead' }],
  );
});

test('two types on one key are one difference without a name', () => {
  assert.deepEqual(names([set('x', 5)], [set('x', 5), hset('a', '1', 6)]), [
    { name: '', versions: [at(5), at(6)], values: ['x', 'hash of 1 element'] },
  ]);
});

test('a counter that one room has folded and the other has not is no difference', () => {
  const effects = [set('5', 1), incr('1', 2), incr('1', 3), incr('1', 4)];
  assert.deepEqual(elementDifferences(stateOf(effects), stateOf(effects, at(3)), NOW), []);
});

test('a lost increment passes although the counter never rests', () => {
  const mine = stateOf([set('5', 1), incr('1', 2), incr('1', 3), incr('1', 20), incr('1', 21)]);
  const theirs = stateOf([set('5', 1), incr('1', 3), incr('1', 20)], at(3));
  const found = compareStates({ mine, theirs, nowMs: NOW, settled: upTo(10) });
  assert.deepEqual(
    found.map(({ passage, values }) => ({ passage, values })),
    [{ passage: 'passed', values: ['7', '6'] }],
  );
  const later = compareStates({ mine, theirs: stateOf([set('5', 1), incr('1', 3)]), nowMs: NOW, settled: upTo(12) });
  assert.equal(later[0]?.print, found[0]?.print, 'the same difference while other increments come');
});

test('an increment that one room has not received yet is lag, however the counter was folded', () => {
  const mine = stateOf([set('5', 1), incr('1', 2), incr('1', 20)]);
  const theirs = stateOf([set('5', 1), incr('1', 2)], at(2));
  assert.deepEqual(
    compareStates({ mine, theirs, nowMs: NOW, settled: upTo(10) }).map(({ passage }) => passage),
    ['ahead'],
  );
  // Folded beyond what this room is known to have.
  const folded = stateOf([set('5', 1), incr('1', 2), incr('1', 20), incr('1', 21)], at(21));
  const [found] = compareStates({ mine: stateOf([set('5', 1), incr('1', 2)]), theirs: folded, nowMs: NOW, settled: upTo(10) });
  assert.equal(found?.passage, 'ahead');
});

test('a lost field passes in a hash whose other fields are written all the time, and keeps its print', () => {
  const mine = [hset('lost', '1', 5), hset('hot', '1', 20), hset('hotter', '1', 21)];
  const theirs = [hset('hot', '0', 19), hset('hotter', '1', 21)];
  const find = (more: readonly Effect[]) =>
    compareStates({ mine: stateOf([...mine, ...more]), theirs: stateOf(theirs), nowMs: NOW, settled: upTo(10) });
  const passed = find([]).filter(({ passage }) => passage === 'passed');
  assert.deepEqual(
    passed.map(({ name }) => name),
    ['lost'],
  );
  const again = find([hset('hot', '2', 22)]).filter(({ passage }) => passage === 'passed');
  assert.deepEqual(again, passed);
});

const entry = (member: string, ms: number, cap: number): Effect => ({ op: 'timeline', key: 'k', member, cap, version: at(ms) });

test('a member that newer ones have pushed out of a timeline is lag while the newer ones are', () => {
  const mine = [entry('a', 1, 2), entry('b', 2, 2)];
  const theirs = [...mine, entry('c', 20, 2)];
  const pair = { mine: stateOf(mine), theirs: stateOf(theirs), nowMs: NOW };
  assert.deepEqual(
    compareStates({ ...pair, settled: upTo(10) }).map(({ name, passage }) => [name, passage]),
    [
      ['a', 'ahead'],
      ['c', 'ahead'],
    ],
  );
  assert.ok(compareStates({ ...pair, settled: everythingSettled }).every(({ passage }) => passage === 'passed'));
});

test('a member lost from the middle of a timeline passes while newer ones come', () => {
  const mine = [entry('a', 1, 9), entry('b', 2, 9), entry('c', 20, 9)];
  const found = compareStates({
    mine: stateOf(mine),
    theirs: stateOf([entry('a', 1, 9), entry('d', 21, 9)]),
    nowMs: NOW,
    settled: upTo(10),
  });
  assert.deepEqual(
    found.filter(({ passage }) => passage === 'passed').map(({ name }) => name),
    ['b'],
  );
});

test('the same version with another value differs, and an entry without a version as well', () => {
  const mine = stateOf([set('x', 5)]);
  assert.ok(mine !== undefined);
  const changed = { ...mine, registers: [{ name: '', version: at(5), value: 'y' }] };
  assert.deepEqual(elementDifferences(mine, changed, NOW), [{ name: '', versions: [at(5), at(5)], values: ['x', 'y'] }]);
  const bare = { ...mine, kill: '', registers: [{ name: '', version: '', value: 'x' }] };
  const found = compareStates({ mine, theirs: bare, nowMs: NOW, settled: upTo(10) });
  assert.deepEqual(
    found.map(({ versions, passage }) => ({ versions, passage })),
    [{ versions: [at(5), ''], passage: 'passed' }],
  );
});
