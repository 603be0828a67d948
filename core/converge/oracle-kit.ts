/**
 * What a key must look like, computed the slow and obvious way: one room that gets every effect once, in version order, like a plain
 * single-room cache. It shares nothing with the rules but the types. Used by tests only.
 */
import { stampMs, type Version, versionAt } from '../stamp.ts';
import type { CacheEntry, CacheValue, Effect } from './effects.ts';

interface Element {
  value: string | number;
  version: Version;
}

interface World {
  type: string;
  typedLast: Version;
  elements: Map<string, Element>;
  caps: { version: Version; cap: number }[];
  ttl: { version: Version; atMs: number } | undefined;
}

const empty = (): World => ({ type: '', typedLast: '', elements: new Map(), caps: [], ttl: undefined });

export function oracle(key: string, effects: readonly Effect[], nowMs: number): CacheEntry | undefined {
  const distinct = new Map(effects.filter((effect) => effect.key === key).map((effect) => [effect.version, effect]));
  let world = empty();
  for (const effect of [...distinct.values()].sort((a, b) => (a.version < b.version ? -1 : 1))) {
    world = step(expire(world, effect.version, nowMs), effect);
  }
  return show(key, expire(world, versionAt(2 ** 48 - 1), nowMs));
}

/** Time passes up to `version`. Whoever looks at `nowMs` cannot have seen a death after it. */
function expire(world: World, version: Version, nowMs: number): World {
  const { ttl } = world;
  if (ttl === undefined || ttl.atMs === 0 || ttl.atMs > nowMs || versionAt(ttl.atMs) > version) return world;
  const born = [...world.elements].filter(([, element]) => element.version >= versionAt(ttl.atMs));
  return { ...empty(), type: born.length > 0 ? world.type : '', typedLast: world.typedLast, elements: new Map(born), caps: world.caps };
}

function step(world: World, effect: Effect): World {
  const { version } = effect;
  if (effect.op === 'del') return empty();
  if (effect.op === 'expire') return { ...world, ttl: { version, atMs: effect.expireAtMs } };
  if (effect.op === 'set') {
    const ttl = { version, atMs: effect.expireAtMs };
    return { ...empty(), type: 'string', typedLast: version, elements: new Map([['', { value: effect.value, version }]]), ttl };
  }
  const type = typeOf(effect.op);
  let next = world;
  if (world.type !== '' && world.type !== type) {
    next = { ...empty(), ttl: world.ttl !== undefined && world.ttl.version > world.typedLast ? world.ttl : undefined };
  }
  next.type = type;
  next.typedLast = version;
  change(next, effect);
  return next;
}

function typeOf(op: Effect['op']): string {
  if (op === 'incr') return 'string';
  if (op === 'timeline') return 'timeline';
  return op.startsWith('h') ? 'hash' : op.startsWith('z') ? 'zset' : 'set';
}

function change(world: World, effect: Exclude<Effect, { op: 'del' } | { op: 'expire' } | { op: 'set' }>): void {
  const { version } = effect;
  const { elements } = world;
  const add = (name: string, delta: string | number) => {
    const old = elements.get(name)?.value;
    const value =
      typeof delta === 'number'
        ? Number(old ?? 0) + delta
        : String((/^-?\d+$/.test(String(old)) ? BigInt(old as string) : 0n) + BigInt(delta));
    elements.set(name, { value, version });
  };
  switch (effect.op) {
    case 'hset':
      elements.set(effect.field, { value: effect.value, version });
      break;
    case 'hdel':
      elements.delete(effect.field);
      break;
    case 'sadd':
      elements.set(effect.member, { value: '', version });
      break;
    case 'zadd':
      elements.set(effect.member, { value: effect.score, version });
      break;
    case 'srem':
    case 'zrem':
      elements.delete(effect.member);
      break;
    case 'incr':
      add('', effect.delta);
      break;
    case 'hincr':
      add(effect.field, effect.delta);
      break;
    case 'zincr':
      add(effect.member, effect.delta);
      break;
    case 'timeline':
      elements.set(effect.member, { value: stampMs(version), version });
      world.caps.push({ version, cap: effect.cap });
  }
}

function show(key: string, world: World): CacheEntry | undefined {
  let elements = [...world.elements].map(([name, element]) => ({ name, ...element }));
  if (world.type === 'timeline') {
    elements = elements.filter((element) => {
      const newer = elements.filter((other) => other.version > element.version).length;
      return world.caps.every((cap) => cap.version < element.version || newer < cap.cap);
    });
  }
  if (elements.length === 0) return undefined;
  const ttl = world.ttl?.atMs ? world.ttl : undefined;
  const versions = [...elements.map((element) => element.version), ttl?.version ?? ''].sort();
  return { key, value: toValue(world.type, elements), expireAtMs: ttl?.atMs ?? 0, version: versions.at(-1) ?? '' };
}

function toValue(type: string, elements: { name: string; value: string | number }[]): CacheValue {
  const byName = elements.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  if (type === 'string') return { type, value: String(elements[0]?.value) };
  if (type === 'hash') return { type, fields: byName.map(({ name, value }) => [name, String(value)]) };
  if (type === 'set') return { type, members: byName.map(({ name }) => name) };
  return { type: 'zset', members: byName.map(({ name, value }) => [name, Number(value)] as const).sort((a, b) => a[1] - b[1]) };
}
