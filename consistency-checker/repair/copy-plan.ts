/** What a copy of a peer's cache has to bring, and whether a peer can give it (docs/adr/0009): pure, from what both rooms say of their caches. */
import type { CachePlace, CachePlaces, TakeOver } from '../../core/inspection.ts';
import { NO_STAMP, type Version } from '../../core/stamp.ts';
import { laneKey, NOTHING_SEEN, type RoomId, type Seq } from '../../core/words.ts';
import type { Horizon } from '../room.ts';
import { pooled, seenOf } from './passed.ts';

const ON_GAP = 'stopped-on-gap';
/** A lane in these takes frames, or is about to. */
const MOVING: readonly string[] = ['streaming', 'resuming'];

/** Lanes that stand on a gap which the cache alone has: the log still reaches back to the marks of the room's other stores. */
export function lackingLanes({ lanes }: CachePlaces): readonly CachePlace[] {
  return lanes.filter(({ state, logFrom, cache, others }) => state === ON_GAP && cache + 1 < logFrom && others + 1 >= logFrom);
}

export interface Source {
  readonly room: RoomId;
  /** Read before any of its states. */
  readonly places: CachePlaces;
}

/** Everything stamped up to it is in the copied room's cache, whatever its origin; '' where that is not known. */
export function coveredBy({ places }: Pick<Source, 'places'>, own: CachePlaces): Version {
  return seenOf(pooled(horizonOf(places), horizonOf(own)));
}

/** Why nothing may be copied from the room; undefined: it may. */
export function whyNot(source: Source, own: CachePlaces): string | undefined {
  const { room, places } = source;
  const gap = places.lanes.find(({ state }) => state === ON_GAP);
  if (gap !== undefined) return `${room} stands on a gap itself, in ${laneKey(gap)}`;
  const blind = places.lanes.find((lane) => lane.seen === NO_STAMP && !isMade(own, lane));
  if (blind !== undefined) return `${room} does not know of ${laneKey(blind)} what its cache has`;
  for (const lane of lackingLanes(own)) {
    const theirs = placeIn(places, lane);
    if (theirs?.epoch !== lane.epoch || theirs.applied + 1 < lane.logFrom)
      return `${room} has ${laneKey(lane)} up to ${theirs?.applied ?? NOTHING_SEEN}, and its log begins at ${lane.logFrom}`;
  }
  const covered = coveredBy(source, own);
  if (places.settled > covered) return `${room} may have forgotten deletes beyond what all of its lanes have seen`;
  if (own.settled > covered) return `${room} has not seen all that this room may have forgotten`;
  const foreign = own.lanes.find((lane) => lane.epoch !== '' && (placeIn(places, lane)?.epoch || lane.epoch) !== lane.epoch);
  return foreign && `${room} has another log epoch of ${laneKey(foreign)}`;
}

/** Lanes whose cache has less than the copy will stand for. They must not move until the copy is done. */
export function lanesBehind(own: CachePlaces, source: Pick<Source, 'places'>): readonly CachePlace[] {
  return own.lanes.filter((lane) => !isMade(own, lane) && lane.cache < reachOf(own, source, lane));
}

/** Effects that the room makes itself: its cache has no mark of them. */
function isMade(own: CachePlaces, { log, origin }: CachePlace): boolean {
  return log === 'effects' && origin === own.room;
}

/**
 * Up to where the copy stands for a lane. What a room gets as the effects of another one comes to it as entries of that room's effect log, also what was parked there and is
 * retried later: so its derived marks pass over that, as they always do.
 */
function reachOf(own: CachePlaces, { places }: Pick<Source, 'places'>, lane: CachePlace): Seq {
  const theirs = placeIn(places, lane);
  const isDerived = lane.log === 'writes' && own.lanes.some((it) => it.log === 'effects' && !isMade(own, it));
  return (isDerived ? theirs?.cache : theirs?.applied) ?? NOTHING_SEEN;
}

/** Of those behind, one that takes frames: it is waited for, so that what it brings is not older than what was copied. */
export function movingLane(behind: readonly CachePlace[]): CachePlace | undefined {
  return behind.find(({ state }) => MOVING.includes(state));
}

export function pausedLane(behind: readonly CachePlace[]): CachePlace | undefined {
  return behind.find(({ state }) => state === 'paused');
}

/** Why what was copied so far does not count any more; undefined: it does. */
export function whyOver(began: CachePlaces, behind: readonly CachePlace[], now: CachePlaces): string | undefined {
  if (now.life !== began.life) return 'the cache of this room, or its collector, is not what it was when the copy began';
  for (const lane of behind) {
    const place = placeIn(now, lane);
    if (place?.state === 'paused') return `${laneKey(lane)} was paused`;
    if (place?.cache !== lane.cache) return `${laneKey(lane)} has moved from ${lane.cache} to ${place?.cache ?? NOTHING_SEEN}`;
  }
  return undefined;
}

/** `forgotten`: by the copied room, when the last of its states had been read. */
export function endOfCopy(own: CachePlaces, source: Pick<Source, 'places'>, forgotten: Version): TakeOver {
  const moves = lanesBehind(own, source).map((lane) => {
    const { log, origin, partition, cache } = lane;
    const epoch = placeIn(source.places, lane)?.epoch ?? '';
    return { log, origin, partition, epoch, expected: cache, next: reachOf(own, source, lane) };
  });
  return { life: own.life, settled: forgotten, moves };
}

function placeIn({ lanes }: CachePlaces, lane: Pick<CachePlace, 'log' | 'origin' | 'partition'>): CachePlace | undefined {
  return lanes.find(({ log, origin, partition }) => log === lane.log && origin === lane.origin && partition === lane.partition);
}

function horizonOf({ nowMs, lanes }: CachePlaces): Horizon {
  const writes = lanes.filter(({ log }) => log === 'writes');
  return { nowMs, lanes: writes.map(({ applied, ...lane }) => ({ ...lane, mark: applied, lagWrites: 0 })) };
}
