/** How clients compress record batches, and how they are unpacked here. */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { unpackLz4 } from './lz4.ts';
import { unpackSnappy } from './snappy.ts';

export type Codec = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';

/** By the number in a batch's attributes. */
const CODECS: readonly Codec[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

/** Undefined where the number is none that is known. */
export function codecOf(attributes: number): Codec | undefined {
  return CODECS[attributes & 0x07];
}

const UNPACK: Readonly<Record<Codec, (packed: Buffer, bytesMax: number) => Buffer>> = {
  none: (packed) => packed,
  gzip: (packed, maxOutputLength) => gunzipSync(packed, { maxOutputLength }),
  snappy: unpackSnappy,
  lz4: unpackLz4,
  zstd: (packed, maxOutputLength) => zstdDecompressSync(packed, { maxOutputLength }),
};

/** Throws where the bytes are damaged, or would be more than `bytesMax`. */
export function unpack(codec: Codec, packed: Buffer, bytesMax: number): Buffer {
  return UNPACK[codec](packed, bytesMax);
}
