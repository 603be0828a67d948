/**
 * What the write logs say of one key. A room forgets a delete a few seconds after every room has said that it applied it; so a room that lost one shows a value
 * that the other does not know any more why it lacks. The value's own write request is genuine, and putting it back would bring back what was
 * deleted. The delete itself is in a write log: it is looked for among the newest write requests of all lanes, for write requests with any
 * ordering key may touch a cache key.
 */
import type { Effect } from '../../core/converge/effects.ts';
import { type FrameReceipts, isGivenUp, type LanePlace } from '../../core/inspection.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Version } from '../../core/stamp.ts';
import type { Position } from '../../core/words.ts';
import type { FoundWrite, Horizon, RoomView } from '../room.ts';
import type { Sources } from './sources.ts';

const FRAMES_MAX = 1_024;
const WRITES_MAX = 8_192;
const WRITES_PER_CALL = 512;
const KEPT_MS = 10_000;
const EFFECTS_MAX = 65_536;
const ROOMS_KEPT = 8;

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
}

export class KeyHistories {
  readonly #sources: Sources;
  readonly #runtime: Runtime;
  /** By room: many keys are usually asked for at once. */
  readonly #rooms = new Map<string, { readonly untilMs: number; readonly read: Promise<Read> }>();

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
    const now = this.#runtime.monotonicMs();
    const name = view.room;
    const known = this.#rooms.get(name);
    if (known !== undefined && known.untilMs > now) {
      const { lanes } = await known.read;
      const asked = horizons.flatMap((horizon) => horizon.lanes).filter((lane) => lane.mark >= 0);
      // What has come since may be what took a key away.
      if (asked.every((lane) => hasPassed(lanes, { ...lane, seq: lane.mark }))) return known.read;
    }
    const read = this.#read(view);
    this.#rooms.delete(name);
    this.#rooms.set(name, { untilMs: now + KEPT_MS, read });
    read.catch(() => this.#rooms.delete(name));
    for (const oldest of this.#rooms.keys()) if (this.#rooms.size > ROOMS_KEPT) this.#rooms.delete(oldest);
    return read;
  }

  async #read(view: RoomView): Promise<Read> {
    const lanes = (await view.horizon()).lanes.filter((lane) => lane.mark >= 0);
    const frames: Frame[] = [];
    let above: Version = '';
    for (const lane of lanes) {
      const from = Math.max(0, lane.mark - FRAMES_MAX + 1);
      const receipts = (await view.receipts({ lane, from, to: lane.mark })).filter((receipt) => !isGivenUp(receipt));
      for (const receipt of receipts) frames.push({ lane, receipt });
      // What lies before the first of them was not looked at.
      const first = receipts.findLast((receipt, at) => receipts[at - 1]?.seq !== receipt.seq - 1);
      if ((first?.seq ?? lane.mark + 1) > 0) above = later(above, `${first?.stampFirst ?? 'f'.repeat(24)}`);
    }
    frames.sort((a, b) => (a.receipt.stampLast < b.receipt.stampLast ? 1 : -1));
    const deeds = new Map<string, Deed[]>();
    let [looked, kept] = [0, 0];
    while (frames.length > 0 && looked < WRITES_MAX && kept < EFFECTS_MAX) {
      const taken = takeSome(frames);
      const { unread, effects } = await this.#collect(taken, deeds);
      kept += effects;
      looked += taken.reduce((sum, { receipt }) => sum + receipt.count, 0);
      above = later(above, unread);
    }
    if (frames[0] !== undefined) above = later(above, `${frames[0].receipt.stampLast}ffff`);
    for (const each of deeds.values()) each.sort((a, b) => (a.effect.version < b.effect.version ? -1 : 1));
    return { deeds, looked, above, lanes };
  }

  /** `unread`: up to where not all of the write requests could be read; '': all could. */
  async #collect(frames: readonly Frame[], deeds: Map<string, Deed[]>): Promise<{ readonly unread: Version; readonly effects: number }> {
    let count = 0;
    let unread: Version = '';
    for (const [origin, some] of Map.groupBy(frames, ({ lane }) => lane.origin)) {
      const view = this.#sources.options.rooms(origin);
      const positions = some.flatMap(({ lane: { log, partition, epoch }, receipt }) =>
        appliedOf(receipt).map((index) => ({ log, origin, partition, epoch, seq: receipt.seq, index })),
      );
      const found = (await view?.findWrites({ by: 'position', positions }).catch(() => undefined)) ?? [];
      const derived = await this.#sources.derive(found.map(({ write }) => write));
      let isWhole = found.length === positions.length;
      for (const write of found) {
        const effects = derived.get(write.write.stamp)?.effects;
        isWhole &&= effects !== undefined;
        for (const effect of effects ?? []) {
          count += 1;
          const known = deeds.get(effect.key);
          if (known === undefined) deeds.set(effect.key, [{ write, effect }]);
          else known.push({ write, effect });
        }
      }
      if (!isWhole) for (const { receipt } of some) unread = later(unread, `${receipt.stampLast}ffff`);
    }
    return { unread, effects: count };
  }
}

interface Frame {
  readonly lane: LanePlace;
  readonly receipt: FrameReceipts;
}

/** At least one, from the front. */
function takeSome(frames: Frame[]): Frame[] {
  const taken: Frame[] = [];
  for (let writes = 0; frames[0] !== undefined && (writes === 0 || writes + frames[0].receipt.count <= WRITES_PER_CALL); ) {
    writes += frames[0].receipt.count;
    taken.push(...frames.splice(0, 1));
  }
  return taken;
}

/** The write requests of a frame that the room has done. */
function appliedOf({ count, exceptions }: FrameReceipts): number[] {
  const undone = new Set(exceptions.filter(({ outcome }) => outcome !== 'superseded').map(({ index }) => index));
  return Array.from({ length: count }, (_, index) => index).filter((index) => !undone.has(index));
}

function hasPassed(lanes: readonly LanePlace[], { origin, partition, epoch, seq }: Omit<Position, 'log' | 'index'>): boolean {
  return lanes.some((lane) => lane.origin === origin && lane.partition === partition && lane.epoch === epoch && lane.mark >= seq);
}

function later(a: Version, b: Version): Version {
  return a > b ? a : b;
}
