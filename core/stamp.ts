/**
 * A stamp is 12 bytes, written as 24 lower-case hex digits so that comparing the strings compares the bytes:
 *
 *     48 bits   milliseconds since 1970 of the hybrid logical clock
 *     16 bits   counter within the millisecond
 *     32 bits   writer id: 8 bits room number, 24 bits lease number (unique per process, never given twice)
 *
 * Intake gives it once; it is the same in every room for ever. Lua and JavaScript numbers are doubles, so a
 * stamp is never compared as a number.
 *
 * A version is a stamp and the place of an effect within its write request (16 bits more, 28 hex digits): two
 * effects of one write request on one element are thereby ordered as the application wrote them.
 */
export type Stamp = string;
export type Version = string;

export const STAMP_DIGITS = 24;
export const VERSION_DIGITS = 28;
/** Smaller than every stamp and every version. */
export const NO_STAMP = '';

export interface StampParts {
  /** 0 to 2^48 − 1. */
  readonly ms: number;
  /** 0 to 65,535. */
  readonly counter: number;
  /** 1 to 2^32 − 1. */
  readonly writer: number;
}

export function formatStamp({ ms, counter, writer }: StampParts): Stamp {
  if (ms !== lastMs.value) lastMs = { value: ms, text: hex(ms, 12) };
  if (writer !== lastWriter.value) lastWriter = { value: writer, text: hex(writer, 8) };
  return lastMs.text + hex(counter, 4) + lastWriter.text;
}

/** Stamps are made one after the other by one writer, many in a millisecond: only the counter is new each time. */
let lastMs = { value: 0, text: hex(0, 12) };
let lastWriter = { value: 0, text: hex(0, 8) };

/** The parts of a stamp or of a version. */
export function parseStamp(stamp: Stamp | Version): StampParts {
  return {
    ms: Number.parseInt(stamp.slice(0, 12), 16),
    counter: Number.parseInt(stamp.slice(12, 16), 16),
    writer: Number.parseInt(stamp.slice(16, 24), 16),
  };
}

/** Milliseconds since 1970 of a stamp or a version. */
export function stampMs(stamp: Stamp | Version): number {
  return Number.parseInt(stamp.slice(0, 12), 16);
}

export function isStamp(text: string): boolean {
  return /^[0-9a-f]{24}$/.test(text);
}

/** The version of effect number `ordinal` (0 to 65,535) of the write request with this stamp. */
export function versionOf(stamp: Stamp, ordinal: number): Version {
  return stamp + (ordinal === 0 ? '0000' : hex(ordinal, 4));
}

/** The least of them; NO_STAMP, which says that something is not known, is below all others. */
export function leastStamp(stamps: readonly Stamp[]): Stamp {
  return stamps.reduce((least, stamp) => (stamp < least ? stamp : least), stamps[0] ?? NO_STAMP);
}

/** A version that every write stamped before `ms` is below and every write stamped at or after `ms` is above. */
export function versionAt(ms: number): Version {
  return `${hex(ms, 12)}0000000000000000`;
}

/** Writer id of lease `lease` (1 to 2^24 − 1) in room number `room` (0 to 255). */
export function writerId(room: number, lease: number): number {
  return room * 0x1000000 + lease;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}
