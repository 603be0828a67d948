/**
 * Unpacks Snappy, which Node does not know. Java's clients pack in blocks of their own framing (xerial), others in one block:
 *
 *     framing   0x82 "SNAPPY" 0x00, version (4), oldest version that can read it (4), [length of the block (4), block]; big-endian
 *     block     unpacked length as LEB128, then elements by the lowest two bits of their first byte:
 *               0  literal: its length less one in the other six bits, or from 60 on in the 1 to 4 bytes that follow, little-endian
 *               1  copy: length less four in bits 2 to 4, how far back in bits 5 to 7 and the next byte
 *               2  copy: length less one in bits 2 to 7, how far back in the next two bytes, little-endian
 *               3  the same in the next four bytes
 */
import { Unpacked } from './unpacked.ts';

const MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const FRAMING_BYTES = 16;

/** RangeError where the bytes are damaged, or would be more than `bytesMax`. */
export function unpackSnappy(packed: Buffer, bytesMax: number): Buffer {
  const target = new Unpacked(bytesMax);
  if (!packed.subarray(0, MAGIC.length).equals(MAGIC)) {
    unpackBlock(packed, target);
    return target.bytes;
  }
  for (let at = FRAMING_BYTES; at < packed.length; ) {
    const length = packed.readInt32BE(at);
    if (length < 0 || at + 4 + length > packed.length) throw new RangeError('a Snappy block is longer than its batch');
    unpackBlock(packed.subarray(at + 4, at + 4 + length), target);
    at += 4 + length;
  }
  return target.bytes;
}

function unpackBlock(block: Buffer, target: Unpacked): void {
  const before = target.bytes.length;
  const { length, at: start } = unpackedLength(block);
  for (let at = start; at < block.length; ) at = (block[at] ?? 0) % 4 === 0 ? literal(block, at, target) : copy(block, at, target);
  if (target.bytes.length - before !== length) throw new RangeError('a Snappy block has another size than it says');
}

function unpackedLength(block: Buffer): { readonly length: number; readonly at: number } {
  let length = 0;
  for (let at = 0; at < 5; at += 1) {
    const byte = block.readUInt8(at);
    length += (byte & 0x7f) * 128 ** at;
    if (byte < 0x80) return { length, at: at + 1 };
  }
  throw new RangeError('the size of a Snappy block is out of range');
}

function literal(block: Buffer, at: number, target: Unpacked): number {
  const short = block.readUInt8(at) >> 2;
  const extra = Math.max(0, short - 59);
  const start = at + 1 + extra;
  const end = start + 1 + (extra === 0 ? short : block.readUIntLE(at + 1, extra));
  if (end > block.length) throw new RangeError('a Snappy literal is longer than its block');
  target.append(block.subarray(start, end));
  return end;
}

function copy(block: Buffer, at: number, target: Unpacked): number {
  const tag = block.readUInt8(at);
  if (tag % 4 === 1) {
    target.repeat(((tag >> 5) << 8) | block.readUInt8(at + 1), 4 + ((tag >> 2) & 0x07));
    return at + 2;
  }
  const bytes = tag % 4 === 2 ? 2 : 4;
  target.repeat(block.readUIntLE(at + 1, bytes), 1 + (tag >> 2));
  return at + 1 + bytes;
}
