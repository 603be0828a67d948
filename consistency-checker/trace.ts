/** What this room knows of one write request: where it entered, and what this room did with it. */
import { WmbError } from '../core/errors.ts';
import type { FrameReceipts, LanePlace } from '../core/inspection.ts';
import { formatPosition, laneKey, NOTHING_SEEN, type Position, parsePosition, type Seq } from '../core/words.ts';
import type { Hop, WriteTimeline } from './drift.ts';
import { plural } from './report/phrases.ts';
import type { FoundWrite, RoomView } from './room.ts';

/** How long a write log is searched for a request id. */
const SEARCH_MS_MAX = 20_000;

export interface Traced {
  /** Of a write request that entered in this room. */
  readonly found: FoundWrite | undefined;
  readonly timeline: WriteTimeline | undefined;
  /** What this room did with it. */
  readonly hops: readonly Hop[];
}

export interface TraceOptions {
  readonly own: RoomView;
  /** Seq of the newest frame in a partition of this room's write log; -1: there is none. */
  readonly logEnd: (partition: number) => Promise<Seq>;
  readonly timeline: (found: FoundWrite) => Promise<WriteTimeline>;
}

/** `write`: a request id or a position. NOT_FOUND where this room knows nothing of it. */
export async function traceWrite(write: string, { own, logEnd, timeline }: TraceOptions): Promise<Traced> {
  const position = parsePosition(write);
  const found = await findOwn(own, write, position);
  const at = found?.position ?? position;
  if (at === undefined) throw new WmbError('NOT_FOUND', `the write log of ${own.room} has no write request with the request id “${write}”`);
  const hop = await hopAt(own, at);
  if (found === undefined && hop === undefined) throw new WmbError('NOT_FOUND', `room ${own.room} knows nothing at ${write}`);
  // The origin would have it in its log. A peer cannot know that nothing is on its way.
  if (found === undefined && hop?.what === 'waiting' && isOwn(own, at)) throw nothingAt(own, at, await logEnd(at.partition));
  return { found, timeline: found && (await timeline(found)), hops: hop === undefined ? [] : [hop] };
}

function nothingAt({ room }: RoomView, at: Position, end: Seq): WmbError {
  const lane = `${at.origin}/${at.partition}`;
  const why =
    end < at.seq
      ? `${lane} ends at ${end < 0 ? 'its beginning: nothing was ever written' : `frame ${end}`}`
      : `frame ${at.seq} of ${lane} holds fewer write requests`;
  return new WmbError('NOT_FOUND', `the write log of ${room} has nothing at ${formatPosition(at)}${end < at.seq ? ' yet' : ''}: ${why}`);
}

function isOwn(own: RoomView, { log, origin }: Position): boolean {
  return origin === own.room && log === 'writes';
}

async function findOwn(own: RoomView, write: string, position: Position | undefined): Promise<FoundWrite | undefined> {
  if (position !== undefined && !isOwn(own, position)) return undefined;
  const query =
    position === undefined
      ? ({ by: 'request', requestId: write, limitMs: SEARCH_MS_MAX } as const)
      : ({ by: 'position', positions: [position] } as const);
  return (await own.findWrites(query))[0];
}

/** Undefined where the room has no such lane. */
async function hopAt(own: RoomView, position: Position): Promise<Hop | undefined> {
  const { lanes, nowMs } = await own.horizon();
  const place = lanes.find((lane) => laneKey(lane) === laneKey(position) && lane.epoch === position.epoch);
  if (place === undefined) return undefined;
  const { room } = own;
  if (place.mark < position.seq) {
    const behind = `the mark of the lane is ${place.mark}`;
    return {
      room,
      what: 'waiting',
      atMs: nowMs,
      detail: place.state === '' ? behind : `${behind}; its link is ${place.state} ${place.reason}`.trimEnd(),
    };
  }
  const { log, origin, partition, epoch, seq } = position;
  const frames = await own.receipts({ lane: { log, origin, partition, epoch }, from: seq, to: seq });
  const hop = hopOf(own, position, frames[0]);
  return hop.what === 'applied' ? { ...hop, detail: inDatabase(place, seq) } : hop;
}

/** Of a slave room whose database follows by itself. The master's marks in it say how far it has come, not whether the master ran anything for the write request. */
function inDatabase({ databaseSeq }: LanePlace, seq: Seq): string {
  if (databaseSeq === undefined) return '';
  if (databaseSeq >= seq) return 'its database is past it too';
  return databaseSeq === NOTHING_SEEN
    ? 'its database has nothing of the lane yet'
    : `its database has come to frame ${databaseSeq} of the lane`;
}

function hopOf({ room }: RoomView, position: Position, frame: FrameReceipts | undefined): Hop {
  if (frame === undefined) return { room, what: 'unknown', atMs: 0, detail: 'its receipt is older than what the receipt book keeps' };
  if (position.index >= frame.count)
    throw new WmbError('NOT_FOUND', `the frame of ${formatPosition(position)} holds only ${frame.count} write requests`);
  const exception = frame.exceptions.find(({ index }) => index === position.index);
  if (exception === undefined) return { room, what: 'applied', atMs: frame.appliedMs, detail: '' };
  const { outcome, code, parkedMs, attempts } = exception;
  if (outcome !== 'parked') return { room, what: outcome, atMs: frame.appliedMs, detail: code };
  return { room, what: outcome, atMs: parkedMs, detail: attempts > 0 ? `${code}, tried ${plural(attempts, 'time')}` : code };
}
