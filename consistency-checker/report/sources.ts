/**
 * Where explanations come from: the write request behind a version, from its origin's write log; what the processors make of it; and what each room's receipt says.
 * Whatever cannot be asked is an answer too: unknown, and why.
 */
import type { Topology } from '../../core/config/types.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { asWmbError } from '../../core/errors.ts';
import type { LanePlace } from '../../core/inspection.ts';
import type { Runtime } from '../../core/runtime.ts';
import { parseStamp, STAMP_DIGITS, type Stamp, stampMs, type Version } from '../../core/stamp.ts';
import { processesWrites } from '../../core/topology.ts';
import type { Position, RoomId, StampedWrite } from '../../core/words.ts';
import { type ReceiptSide, sideOf } from '../messages/sides.ts';
import type { FoundWrite, RoomView } from '../room.ts';
import { dateTime } from './phrases.ts';

export interface SourceOptions {
  readonly own: RoomId;
  readonly topology: Topology;
  /** Undefined: the room has no checker. */
  readonly rooms: (room: RoomId) => RoomView | undefined;
  readonly runtime: Runtime;
}

/**
 * - `found`: it is in its origin's log.
 * - `none`: the log reaches back far enough, and no write request in it has this stamp; or the version is none at all.
 * - `unknown`: that cannot be told; `reason` says why.
 */
export type Finding =
  | { readonly status: 'found'; readonly found: FoundWrite; readonly effects: readonly Effect[] | undefined; readonly error: string }
  | { readonly status: 'none'; readonly reason: string }
  | { readonly status: 'unknown'; readonly reason: string };

/** By version. */
export type Findings = ReadonlyMap<Version, Finding>;

const VERSION = /^[0-9a-f]{28}$/;
const STAMPS_PER_CALL = 128;
/** How far back a log goes changes slowly. */
const REACH_KEPT_MS = 30_000;
const PROBES_MAX = 24;

export class Sources {
  readonly options: SourceOptions;
  readonly #reach = new Map<RoomId, { readonly untilMs: number; readonly reach: Promise<Reach> }>();

  constructor(options: SourceOptions) {
    this.options = options;
  }

  /** The room in which a version was given; undefined: the topology has no such room. */
  originOf(version: Version): RoomId | undefined {
    const number = parseStamp(version).writer >>> 24;
    return this.options.topology.rooms.find((room) => room.number === number)?.id;
  }

  /** The write requests behind versions, by version. */
  async find(versions: Iterable<Version>): Promise<Findings> {
    const findings = new Map<Version, Finding>();
    const byOrigin = new Map<RoomId, Set<Version>>();
    for (const version of versions) {
      const origin = VERSION.test(version) ? this.originOf(version) : undefined;
      if (origin !== undefined) byOrigin.set(origin, (byOrigin.get(origin) ?? new Set()).add(version));
      else findings.set(version, this.#withoutOrigin(version));
    }
    for (const [origin, wanted] of byOrigin) {
      const found = await this.#findAt(origin, [...wanted]);
      for (const [version, finding] of found) findings.set(version, finding);
    }
    return findings;
  }

  #withoutOrigin(version: Version): Finding {
    if (!VERSION.test(version)) return { status: 'none', reason: `“${version}” is no version that a write request can have` };
    const number = parseStamp(version).writer >>> 24;
    return { status: 'unknown', reason: `its version names room number ${number}, which is not in the topology` };
  }

