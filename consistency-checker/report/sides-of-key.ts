/** One room's side of a key, and of a receipt, as a report shows it. */
import type { Topology } from '../../core/config/types.ts';
import type { CacheEntry, CacheValue } from '../../core/converge/effects.ts';
import { entryHash, visibleOf } from '../../core/converge/state.ts';
import { parseStamp, stampMs, type Version } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import type { DriftSide, ElementDifference } from '../drift.ts';
import type { ReceiptSide } from '../messages/sides.ts';
import type { StateAnswer } from '../room.ts';
import { dateTime, moment, plainText, plural } from './phrases.ts';
import type { SideIndex } from './verdict.ts';

export interface KeySide {
  readonly room: RoomId;
  readonly answer: StateAnswer;
  readonly side: SideIndex;
  /** Those that differ. */
  readonly elements: readonly ElementDifference[];
  readonly nowMs: number;
  readonly topology: Topology;
}

export function keySide(of: KeySide): DriftSide {
  const entry = visibleOf(of.answer.state, of.nowMs);
  if (entry === undefined) return { room: of.room, shows: 'nothing', version: '', hash: '', bytes: 0, expireAtMs: 0 };
  const { version, expireAtMs } = entry;
  return { room: of.room, shows: shows(of, entry), version, hash: entryHash(entry), bytes: bytesOf(entry.value), expireAtMs };
}

function shows({ elements, side, topology }: KeySide, { value, version, expireAtMs }: CacheEntry): string {
  const expires = expireAtMs === 0 ? 'expires never' : `expires at ${dateTime(expireAtMs)}`;
  if (value.type === 'string') return `"${plainText(value.value)}" by ${versionText(version, topology)}, ${expires}`;
  const count = value.type === 'hash' ? value.fields.length : value.members.length;
  const whole = `${value.type} of ${plural(count, 'element')}, ${expires}`;
  const [first] = elements;
  if (elements.length !== 1 || first === undefined || first.name === '')
    return `${whole}${elements.length > 1 ? `; ${plural(elements.length, 'element')} differ` : ''}`;
  const what = value.type === 'hash' ? 'field' : 'member';
  const shown = first.values[side];
  if (shown === null) return `no ${what} ${plainText(first.name)} (${whole})`;
  return `${shown === '' ? '' : `"${plainText(shown)}" `}(${what} ${plainText(first.name)}) by ${versionText(first.versions[side], topology)}, ${expires}`;
}

/** `beijing at 2026-11-22 20:15:44.123`. */
export function versionText(version: Version, topology: Topology): string {
  if (!/^[0-9a-f]{24}/.test(version)) return 'nobody: it has no version';
  const number = parseStamp(version).writer >>> 24;
  const room = topology.rooms.find((it) => it.number === number)?.id ?? `room number ${number}`;
  return `${room} at ${dateTime(stampMs(version))}`;
}

function bytesOf(value: CacheValue): number {
  if (value.type === 'string') return Buffer.byteLength(value.value);
  const parts: readonly (string | readonly (string | number)[])[] = value.type === 'hash' ? value.fields : value.members;
  return parts.flat().reduce((sum: number, part) => sum + (typeof part === 'number' ? 8 : Buffer.byteLength(part)), 0);
}

export function receiptShows({ outcome, code, atMs, parkedMs, attempts }: ReceiptSide, nowMs: number): string {
  if (outcome === 'none') return 'no receipt';
  const reason = code === '' ? '' : `: ${code}`;
  if (outcome === 'parked')
    return `parked${reason}${parkedMs === 0 ? '' : `, since ${moment(parkedMs, nowMs)}`}, tried ${plural(attempts, 'time')}`;
  return `${outcome}${reason}${atMs === 0 ? '' : ` at ${moment(atMs, nowMs)}`}`;
}
