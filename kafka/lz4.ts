/**
 * Unpacks LZ4 frames, which Node does not know.
 *
 *     frame   magic (4), flags (1): bit 4 blocks have checksums, bit 3 the content's size is there, bit 2 its checksum, bit 0 a dictionary;
 *             block size (1), [content's size (8)], header's checksum (1), blocks, 0 (4), [content's checksum (4)]; little-endian
 *     block   length (4), bit 31: it is not packed; then sequences, [checksum (4)]
 *     sequence  token (1): length of the literal in bits 4 to 7, of the copy less four in bits 0 to 3; 15: more bytes follow that are added, up to the first under 255;
 *             literal, then how far back the copy is (2); the last sequence ends after its literal
 *
 * Copies may reach back into the blocks before. Kafka's own checksum covers it all, so those of the frame are passed over.
 */
import { Unpacked } from './unpacked.ts';

const MAGIC = 0x184d2204;
const HAS_DICTIONARY = 0x01;
const HAS_CONTENT_SIZE = 0x08;
const HAS_BLOCK_CHECKSUMS = 0x10;
const UNPACKED_BLOCK = 0x80000000;

/** RangeError where the bytes are damaged, or would be more than `bytesMax`. */
export function unpackLz4(packed: Buffer, bytesMax: number): Buffer {
  if (packed.readUInt32LE(0) !== MAGIC) throw new RangeError('compressed data does not begin with an LZ4 frame');
  const flags = packed.readUInt8(4);
  if ((flags & HAS_DICTIONARY) !== 0) throw new RangeError('an LZ4 frame needs a dictionary');
  const target = new Unpacked(bytesMax);
  let at = 7 + ((flags & HAS_CONTENT_SIZE) === 0 ? 0 : 8);
  for (let head = packed.readUInt32LE(at); head !== 0; head = packed.readUInt32LE(at)) {
    const length = head % UNPACKED_BLOCK;
    const block = packed.subarray(at + 4, at + 4 + length);
    if (block.length < length) throw new RangeError('an LZ4 block is longer than its batch');
    if (head >= UNPACKED_BLOCK) target.append(block);
    else unpackBlock(block, target);
    at += 4 + length + ((flags & HAS_BLOCK_CHECKSUMS) === 0 ? 0 : 4);
  }
  return target.bytes;
}

function unpackBlock(block: Buffer, target: Unpacked): void {
  const cursor = { at: 0 };
  while (cursor.at < block.length) {
    const token = block.readUInt8(cursor.at);
    cursor.at += 1;
    const end = longer(block, cursor, token >> 4) + cursor.at;
    if (end > block.length) throw new RangeError('an LZ4 literal is longer than its block');
    target.append(block.subarray(cursor.at, end));
    cursor.at = end;
    if (end === block.length) return;
    const back = block.readUInt16LE(end);
    cursor.at += 2;
    target.repeat(back, 4 + longer(block, cursor, token & 0x0f));
  }
}

function longer(block: Buffer, cursor: { at: number }, length: number): number {
  if (length < 15) return length;
  for (let sum = length; ; ) {
    const byte = block.readUInt8(cursor.at);
    cursor.at += 1;
    sum += byte;
    if (byte < 255) return sum;
  }
}
