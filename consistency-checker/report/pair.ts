/** How two rooms stand with each other, put together from what their checkers say, and told in one line: on top of every report. */

import type { RoomId } from '../../core/words.ts';
import type { Drift } from '../drift.ts';

/** What one room's checker says of itself and of its peers; the wire's CheckerStatus is one. */
export interface CheckerReport {
  readonly room: RoomId;
  /** Wall clock of the room: its moments are compared with this one, never with another room's clock. */
  readonly nowMs: number;
  /** Visible keys, as far as they have been counted. */
  readonly keys: number;
  /** Share of the digest tree that is built, 0 to 1. */
  readonly built: number;
  readonly peers: readonly {
    readonly room: RoomId;
    /** 0: never. */
    readonly verifiedMs: number;
    /** Why it is not verified now; empty: it is. */
    readonly reason: string;
    readonly suspects: number;
  }[];
}

export interface PairView {
  readonly rooms: readonly [RoomId, RoomId];
  /** How long ago the two were last found to agree, or to differ only by what is reported; undefined: never. */
  readonly verifiedAgoMs: number | undefined;
  /** Why they are not verified now; empty: they are. */
  readonly reason: string;
  /** Visible keys of the rooms that answered. */
  readonly keys: readonly number[];
  /** Share of the digest trees that is built, the lesser of both, 0 to 1. */
  readonly built: number;
  /** Differences younger than the grace period: lag, until shown otherwise. */
  readonly suspects: number;
  readonly drifts: number;
  readonly alarms: number;
}

export interface PairParts {
  /** All rooms of the topology, in its order. */
  readonly rooms: readonly RoomId[];
  readonly reports: readonly CheckerReport[];
  /** By room without a report: why there is none. */
  readonly silent: ReadonlyMap<RoomId, string>;
  /** Open ones, alarms included. */
  readonly open: readonly Drift[];
}

/** One view for each pair of rooms. Two rooms whose checkers both answer and do not compare each other are no pair. */
export function pairViews(parts: PairParts): readonly PairView[] {
  const { rooms } = parts;
  return rooms.flatMap((a, index) => rooms.slice(index + 1).flatMap((b) => pairView(parts, [a, b])));
}

function pairView({ reports, silent, open }: PairParts, rooms: readonly [RoomId, RoomId]): readonly PairView[] {
  const answered = reports.filter(({ room }) => rooms.includes(room));
  const views = answered.flatMap(({ room, nowMs, peers }) =>
    peers
      .filter((peer) => peer.room !== room && rooms.includes(peer.room))
      .map((peer) => ({ ...peer, agoMs: peer.verifiedMs === 0 ? undefined : Math.max(0, nowMs - peer.verifiedMs) })),
  );
  const whys = rooms.flatMap((room) => silent.get(room) ?? []);
  if (views.length === 0 && whys.length === 0) return [];
  // Each checker compares both directions: one that has verified the pair is enough.
  const verified = views.some(({ reason, agoMs }) => reason === '' && agoMs !== undefined);
  const agoMs = views.flatMap((view) => view.agoMs ?? []);
  const between = open.filter(({ sides }) => sides.every(({ room }) => rooms.includes(room)));
  const alarms = between.filter(isAlarm).length;
  return [
    {
      rooms,
      verifiedAgoMs: agoMs.length === 0 ? undefined : Math.min(...agoMs),
      reason: verified ? '' : reasonOf(views, whys),
      keys: answered.map(({ keys }) => keys),
      built: Math.min(1, ...answered.map(({ built }) => built)),
      suspects: Math.max(0, ...views.map(({ suspects }) => suspects)),
      drifts: between.length - alarms,
      alarms,
    },
  ];
}

function reasonOf(views: readonly { readonly reason: string }[], whys: readonly string[]): string {
  const reasons = views.map(({ reason }) => reason).filter((reason) => reason !== '');
  return [...new Set([...reasons, ...whys])].join('; ') || 'no round has been completed yet';
}

/** An alarm says that a path is stuck: nothing is known to differ. */
export function isAlarm({ kind }: Pick<Drift, 'kind'>): boolean {
  return kind === 'stuck';
}

/** `verified 2 s ago, 59,835 keys, 0 drifts`, or `not verified for 40 s: PEER_UNREACHABLE …`. */
export function verificationText(pair: PairView): string {
  const alarms = pair.alarms > 0 ? [plural(pair.alarms, 'alarm')] : [];
  if (pair.reason !== '') {
    const since = pair.verifiedAgoMs === undefined ? 'never verified' : `not verified for ${roughly(pair.verifiedAgoMs)}`;
    const open = [...(pair.drifts > 0 ? [plural(pair.drifts, 'drift')] : []), ...alarms].join(', ');
    return `${since}: ${pair.reason}${open === '' ? '' : ` (${open} open)`}`;
  }
  const open = [plural(pair.drifts, 'drift'), ...alarms].join(', ');
  const building = pair.built < 1 ? [`${Math.floor(pair.built * 100)} % of the keys read so far`] : [];
  const suspects = pair.suspects > 0 ? [`${count(pair.suspects)} on their way`] : [];
  return [`verified ${ago(pair.verifiedAgoMs ?? 0)}`, `${keysText(pair.keys)} keys`, ...building, open, ...suspects].join(', ');
}

function keysText(keys: readonly number[]): string {
  return [...new Set(keys)].map(count).join(' and ');
}

export function pairName({ rooms }: Pick<PairView, 'rooms'>): string {
  return rooms.join(' ⇄ ');
}

export function plural(number: number, word: string): string {
  return `${count(number)} ${word}${number === 1 ? '' : 's'}`;
}

/** `59,835`. */
export function count(number: number): string {
  return number.toLocaleString('en-US');
}

/** `now`, `4 s ago`, `3 min ago`; a moment ahead, by another clock, counts as now. */
export function ago(ms: number): string {
  return ms < 1_000 ? 'now' : `${roughly(ms)} ago`;
}

/** `0 s`, `40 s`, `3 min`, `5 h`, `2 d`: whole units, rounded down. */
export function roughly(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
