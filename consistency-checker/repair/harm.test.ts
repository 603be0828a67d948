/**
 * Any history, and one room that is harmed behind WMB's back: the report never names the other one, and after the repair both rooms have what was written.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { versionAt, versionOf } from '../../core/stamp.ts';
import { MemoryCache } from '../../store/memory/cache.ts';
import { Chance } from '../cache/random-kit.ts';
import { type TestRoom, type TestWrite, World } from '../rooms-kit.ts';
import { run } from './repairer-kit.ts';

const CASES = 1_000;
const ROOMS = ['beijing', 'guangzhou'] as const;
const KEYS = ['a', 'b', 'c'] as const;
const TURNS_MAX = 8;

type Words = (chance: Chance, key: string) => readonly (string | number)[];
const name = (chance: Chance) => chance.of(['f', 'g', 'h']);
const COMMANDS: readonly Words[] = [
  (chance, key) => ['SET', key, chance.below(100)],
  (chance, key) => ['SET', key, chance.below(100), 'PX', 500 + chance.below(20_000)],
  (_, key) => ['DEL', key],
  (chance, key) => ['PEXPIRE', key, 200 + chance.below(20_000)],
  (_, key) => ['PERSIST', key],
  (chance, key) => ['HSET', key, name(chance), chance.below(100)],
  (chance, key) => ['HSET', key, name(chance), chance.below(100)],
  (chance, key) => ['HDEL', key, name(chance)],
  (chance, key) => ['HINCRBY', key, `n${chance.below(2)}`, 1 + chance.below(5)],
  (chance, key) => ['SADD', key, name(chance)],
  (chance, key) => ['SREM', key, name(chance)],
  (chance, key) => ['ZADD', key, chance.below(9), name(chance)],
  (chance, key) => ['ZREM', key, name(chance)],
  (chance, key) => ['INCRBY', key, 1 + chance.below(5)],
];
/** Most histories keep to few types: with all of them, clashes leave little to harm. */
const MENUS: readonly (readonly Words[])[] = [
  COMMANDS,
  COMMANDS.slice(0, 5),
  COMMANDS.slice(2, 9),
  [...COMMANDS.slice(2, 5), ...COMMANDS.slice(9, 11)],
  [...COMMANDS.slice(2, 5), ...COMMANDS.slice(11, 13)],
  [...COMMANDS.slice(0, 5), ...COMMANDS.slice(13)],
];

async function history(world: World, oracle: MemoryCache, chance: Chance): Promise<void> {
  const menus = new Map(KEYS.map((key) => [key, chance.of(MENUS)]));
  for (let step = 0; step < 4 + chance.below(16); step += 1) {
    const origin = chance.of(ROOMS);
    const key = chance.of(KEYS);
    const writes = Array.from(
      { length: 1 + chance.below(2) },
      (_, at): TestWrite => ({
        id: `w${step}.${at}`,
        commands: [chance.of(menus.get(key) ?? COMMANDS)(chance, key)],
      }),
    );
    const found = await world.write(origin, writes);
    const nowMs = world.runtime.nowMs();
    for (const { write } of found)
      await oracle.apply({ generation: 0, moves: [], writes: [world.room(origin).derive(write).effects ?? []], floor: '', nowMs });
    if (chance.is(0.2)) await world.pass(chance.below(1_500));
    if (chance.is(0.2)) await world.room(chance.of(ROOMS)).settle();
  }
}

