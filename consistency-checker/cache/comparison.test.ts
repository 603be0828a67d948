import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketOf } from '../../core/converge/bucket.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { formatStamp, versionOf, writerId } from '../../core/stamp.ts';
import { KeyComparison, type KeyRound } from './comparison.ts';
import { Chance } from './random-kit.ts';
import { type Draft, type SimRoom, TOPOLOGY, World } from './world-kit.ts';

const GRACE_MS = 2_000;

class Pair {
  readonly chance: Chance;
  readonly world: World;
  readonly mine: SimRoom;
  readonly theirs: SimRoom;
  readonly comparison: KeyComparison;
  readonly confirmed = new Map<string, number>();
  last: KeyRound | undefined;
  rounds = 0;

  constructor(seed = 1) {
    this.chance = new Chance(seed);
    this.world = new World(this.chance);
    [this.mine, this.theirs] = this.world.rooms;
    const views = { mine: this.world.view(this.mine), theirs: this.world.view(this.theirs) };
    this.comparison = new KeyComparison({ ...views, topology: TOPOLOGY, graceMs: GRACE_MS, runtime: this.mine.clock });
  }

  async round(): Promise<KeyRound> {
    const round = await this.mine.clock.until(this.comparison.round());
    this.rounds += 1;
    this.last = round;
    for (const { key } of round.confirmed) this.confirmed.set(key, (this.confirmed.get(key) ?? 0) + 1);
    return round;
  }

  /** Both trees whole, everything delivered. */
  async ready(): Promise<this> {
    await this.world.pump();
    this.world.start();
    await this.world.time.advance(3_000);
    assert.deepEqual(
      this.world.rooms.map(({ keeper }) => keeper.built),
      [1, 1],
    );
    return this;
  }

  /** Rounds on quiet rooms whose lanes move on. */
  async rest(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      await this.world.pump();
      await this.world.time.advance(1_000);
      await this.round();
    }
  }

  differs(key: string) {
    return this.mine.clock.until(this.comparison.differs(key));
  }
}

const set = (key: string, value: string, expireAtMs = 0): Draft => ({ op: 'set', key, value, expireAtMs });
const hset = (key: string, field: string, value: string): Draft => ({ op: 'hset', key, field, value });

/** Without the collector's knowing. */
function wipe(room: SimRoom, key: string): void {
  const cell = room.cache.cell(key);
  assert.ok(cell !== undefined, key);
  cell.dropUpTo('ffff');
  Object.assign(cell.head, { type: 'none', kill: '', expireAtMs: 0, caps: [], members: 0 });
}

function change(room: SimRoom, key: string, name: string, value: string): void {
  const register = room.cache.cell(key)?.register(name);
  assert.ok(register !== undefined, key);
  room.cache.cell(key)?.setRegister(name, { version: register.version, value });
}

async function filled(keys: number, seed = 1): Promise<Pair> {
  const pair = new Pair(seed);
  for (let key = 0; key < keys; key += 1) pair.mine.origin.submit([set(`k${key}`, `value ${key}`)]);
  return pair.ready();
}

test('a clean round between idle rooms is less than 256 bytes, however many keys they have', async () => {
  for (const keys of [0, 10, 3_000]) {
    const pair = await filled(keys);
    const round = await pair.round();
    assert.ok(round.bytes >= 128 && round.bytes < 256, `${round.bytes} bytes`);
    assert.deepEqual([round.suspects, round.complete, round.overflowed, round.confirmed], [0, true, false, []]);
  }
});

