/**
 * The words of WMB as types. Every folder uses these and no others, so that a
 * value keeps its name from the application's submit to the peer room's cache.
 */

/** Id of a room: `[a-z][a-z0-9-]{0,31}`, as written in the topology. */
export type RoomId = string;

/**
 * A room keeps up to three logs, all with the same frames, links and marks:
 * - `writes`: the write log, this room's own write requests;
 * - `effects`: the effect log of the master room of a master–slave topology;
 * - `changes`: the row changes of an embedded master database, in the binlog's place.
 */
export type LogName = 'writes' | 'effects' | 'changes';
export const LOG_NAMES: readonly LogName[] = ['writes', 'effects', 'changes'];

/** Names one creation of one log: 16 lower-case hex digits, random. A log made anew has a new epoch. */
export type LogEpoch = string;

/** Dense number of a frame in one partition of one log within one log epoch; the first is 0. */
export type Seq = number;

/** Seq of a mark below which nothing has been seen yet. */
export const NOTHING_SEEN: Seq = -1;

/** One ordered stream of frames: a partition of a log of an origin. */
export interface Lane {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partition: number;
}

/** `log/origin/partition`: a lane as a map key. */
export function laneKey(lane: Lane): string {
  return `${lane.log}/${lane.origin}/${lane.partition}`;
}

/** Every frame of the lane with a seq up to and including `seq` has a receipt in this room. `seq` is -1 at first. */
export interface Mark extends Lane {
  readonly epoch: LogEpoch;
  readonly seq: Seq;
}

/** The address of one write request for ever. */
export interface Position extends Lane {
  readonly epoch: LogEpoch;
  readonly seq: Seq;
  /** Place of the write request within its frame, from 0. */
  readonly index: number;
}

/** What an application submits. */
export interface WriteRequest {
  /** Globally unique, chosen by the application (or made at intake): 1 to 128 bytes of UTF-8. */
  readonly requestId: string;
  /** Which processor handles it. */
  readonly kind: string;
  /** Ordering key: write requests of one key from one origin are processed in order. 1 to 512 bytes of UTF-8. */
  readonly key: string;
  readonly payload: Uint8Array;
  /** W3C `traceparent`, or empty. */
  readonly trace: string;
}

/** A write request with the stamp that intake gave it. */
export interface StampedWrite extends WriteRequest {
  /** See core/stamp.ts. */
  readonly stamp: string;
}

/** What a room did with one write request; every write request ends as exactly one of these in every room. */
export type Outcome = 'applied' | 'superseded' | 'duplicate' | 'parked' | 'rejected';
export const OUTCOMES: readonly Outcome[] = ['applied', 'superseded', 'duplicate', 'parked', 'rejected'];

/** `beijing/3@0f…:1042.17`; for the other logs `beijing.effects/3@0f…:1042.17`. */
export function formatPosition(position: Position): string {
  const log = position.log === 'writes' ? '' : `.${position.log}`;
  return `${position.origin}${log}/${position.partition}@${position.epoch}:${position.seq}.${position.index}`;
}

const POSITION = /^([a-z][a-z0-9-]{0,31})(?:\.(effects|changes))?\/(\d{1,5})@([0-9a-f]{16}):(\d{1,16})\.(\d{1,7})$/;

/** The position that {@link formatPosition} wrote, or undefined where `text` is none. */
export function parsePosition(text: string): Position | undefined {
  const match = POSITION.exec(text);
  if (match === null) return undefined;
  const [, origin = '', log = 'writes', partition, epoch = '', seq, index] = match;
  return { origin, log: log as LogName, partition: Number(partition), epoch, seq: Number(seq), index: Number(index) };
}
