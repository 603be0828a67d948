/**
 * Looks for a delete that one room has applied and forgotten. A room forgets a delete a few seconds after every room has said that it applied it; so a room that lost one
 * shows a value that the other does not know any more why it lacks. The value's own write request is genuine, and putting it back would
 * bring back what was deleted. The delete itself is in a write log: it is looked for among the newest write requests of the value's partition, which is the same
 * in every origin and where all write requests with its ordering key lie.
 */
import type { Effect } from '../../core/converge/effects.ts';
import type { FrameReceipts, LanePlace } from '../../core/inspection.ts';
import type { Runtime } from '../../core/runtime.ts';
import { type Version, versionAt } from '../../core/stamp.ts';
import type { FoundWrite, RoomView } from '../room.ts';
import { type Part, takesAway } from './parts.ts';
import type { Sources } from './sources.ts';

const FRAMES_MAX = 1_024;
const WRITES_MAX = 4_096;
const WRITES_PER_CALL = 512;
const KEPT_MS = 10_000;
const PARTITIONS_KEPT = 64;

export interface LaterDelete {
  /** The delete; undefined: none was found. */
  readonly found: { readonly write: FoundWrite; readonly effect: Effect } | undefined;
  /** How many write requests were looked at. */
  readonly looked: number;
  /** Nothing younger than the value was left out. */
  readonly complete: boolean;
}

interface Read {
  readonly deletes: ReadonlyMap<string, readonly { readonly write: FoundWrite; readonly effect: Effect }[]>;
  readonly looked: number;
  /** Everything stamped above it was read; '': everything there is. */
  readonly above: Version;
}

export class LaterDeletes {
  readonly #sources: Sources;
  readonly #runtime: Runtime;
  /** By partition: many keys are usually asked for at once. */
  readonly #partitions = new Map<string, { readonly untilMs: number; readonly read: Promise<Read> }>();

  constructor(sources: Sources) {
    this.#sources = sources;
    this.#runtime = sources.options.runtime;
  }

  /** A delete of the part of `key` above `version` that the room of `view` has applied by its own receipts: one that nobody has done explains nothing. */
  async after(
    of: { readonly key: string; readonly part: Part; readonly name: string; readonly version: Version },
    from: FoundWrite,
    view: RoomView,
  ): Promise<LaterDelete> {
    try {
      const { deletes, looked, above } = await this.#partition(from.position.partition, view);
      const nowMs = this.#runtime.nowMs();
      const ofKey = deletes.get(of.key) ?? [];
      const later = ofKey.filter(
        ({ effect }) =>
          effect.version > of.version &&
          takesAway(effect, of.part, of.name) &&
          !isPending(effect, nowMs) &&
          !ofKey.some((it) => isInTime(it.effect, effect)),
      );
      const found = later.reduce(
        (last: (typeof later)[number] | undefined, it) => (last === undefined || it.effect.version > last.effect.version ? it : last),
        undefined,
      );
      return { found, looked, complete: above <= of.version };
    } catch {
      return { found: undefined, looked: 0, complete: false };
    }
  }

  #partition(partition: number, view: RoomView): Promise<Read> {
    const now = this.#runtime.monotonicMs();
    const name = `${view.room}/${partition}`;
    const known = this.#partitions.get(name);
    if (known !== undefined && known.untilMs > now) return known.read;
    const read = this.#read(partition, view);
    this.#partitions.delete(name);
    this.#partitions.set(name, { untilMs: now + KEPT_MS, read });
    read.catch(() => this.#partitions.delete(name));
    for (const oldest of this.#partitions.keys()) if (this.#partitions.size > PARTITIONS_KEPT) this.#partitions.delete(oldest);
    return read;
  }

  async #read(partition: number, view: RoomView): Promise<Read> {
    const lanes = (await view.horizon()).lanes.filter((lane) => lane.partition === partition && lane.mark >= 0);
    const frames: Frame[] = [];
    let above: Version = '';
    for (const lane of lanes) {
      const from = Math.max(0, lane.mark - FRAMES_MAX + 1);
      const receipts = await view.receipts({ lane, from, to: lane.mark });
      for (const receipt of receipts) frames.push({ lane, receipt });
      // What lies before the first of them was not looked at.
      const first = receipts[0];
      if ((first?.seq ?? lane.mark + 1) > 0) above = later(above, `${first?.stampFirst ?? 'f'.repeat(24)}`);
    }
    frames.sort((a, b) => (a.receipt.stampLast < b.receipt.stampLast ? 1 : -1));
    const deletes = new Map<string, { readonly write: FoundWrite; readonly effect: Effect }[]>();
    let looked = 0;
    while (frames.length > 0 && looked < WRITES_MAX) {
      const taken = takeSome(frames);
      const complete = await this.#collect(taken, deletes);
      looked += taken.reduce((sum, { receipt }) => sum + receipt.count, 0);
      if (!complete) above = later(above, taken[0]?.receipt.stampLast ?? '');
    }
    if (frames[0] !== undefined) above = later(above, frames[0].receipt.stampLast);
    return { deletes, looked, above };
  }

  /** False where not all of the write requests could be read. */
  async #collect(
    frames: readonly Frame[],
    deletes: Map<string, { readonly write: FoundWrite; readonly effect: Effect }[]>,
  ): Promise<boolean> {
    let complete = true;
    for (const [origin, some] of Map.groupBy(frames, ({ lane }) => lane.origin)) {
      const view = this.#sources.options.rooms(origin);
      const positions = some.flatMap(({ lane: { log, partition, epoch }, receipt }) =>
        appliedOf(receipt).map((index) => ({ log, origin, partition, epoch, seq: receipt.seq, index })),
      );
      const found = (await view?.findWrites({ by: 'position', positions }).catch(() => undefined)) ?? [];
      const derived = await this.#sources.derive(found.map(({ write }) => write));
      complete &&= found.length === positions.length;
      for (const write of found) {
        const effects = derived.get(write.write.stamp)?.effects;
        complete &&= effects !== undefined;
        for (const effect of effects ?? []) {
          if (!isTaking(effect)) continue;
          const known = deletes.get(effect.key);
          if (known === undefined) deletes.set(effect.key, [{ write, effect }]);
          else known.push({ write, effect });
        }
      }
    }
    return complete;
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

function isTaking(effect: Effect): boolean {
  return (
    effect.op === 'del' ||
    effect.op === 'hdel' ||
    effect.op === 'srem' ||
    effect.op === 'zrem' ||
    effect.op === 'expire' ||
    effect.op === 'set'
  );
}

/** An expiry that is still to come has taken nothing away yet. */
function isPending(effect: Effect, nowMs: number): boolean {
  return effect.op === 'expire' && effect.expireAtMs > nowMs;
}

/** Whether `next` gave the key another expiry, or none, before the one of `effect` came (core/converge/expiry.ts). */
function isInTime(next: Effect, effect: Effect): boolean {
  if (effect.op !== 'expire' || (next.op !== 'expire' && next.op !== 'set')) return false;
  return next.version > effect.version && next.version < versionAt(effect.expireAtMs);
}

function later(a: Version, b: Version): Version {
  return a > b ? a : b;
}
