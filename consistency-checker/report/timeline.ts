/** The way of one write request through all rooms: stamped, logged, and what each room did with it. */
import { asWmbError } from '../../core/errors.ts';
import { stampMs } from '../../core/stamp.ts';
import { formatPosition, laneKey, type Position, type RoomId } from '../../core/words.ts';
import type { Hop, WriteTimeline } from '../drift.ts';
import { sideOf } from '../messages/sides.ts';
import type { FoundWrite, RoomView } from '../room.ts';
import { plural } from './phrases.ts';
import type { SourceOptions } from './sources.ts';

export async function timelineOf({ position, write }: FoundWrite, { topology, rooms }: SourceOptions): Promise<WriteTimeline> {
  const { origin } = position;
  const stampedMs = stampMs(write.stamp);
  const name = formatPosition(position);
  // The origin first, as the write request went; the others in the order of the topology.
  const order = [origin, ...topology.rooms.map(({ id }) => id).filter((id) => id !== origin)];
  const hops = await Promise.all(order.map((room) => hopOf(room, { view: rooms(room), position, stampedMs })));
  return {
    ...{ requestId: write.requestId, position: name, stamp: write.stamp, kind: write.kind, key: write.key },
    hops: [
      { room: origin, what: 'stamped', atMs: stampedMs, detail: write.stamp },
      { room: origin, what: 'logged', atMs: 0, detail: name },
      ...hops,
    ],
  };
}

interface Stop {
  readonly view: RoomView | undefined;
  readonly position: Position;
  readonly stampedMs: number;
}

async function hopOf(room: RoomId, { view, position, stampedMs }: Stop): Promise<Hop> {
  const unknown = (detail: string): Hop => ({ room, what: 'unknown', atMs: 0, detail });
  if (view === undefined) return unknown('the room has no checker');
  try {
    const { log, origin, partition, epoch, seq, index } = position;
    const [frame] = await view.receipts({ lane: { log, origin, partition, epoch }, from: seq, to: seq });
    if (frame === undefined) return await withoutReceipt(room, view, position);
    const { outcome, code, atMs, parkedMs, attempts } = sideOf(frame, index);
    if (outcome === 'parked')
      return { room, what: 'parked', atMs: parkedMs, detail: `${code || 'parked'}, tried ${plural(attempts, 'time')}` };
    const lag = atMs === 0 ? '' : `${atMs - stampedMs} ms after the stamp`;
    return { room, what: outcome === 'none' ? 'unknown' : outcome, atMs, detail: [code, lag].filter((text) => text !== '').join(', ') };
  } catch (cause) {
    return unknown(asWmbError(cause).message);
  }
}

async function withoutReceipt(room: RoomId, view: RoomView, position: Position): Promise<Hop> {
  const place = (await view.horizon()).lanes.find((lane) => laneKey(lane) === laneKey(position));
  if (place === undefined) return { room, what: 'unknown', atMs: 0, detail: 'the room does not take this lane' };
  if (place.epoch !== position.epoch || place.mark >= position.seq) {
    return { room, what: 'unknown', atMs: 0, detail: 'the room has no receipt of it, or keeps it no longer' };
  }
  const link = place.state === '' ? '' : `; the link is ${place.state}${place.reason === '' ? '' : `: ${place.reason}`}`;
  return {
    room,
    what: 'waiting',
    atMs: 0,
    detail: `the mark of its lane is ${place.mark}, with ${place.lagWrites} write requests to come${link}`,
  };
}
