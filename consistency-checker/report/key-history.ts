/**
 * What the write logs say of one key. A room forgets a delete a few seconds after every room has said that it applied it; so a room that lost one shows a value
 * that the other does not know any more why it lacks. The value's own write request is genuine, and putting it back would bring back what was
 * deleted. The delete itself is in a write log: it is looked for among the newest write requests of all lanes, for write requests with any
 * ordering key may touch a cache key.
 */
import type { Effect } from '../../core/converge/effects.ts';
import type { LanePlace } from '../../core/inspection.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Version } from '../../core/stamp.ts';
import { formatPosition, type Position, type RoomId } from '../../core/words.ts';
import type { FoundWrite, Horizon, RoomView } from '../room.ts';
import { type LaneRange, LaneTails, later, type TailFrame } from './lane-tails.ts';
import type { Sources } from './sources.ts';

const FRAMES_MAX = 1_024;
const WRITES_MAX = 8_192;
/** Beyond it the newest are read anew rather than more of them kept. */
const WRITES_KEPT_MAX = 2 * WRITES_MAX;
const WRITES_PER_CALL = 512;
const KEPT_MS = 10_000;
const EFFECTS_MAX = 65_536;
const ROOMS_KEPT = 8;
/** Write requests of which it is remembered what they do. */
const MADE_MAX = 4 * WRITES_MAX;

export interface Deed {
  readonly write: FoundWrite;
  readonly effect: Effect;
}

export interface KeyHistory {
  /** Ascending by version. */
  readonly deeds: readonly Deed[];
  /** How many write requests were looked at. */
  readonly looked: number;
  /** Everything stamped above it was looked at; '': everything there ever was. */
  readonly above: Version;
}

interface Read {
  readonly deeds: ReadonlyMap<string, readonly Deed[]>;
  readonly looked: number;
  readonly above: Version;
  readonly lanes: readonly LanePlace[];
  /** An origin, or whoever runs processors, did not answer: more is to be had another time. */
  readonly failed: boolean;
}

export class KeyHistories {
  readonly #sources: Sources;
  readonly #runtime: Runtime;
  /** By room: many keys are usually asked for at once. */
  readonly #rooms = new Map<RoomId, { untilMs: number; readonly read: Promise<Read> }>();

  /** By position: what a write request does to which keys stays the same for ever. */
  readonly #made = new Map<string, readonly Deed[]>();

  constructor(sources: Sources) {
    this.#sources = sources;
    this.#runtime = sources.options.runtime;
  }

  /**
   * What the room of `view` has done to a key by its own receipts: what nobody has done explains nothing. `horizons`: from before the states were read that are
   * to be explained; what one of them had not passed then is left out.
   */
  async of(
    { key, horizons }: { readonly key: string; readonly horizons: readonly Horizon[] },
    view: RoomView,
  ): Promise<KeyHistory | undefined> {
    try {
      const { deeds, looked, above } = await this.#known(view, horizons);
      const passed = (deeds.get(key) ?? []).filter(({ write }) => horizons.every((horizon) => hasPassed(horizon.lanes, write.position)));
      return { deeds: passed, looked, above };
    } catch {
      return undefined;
    }
  }

