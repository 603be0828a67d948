/** What a field off the wire has to be. Each check gives the value back, or throws PEER_GARBAGE with the place, what stands there, and what should. */
import { WmbError } from '../core/errors.ts';
import { isStamp, NO_STAMP, type Stamp, type Version } from '../core/stamp.ts';
import type { LogEpoch, RoomId, Seq } from '../core/words.ts';

const SHOWN_MAX = 60;
const PARTITION_MAX = 65_535;

export function garbage(where: string, found: unknown, wanted: string): WmbError {
  const text = typeof found === 'number' ? String(found) : (JSON.stringify(found) ?? 'nothing');
  const shown = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text;
  return new WmbError('PEER_GARBAGE', `${where} is ${shown}, not ${wanted}`);
}

export function asRoom(text: string, where: string): RoomId {
  return matching(text, /^[a-z][a-z0-9-]{0,31}$/, where, 'the id of a room');
}

export function asPartition(partition: number, where: string): number {
  if (Number.isInteger(partition) && partition >= 0 && partition <= PARTITION_MAX) return partition;
  throw garbage(where, partition, 'a partition');
}

export function asEpoch(text: string, where: string): LogEpoch {
  return matching(text, /^[0-9a-f]{16}$/, where, 'a log epoch');
}

export function asSeq(seq: number, where: string): Seq {
  if (Number.isSafeInteger(seq) && seq >= 0) return seq;
  throw garbage(where, seq, 'a seq');
}

export function asCount(count: number, where: string): number {
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw garbage(where, count, 'a number from 1');
}

export function asStamp(text: string, where: string): Stamp {
  if (isStamp(text)) return text;
  throw garbage(where, text, 'a stamp');
}

export function asStampOrNone(text: string, where: string): Stamp {
  return text === NO_STAMP ? text : asStamp(text, where);
}

export function asVersion(text: string, where: string): Version {
  return matching(text, /^[0-9a-f]{28}$/, where, 'a version');
}

/** Of a state (core/converge/state.ts); empty: of nothing. */
export function asDigest(text: string, where: string): string {
  return text === '' ? text : matching(text, /^[0-9a-f]{16}$/, where, 'a digest');
}

export function asOneOf<T extends string>(words: readonly T[], text: string, where: string): T {
  const word = words.find((it) => it === text);
  if (word !== undefined) return word;
  throw garbage(where, text, `one of ${words.join(', ')}`);
}

/** No two the same. */
export function ascending<T>(list: readonly T[], where: string, compare: (a: T, b: T) => number): void {
  const at = list.findIndex((item, place) => place > 0 && compare(list[place - 1] as T, item) >= 0);
  if (at >= 0) throw garbage(`${where}[${at}]`, list[at], 'behind the one before it');
}

function matching(text: string, pattern: RegExp, where: string, wanted: string): string {
  if (pattern.test(text)) return text;
  throw garbage(where, text, wanted);
}