/** What was done; undefined: there was nothing to do it to. */
async function harm(world: World, room: TestRoom, chance: Chance): Promise<string | undefined> {
  const key = chance.of(KEYS);
  const cell = room.cache.cell(key);
  const names = [...(cell?.registers() ?? [])].filter(([, { value }]) => value !== null).map(([each]) => each);
  const how = chance.of(['wipe', 'remove', 'change', 'version', 'make', 'expiry'] as const);
  const forged = versionOf(room.stamp(), 0);
  switch (how) {
    case 'wipe':
      room.wipe(key);
      break;
    case 'expiry':
      if (cell === undefined) return undefined;
      cell.dropExpiries('g');
      cell.head.expireAtMs = 0;
      cell.headChanged();
      break;
    case 'make':
      if (names.length > 0 && cell?.head.type === 'hash')
        await room.tamper({ op: 'hset', key, field: 'evil', value: 'x', version: forged });
      else await room.tamper({ op: 'set', key, value: 'evil', expireAtMs: 0, version: forged });
      break;
    default: {
      if (names.length === 0) return undefined;
      const element = chance.of(names);
      const known = cell?.register(element);
      if (how === 'remove') cell?.dropRegister(element);
      else if (how === 'change') room.overwrite(key, element, cell?.head.type === 'zset' ? 77 : 'evil');
      else
        room.overwrite(
          key,
          element,
          known?.value ?? null,
          chance.is(0.5) ? forged : versionOf(versionAt(world.runtime.nowMs() - 40_000).slice(0, 24), 0),
        );
    }
  }
  return `${how} ${key} in ${room.id}`;
}

async function shown(cache: MemoryCache, key: string, nowMs: number): Promise<unknown> {
  const entry = await cache.get(key, nowMs);
  return entry && { value: entry.value, expireAtMs: entry.expireAtMs };
}

function isExpiring(world: World): boolean {
  const nowMs = world.runtime.nowMs();
  for (const { cache } of world.rooms.values()) {
    for (const key of KEYS) {
      const cell = cache.cell(key);
      const moments = [cell?.head.expireAtMs ?? 0, ...(cell?.expiries() ?? []).map(({ atMs }) => atMs)];
      if (moments.some((atMs) => atMs > nowMs && atMs <= nowMs + 6_000)) return true;
    }
  }
  return false;
}

async function scenario(seed: number): Promise<number> {
  const chance = new Chance(seed);
  const world = new World();
  const oracle = new MemoryCache();
  await history(world, oracle, chance);
  const room = world.room(chance.of(ROOMS));
  const right = ROOMS.find((id) => id !== room.id) ?? '';
  const done = await harm(world, room, chance);
  if (done === undefined) return 0;
  const told = (text: string) => `seed ${seed}: ${done}; ${text}`;
  await world.pass(100 + chance.below(3_000));
  if (chance.is(0.5)) for (const each of world.rooms.values()) await each.settle();
  // Until five seconds before an expiry nothing is a drift: it is each room's own.
  for (let wait = 0; wait < 12 && isExpiring(world); wait += 1) await world.pass(2_000);
  let drifts = 0;
  for (const key of KEYS) {
    for (let turn = 0; ; turn += 1) {
      const checker = world.checker(room.id, right);
      const drift = await checker.key(key);
      if (drift === undefined) break;
      drifts += 1;
      assert.ok(drift.wrong === '' || drift.wrong === room.id, told(`${drift.wrong} is named: ${drift.why}`));
      assert.ok(turn < TURNS_MAX, told(`it still differs: ${drift.why}`));
      const mirrored = await world.checker(right, room.id).key(key);
      assert.equal(mirrored?.wrong, drift.wrong, told('the two checkers do not agree'));
      const steps = await run(checker, { from: drift.wrong === '' ? right : '' });
      assert.ok(
        steps.every(({ result }) => result === 'repaired' || result === 'unchanged'),
        told(`${steps.map((step) => `${step.result}: ${step.detail}`).join()}; ${drift.why}`),
      );
    }
    const nowMs = world.runtime.nowMs();
    for (const each of world.rooms.values())
      assert.deepEqual(await shown(each.cache, key, nowMs), await shown(oracle, key, nowMs), told(`${key} in ${each.id}`));
  }
  return drifts;
}

describe('one room was harmed', () => {
  test('the other one is never named, and the repair brings back what was written', async () => {
    let drifts = 0;
    for (let seed = 1; seed <= CASES; seed += 1) drifts += await scenario(seed);
    assert.ok(drifts > CASES / 4, `${drifts} drifts`);
  });
});