  async #known(view: RoomView, horizons: readonly Horizon[]): Promise<Read> {
    const known = this.#rooms.get(view.room);
    if (known === undefined || known.untilMs <= this.#runtime.monotonicMs()) return await this.#keep(view.room, this.#readAnew(view));
    const read = await known.read;
    if (reaches(read.lanes, horizons)) return read;
    if (this.#rooms.get(view.room) !== known) return await this.#known(view, horizons);
    // What has come since may be what took a key away.
    return await this.#keep(view.room, this.#readOn(view, read), known.untilMs);
  }

  async #keep(room: RoomId, read: Promise<Read>, untilMs = Number.POSITIVE_INFINITY): Promise<Read> {
    const known = { read, untilMs };
    this.#rooms.delete(room);
    this.#rooms.set(room, known);
    for (const oldest of this.#rooms.keys()) if (this.#rooms.size > ROOMS_KEPT) this.#rooms.delete(oldest);
    try {
      return await read;
    } catch (cause) {
      if (this.#rooms.get(room) === known) this.#rooms.delete(room);
      throw cause;
    } finally {
      // However long it took to read: what is kept is of use for so long.
      known.untilMs = Math.min(untilMs, this.#runtime.monotonicMs() + KEPT_MS);
    }
  }

  async #readAnew(view: RoomView): Promise<Read> {
    const lanes = await lanesOf(view);
    return await this.#readLanes(view, { lanes, ranges: lanes.map(newestOf), before: NOTHING_READ });
  }

  /** One key after the other is looked into, and all lanes go on meanwhile: what has been read is not read again. */
  async #readOn(view: RoomView, before: Read): Promise<Read> {
    const lanes = await lanesOf(view);
    const ranges = lanes.map((lane) => sinceOf(lane, before.lanes));
    const isNear = ranges.every((range) => range !== undefined) && before.looked < WRITES_KEPT_MAX && !before.failed;
    return await this.#readLanes(view, isNear ? { lanes, ranges, before } : { lanes, ranges: lanes.map(newestOf), before: NOTHING_READ });
  }

  async #readLanes(view: RoomView, { lanes, ranges, before }: Reading): Promise<Read> {
    const tails = new LaneTails(view, ranges);
    const deeds = new Map<string, Deed[]>();
    let { looked, above, failed } = before;
    for (let [writes, kept] = [0, 0]; writes < WRITES_MAX && kept < EFFECTS_MAX; ) {
      const taken = await tails.take(WRITES_PER_CALL);
      if (taken.length === 0) break;
      const { unread, effects, unanswered } = await this.#collect(taken, deeds);
      const count = taken.reduce((sum, { receipt }) => sum + receipt.count, 0);
      writes += count;
      looked += count;
      kept += effects;
      above = later(above, unread);
      failed ||= unanswered;
    }
    return { deeds: merged(before.deeds, deeds), looked, above: later(above, tails.above), lanes, failed };
  }

