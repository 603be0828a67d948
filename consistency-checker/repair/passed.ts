/**
 * What a room had passed when its states were read, put together from both rooms' horizons. Both must have been read before the states.
 *
 * What the repair needs it for. The wrong room W may have applied a delete and forgotten it; a repair that then brought the right room's older state would bring back
 * what was deleted. W forgets only up to its `settled`, and `settled` never exceeds the floor, which never exceeds what every room has said to have
 * applied. So what W had forgotten when the right room R was read, R had applied by then. What remains is a delete that both got and W forgot after R was read: the store
 * refuses the repair if its `settled` is beyond `seen`, so everything up to `seen` must have been applied in R when it was read. That is
 * the least, over all lanes, of R's own `seen` from before its states were read. A parked write request has its receipt and is not applied, but
 * it holds the floor, and so W's `settled`, below itself.
 *
 * A room C that is away must not block repairs between the others. Then R's `seen` of C's lanes stands where R last heard of C. W may have heard of C a little
 * longer, and the floor with it, although C had nothing new: W's settled would exceed R's `seen` until C is back. But up to where a lane ends is no secret of one room:
 * everything of the lane stamped up to W's `seen` lies at or below W's mark; where R's mark is not below that, R has it too. So R counts W's `seen` as its own there.
 * W cannot get, and forget, more of C's lanes than that without C coming back, and then `seen` moves as well.
 *
 * A room that says of no lane at all what it has seen has a cache that has just come back from an older copy, or none: its marks are from before, and nothing is counted for it.
 */
import type { Horizon, LanePlace } from '../../core/inspection.ts';
import { NO_STAMP, type Version } from '../../core/stamp.ts';
import { laneKey } from '../../core/words.ts';

/** The horizon of `room`, with what the other one knows of the ends of lanes. */
export function pooled(room: Horizon, otherRoom: Horizon): Horizon {
  if (room.lanes.length > 0 && room.lanes.every(({ seen }) => seen === NO_STAMP)) return room;
  const known = new Map(room.lanes.map((lane) => [laneKey(lane), lane]));
  const lanes = otherRoom.lanes.map((place): LanePlace => {
    const own = known.get(laneKey(place));
    known.delete(laneKey(place));
    // A lane that the room does not take at all: it has nothing of it.
    if (own === undefined) return { ...place, mark: -1, seen: place.mark < 0 ? place.seen : NO_STAMP };
    const reaches = place.mark < 0 || (own.epoch === place.epoch && own.mark >= place.mark);
    return { ...own, seen: reaches && place.seen > own.seen ? place.seen : own.seen };
  });
  return { nowMs: room.nowMs, lanes: [...lanes, ...known.values()] };
}

/** Everything stamped up to it has its receipt in the room, whatever its origin; '' where that is not known of every lane. */
export function seenOf({ lanes }: Horizon): Version {
  let least: string | undefined;
  for (const { seen } of lanes) if (least === undefined || seen < least) least = seen;
  return least === undefined || least === NO_STAMP ? '' : `${least}ffff`;
}

/** The lane that holds `seenOf` back. */
export function lastLane({ lanes }: Horizon): LanePlace | undefined {
  return lanes.reduce((last: LanePlace | undefined, lane) => (last === undefined || lane.seen < last.seen ? lane : last), undefined);
}
