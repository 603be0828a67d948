/**
 * From cache commands in Redis' own spelling to effects. The result is a function of the commands and the stamp alone, so that every
 * room gets the same: relative expiries count from the stamp's milliseconds, and the effects of a write request are numbered in the
 * order of its commands, which makes their versions.
 */
import { WmbError } from '../errors.ts';
import { formatStamp, type Stamp, stampMs, type Version, versionOf } from '../stamp.ts';
import { type Args, Command } from './command-args.ts';
import type { Effect } from './effects.ts';
import { whyRefused } from './refused.ts';

export const EFFECTS_PER_WRITE_MAX = 65_536;

/** The effects of a write request, numbered as they come. */
class Compilation {
  readonly effects: Effect[] = [];
  readonly stamp: Stamp;

  constructor(stamp: Stamp) {
    this.stamp = stamp;
  }

  /** Only commands with an expiry need it. */
  get ms(): number {
    return stampMs(this.stamp);
  }

  version(): Version {
    const ordinal = this.effects.length;
    if (ordinal < EFFECTS_PER_WRITE_MAX) return versionOf(this.stamp, ordinal);
    throw new WmbError('WRITE_TOO_LARGE', `a write request may have ${EFFECTS_PER_WRITE_MAX} effects at most; split it`);
  }
}

type Compiler = (command: Command, into: Compilation) => void;

const COMPILERS: Readonly<Record<string, Compiler>> = {
  SET: compileSet,
  MSET(command, into) {
    command.groups(1, 2, 'MSET key value [key value …]');
    for (let at = 1; at < command.length; at += 2) {
      into.effects.push({ op: 'set', key: command.key(at), version: into.version(), value: command.text(at + 1), expireAtMs: 0 });
    }
  },
  DEL: compileDelete,
  UNLINK: compileDelete,
  EXPIRE: expire(1_000, true),
  PEXPIRE: expire(1, true),
  EXPIREAT: expire(1_000, false),
  PEXPIREAT: expire(1, false),
  PERSIST(command, into) {
    command.exactly(2, 'PERSIST key');
    into.effects.push({ op: 'expire', key: command.key(1), version: into.version(), expireAtMs: 0 });
  },
  HSET: compileHset,
  HMSET: compileHset,
  HDEL(command, into) {
    command.groups(2, 1, 'HDEL key field [field …]');
    const key = command.key(1);
    for (let at = 2; at < command.length; at++) into.effects.push({ op: 'hdel', key, version: into.version(), field: command.element(at) });
  },
  SADD: compileMembers('sadd'),
  SREM: compileMembers('srem'),
  ZREM: compileMembers('zrem'),
  ZADD(command, into) {
    if (command.length > 2) command.refuseOption(2);
    command.groups(2, 2, 'ZADD key score member [score member …]');
    const key = command.key(1);
    for (let at = 2; at < command.length; at += 2) {
      into.effects.push({ op: 'zadd', key, version: into.version(), member: command.element(at + 1), score: command.score(at, true) });
    }
  },
  INCR: increment(1n, false),
  DECR: increment(-1n, false),
  INCRBY: increment(1n, true),
  DECRBY: increment(-1n, true),
  HINCRBY(command, into) {
    command.exactly(4, 'HINCRBY key field increment');
    const delta = String(command.integer(3));
    into.effects.push({ op: 'hincr', key: command.key(1), version: into.version(), field: command.element(2), delta });
  },
  ZINCRBY(command, into) {
    command.exactly(4, 'ZINCRBY key increment member');
    const delta = command.score(2, false);
    into.effects.push({ op: 'zincr', key: command.key(1), version: into.version(), member: command.element(3), delta });
  },
  'WMB.TIMELINE'(command, into) {
    command.exactly(4, 'WMB.TIMELINE key cap member');
    into.effects.push({ op: 'timeline', key: command.key(1), version: into.version(), cap: command.cap(2), member: command.element(3) });
  },
};

/**
 * The effects of the commands of one write request, in order. COMMAND_UNSUPPORTED for what cannot converge, WRITE_INVALID for what is
 * malformed, WRITE_TOO_LARGE beyond a limit; each names the command by its index.
 */
export function compileCommands(commands: readonly Args[], stamp: Stamp): Effect[] {
  const into = new Compilation(stamp);
  for (let index = 0; index < commands.length; index++) {
    const command = new Command(commands[index] ?? [], index);
    if (!Object.hasOwn(COMPILERS, command.name)) {
      throw new WmbError(
        'COMMAND_UNSUPPORTED',
        `commands[${index}]: ${command.name.slice(0, 40)} is not taken: ${whyRefused(command.name)}`,
      );
    }
    COMPILERS[command.name]?.(command, into);
  }
  return into.effects;
}

const ANY_STAMP = formatStamp({ ms: 1, counter: 0, writer: 1 });