  async #collect(frames: readonly TailFrame[], deeds: Map<string, Deed[]>): Promise<Collected> {
    let [effects, unread, unanswered] = [0, '', false];
    for (const [origin, some] of Map.groupBy(frames, ({ lane }) => lane.origin)) {
      const places = some.flatMap((frame) => placesOf(frame));
      const made = await this.#madeAt(origin, places);
      for (const deed of made.deeds.flat()) {
        effects += 1;
        const known = deeds.get(deed.effect.key);
        if (known === undefined) deeds.set(deed.effect.key, [deed]);
        else known.push(deed);
      }
      unanswered ||= made.unanswered;
      if (made.deeds.length < places.length) for (const { receipt } of some) unread = later(unread, `${receipt.stampLast}ffff`);
    }
    return { unread, effects, unanswered };
  }

  /** Of each write request that is in the log and of which the processors say what they make. Two rooms have done the same ones. */
  async #madeAt(
    origin: RoomId,
    places: readonly WritePlace[],
  ): Promise<{ readonly deeds: readonly (readonly Deed[])[]; readonly unanswered: boolean }> {
    const known = places.map(({ name }) => this.#made.get(name)).filter((deeds) => deeds !== undefined);
    const unknown = new Map(places.filter(({ name }) => !this.#made.has(name)).map((place) => [formatPosition(place.position), place]));
    if (unknown.size === 0) return { deeds: known, unanswered: false };
    const positions = [...unknown.values()].map(({ position }) => position);
    const found = await this.#sources.options
      .rooms(origin)
      ?.findWrites({ by: 'position', positions })
      .catch(() => undefined);
    const derived = await this.#sources.derive((found ?? []).map(({ write }) => write));
    const read = (found ?? []).flatMap((write) => {
      const deeds = derived.get(write.write.stamp)?.effects?.map((effect): Deed => ({ write, effect }));
      const place = unknown.get(formatPosition(write.position));
      if (deeds !== undefined && place !== undefined && isOfFrame(write, place)) this.#made.set(place.name, deeds);
      return deeds === undefined ? [] : [deeds];
    });
    for (const oldest of this.#made.keys()) if (this.#made.size > MADE_MAX) this.#made.delete(oldest);
    return { deeds: [...known, ...read], unanswered: found === undefined || (read.length === 0 && found.length > 0) };
  }
}

/** A write request as a receipt tells of it. */
interface WritePlace extends Pick<TailFrame, 'receipt'> {
  readonly position: Position;
  /** With the frame's stamp: a log that has lost its tail gives its seqs to others. */
  readonly name: string;
}

function isOfFrame({ write }: FoundWrite, { receipt }: WritePlace): boolean {
  return receipt.stampFirst <= write.stamp && write.stamp <= receipt.stampLast;
}

interface Collected {
  /** Up to where not all of the write requests could be read; '': all could. */
  readonly unread: Version;
  readonly effects: number;
  readonly unanswered: boolean;
}

interface Reading {
  readonly lanes: readonly LanePlace[];
  readonly ranges: readonly LaneRange[];
  readonly before: Read;
}

const NOTHING_READ: Read = { deeds: new Map(), looked: 0, above: '', lanes: [], failed: false };

async function lanesOf(view: RoomView): Promise<readonly LanePlace[]> {
  return (await view.horizon()).lanes.filter((lane) => lane.mark >= 0);
}

function newestOf(lane: LanePlace): LaneRange {
  const from = Math.max(0, lane.mark - FRAMES_MAX + 1);
  return { lane, from, whole: from === 0 };
}

/** What a lane has had since; undefined: more than is read at once, or less than before. */
function sinceOf(lane: LanePlace, before: readonly LanePlace[]): LaneRange | undefined {
  const known = before.find((it) => isSameLog(it, lane));
  if (known === undefined) return newestOf(lane);
  if (known.mark > lane.mark || lane.mark - known.mark > FRAMES_MAX) return undefined;
  return { lane, from: known.mark + 1, whole: true };
}

/** Ascending by version. */
function merged(before: Read['deeds'], since: ReadonlyMap<string, readonly Deed[]>): Read['deeds'] {
  if (since.size === 0) return before;
  const all = new Map(before);
  for (const [key, deeds] of since) {
    const both = [...(before.get(key) ?? []), ...deeds];
    all.set(
      key,
      both.sort((a, b) => (a.effect.version < b.effect.version ? -1 : 1)),
    );
  }
  return all;
}

/** The write requests of a frame that the room has done. */
function placesOf({ lane: { log, origin, partition, epoch }, receipt }: TailFrame): WritePlace[] {
  const { seq, count, stampFirst, exceptions } = receipt;
  const undone = new Set(exceptions.filter(({ outcome }) => outcome !== 'superseded').map(({ index }) => index));
  return Array.from({ length: count }, (_, index) => ({ log, origin, partition, epoch, seq, index }))
    .filter(({ index }) => !undone.has(index))
    .map((position) => ({ position, receipt, name: `${formatPosition(position)} ${stampFirst}` }));
}

type Place = Pick<Position, 'origin' | 'partition' | 'epoch'>;

function isSameLog(a: Place, b: Place): boolean {
  return a.origin === b.origin && a.partition === b.partition && a.epoch === b.epoch;
}

function hasPassed(lanes: readonly LanePlace[], place: Place & Pick<Position, 'seq'>): boolean {
  return lanes.some((lane) => isSameLog(lane, place) && lane.mark >= place.seq);
}

/** Whether `lanes` have all that the rooms of `horizons` have passed, each of them: nothing else is told. */
function reaches(lanes: readonly LanePlace[], [first, ...others]: readonly Horizon[]): boolean {
  const passedBy = (horizon: Horizon, lane: LanePlace) => horizon.lanes.find((it) => isSameLog(it, lane))?.mark ?? -1;
  return (first?.lanes ?? []).every((lane) => {
    const seq = Math.min(lane.mark, ...others.map((horizon) => passedBy(horizon, lane)));
    return seq < 0 || hasPassed(lanes, { ...lane, seq });
  });
}
