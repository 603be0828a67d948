/**
 * Effects that, in any order, make a key what it is: a state told in the language of the rules. What was folded or forgotten stays so; a state that was
 * damaged gives what its type allows.
 */
import type { Effect, KeyType } from './effects.ts';
import type { IncrementState, KeyState, RegisterState } from './state.ts';

export function effectsOf(state: KeyState): readonly Effect[] {
  const { key, type } = state;
  const effects: Effect[] = state.expiries.map(({ version, atMs }) => ({ op: 'expire', key, version, expireAtMs: atMs }));
  if (type === 'string') effects.push(...stringEffects(state));
  else if (state.kill !== '') effects.push({ op: 'del', key, version: state.kill });
  if (type === 'none' || type === 'string') return effects;
  if (type === 'timeline') return [...effects, ...timelineEffects(state)];
  for (const register of state.registers) effects.push(registerEffect(key, type, register));
  for (const increment of state.increments) effects.push(incrementEffect(key, type, increment));
  return effects;
}

/** A `set` has the version `kill` and brings the expiry of the head; a register above it is the sum of settled increments on top of it. */
function stringEffects({ key, kill, expireAtMs, registers, increments }: KeyState): Effect[] {
  const effects: Effect[] = increments.map(({ version, delta }) => ({ op: 'incr', key, version, delta: String(delta) }));
  const register = registers[0];
  const value = String(register?.value);
  const isSum = register !== undefined && register.version !== kill && /^-?\d+$/.test(value);
  if (isSum) effects.push({ op: 'incr', key, version: register.version, delta: value });
  if (register !== undefined && !isSum) effects.push({ op: 'set', key, version: register.version, value, expireAtMs });
  else if (kill !== '' && expireAtMs !== 0) effects.push({ op: 'set', key, version: kill, value: '', expireAtMs });
  else if (kill !== '') effects.push({ op: 'del', key, version: kill });
  return effects;
}

/** A cap whose own member has been added again since, or is hidden, comes with an older adding of the newest member, which changes nothing else. */
function timelineEffects({ key, registers, caps }: KeyState): Effect[] {
  const effects: Effect[] = [];
  let newest: RegisterState | undefined;
  for (const register of registers) {
    const { name: member, version } = register;
    const cap = caps.find((it) => it.version >= version)?.cap ?? Number.MAX_SAFE_INTEGER;
    effects.push({ op: 'timeline', key, version, member, cap });
    if (newest === undefined || version > newest.version) newest = register;
  }
  const added = new Set(registers.map(({ version }) => version));
  for (const { version, cap } of caps) {
    if (newest !== undefined && !added.has(version)) effects.push({ op: 'timeline', key, version, member: newest.name, cap });
  }
  return effects;
}

type Collection = Exclude<KeyType, 'string' | 'timeline'>;

function registerEffect(key: string, type: Collection, { name, version, value }: RegisterState): Effect {
  switch (type) {
    case 'hash':
      return value === null ? { op: 'hdel', key, version, field: name } : { op: 'hset', key, version, field: name, value: String(value) };
    case 'set':
      return { op: value === null ? 'srem' : 'sadd', key, version, member: name };
    case 'zset':
      return value === null ? { op: 'zrem', key, version, member: name } : { op: 'zadd', key, version, member: name, score: Number(value) };
  }
}

function incrementEffect(key: string, type: Collection, { name, version, delta }: IncrementState): Effect {
  if (type === 'zset') return { op: 'zincr', key, version, member: name, delta: Number(delta) };
  return { op: 'hincr', key, version, field: name, delta: String(delta) };
}
