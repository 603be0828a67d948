/**
 * A record of an inbox: a frame and its place in the origin's log.
 *
 *     offset  size
 *          0     1  version (1)
 *          1     1  log, as in a frame's header
 *          2     4  run: grows with each time that the lane goes on elsewhere than after its record before
 *          6     8  log epoch
 *         14     8  seq
 *         22        the frame, untouched
 *
 * One without a frame begins a run: the lane goes on after its seq (-1: at the beginning), and what stood behind that seq in earlier runs counts no more.
 */
import { LOG_NAMES, type LogEpoch, type LogName, type RoomId, type Seq } from '../../core/words.ts';
import { peekFrame } from '../frame.ts';

const VERSION = 1;
const HEADER_BYTES = 22;

export interface InboxRecord {
  readonly log: LogName;
  readonly run: number;
  readonly epoch: LogEpoch;
  readonly seq: Seq;
  readonly bytes: Uint8Array;
}

export function encodeRecord({ log, run, epoch, seq, bytes }: InboxRecord): Buffer {
  const value = Buffer.allocUnsafeSlow(HEADER_BYTES + bytes.length);
  value[0] = VERSION;
  value[1] = LOG_NAMES.indexOf(log);
  value.writeUInt32BE(run, 2);
  value.write(epoch, 6, 8, 'hex');
  value.writeBigInt64BE(BigInt(seq), 14);
  value.set(bytes, HEADER_BYTES);
  return value;
}

/** Undefined where it is none. The frame is a view. */
export function decodeRecord(value: Buffer): InboxRecord | undefined {
  const log = LOG_NAMES[value[1] ?? LOG_NAMES.length];
  if (value.length < HEADER_BYTES || value[0] !== VERSION || log === undefined) return undefined;
  const [run, epoch, seq] = [value.readUInt32BE(2), value.toString('hex', 6, 14), Number(value.readBigInt64BE(14))];
  return { log, run, epoch, seq, bytes: value.subarray(HEADER_BYTES) };
}

/** Undefined where it is none of this log of this room: somebody else wrote it. */
export function ownRecord(value: Buffer, { origin, log }: { readonly origin: RoomId; readonly log: LogName }): InboxRecord | undefined {
  const read = decodeRecord(value);
  const of = read && peekFrame(read.bytes)?.origin;
  return read?.log === log && (of === undefined || of === origin) ? read : undefined;
}
