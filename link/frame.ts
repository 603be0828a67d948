/**
 * A frame is a batch of write requests of one partition, encoded once at intake and carried untouched ever after:
 * the log stores these bytes, links ship them, the peer applies them.
 *
 *     offset  size
 *          0     4  magic "WMBF"
 *          4     1  version (1 or 2)
 *          5     1  codec: 0 none, 1 zstd
 *          6     1  log: 0 writes, 1 effects, 2 changes
 *          7     1  length of the origin's room id, n
 *          8     2  partition
 *         10     8  log epoch
 *         18     4  count of write requests
 *         22     4  size of the body as encoded, before compression
 *         26     4  size of the body as stored
 *         30    12  first stamp
 *         42    12  last stamp
 *         54    12  version 2 only: through, a stamp that all write requests of later frames of the partition exceed
 *          f     n  origin, where f is 54, or 66 in version 2
 *        f+n     4  CRC-32C of everything before it and of the body
 *      f+n+4        body
 *
 * All integers are big-endian. The body holds the write requests one after the other; each is
 * its stamp (12 bytes), then request id, kind, key, trace and payload, each as an unsigned LEB128 length and that many bytes.
 * The seq is not in the frame: the log gives it (in Kafka it is the record's offset).
 *
 * Where one process appends, stamps ascend from frame to frame, and the last stamp says what `through` would. Where several append, it is said (docs/adr/0014).
 *
 * Version history: 1 — the first. 2 — `through`, in frames that were made while several processes appended.
 */
