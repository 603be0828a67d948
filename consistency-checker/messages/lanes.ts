/**
 * Lanes through which nothing comes any more, from what a room says of itself. Canaries move every lane all the time, so a lane that does not move is stuck, whatever
 * its link says.
 *
 * A lane that is late but moves is catching up, and a clock that is off makes a lane look late: neither is stuck. So two things come together: what came last is older than
 * `silenceMsMax`, and for a part of that time nothing came at all. An alarm closes when the lane is no longer late, not at its first twitch. Where write requests come and only the
 * word is missing that they are all there, it takes longer.
 */
import type { Horizon, LanePlace } from '../../core/inspection.ts';
import type { Runtime } from '../../core/runtime.ts';
import { stampMs } from '../../core/stamp.ts';
import { laneKey, type RoomId } from '../../core/words.ts';

/** A lane counts as standing still after this share of `silenceMsMax`. */
const STILL_SHARE = 0.25;
/** Where write requests come through, so many times `silenceMsMax`: of a room with several reships nothing is known to be whole until the others have given up one that was killed. */
const WHOLE_TIMES = 2;

export interface LaneAlarm {
  /** `beijing/3`: origin and partition. */
  readonly lane: string;
  readonly origin: RoomId;
  readonly level: 'L0' | 'L1';
  readonly text: string;
  /** Wall clock of the room whose lane it is. */
  readonly sinceMs: number;
}

export type InheritedAlarm = Pick<LaneAlarm, 'lane' | 'level' | 'sinceMs'>;

interface Watched {
  seen: string;
  mark: number;
  epoch: string;
  /** Monotonic: since when `seen` and `mark` are what they are, each. */
  seenSince: number;
  markSince: number;
  /** The same, also where nothing waits. */
  movedSince: number;
  alarmed: boolean;
}

/** Looks at the lanes of one room; has one of its own for each room that is watched. */
export class LaneWatch {
  readonly #silenceMsMax: number;
  readonly #runtime: Runtime;
  readonly #lanes = new Map<string, Watched>();
  /** By lane, alarms of an earlier life of the checker. */
  readonly #inherited = new Map<string, InheritedAlarm>();

  constructor(options: { readonly silenceMsMax: number; readonly runtime: Runtime }) {
    this.#silenceMsMax = options.silenceMsMax;
    this.#runtime = options.runtime;
  }

  /** Alarms that stood when the checker ended stand on until their lanes are seen to move: a checker that comes back knows of no lane how long it has stood. */
  inherit(alarms: Iterable<InheritedAlarm>): void {
    for (const alarm of alarms) this.#inherited.set(alarm.lane, alarm);
  }

  /** What is stuck now. To be called every round. */
  look(horizon: Horizon): readonly LaneAlarm[] {
    const known = new Set(horizon.lanes.map(laneKey));
    for (const key of this.#lanes.keys()) if (!known.has(key)) this.#lanes.delete(key);
    const alarms: LaneAlarm[] = [];
    for (const place of horizon.lanes) {
      const alarm = this.#lookAt(place, horizon.nowMs);
      if (alarm !== undefined) alarms.push(alarm);
    }
    return alarms;
  }

  #lookAt(place: LanePlace, nowMs: number): LaneAlarm | undefined {
    const lane = this.#remember(place);
    const now = this.#runtime.monotonicMs();
    const stillMs = now - lane.seenSince;
    const ageMs = place.seen === '' ? stillMs : nowMs - stampMs(place.seen);
    const backlogMs = place.lagWrites > 0 ? now - lane.markSince : 0;
    const stillMsMin = this.#silenceMsMax * STILL_SHARE;
    const isMoving = now - lane.movedSince < stillMsMin;
    const isLate = ageMs > this.#silenceMsMax * (isMoving ? WHOLE_TIMES : 1) && (lane.alarmed || stillMs >= stillMsMin);
    const isBlocked = backlogMs > this.#silenceMsMax;
    lane.alarmed = isLate || isBlocked;
    const at = { lane: `${place.origin}/${place.partition}`, origin: place.origin };
    const link = linkText(place);
    if (isBlocked) {
      const text = `${place.lagWrites} write requests wait in lane ${at.lane}, and its mark has stood at ${place.mark} for ${seconds(backlogMs)}; ${link}`;
      return { ...at, level: 'L1', text, sinceMs: Math.round(nowMs - backlogMs) };
    }
    if (!isLate) return undefined;
    if (isMoving && place.seen !== '') {
      const text = `write requests come through lane ${at.lane}, but ${place.origin} has not said for ${seconds(ageMs)} up to which stamp all have come: one of its reships may stand still; ${link}`;
      return { ...at, level: 'L0', text, sinceMs: Math.round(nowMs - ageMs) };
    }
    const what =
      place.seen === ''
        ? `nothing is known to have come through lane ${at.lane} for ${seconds(stillMs)}`
        : `nothing stamped by ${place.origin} within the last ${seconds(ageMs)} has come through lane ${at.lane}`;
    return { ...at, level: 'L0', text: `${what}, not even a canary; ${link}`, sinceMs: Math.round(nowMs - ageMs) };
  }

  #remember(place: LanePlace): Watched {
    const key = laneKey(place);
    const now = this.#runtime.monotonicMs();
    const { seen, mark, epoch } = place;
    const lane = this.#lanes.get(key);
    if (lane === undefined) {
      const first = this.#firstLook(place, now);
      this.#lanes.set(key, first);
      return first;
    }
    // A mark that went back moves too: the room takes everything again from there.
    if (lane.seen !== seen) lane.seenSince = now;
    if (lane.mark !== mark || lane.epoch !== epoch) lane.markSince = lane.movedSince = now;
    lane.seen = seen;
    lane.mark = mark;
    lane.epoch = epoch;
    // The clock of a backlog starts when there is one.
    if (place.lagWrites === 0) lane.markSince = now;
    return lane;
  }

  #firstLook({ origin, partition, seen, mark, epoch }: LanePlace, now: number): Watched {
    const alarm = this.#inherited.get(`${origin}/${partition}`);
    this.#inherited.delete(`${origin}/${partition}`);
    const stoodMs = alarm === undefined ? 0 : Math.max(this.#silenceMsMax + 1, this.#runtime.nowMs() - alarm.sinceMs);
    const markSince = alarm?.level === 'L1' ? now - stoodMs : now;
    return { seen, mark, epoch, seenSince: now - stoodMs, markSince, movedSince: now - stoodMs, alarmed: alarm !== undefined };
  }
}

function linkText({ state, reason }: LanePlace): string {
  if (state === '') return reason || 'the lane has no link of its own: it follows the effects of the master room';
  return reason === '' ? `its link is ${state}` : `its link is ${state}: ${reason}`;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
