/**
 * The rules of convergence: what one effect does to one key. The result depends on the set of effects applied, never on their order or
 * number:
 *
 * - an effect is void where a `del` or `set` with a version at or above its own exists, or an effect of another type with a greater one;
 * - a register effect is void where its element has one with a greater version;
 * - what is left makes the value (visible.ts).
 *
 * `settled` is the greatest version that the floor covers. An effect at or below it never changes anything: it is there already, or
 * something newer is, or it is `late`, because what would tell (a tombstone, an increment) may have been forgotten.
 */
import type { Stamp, Version } from '../stamp.ts';
import { versionAt } from '../stamp.ts';
import type { EffectResult, KeyCell, Register } from './cell.ts';
import type { Effect, KeyType } from './effects.ts';
import { settleExpiries } from './expiry.ts';
import { raiseKill } from './kill.ts';
import { addMember } from './timeline.ts';

/** The greatest version covered by the floor; the floor never counts beyond the room's own clock, which may say parts of a millisecond. '' for no floor. */
export function settledUpTo(floor: Stamp, nowMs: number): Version {
  if (floor === '') return '';
  const now = versionAt(Math.floor(nowMs)).slice(0, floor.length);
  return `${floor < now ? floor : now}ffff`;
}

const TYPE_OF = {
  set: 'string',
  incr: 'string',
  hset: 'hash',
  hdel: 'hash',
  hincr: 'hash',
  sadd: 'set',
  srem: 'set',
  zadd: 'zset',
  zrem: 'zset',
  zincr: 'zset',
  timeline: 'timeline',
  del: undefined,
  expire: undefined,
} as const satisfies Record<Effect['op'], KeyType | undefined>;

export function applyEffect(cell: KeyCell, effect: Effect, settled: Version): EffectResult {
  const { kill } = cell.head;
  if (effect.version <= kill) return belowKill(cell, effect, settled);
  if (effect.op === 'del') return applyDelete(cell, effect.version, settled);
  if (effect.op === 'expire') return applyExpire(cell, effect, settled);
  const type = TYPE_OF[effect.op];
  if (cell.head.type !== type && cell.head.type !== 'none') {
    const clash = applyClash(cell, effect.version, settled);
    if (clash !== undefined) return clash;
  }
  if (cell.head.type === type) return applyTyped(cell, effect, settled);
  cell.head.type = type;
  const result = applyTyped(cell, effect, settled);
  if (result === 'applied') cell.headChanged();
  else cell.head.type = 'none';
  return result;
}

function belowKill(cell: KeyCell, effect: Effect, settled: Version): EffectResult {
  const { head } = cell;
  if (effect.version < head.kill) return 'superseded';
  const isSet = cell.head.type === 'string' && cell.register('')?.version === head.kill;
  if (effect.op === 'set') return isSet ? 'duplicate' : 'superseded';
  if (effect.op !== 'del') return 'superseded';
  // Two effects with one version cannot come from a pure processor; where they do, the delete wins in every room.
  if (!isSet) return 'duplicate';
  if (effect.version <= settled) return 'late';
  raiseKill(cell, effect.version);
  return 'applied';
}

function applyDelete(cell: KeyCell, version: Version, settled: Version): EffectResult {
  if (version <= settled) return 'late';
  raiseKill(cell, version);
  return 'applied';
}

function applyExpire(cell: KeyCell, effect: Extract<Effect, { op: 'expire' }>, settled: Version): EffectResult {
  const { version } = effect;
  const expiries = cell.expiries();
  const last = expiries.at(-1)?.version ?? '';
  if (last === version || expiries.some((expiry) => expiry.version === version)) return 'duplicate';
  if (version <= settled) return last > version ? 'superseded' : 'late';
  cell.addExpiry({ version, atMs: effect.expireAtMs });
  // A key whose expiry is renewed again and again would otherwise keep all of them.
  settleExpiries(cell, settled);
  return last > version ? 'superseded' : 'applied';
}

/** The key has another type than the effect. Undefined: the effect has won and the key is empty. */
function applyClash(cell: KeyCell, version: Version, settled: Version): EffectResult | undefined {
  const top = cell.top();
  if (version <= settled) return top > version ? 'superseded' : 'late';
  if (version > top) {
    // Settling may have forgotten everything of the old type; then nothing is left to kill.
    if (top > cell.head.kill) raiseKill(cell, top);
    else clearType(cell);
    return undefined;
  }
  raiseKill(cell, version);
  return 'superseded';
}

function clearType(cell: KeyCell): void {
  // The register of a `set` has the version `kill` itself.
  cell.dropUpTo(cell.head.kill);
  cell.head.expireAtMs = 0;
  cell.head.type = 'none';
  cell.headChanged();
}

type Typed = Exclude<Effect, { op: 'del' } | { op: 'expire' }>;

function applyTyped(cell: KeyCell, effect: Typed, settled: Version): EffectResult {
  const { version } = effect;
  switch (effect.op) {
    case 'set':
      return applySet(cell, effect, settled);
    case 'hset':
      return applyRegister(cell, effect.field, { version, value: effect.value }, settled);
    case 'hdel':
      return applyRegister(cell, effect.field, { version, value: null }, settled);
    case 'sadd':
      return applyRegister(cell, effect.member, { version, value: '' }, settled);
    case 'zadd':
      return applyRegister(cell, effect.member, { version, value: effect.score }, settled);
    case 'srem':
    case 'zrem':
      return applyRegister(cell, effect.member, { version, value: null }, settled);
    case 'incr':
      return applyIncrement(cell, '', version, effect.delta, settled);
    case 'hincr':
      return applyIncrement(cell, effect.field, version, effect.delta, settled);
    case 'zincr':
      return applyIncrement(cell, effect.member, version, effect.delta, settled);
    case 'timeline':
      return addMember(cell, effect, settled);
  }
}

function applySet(cell: KeyCell, effect: Extract<Effect, { op: 'set' }>, settled: Version): EffectResult {
  const { version } = effect;
  const stored = cell.register('');
  // The register is above `kill` only where increments were settled into it.
  if (stored !== undefined && stored.version >= version) return 'superseded';
  if (version <= settled) return 'late';
  raiseKill(cell, version);
  cell.head.type = 'string';
  cell.setRegister('', { version, value: effect.value });
  cell.head.expireAtMs = effect.expireAtMs;
  return 'applied';
}

function applyRegister(cell: KeyCell, name: string, register: Register, settled: Version): EffectResult {
  const stored = cell.register(name);
  if (stored !== undefined && stored.version >= register.version) {
    if (stored.version > register.version) return 'superseded';
    // As in belowKill: at equal versions the removal wins.
    if (register.value !== null || stored.value === null) return 'duplicate';
  }
  if (register.version <= settled) return 'late';
  cell.setRegister(name, register);
  cell.dropIncrements(name, register.version);
  return 'applied';
}

function applyIncrement(cell: KeyCell, name: string, version: Version, delta: string | number, settled: Version): EffectResult {
  const stored = cell.register(name)?.version ?? '';
  // Settled increments have become the register, with the version of the last of them.
  if (stored >= version) return stored === version ? 'duplicate' : 'superseded';
  if (cell.hasIncrement(name, version)) return 'duplicate';
  if (version <= settled) return 'late';
  cell.addIncrement(name, { version, delta });
  return 'applied';
}
