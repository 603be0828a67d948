/** As inspection-wire.ts, for copies of a cache (docs/adr/0009). */
import type { CachePlace, CachePlaces, TakeOver } from '../core/inspection.ts';
import { type LogName, laneKey, NOTHING_SEEN, type Seq } from '../core/words.ts';
import type * as wire from '../proto/gen/wmb/v1/inspection.ts';
import { asEpoch, asOneOf, asPartition, asRoom, asSeq, asStampOrNone, asVersion, garbage } from './wire-checks.ts';

/** Of texts for people, and of names. */
const TEXT_MAX = 1_024;
/** Logs whose lanes end in a cache. */
const LOGS: readonly LogName[] = ['writes', 'effects'];

export function placesToWire({ room, nowMs, life, settled, lanes }: CachePlaces): wire.CachePlacesResponse {
  const places = lanes.map((place) => ({ ...place, reason: place.reason.slice(0, TEXT_MAX) }));
  return { room, nowMs: Math.floor(nowMs), life, settled, lanes: places };
}

export function placesFromWire({ room, nowMs, life, settled, lanes }: wire.CachePlacesResponse): CachePlaces {
  if (!(nowMs > 0)) throw garbage('now_ms', nowMs, 'a wall clock in milliseconds');
  if (life === '' || life.length > TEXT_MAX) throw garbage('life', life, 'the name of a life');
  const known = new Set<string>();
  const places = lanes.map((lane, at): CachePlace => {
    const where = `lanes[${at}]`;
    const place = placeFromWire(lane, where);
    const name = laneKey(place);
    if (known.has(name)) throw garbage(where, name, 'a lane that was not named before');
    known.add(name);
    return place;
  });
  return { room: asRoom(room, 'room'), nowMs, life, settled: settled === '' ? '' : asVersion(settled, 'settled'), lanes: places };
}

function placeFromWire(lane: wire.CachePlace, where: string): CachePlace {
  const seq = (value: Seq, name: string) => (value === NOTHING_SEEN ? value : asSeq(value, `${where}.${name}`));
  const [cache, others] = [seq(lane.cache, 'cache'), seq(lane.others, 'others')];
  const applied = seq(lane.applied, 'applied');
  if (applied > cache) throw garbage(`${where}.applied`, applied, `a seq up to the cache’s mark, ${cache}`);
  return {
    log: asOneOf(LOGS, lane.log, `${where}.log`),
    origin: asRoom(lane.origin, `${where}.origin`),
    partition: asPartition(lane.partition, `${where}.partition`),
    epoch: lane.epoch === '' && cache === NOTHING_SEEN ? lane.epoch : asEpoch(lane.epoch, `${where}.epoch`),
    cache,
    others,
    applied,
    seen: asStampOrNone(lane.seen, `${where}.seen`),
    state: lane.state.slice(0, TEXT_MAX),
    reason: lane.reason.slice(0, TEXT_MAX),
    logFrom: seq(lane.logFrom, 'log_from'),
  };
}

export function takeOverToWire({ life, settled, moves }: TakeOver): wire.TakeOverRequest {
  return {
    life,
    settled,
    moves: moves.map(({ log, origin, partition, epoch, expected, next }) => ({ log, origin, partition, epoch, expected, next })),
  };
}

export function takeOverFromWire({ life, settled, moves }: wire.TakeOverRequest): TakeOver {
  const known = moves.map(({ log, origin, partition, epoch, expected, next }, at) => {
    const where = `moves[${at}]`;
    asSeq(next, `${where}.next`);
    if (!Number.isSafeInteger(expected) || expected < NOTHING_SEEN || expected >= next)
      throw garbage(`${where}.expected`, expected, `a seq below the next one, ${next}`);
    const lane = {
      log: asOneOf(LOGS, log, `${where}.log`),
      origin: asRoom(origin, `${where}.origin`),
      partition: asPartition(partition, `${where}.partition`),
    };
    return { ...lane, epoch: asEpoch(epoch, `${where}.epoch`), expected, next };
  });
  return { life, settled: settled === '' ? '' : asVersion(settled, 'settled'), moves: known };
}
