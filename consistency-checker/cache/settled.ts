/** What both rooms must have by now, from what they say of their lanes. */
import type { Topology } from '../../core/config/types.ts';
import { NO_STAMP, parseStamp, STAMP_DIGITS, type Stamp, stampMs, type Version } from '../../core/stamp.ts';
import type { RoomId } from '../../core/words.ts';
import type { Horizon } from '../room.ts';

/**
 * - `passed`: both rooms have the receipts of everything that its origin has stamped up to it;
 * - `ahead`: at least one of them is not there yet: lag;
 * - `unknown`: one of them cannot say (it has just started, or the lane is stopped).
 */
export type Passage = 'passed' | 'ahead' | 'unknown';

export interface Settled {
  passage(version: Version): Passage;
  /** Everything up to it has passed, whatever its origin; '' where that is not known of every origin. */
  readonly all: Version;
}

/** For one side alone, or where lag does not matter. */
export const everythingSettled: Settled = { passage: () => 'passed', all: 'ffff' };

const VERSION = /^[0-9a-f]{28}$/;
/** A room's clock may have been set back by so much since it applied something: more, and what is stamped ahead of it is not lag. */
const SET_BACK_MS_MAX = 600_000;

/** The horizons must have been read before the states that are judged by them. */
export function settledBy(topology: Topology, horizons: readonly Horizon[]): Settled {
  const seen = new Map(topology.rooms.map(({ id, number }) => [number, seenOf(id, topology.partitions, horizons)]));
  // What is stamped further ahead of a room's clock is parked there, never applied (docs/errors.md, STAMP_FUTURE).
  const lastMs = Math.max(...horizons.map(({ nowMs }) => nowMs)) + topology.limits.clockAheadMsMax + SET_BACK_MS_MAX;
  let all: Stamp | undefined;
  for (const stamp of seen.values()) if (all === undefined || stamp < all) all = stamp;
  return {
    all: all === undefined || all === NO_STAMP ? '' : `${all}ffff`,
    passage(version) {
      // Written by somebody else than WMB: no write request that may be on its way has it.
      if (!VERSION.test(version) || stampMs(version) > lastMs) return 'passed';
      const room = parseStamp(version).writer >>> 24;
      const upTo = seen.get(room);
      // A writer of no room of the topology: a death by expiry, which is nobody's, or a room that has left.
      if (upTo === undefined) return 'passed';
      if (upTo === NO_STAMP) return 'unknown';
      return version.slice(0, STAMP_DIGITS) <= upTo ? 'passed' : 'ahead';
    },
  };
}

/** What all of the rooms have of all of the origin's lanes. */
function seenOf(origin: RoomId, partitions: number, horizons: readonly Horizon[]): Stamp {
  let least: Stamp | undefined;
  for (const { lanes } of horizons) {
    const own = lanes.filter((lane) => lane.origin === origin);
    if (new Set(own.map((lane) => lane.partition)).size < partitions) return NO_STAMP;
    for (const { seen } of own) if (least === undefined || seen < least) least = seen;
  }
  return least ?? NO_STAMP;
}
