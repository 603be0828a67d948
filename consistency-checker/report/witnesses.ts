/**
 * Other effects of the same frame. A frame is applied as a whole: where the right side shows other effects of it and the wrong side shows none of them, the frame's effects
 * were lost there; where it shows some, it was applied, and the key was changed afterwards.
 */
import type { Effect } from '../../core/converge/effects.ts';
import type { KeyState } from '../../core/converge/state.ts';
import { formatPosition, type Position, type RoomId } from '../../core/words.ts';
import { elementOf } from './parts.ts';
import type { Sources } from './sources.ts';

const WRITES_MAX = 256;
const ELEMENTS_MAX = 64;
const KEPT_MS = 10_000;
const FRAMES_KEPT = 64;

/** Elements of other keys, made by the frame, that the right side shows still. */
export interface Witnesses {
  readonly shown: number;
  /** How many of them the other side has too. */
  readonly shared: number;
  /** How many of those that it lacks it may lack because it was changed directly: their buckets were seen to change without a write request. */
  readonly changed: number;
}

interface FrameWitness {
  readonly key: string;
  readonly shared: boolean;
  readonly changed: boolean;
}

export class WitnessStand {
  readonly #sources: Sources;
  /** One lost frame makes many drifts, which all ask the same. */
  readonly #frames = new Map<string, { readonly untilMs: number; readonly found: Promise<readonly FrameWitness[]> }>();

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  /** Undefined where a room does not answer. */
  async hear(position: Position, rooms: { readonly right: RoomId; readonly wrong: RoomId }, key: string): Promise<Witnesses | undefined> {
    try {
      const witnesses = (await this.#ofFrame(position, rooms)).filter((it) => it.key !== key);
      return {
        shown: witnesses.length,
        shared: witnesses.filter(({ shared }) => shared).length,
        changed: witnesses.filter(({ shared, changed }) => changed && !shared).length,
      };
    } catch {
      return undefined;
    }
  }

  #ofFrame(position: Position, rooms: { readonly right: RoomId; readonly wrong: RoomId }): Promise<readonly FrameWitness[]> {
    const now = this.#sources.options.runtime.monotonicMs();
    const name = `${formatPosition({ ...position, index: 0 })} ${rooms.right} ${rooms.wrong}`;
    const known = this.#frames.get(name);
    if (known !== undefined && known.untilMs > now) return known.found;
    const found = this.#look(position, rooms);
    this.#frames.delete(name);
    this.#frames.set(name, { untilMs: now + KEPT_MS, found });
    found.catch(() => this.#frames.delete(name));
    for (const oldest of this.#frames.keys()) if (this.#frames.size > FRAMES_KEPT) this.#frames.delete(oldest);
    return found;
  }

  async #look(position: Position, { right, wrong }: { readonly right: RoomId; readonly wrong: RoomId }): Promise<readonly FrameWitness[]> {
    const { rooms } = this.#sources.options;
    const [rightView, wrongView, origin] = [rooms(right), rooms(wrong), rooms(position.origin)];
    if (rightView === undefined || wrongView === undefined || origin === undefined) return [];
    const { log, partition, epoch, seq } = position;
    const [frame] = await rightView.receipts({ lane: { log, origin: position.origin, partition, epoch }, from: seq, to: seq });
    const positions = Array.from({ length: Math.min(frame?.count ?? 0, WRITES_MAX) }, (_, index) => ({ ...position, index }));
    if (positions.length === 0) return [];
    const writes = (await origin.findWrites({ by: 'position', positions })).map(({ write }) => write);
    const effects = [...(await this.#sources.derive(writes)).values()].flatMap((derived) => derived.effects ?? []);
    const keys = [...new Set(effects.map(({ key }) => key))].slice(0, ELEMENTS_MAX);
    const [shown, others] = await Promise.all([rightView.states(keys), wrongView.states(keys)]);
    const inRight = new Map(shown.map(({ key, state }) => [key, state]));
    const inWrong = new Map(others.map((answer) => [answer.key, answer]));
    return effects
      .filter((effect) => isThere(inRight.get(effect.key), effect))
      .slice(0, ELEMENTS_MAX)
      .map((effect) => {
        const answer = inWrong.get(effect.key);
        return { key: effect.key, shared: isThere(answer?.state, effect), changed: (answer?.changedBehindMs ?? 0) > 0 };
      });
  }
}

/** Whether exactly this effect is what stands in its element. */
export function isThere(state: KeyState | undefined, effect: Effect): boolean {
  if (state === undefined) return false;
  const name = elementOf(effect);
  const { version } = effect;
  if (effect.op === 'expire') return state.expiries.at(-1)?.version === version;
  if (name === undefined) return state.kill === version;
  return (
    state.registers.some((it) => it.name === name && it.version === version) ||
    state.increments.some((it) => it.name === name && it.version === version)
  );
}