import { constants as zlib, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import { WmbError } from '../core/errors.ts';
import { NO_STAMP, type Stamp } from '../core/stamp.ts';
import { LOG_NAMES, type LogEpoch, type LogName, type RoomId, type StampedWrite } from '../core/words.ts';

export const FRAME_VERSION = 2;
/** No frame is larger than this, encoded or decoded: what claims to be is refused before memory is given to it. */
export const FRAME_BYTES_MAX = 16 * 1024 * 1024;

const MAGIC = 0x574d4246;
const FIXED_BYTES = 54;
const STAMP_BYTES = 12;
const CRC_BYTES = 4;
/** In place of a stamp where nothing is said. */
const NOT_SETTLED = '0'.repeat(2 * STAMP_BYTES);
/** Every frame is larger: bytes divided by it bound a number of frames. */
export const FRAME_BYTES_MIN = FIXED_BYTES + CRC_BYTES;
/**
 * Smaller bodies are stored as they are. Setting a compressor up costs tens of microseconds in every room, and V8 frees what Node makes for it (objects, two
 * buffers, its native part) only when it collects its old generation. Where bytes are many, frames are larger than this.
 */
const COMPRESS_FROM_BYTES = 16_384;
const ZSTD_LEVEL = 1;

export interface FrameHeader {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partition: number;
  readonly epoch: LogEpoch;
  readonly count: number;
  readonly stampFirst: Stamp;
  readonly stampLast: Stamp;
  /** Every write request of a later frame of the partition has a greater stamp. Of the write log only: others are not ordered by stamps. */
  readonly through: Stamp;
  readonly bodyOffset: number;
  readonly bodyBytes: number;
  readonly rawBytes: number;
  readonly codec: 'none' | 'zstd';
}

export interface Frame {
  readonly header: FrameHeader;
  readonly writes: readonly StampedWrite[];
}

/** Where a frame belongs; with the write requests it is all that a frame says. */
export interface FrameLane {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partition: number;
  readonly epoch: LogEpoch;
}

/** Upper bound of the bytes that `write` takes in a frame's body. */
export function writeBytesMax(write: { requestId: string; kind: string; key: string; trace: string; payload: Uint8Array }): number {
  return 12 + 5 * 5 + 3 * (write.requestId.length + write.kind.length + write.key.length + write.trace.length) + write.payload.length;
}

/** Encodes `writes` (at least one, stamps ascending) as one frame. `through`: see FrameHeader; the last stamp where it is left out. */
export function encodeFrame(lane: FrameLane, writes: readonly StampedWrite[], through?: Stamp): Buffer {
  const first = writes[0];
  const last = writes[writes.length - 1];
  if (first === undefined || last === undefined) throw new WmbError('INTERNAL', 'a frame of no write requests');
  const raw = encodeBody(writes);
  const packed = raw.length < COMPRESS_FROM_BYTES ? raw : compress(raw);
  const body = packed.length < raw.length ? packed : raw;
  const origin = Buffer.from(lane.origin, 'latin1');
  const version = through === undefined || through === last.stamp ? 1 : 2;
  const bodyOffset = fixedBytes(version) + origin.length + CRC_BYTES;
  // Not from Buffer's pool: a frame lives long in the log's tail, and would keep all of its slab alive.
  const frame = Buffer.allocUnsafeSlow(bodyOffset + body.length);
  frame.writeUInt32BE(MAGIC, 0);
  frame[4] = version;
  frame[5] = body === raw ? 0 : 1;
  frame[6] = LOG_NAMES.indexOf(lane.log);
  frame[7] = origin.length;
  frame.writeUInt16BE(lane.partition, 8);
  frame.write(lane.epoch, 10, 8, 'hex');
  frame.writeUInt32BE(writes.length, 18);
  frame.writeUInt32BE(raw.length, 22);
  frame.writeUInt32BE(body.length, 26);
  frame.write(first.stamp, 30, 12, 'hex');
  frame.write(last.stamp, 42, 12, 'hex');
  if (version === 2) frame.write(through || NOT_SETTLED, FIXED_BYTES, STAMP_BYTES, 'hex');
  origin.copy(frame, fixedBytes(version));
  body.copy(frame, bodyOffset);
  if (packed !== raw) release(packed);
  frame.writeUInt32BE(checksum(frame, bodyOffset), bodyOffset - CRC_BYTES);
  return frame;
}

/** Reads and checks a frame's header and checksum. FRAME_CORRUPT or FRAME_VERSION, with what is wrong. */
export function checkFrame(bytes: Uint8Array): FrameHeader {
  const frame = asBuffer(bytes);
  if (frame.length < FIXED_BYTES + CRC_BYTES || frame.readUInt32BE(0) !== MAGIC) throw corrupt('it does not begin with a frame header');
  const version = frame[4] ?? 0;
  if (version > FRAME_VERSION) {
    throw new WmbError('FRAME_VERSION', `frame version ${version} is newer than ${FRAME_VERSION}, the newest known here`);
  }
  const originOffset = fixedBytes(version);
  const bodyOffset = originOffset + (frame[7] ?? 0) + CRC_BYTES;
  if (frame.length < bodyOffset) throw corrupt('its header is cut off');
  const bodyBytes = frame.readUInt32BE(26);
  const rawBytes = frame.readUInt32BE(22);
  if (frame.length !== bodyOffset + bodyBytes) throw corrupt(`it should have ${bodyOffset + bodyBytes} bytes and has ${frame.length}`);
  if (checksum(frame, bodyOffset) !== frame.readUInt32BE(bodyOffset - CRC_BYTES)) throw corrupt('its checksum does not match');
  const log = LOG_NAMES[frame[6] ?? 0];
  if (log === undefined || rawBytes > FRAME_BYTES_MAX || (frame[5] ?? 0) > 1) throw corrupt('its header is out of range');
  return {
    log,
    origin: frame.toString('latin1', originOffset, bodyOffset - CRC_BYTES),
    partition: frame.readUInt16BE(8),
    epoch: frame.toString('hex', 10, 18),
    count: frame.readUInt32BE(18),
    stampFirst: frame.toString('hex', 30, 42),
    stampLast: frame.toString('hex', 42, 54),
    through: throughOf(frame, version),
    bodyOffset,
    bodyBytes,
    rawBytes,
    codec: frame[5] === 1 ? 'zstd' : 'none',
  };
}

/** Checks and decodes a frame. The payloads are views into one buffer. */
export function decodeFrame(bytes: Uint8Array): Frame {
  const header = checkFrame(bytes);
  const stored = asBuffer(bytes).subarray(header.bodyOffset);
  const body = header.codec === 'none' ? stored : decompress(stored, header.rawBytes);
  if (body.length !== header.rawBytes) throw corrupt('its body has another size than its header says');
  const writes: StampedWrite[] = new Array(header.count);
  const cursor = { at: 0 };
  for (let i = 0; i < header.count; i += 1) writes[i] = decodeWrite(body, cursor);
  if (cursor.at !== body.length) throw corrupt('its body is longer than its write requests');
  return { header, writes };
}

/**
 * Bodies live for the moment in which a frame is made of them, but as garbage until V8 collects it: a hundred MiB of them at full speed. So they are
 * put together in the same place each time, and what the compressor made is given back at once.
 */
const SCRATCH_BYTES = 1024 * 1024;
let scratchBody: Buffer | undefined;

function scratch(): Buffer {
  scratchBody ??= Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  return scratchBody;
}

function release(packed: Buffer): void {
  if (packed.buffer instanceof ArrayBuffer) packed.buffer.transfer(0);
}

function encodeBody(writes: readonly StampedWrite[]): Buffer {
  let bytesMax = 0;
  for (const write of writes) bytesMax += writeBytesMax(write);
  const body = bytesMax > SCRATCH_BYTES ? Buffer.allocUnsafe(bytesMax) : scratch();
  let at = 0;
  for (const write of writes) {
    body.write(write.stamp, at, 12, 'hex');
    at = putText(body, at + 12, write.requestId);
    at = putText(body, at, write.kind);
    at = putText(body, at, write.key);
    at = putText(body, at, write.trace);
    at = putLength(body, at, write.payload.length);
    body.set(write.payload, at);
    at += write.payload.length;
  }
  return body.subarray(0, at);
}

function decodeWrite(body: Buffer, cursor: { at: number }): StampedWrite {
  const stamp = body.toString('hex', cursor.at, cursor.at + 12);
  cursor.at += 12;
  const requestId = takeText(body, cursor);
  const kind = takeText(body, cursor);
  const key = takeText(body, cursor);
  const trace = takeText(body, cursor);
  const length = takeLength(body, cursor);
  const payload = body.subarray(cursor.at, cursor.at + length);
  cursor.at += length;
  return { stamp, requestId, kind, key, trace, payload };
}

function putText(body: Buffer, at: number, text: string): number {
  const length = Buffer.byteLength(text);
  const start = putLength(body, at, length);
  body.write(text, start, length);
  return start + length;
}

function takeText(body: Buffer, cursor: { at: number }): string {
  const length = takeLength(body, cursor);
  const start = cursor.at;
  cursor.at += length;
  return body.toString('utf8', start, cursor.at);
}

function putLength(body: Buffer, at: number, length: number): number {
  let rest = length;
  let next = at;
  while (rest > 0x7f) {
    body[next] = (rest & 0x7f) | 0x80;
    next += 1;
    rest >>>= 7;
  }
  body[next] = rest;
  return next + 1;
}

function takeLength(body: Buffer, cursor: { at: number }): number {
  let length = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = body[cursor.at];
    if (byte === undefined) break;
    cursor.at += 1;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) {
      if (cursor.at + length > body.length) break;
      return length;
    }
  }
  throw corrupt('a length in its body is out of range');
}