  async #findAt(origin: RoomId, versions: readonly Version[]): Promise<Findings> {
    const view = this.options.rooms(origin);
    const unknown = (reason: string) => new Map(versions.map((version): [Version, Finding] => [version, { status: 'unknown', reason }]));
    if (view === undefined) return unknown(`${origin} has no checker that could look into its write log`);
    try {
      const stamps = [...new Set(versions.map((version) => version.slice(0, STAMP_DIGITS)))];
      const found: FoundWrite[] = [];
      for (let at = 0; at < stamps.length; at += STAMPS_PER_CALL) {
        found.push(...(await view.findWrites({ by: 'stamp', stamps: stamps.slice(at, at + STAMPS_PER_CALL) })));
      }
      const derived = await this.derive(found.map(({ write }) => write));
      const byStamp = new Map(found.map((it) => [it.write.stamp, it]));
      const reach = byStamp.size < stamps.length ? await this.#reachOf(view) : undefined;
      return new Map(versions.map((version) => [version, findingOf(version, { origin, byStamp, derived, reach })]));
    } catch (cause) {
      return unknown(`the write log of ${origin} cannot be asked: ${asWmbError(cause).message}`);
    }
  }

  /** What processors make of write requests, by stamp: asked in this room if it runs processors, otherwise in the first that does and answers. */
  async derive(
    writes: readonly StampedWrite[],
  ): Promise<ReadonlyMap<Stamp, { readonly effects: readonly Effect[] | undefined; readonly error: string }>> {
    if (writes.length === 0) return new Map();
    const { own, topology, rooms } = this.options;
    const order = [own, ...topology.rooms.map(({ id }) => id).filter((id) => id !== own)].filter((id) => processesWrites(topology, id));
    let error = 'no room that runs processors has a checker';
    for (const id of order) {
      try {
        const view = rooms(id);
        if (view === undefined) continue;
        return new Map((await view.derive(writes)).map((it) => [it.stamp, { effects: it.effects, error: it.error }]));
      } catch (cause) {
        error = `the processors of ${id} cannot be asked: ${asWmbError(cause).message}`;
      }
    }
    return new Map(writes.map(({ stamp }) => [stamp, { effects: undefined, error }]));
  }

  /** What a room's receipt of a write request says; the text of an error where it cannot be asked. */
  async receipt(room: RoomId, { log, origin, partition, epoch, seq, index }: Position): Promise<ReceiptSide | string> {
    try {
      const view = this.options.rooms(room);
      if (view === undefined) return `${room} has no checker`;
      const frames = await view.receipts({ lane: { log, origin, partition, epoch }, from: seq, to: seq });
      return sideOf(frames[0], index);
    } catch (cause) {
      return asWmbError(cause).message;
    }
  }

  #reachOf(view: RoomView): Promise<Reach> {
    const now = this.options.runtime.monotonicMs();
    const known = this.#reach.get(view.room);
    if (known !== undefined && known.untilMs > now) return known.reach;
    const reach = probeReach(view);
    this.#reach.set(view.room, { untilMs: now + REACH_KEPT_MS, reach });
    reach.catch(() => this.#reach.delete(view.room));
    return reach;
  }
}

interface Lookup {
  readonly origin: RoomId;
  readonly byStamp: ReadonlyMap<Stamp, FoundWrite>;
  readonly derived: ReadonlyMap<Stamp, { readonly effects: readonly Effect[] | undefined; readonly error: string }>;
  readonly reach: Reach | undefined;
}

function findingOf(version: Version, { origin, byStamp, derived, reach }: Lookup): Finding {
  const stamp = version.slice(0, STAMP_DIGITS);
  const found = byStamp.get(stamp);
  if (found !== undefined) return { status: 'found', found, effects: derived.get(stamp)?.effects, error: derived.get(stamp)?.error ?? '' };
  const given = `${dateTime(stampMs(stamp))} (${stamp})`;
  if (reach === undefined || reach.from === undefined || stamp < reach.from) {
    const back =
      reach?.from === undefined ? 'how far it goes back cannot be told' : `it goes back to ${dateTime(stampMs(reach.from))} only`;
    return { status: 'unknown', reason: `the write log of ${origin} has nothing stamped ${given} any more: ${back}` };
  }
  return {
    status: 'none',
    reason: `the write log of ${origin} goes back to ${dateTime(stampMs(reach.from))}, and no write request in it is stamped ${given}`,
  };
}

interface Reach {
  /** Every write request stamped from here on is in the log; undefined: not known. */
  readonly from: Stamp | undefined;
}

/**
 * How far back a write log goes, found by asking for the first write requests of some of its frames: seq 0, and so many seqs before the mark as powers of four. What is kept of
 * a partition is its newest part, and its stamps ascend; so what stands from a frame on is all there. Where a partition begins with seq 0 nothing
 * was ever before that, except in an older epoch of the log: so a partition vouches back to the earliest beginning of any of them.
 */
async function probeReach(view: RoomView): Promise<Reach> {
  const lanes = (await view.horizon()).lanes.filter(({ origin, mark }) => origin === view.room && mark >= 0);
  const positions = lanes.flatMap((lane) => probesOf(lane).map((seq) => positionAt(lane, seq)));
  if (positions.length === 0) return { from: undefined };
  const found = await view.findWrites({ by: 'position', positions });
  const oldest = new Map<number, FoundWrite>();
  for (const it of found) {
    const known = oldest.get(it.position.partition);
    if (known === undefined || it.position.seq < known.position.seq) oldest.set(it.position.partition, it);
  }
  if (oldest.size < lanes.length) return { from: undefined };
  const beginnings = [...oldest.values()].filter(({ position }) => position.seq === 0).map(({ write }) => write.stamp);
  const beginning = beginnings.reduce(
    (least: Stamp | undefined, stamp) => (least === undefined || stamp < least ? stamp : least),
    undefined,
  );
  let from = '';
  for (const { position, write } of oldest.values()) {
    const stamp = position.seq === 0 && beginning !== undefined ? beginning : write.stamp;
    if (stamp > from) from = stamp;
  }
  return { from };
}

function probesOf({ mark }: LanePlace): number[] {
  const seqs = new Set([0, mark]);
  for (let step = 1; step < mark && seqs.size < PROBES_MAX; step *= 4) seqs.add(mark - step);
  return [...seqs];
}

function positionAt({ log, origin, partition, epoch }: LanePlace, seq: number): Position {
  return { log, origin, partition, epoch, seq, index: 0 };
}
