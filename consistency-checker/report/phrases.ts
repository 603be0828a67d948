/** Values, versions, moments and effects as a person reads them in a sentence. Nothing that stands in a store can break a line or fill a screen. */
import type { Effect } from '../../core/converge/effects.ts';
import { formatPosition, type Position } from '../../core/words.ts';

const TEXT_CHARACTERS_MAX = 80;
const DAY_MS = 86_400_000;

/** At most 80 characters, on one line; control characters, lone surrogates and what turns text round are escaped. */
export function plainText(text: string, charactersMax = TEXT_CHARACTERS_MAX): string {
  // Cut before escaping: a value may have megabytes.
  const cut = [...text.slice(0, 4 * charactersMax)];
  const isShort = cut.length <= charactersMax && text.length <= 4 * charactersMax;
  const kept = isShort ? cut : cut.slice(0, charactersMax - 1);
  const safe = kept.map((character) => (UNPRINTABLE.test(character) ? escaped(character) : character)).join('');
  return isShort ? safe : `${safe}…`;
}

const UNPRINTABLE = /^[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]$/u;

function escaped(character: string): string {
  const known = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0' }[character];
  return known ?? `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/** `20:15:44.123` of today, `2026-11-21 20:15:44.123` of another day; UTC. */
export function moment(ms: number, nowMs: number): string {
  const text = dateTime(ms);
  return Math.floor(ms / DAY_MS) === Math.floor(nowMs / DAY_MS) ? text.slice(11) : text;
}

/** `2026-11-22 20:15:44.123`, UTC. */
export function dateTime(ms: number): string {
  if (!(ms >= 0 && ms < 8.64e15)) return `moment ${ms}`;
  return new Date(ms).toISOString().slice(0, -1).replace('T', ' ');
}

/** What an effect did to its element: `set it to 12`. */
export function deed(effect: Effect, nowMs: number): string {
  switch (effect.op) {
    case 'set':
      return `set it to ${plainText(effect.value)}${effect.expireAtMs === 0 ? '' : `, with the expiry ${moment(effect.expireAtMs, nowMs)},`}`;
    case 'hset':
      return `set it to ${plainText(effect.value)}`;
    case 'del':
      return 'deleted it';
    case 'hdel':
    case 'srem':
    case 'zrem':
      return 'removed it';
    case 'sadd':
    case 'timeline':
      return 'added it';
    case 'zadd':
      return `gave it the score ${effect.score}`;
    case 'incr':
    case 'hincr':
    case 'zincr':
      return `added ${effect.delta} to it`;
    case 'expire':
      return effect.expireAtMs === 0 ? 'took the expiry away' : `gave it the expiry ${moment(effect.expireAtMs, nowMs)}`;
  }
}

/** `write request college-17 (beijing/3@…:42.0)`. */
export function writeName(requestId: string, position: Position): string {
  const name = requestId === '' ? 'the write request' : `write request ${plainText(requestId)}`;
  return `${name} (${formatPosition(position)})`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