/** Throws what {@link compileCommands} would throw; whether commands are valid does not depend on the stamp. */
export function validateCommands(commands: readonly Args[]): void {
  compileCommands(commands, ANY_STAMP);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The commands in the payload of the built-in kind `cache`: a JSON array of commands, or one command. Numbers become decimal text; an
 * integer that JSON readers round (beyond 2^53) must be written as a string.
 */
export function parseCachePayload(payload: Uint8Array): string[][] {
  let json: unknown;
  try {
    json = JSON.parse(utf8.decode(payload));
  } catch (cause) {
    throw new WmbError('WRITE_INVALID', 'the payload is not JSON in UTF-8; write an array of commands like [["SET", "key", "value"]]', {
      cause,
    });
  }
  if (!Array.isArray(json) || json.length === 0) {
    throw new WmbError('WRITE_INVALID', 'the payload holds no commands; write an array of commands like [["SET", "key", "value"]]');
  }
  const commands: unknown[] = Array.isArray(json[0]) ? json : [json];
  return commands.map((command, index) => {
    if (!Array.isArray(command)) throw new WmbError('WRITE_INVALID', `commands[${index}] is not an array like ["SET", "key", "value"]`);
    return command.every(isText) ? command : command.map((arg: unknown, at) => argText(arg, index, at));
  });
}

function isText(arg: unknown): boolean {
  return typeof arg === 'string';
}

function argText(arg: unknown, index: number, at: number): string {
  if (typeof arg === 'string') return arg;
  if (typeof arg !== 'number') throw new WmbError('WRITE_INVALID', `commands[${index}]: argument ${at} is neither a string nor a number`);
  if (!Number.isFinite(arg) || (Number.isInteger(arg) && !Number.isSafeInteger(arg))) {
    throw new WmbError(
      'WRITE_INVALID',
      `commands[${index}]: argument ${at} is a number that JSON readers round (beyond 2^53); write it as a string`,
    );
  }
  return String(arg);
}

function compileSet(command: Command, into: Compilation): void {
  const usage = 'SET key value [EX seconds | PX milliseconds | EXAT unix-seconds | PXAT unix-milliseconds]';
  if (command.length < 3) throw command.usage(usage);
  const key = command.key(1);
  const value = command.text(2);
  let expireAtMs = 0;
  for (let at = 3; at < command.length; at += 2) {
    command.refuseOption(at);
    const unit = SET_EXPIRIES[command.text(at).toUpperCase()];
    if (unit === undefined || expireAtMs !== 0 || at + 1 >= command.length) throw command.usage(usage);
    const ms = command.expiryMs(at + 1, unit.ms);
    if (ms <= 0) throw command.invalid(at + 1, 'must be a positive expiry');
    expireAtMs = unit.relative ? into.ms + ms : ms;
  }
  const version = into.version();
  const dead = expireAtMs !== 0 && expireAtMs <= into.ms;
  into.effects.push(dead ? { op: 'del', key, version } : { op: 'set', key, version, value, expireAtMs });
}

const SET_EXPIRIES: Readonly<Record<string, { readonly ms: number; readonly relative: boolean } | undefined>> = {
  EX: { ms: 1_000, relative: true },
  PX: { ms: 1, relative: true },
  EXAT: { ms: 1_000, relative: false },
  PXAT: { ms: 1, relative: false },
};

function compileDelete(command: Command, into: Compilation): void {
  command.groups(1, 1, `${command.name} key [key …]`);
  for (let at = 1; at < command.length; at++) into.effects.push({ op: 'del', key: command.key(at), version: into.version() });
}

function compileHset(command: Command, into: Compilation): void {
  command.groups(2, 2, `${command.name} key field value [field value …]`);
  const key = command.key(1);
  for (let at = 2; at < command.length; at += 2) {
    into.effects.push({ op: 'hset', key, version: into.version(), field: command.element(at), value: command.text(at + 1) });
  }
}

function compileMembers(op: 'sadd' | 'srem' | 'zrem'): Compiler {
  return (command, into) => {
    command.groups(2, 1, `${command.name} key member [member …]`);
    const key = command.key(1);
    for (let at = 2; at < command.length; at++) into.effects.push({ op, key, version: into.version(), member: command.element(at) });
  };
}

function expire(unitMs: number, relative: boolean): Compiler {
  return (command, into) => {
    command.exactly(3, `${command.name} key ${unitMs === 1 ? 'milliseconds' : 'seconds'}`);
    const key = command.key(1);
    const ms = command.expiryMs(2, unitMs);
    const expireAtMs = relative ? into.ms + ms : ms;
    const version = into.version();
    into.effects.push(expireAtMs <= into.ms ? { op: 'del', key, version } : { op: 'expire', key, version, expireAtMs });
  };
}

function increment(sign: bigint, by: boolean): Compiler {
  return (command, into) => {
    command.exactly(by ? 3 : 2, by ? `${command.name} key integer` : `${command.name} key`);
    const amount = by ? command.integer(2) : 1n;
    if (sign < 0n && amount === -(2n ** 63n)) throw command.invalid(2, 'has no 64-bit opposite');
    into.effects.push({ op: 'incr', key: command.key(1), version: into.version(), delta: String(sign * amount) });
  };
}