function compress(raw: Buffer): Buffer {
  return zstdCompressSync(raw, {
    // The compressor makes itself as large as what it is told to expect.
    pledgedSrcSize: raw.length,
    chunkSize: chunkOf(raw.length),
    params: { [zlib.ZSTD_c_compressionLevel]: ZSTD_LEVEL },
  });
}

function decompress(stored: Buffer, rawBytes: number): Buffer {
  try {
    // A byte to spare shows that it is the last piece.
    return zstdDecompressSync(stored, { maxOutputLength: rawBytes, chunkSize: chunkOf(rawBytes + 1) });
  } catch (cause) {
    throw new WmbError('FRAME_CORRUPT', 'the frame’s body cannot be decompressed', { cause });
  }
}

/** So that it comes in one piece, and in none that is cut from Buffer's pool, which others use too. */
function chunkOf(bytes: number): number {
  return Math.max(bytes, Buffer.poolSize);
}

function checksum(frame: Buffer, bodyOffset: number): number {
  return crc32c(frame.subarray(bodyOffset), crc32c(frame.subarray(0, bodyOffset - CRC_BYTES)));
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function corrupt(what: string): WmbError {
  return new WmbError('FRAME_CORRUPT', `the frame is damaged: ${what}`);
}

/** Number of write requests that a frame's header names, and the room it names, read without a check; undefined where the bytes are no frame. */
export function peekFrame(bytes: Uint8Array): { readonly count: number; readonly origin: RoomId } | undefined {
  const frame = asBuffer(bytes);
  if (frame.length < FIXED_BYTES + CRC_BYTES || frame.readUInt32BE(0) !== MAGIC) return undefined;
  const originOffset = fixedBytes(frame[4] ?? 0);
  return { count: frame.readUInt32BE(18), origin: frame.toString('latin1', originOffset, originOffset + (frame[7] ?? 0)) };
}

function fixedBytes(version: number): number {
  return version >= 2 ? FIXED_BYTES + STAMP_BYTES : FIXED_BYTES;
}

function throughOf(frame: Buffer, version: number): Stamp {
  if (version < 2) return frame.toString('hex', 42, 54);
  const through = frame.toString('hex', FIXED_BYTES, FIXED_BYTES + STAMP_BYTES);
  return through === NOT_SETTLED ? NO_STAMP : through;
}
