/** Cache commands of every kind, over hot keys and many keys. The keys of most commands keep their type; those of some change it. */
import type { WriteRequest } from '../../proto/gen/wmb/v1/writes.ts';
import type { Dice } from './dice.ts';

type Command = readonly (string | number)[];

const KEYS = 20_000;
const HOT_KEYS = 8;
const HOT_SHARE = 0.15;
const FIELDS = 12;
const COMMANDS_MAX = 3;
/** An expiry lies this far ahead: most keys go while the soak runs, some outlive it. */
const EXPIRY_MS = { min: 200, max: 20_000 } as const;
const LONG_EXPIRY_SECONDS = 100_000;
const TYPES = ['string', 'count', 'hash', 'set', 'zset', 'timeline', 'short', 'mixed'] as const;

type Type = (typeof TYPES)[number];

const MAKERS: readonly ((dice: Dice) => Command)[] = [
  (dice) => ['SET', keyOf(dice, 'string'), textOf(dice)],
  (dice) => ['MSET', keyOf(dice, 'string'), textOf(dice), keyOf(dice, 'mixed'), textOf(dice)],
  (dice) => ['INCR', keyOf(dice, 'count')],
  (dice) => ['DECRBY', keyOf(dice, 'count'), dice.below(9)],
  (dice) => (dice.chance(0.1) ? ['SET', keyOf(dice, 'count'), dice.below(1_000)] : ['INCRBY', keyOf(dice, 'count'), dice.below(9)]),
  (dice) => ['HSET', keyOf(dice, 'hash'), fieldOf(dice), textOf(dice), fieldOf(dice), textOf(dice)],
  (dice) => ['HDEL', keyOf(dice, 'hash'), fieldOf(dice)],
  (dice) => ['HINCRBY', keyOf(dice, 'hash'), `n${dice.below(3)}`, dice.below(9) - 4],
  (dice) => ['SADD', keyOf(dice, 'set'), fieldOf(dice), fieldOf(dice)],
  (dice) => ['SREM', keyOf(dice, 'set'), fieldOf(dice)],
  (dice) => ['ZADD', keyOf(dice, 'zset'), dice.below(1_000), fieldOf(dice)],
  (dice) => ['ZINCRBY', keyOf(dice, 'zset'), dice.below(9), fieldOf(dice)],
  (dice) => ['ZREM', keyOf(dice, 'zset'), fieldOf(dice)],
  (dice) => ['WMB.TIMELINE', keyOf(dice, 'timeline'), 10, `m${dice.below(1_000)}`],
  (dice) => ['SET', keyOf(dice, 'short'), textOf(dice), 'PX', expiryMs(dice)],
  (dice) => ['PEXPIRE', anyKey(dice), expiryMs(dice)],
  (dice) => ['EXPIRE', keyOf(dice, 'short'), LONG_EXPIRY_SECONDS + dice.below(100)],
  (dice) => ['PERSIST', anyKey(dice)],
  (dice) => ['DEL', anyKey(dice), anyKey(dice)],
  (dice) => ['HSET', keyOf(dice, 'mixed'), fieldOf(dice), textOf(dice)],
  (dice) => ['SADD', keyOf(dice, 'mixed'), fieldOf(dice)],
  (dice) => ['INCR', keyOf(dice, 'mixed')],
];

/** A write request of kind `cache` with some commands. */
export function anyWrite(dice: Dice, requestId: string): WriteRequest {
  const commands = Array.from({ length: 1 + dice.below(COMMANDS_MAX) }, () => dice.pick(MAKERS)(dice));
  return { requestId, kind: 'cache', key: String(commands[0]?.[1]), payload: Buffer.from(JSON.stringify(commands)), traceparent: '' };
}

function keyOf(dice: Dice, type: Type): string {
  return dice.chance(HOT_SHARE) ? `${type}:hot:${dice.below(HOT_KEYS)}` : `${type}:${dice.below(KEYS / TYPES.length)}`;
}

function anyKey(dice: Dice): string {
  return keyOf(dice, dice.pick(TYPES));
}

function fieldOf(dice: Dice): string {
  return `f${dice.below(FIELDS)}`;
}

function textOf(dice: Dice): string {
  return `v${dice.below(1_000_000)}`;
}

function expiryMs(dice: Dice): number {
  return Math.round(dice.between(EXPIRY_MS.min, EXPIRY_MS.max));
}
