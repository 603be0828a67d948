/** What was done to the caches behind WMB's back, remembered as it was made: the truth that drifts are held against. */
import type { KeyCell } from '../core/converge/cell.ts';
import { emptyHead } from '../core/converge/cell.ts';
import type { Effect } from '../core/converge/effects.ts';
import { formatStamp, versionOf, writerId } from '../core/stamp.ts';
import type { RoomId } from '../core/words.ts';
import type { CacheStore } from '../store/cache.ts';
import type { Random } from './random.ts';
import type { Room } from './room.ts';

export class Made {
  readonly #keys = new Map<string, Set<RoomId>>();

  add(room: RoomId, key: string): void {
    const rooms = this.#keys.get(key);
    if (rooms === undefined) this.#keys.set(key, new Set([room]));
    else rooms.add(room);
  }

  has(room: RoomId, key: string): boolean {
    return this.#keys.get(key)?.has(room) === true;
  }

  /**
   * A key is harmed in one room only: what two of them show wrong alike, or each in its own way, nobody could tell from what is right.
   */
  mayHarm(room: RoomId, key: string): boolean {
    const rooms = this.#keys.get(key);
    return rooms === undefined || rooms.has(room);
  }

  /** In which of these rooms something was done to the key. */
  rooms(key: string, among: readonly RoomId[]): readonly RoomId[] {
    return among.filter((room) => this.has(room, key));
  }

  get keys(): readonly string[] {
    return [...this.#keys.keys()];
  }
}

export interface HarmHost {
  readonly random: Random;
  readonly made: Made;
  readonly clock: { readonly ms: number };
  tell(line: string): void;
}

/**
 * Changes something in the cache of a room as somebody would who has no business there. Under traffic nothing is taken away: of what is written all the time there may be no
 * evidence, and then what was deleted directly looks as if a write request had deleted it; and a version given before the log began could be anybody's.
 */
export async function harm(world: HarmHost, room: Room, isQuiet: boolean): Promise<void> {
  const { random } = world;
  const { memory } = room.disks.cache;
  const keys: string[] = [];
  for await (const { key } of memory.scan({ prefix: '', nowMs: world.clock.ms })) if (world.made.mayHarm(room.id, key)) keys.push(key);
  const key = keys.length === 0 ? undefined : random.pick(keys);
  const cell = key === undefined ? undefined : memory.cell(key);
  const how = random.pick(isQuiet ? (['delete', 'change', 'remove', 'make'] as const) : (['change'] as const));
  if (how === 'make' || key === undefined || cell === undefined) return makeKey(world, room);
  const done = how === 'delete' ? deleteKey(cell) : how === 'change' ? changeElement(cell, random) : removeElement(cell, random);
  if (!done) return;
  world.tell(`somebody harms ${key} in ${room.id}: ${how}`);
  world.made.add(room.id, key);
}

function deleteKey(cell: KeyCell): boolean {
  cell.dropUpTo('ffff');
  Object.assign(cell.head, emptyHead());
  return true;
}

function changeElement(cell: KeyCell, random: Random): boolean {
  const shown = [...cell.registers()].filter(([, { value }]) => value !== null);
  if (shown.length === 0) return false;
  const [name, { version, value }] = random.pick(shown);
  cell.setRegister(name, { version, value: value === '7' ? '8' : '7' });
  return true;
}

function removeElement(cell: KeyCell, random: Random): boolean {
  const names = [...cell.registers()].map(([name]) => name);
  if (names.length === 0) return false;
  cell.dropRegister(random.pick(names));
  return true;
}

/** A key that no write request made, with a version as one would have given. */
async function makeKey(world: HarmHost, room: Room): Promise<void> {
  const { memory } = room.disks.cache;
  const key = `made${world.random.int(1, 1_000)}`;
  const version = versionOf(formatStamp({ ms: Math.floor(world.clock.ms), counter: 0, writer: writerId(1, 9) }), 0);
  const effect: Effect = { op: 'set', key, value: 'x', expireAtMs: 0, version };
  const { generation } = await memory.marks();
  await memory.apply({ moves: [], writes: [[effect]], floor: '', nowMs: world.clock.ms, generation });
  world.tell(`somebody makes ${key} in ${room.id}`);
  world.made.add(room.id, key);
}

export interface SwallowHost extends HarmHost {
  readonly rough: boolean;
  readonly plan: { readonly checked: boolean; readonly swallowChance: number };
}

/** A cache that says of a write request now and then that it has it, and has not. */
export function swallowing(world: SwallowHost, room: Room, cache: CacheStore): CacheStore {
  const { random, plan } = world;
  if (!plan.checked || plan.swallowChance === 0) return cache;
  const keep = (effects: readonly Effect[]): readonly Effect[] => {
    if (!world.rough || effects.length === 0 || !random.chance(plan.swallowChance)) return effects;
    if (!effects.every(({ key }) => world.made.mayHarm(room.id, key))) return effects;
    for (const { key, version } of effects) {
      world.tell(`the cache of ${room.id} swallows ${version} of ${key}`);
      world.made.add(room.id, key);
    }
    return [];
  };
  return new Proxy<CacheStore>(cache, {
    get(_, name) {
      if (name === 'apply') return (batch: Parameters<CacheStore['apply']>[0]) => cache.apply({ ...batch, writes: batch.writes.map(keep) });
      const found: unknown = Reflect.get(cache, name, cache);
      return typeof found === 'function' ? found.bind(cache) : found;
    },
  });
}
