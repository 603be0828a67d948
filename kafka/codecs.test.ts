import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { type Codec, codecOf, unpack } from './codecs.ts';

const JAVA = 'Snappy as Java packs it';
const TEXT = 'aaaaaaaaaabcdefabcdefabcdef the end';

/** A block of one literal. */
function snappyLiteral(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length - 1);
  const varint: number[] = [];
  let rest = bytes.length;
  for (; rest > 0x7f; rest >>>= 7) varint.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([...varint, rest, 63 << 2]), length, bytes]);
}

/** `a` and nine copies of it, then "bcdef", a copy of the last 6 twice over, then the rest. */
const SNAPPY = Buffer.concat([
  Buffer.from([TEXT.length, 0, 0x61, ((9 - 4) << 2) | 1, 1, 4 << 2]),
  Buffer.from('bcdef'),
  Buffer.from([((12 - 1) << 2) | 2, 6, 0, 7 << 2]),
  Buffer.from(' the end'),
]);
const LZ4_BLOCK = Buffer.concat([
  Buffer.from([0x15, 0x61, 1, 0, 0x58]),
  Buffer.from('bcdef'),
  Buffer.from([6, 0, 0x80]),
  Buffer.from(' the end'),
]);

function lz4Frame(blocks: readonly Buffer[], flags = 0x60): Buffer {
  const parts = blocks.map((block) => {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(block.length);
    return Buffer.concat([head, block]);
  });
  return Buffer.concat([Buffer.from([0x04, 0x22, 0x4d, 0x18, flags, 0x40, 0]), ...parts, Buffer.alloc(4)]);
}

function xerial(blocks: readonly Buffer[]): Buffer {
  const parts = blocks.map((block) => {
    const head = Buffer.alloc(4);
    head.writeInt32BE(block.length);
    return Buffer.concat([head, block]);
  });
  return Buffer.concat([Buffer.from([0x82]), Buffer.from('SNAPPY\0'), Buffer.from([0, 0, 0, 1, 0, 0, 0, 1]), ...parts]);
}

const PACKED: readonly (readonly [name: string, codec: Codec, packed: Buffer, text: string])[] = [
  ['none', 'none', Buffer.from(TEXT), TEXT],
  ['gzip', 'gzip', gzipSync(TEXT), TEXT],
  ['zstd', 'zstd', zstdCompressSync(TEXT), TEXT],
  ['a block of Snappy', 'snappy', SNAPPY, TEXT],
  [JAVA, 'snappy', xerial([SNAPPY, snappyLiteral(Buffer.from('more'))]), `${TEXT}more`],
  ['LZ4', 'lz4', lz4Frame([LZ4_BLOCK]), TEXT],
  ['LZ4 whose second block refers to the first', 'lz4', lz4Frame([LZ4_BLOCK, Buffer.from([0x00, 3, 0, 0x10, 0x21])], 0x40), `${TEXT}ende!`],
];

for (const [name, codec, packed, text] of PACKED) {
  test(`${name} is unpacked`, () => assert.equal(unpack(codec, packed, 1_000).toString(), text));
}

test('literals of any length are unpacked', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300_000 }), (bytes) => {
      assert.deepEqual(new Uint8Array(unpack('snappy', snappyLiteral(bytes), 400_000)), bytes);
    }),
    { numRuns: 20 },
  );
});

test('the number of a codec is that of a batch’s attributes', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 0x10 | 4].map(codecOf), ['none', 'gzip', 'snappy', 'lz4', 'zstd', undefined, 'zstd']);
});

describe('what is damaged is an error, and takes no memory', () => {
  for (const [name, codec, packed] of PACKED.slice(1)) {
    test(name, () => {
      assert.throws(() => unpack(codec, packed, 20), Error, 'over the limit');
      // Behind one of its blocks, Java's framing ends like any other.
      if (name !== JAVA)
        for (let length = 0; length < packed.length - 8; length += 1)
          assert.throws(() => unpack(codec, packed.subarray(0, length), 1_000), Error);
      fc.assert(
        fc.property(fc.integer({ min: 0, max: packed.length - 1 }), fc.integer({ min: 0, max: 255 }), (at, byte) => {
          const damaged = Buffer.from(packed);
          damaged[at] = byte;
          try {
            assert.ok(unpack(codec, damaged, 1_000).length <= 1_000);
          } catch (error) {
            assert.ok(error instanceof Error);
          }
        }),
      );
    });
  }
});
