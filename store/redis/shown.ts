/** What the application's key holds: read, wanted, and the commands from one to the other. */
import { isUtf8 } from 'node:buffer';
import type { CacheEntry, KeyType } from '../../core/converge/effects.ts';
import { dataKey } from './layout.ts';

export type Argument = string | Buffer;
export type Command = readonly Argument[];

export interface Shown {
  /** As TYPE says it; `none` where there is no key. */
  readonly type: string;
  /** Of a string the one element ''; of a set's members the value is ''; scores as text. */
  readonly elements: ReadonlyMap<string, string>;
  /** By the server's clock; 0: none. */
  readonly expireAtMs: number;
}

export const NOT_SHOWN: Shown = { type: 'none', elements: new Map(), expireAtMs: 0 };

/** As the function `load` gives them. */
export function readShown(type: string, value: unknown, expiryMs: number): Shown {
  return { type, elements: new Map(pairsOf(type, value)), expireAtMs: Math.max(0, expiryMs) };
}

function pairsOf(type: string, value: unknown): readonly (readonly [string, string])[] {
  if (type === 'none') return [];
  if (type === 'string') return [['', textOf(value)]];
  const items = Array.isArray(value) ? value.map(textOf) : [];
  if (type === 'set') return items.map((member) => [member, '']);
  // Something that WMB never writes is shown as text that no application has written.
  if (type !== 'hash' && type !== 'zset') return [['', `(a ${type})`]];
  return Array.from({ length: items.length / 2 }, (_, at) => [items[2 * at] ?? '', items[2 * at + 1] ?? '']);
}

/** What is no text is shown as its bytes. */
export function textOf(bytes: unknown): string {
  if (!Buffer.isBuffer(bytes)) return '';
  return isUtf8(bytes) ? bytes.toString() : `X'${bytes.toString('hex').toUpperCase()}'`;
}

/** What an application is to see. A number that Redis cannot hold is not shown. */
export function wantedShown(entry: CacheEntry | undefined, toldMs: number): Shown {
  if (entry === undefined) return NOT_SHOWN;
  const { value } = entry;
  const elements = new Map(elementsOf(value));
  return elements.size === 0 ? NOT_SHOWN : { type: value.type, elements, expireAtMs: toldMs };
}

function elementsOf(value: CacheEntry['value']): readonly (readonly [string, string])[] {
  if (value.type === 'string') return [['', value.value]];
  if (value.type === 'hash') return value.fields;
  if (value.type === 'set') return value.members.map((member) => [member, '']);
  return value.members.filter(([, score]) => !Number.isNaN(score)).map(([member, score]) => [member, scoreText(score)]);
}

export function scoreText(score: number): string {
  if (Number.isFinite(score)) return String(score);
  return score > 0 ? 'inf' : '-inf';
}

export function scoreOf(text: string): number {
  if (text === 'inf' || text === '-inf') return text === 'inf' ? Infinity : -Infinity;
  return Number(text);
}

/** A register's value, from what the key shows. */
export function registerValue(type: KeyType | 'none', text: string): string | number {
  if (type === 'zset') return scoreOf(text);
  return type === 'set' || type === 'timeline' ? '' : text;
}

/** `a` and `b` show the same in a key of this type. */
export function isSame(type: string, a: string | undefined, b: string | undefined): boolean {
  if (a === b) return true;
  return type === 'zset' && a !== undefined && b !== undefined && scoreOf(a) === scoreOf(b);
}

const ARGUMENTS_MAX = 1_000;
const REMOVE: Readonly<Record<string, string>> = { hash: 'HDEL', set: 'SREM', zset: 'ZREM' };
const WRITE: Readonly<Record<string, string>> = { hash: 'HSET', set: 'SADD', zset: 'ZADD' };

export function commandsBetween(key: string, before: Shown, after: Shown): Command[] {
  const data = dataKey(key);
  if (after.type === 'none') return before.type === 'none' ? [] : [['UNLINK', data]];
  const isOther = before.type !== after.type;
  const commands: Command[] = isOther && before.type !== 'none' ? [['UNLINK', data]] : [];
  const old = isOther ? NOT_SHOWN : before;
  if (after.type === 'string') return [...commands, ...stringCommands(data, old, after)];
  commands.push(...elementCommands(data, old, after));
  if (after.expireAtMs !== old.expireAtMs) commands.push(expiryCommand(data, after.expireAtMs));
  return commands;
}

function stringCommands(data: string, before: Shown, after: Shown): Command[] {
  const value = after.elements.get('') ?? '';
  const expiry = after.expireAtMs === 0 ? [] : ['PXAT', String(after.expireAtMs)];
  if (before.elements.get('') !== value) return [['SET', data, value, ...expiry]];
  return before.expireAtMs === after.expireAtMs ? [] : [expiryCommand(data, after.expireAtMs)];
}

function expiryCommand(data: string, atMs: number): Command {
  return atMs === 0 ? ['PERSIST', data] : ['PEXPIREAT', data, String(atMs)];
}

/** What is added comes first, so that the key does not vanish in between, and its expiry with it. */
function elementCommands(data: string, before: Shown, after: Shown): Command[] {
  const { type } = after;
  const written: string[] = [];
  for (const [name, text] of after.elements) {
    if (isSame(type, before.elements.get(name), text)) continue;
    written.push(...writeArguments(type, name, text));
  }
  const removed = [...before.elements.keys()].filter((name) => !after.elements.has(name));
  return [...commandsOf(WRITE[type] ?? '', data, written), ...commandsOf(REMOVE[type] ?? '', data, removed)];
}

export function writeArguments(type: string, name: string, text: string): readonly string[] {
  if (type === 'set') return [name];
  return type === 'hash' ? [name, text] : [text, name];
}

/** `items` in as many commands as Lua can take apart. */
export function commandsOf(name: string, key: string, items: readonly Argument[]): Command[] {
  const commands: Command[] = [];
  for (let from = 0; from < items.length; from += ARGUMENTS_MAX) commands.push([name, key, ...items.slice(from, from + ARGUMENTS_MAX)]);
  return commands;
}

/** For one element that is touched alone. */
export function elementCommand(type: string, key: string, name: string, text: string | undefined): Command {
  const data = dataKey(key);
  if (text === undefined) return [REMOVE[type] ?? '', data, name];
  return [WRITE[type] ?? '', data, ...writeArguments(type, name, text)];
}