test('keys deleted, changed and created in one room are confirmed after the grace period, in either direction, once', async () => {
  for (const wrong of ['mine', 'theirs'] as const) {
    const pair = await filled(500);
    wipe(pair[wrong], 'k1');
    change(pair[wrong], 'k2', '', 'changed');
    const made = versionOf(formatStamp({ ms: 1_600_000_000_000, counter: 0, writer: writerId(1, 77) }), 0);
    await pair[wrong].apply([[{ op: 'set', key: 'created', value: 'x', expireAtMs: 0, version: made }]]);
    // Only the sweep can find the first two.
    await pair.rest(45);
    assert.deepEqual([...pair.confirmed].sort(), [
      ['created', 1],
      ['k1', 1],
      ['k2', 1],
    ]);
    assert.ok(pair[wrong].keeper.changedBehindMs('k1') > 0);
    // They differ still, and are not looked at again and again.
    assert.equal(pair.last?.suspects, 0);
  }
});

test('a difference that goes away within the grace period is never confirmed', async () => {
  const pair = await filled(100);
  for (let time = 0; time < 5; time += 1) {
    pair.theirs.loses = () => true;
    pair.mine.origin.submit([hset('h', `f${time}`, 'x')]);
    await pair.rest(2);
    assert.deepEqual(pair.comparison.suspectKeys(), ['h']);
    pair.theirs.loses = () => false;
    await pair.theirs.apply([pair.mine.origin.logs.flat().at(-1)?.effects ?? []]);
    for (const { effects } of pair.mine.origin.logs.flat()) if (effects[0]?.key === 'h') await pair.theirs.apply([effects]);
    await pair.rest(2);
    assert.deepEqual(pair.comparison.suspectKeys(), []);
  }
  assert.equal(pair.confirmed.size, 0);
});

test('an element that differs for less than the grace period is not confirmed in a key that has been suspect for long', async () => {
  const pair = await filled(5);
  for (const [name, lane] of pair.theirs.lanes) if (name.startsWith('beijing')) lane.cutUntilMs = pair.mine.clock.monotonicMs() + 60_000;
  pair.mine.origin.submit([hset('h', 'on its way', 'x')]);
  await pair.rest(10);
  assert.deepEqual(pair.comparison.suspectKeys(), ['h']);
  pair.mine.loses = () => true;
  pair.theirs.origin.submit([hset('h', 'lost for a second', 'x')]);
  await pair.world.pump();
  await pair.world.time.advance(500);
  for (let time = 0; time < 2; time += 1) {
    await pair.round();
    await pair.world.time.advance(500);
  }
  await pair.mine.apply([pair.theirs.origin.logs.flat().at(-1)?.effects ?? []]);
  pair.mine.loses = () => false;
  await pair.rest(10);
  assert.equal(pair.confirmed.size, 0);
});

test('a drifted key costs about a kilobyte until it is confirmed, beside the entries of its bucket', async () => {
  const pair = await filled(2_000);
  pair.theirs.loses = () => true;
  pair.mine.origin.submit([set('k7', 'lost')]);
  let bytes = 0;
  for (let second = 0; second < 8; second += 1) {
    await pair.rest(1);
    if (pair.confirmed.size === 0) bytes += (pair.last?.bytes ?? 0) - 140;
  }
  assert.equal(pair.confirmed.get('k7'), 1);
  assert.ok(bytes < 4_096, `${bytes} bytes in three rounds`);
});

test('a lost field is confirmed in a hash, and a lost increment in a counter, that never rest', async () => {
  const pair = await filled(50);
  const seen = new Map<string, readonly string[]>();
  const lost = (effect: Effect) => ('field' in effect && effect.field === 'lost') || ('delta' in effect && effect.delta === '7');
  pair.theirs.loses = lost;
  pair.mine.origin.submit([hset('hot', 'lost', 'x')]);
  pair.theirs.origin.submit([{ op: 'incr', key: 'count', delta: '7' }]);
  for (let turn = 0; turn < 300; turn += 1) {
    const room = pair.chance.of(pair.world.rooms);
    room.origin.submit([hset('hot', `f${pair.chance.below(5)}`, String(turn))]);
    room.origin.submit([{ op: 'incr', key: 'count', delta: '1' }]);
    room.origin.submit([hset('sound', 'f', String(turn))]);
    room.origin.submit([{ op: 'incr', key: 'sound count', delta: '1' }]);
    await pair.world.pump(true);
    if (turn % 5 === 0) await pair.world.settle();
    await pair.world.time.advance(50);
    if (turn % 6 === 0)
      for (const { key, elements } of (await pair.round()).confirmed)
        seen.set(
          key,
          elements.map(({ name }) => name),
        );
  }
  assert.deepEqual([...seen].sort(), [
    ['count', ['']],
    ['hot', ['lost']],
  ]);
});

test('nothing is confirmed while a lane is cut or a horizon cannot be had, and everything soon after', async () => {
  const pair = await filled(20);
  for (const lane of pair.theirs.lanes.values()) lane.cutUntilMs = pair.mine.clock.monotonicMs() + 60_000;
  for (let key = 0; key < 20; key += 1) pair.mine.origin.submit([set(`k${key}`, 'new')]);
  await pair.rest(55);
  assert.equal(pair.confirmed.size, 0);
  assert.equal(pair.last?.suspects, 20);
  await pair.rest(15);
  assert.deepEqual([pair.confirmed.size, pair.last?.suspects], [0, 0]);
  pair.theirs.loses = () => true;
  pair.mine.origin.submit([set('k3', 'lost')]);
  pair.theirs.forgetful = true;
  await pair.rest(20);
  assert.equal(pair.confirmed.size, 0);
  assert.ok((await pair.differs('k3')) !== undefined, 'what cannot be judged is not called equal');
  pair.theirs.forgetful = false;
  await pair.rest(3);
  assert.deepEqual([...pair.confirmed.keys()], ['k3']);
});

test('a room that falls silent makes the round fail, and what was confirmed before is told by the next one', async () => {
  const pair = await filled(50);
  pair.theirs.loses = () => true;
  for (let key = 0; key < 40; key += 1) pair.mine.origin.submit([set(`k${key}`, 'lost')]);
  await pair.rest(2);
  pair.world.silent = true;
  await assert.rejects(pair.round(), { code: 'PEER_UNREACHABLE' });
  await pair.world.time.advance(5_000);
  pair.world.silent = false;
  await pair.rest(3);
  assert.equal(pair.confirmed.size, 40);
});

test('a delete that is applied and forgotten between the readings of the two rooms makes no drift', async () => {
  const pair = await filled(20);
  const { mine, theirs, world } = pair;
  for (const lane of theirs.lanes.values()) lane.cutUntilMs = mine.clock.monotonicMs() + 6_000;
  mine.origin.submit([set('k', 'x')]);
  await pair.rest(5);
  assert.deepEqual(pair.comparison.suspectKeys(), ['k']);
  let steps = 0;
  theirs.before = async (question) => {
    // First it arrives, so that both rooms have it when they say how far they are.
    if (question === 'horizon' && steps === 0) for (const lane of theirs.lanes.values()) lane.cutUntilMs = 0;
    if (question === 'states' && steps === 1) mine.origin.submit([{ op: 'del', key: 'k' }]);
    // The other room is read meanwhile.
    if (question === 'states') await mine.clock.wait(1);
    await world.pump();
    if (question === 'states' && steps === 1) for (let time = 0; time < 20; time += 1) await world.settle();
    steps += 1;
  };
  await world.time.advance(1_000);
  await pair.round();
  assert.ok(steps > 2, 'the suspect was looked at');
  assert.equal(theirs.cache.cell('k'), undefined, 'and forgotten');
  assert.equal(pair.confirmed.size, 0);
});

test('differs reads both rooms now: lag and near expiry are none, and a repaired key is none', async () => {
  const pair = await filled(20);
  assert.equal(await pair.differs('k1'), undefined);
  pair.mine.origin.submit([set('k1', 'on its way')]);
  for (const origin of ['beijing/0', 'beijing/1'])
    (pair.theirs.lanes.get(origin) ?? { cutUntilMs: 0 }).cutUntilMs = pair.mine.clock.monotonicMs() + 5_000;
  await pair.world.pump();
  assert.equal(await pair.differs('k1'), undefined);
  change(pair.theirs, 'k2', '', 'changed');
  const found = await pair.differs('k2');
  assert.deepEqual(
    found?.elements.map(({ name, values }) => ({ name, values })),
    [{ name: '', values: ['value 2', 'changed'] }],
  );
  for (const [key, ms] of [
    ['soon', 4_000],
    ['later', 60_000],
  ] as const) {
    pair.theirs.origin.submit([set(key, 'x', pair.theirs.clock.nowMs() + ms)]);
    await pair.world.pump();
    wipe(pair.theirs, key);
  }
  assert.equal(await pair.differs('soon'), undefined);
  assert.ok((await pair.differs('later')) !== undefined);
  change(pair.theirs, 'k2', '', 'value 2');
  assert.equal(await pair.differs('k2'), undefined);
});

test('keys that differ because one room’s clock is three seconds ahead are no drift, whatever expires', async () => {
  const pair = await filled(0);
  pair.theirs.clock.skewMs = 3_000;
  for (let second = 0; second < 60; second += 1) {
    for (let key = 0; key < 10; key += 1) {
      const room = pair.chance.of(pair.world.rooms);
      room.origin.submit([set(`x${pair.chance.below(40)}`, String(second), room.clock.nowMs() + 500 + pair.chance.below(20_000))]);
    }
    await pair.rest(1);
    await pair.world.settle();
  }
  assert.equal(pair.confirmed.size, 0);
});

/** Keys of the first buckets only. */
function crowdedKeys(count: number): readonly string[] {
  const keys: string[] = [];
  for (let number = 0; keys.length < count; number += 1) if (bucketOf(`c${number}`) < 256) keys.push(`c${number}`);
  return keys;
}

test('a cache that was emptied is confirmed key by key within bounds, and it is said that there are more', async () => {
  const pair = new Pair();
  const keys = crowdedKeys(7_000);
  for (const key of keys) pair.mine.origin.submit([set(key, 'x')]);
  await pair.ready();
  for (const key of keys) wipe(pair.theirs, key);
  let overflows = 0;
  for (let second = 0; second < 120 && pair.confirmed.size < keys.length; second += 1) {
    await pair.rest(1);
    assert.ok(pair.comparison.suspectKeys().length <= 10_000);
    assert.ok((pair.last?.confirmed.length ?? 0) <= 512);
    if (pair.last?.overflowed) {
      overflows += 1;
      assert.equal(pair.last.complete, false);
    }
  }
  assert.ok(overflows > 0, `${overflows}`);
  assert.equal(pair.confirmed.size, keys.length);
});

test('leaves that differ for good keep no other from its turn', async () => {
  const pair = await filled(3_000);
  for (let key = 0; key < 3_000; key += 2) wipe(pair.theirs, `k${key}`);
  await pair.rest(100);
  assert.equal(pair.confirmed.size, 1_500);
  pair.theirs.loses = () => true;
  pair.mine.origin.submit([set('k1', 'lost')]);
  await pair.rest(50);
  assert.equal(pair.confirmed.get('k1'), 1);
});

test('a peer whose tree is still being built is compared leaf by leaf, and the round is not complete', async () => {
  const pair = await filled(300);
  wipe(pair.theirs, 'k5');
  pair.theirs.clock.turn = () => pair.theirs.clock.wait(40);
  pair.theirs.restartKeeper();
  await pair.world.time.advance(10);
  const round = await pair.round();
  assert.ok(pair.theirs.keeper.built < 1);
  assert.equal(round.complete, false);
  await pair.rest(30);
  assert.deepEqual([...pair.confirmed.keys()], ['k5']);
});
