/** The one file of an archive, as Docker gives it: a head of 512 bytes (its size at 124, twelve octal digits), then the content. */
import { buffer } from 'node:stream/consumers';

const HEAD_BYTES = 512;
const SIZE = { at: 124, bytes: 12 } as const;
const TYPE_AT = 156;
const REGULAR = '0';

export async function fileOf(archive: NodeJS.ReadableStream): Promise<Buffer> {
  const bytes = await buffer(archive);
  if (bytes.toString('latin1', TYPE_AT, TYPE_AT + 1) !== REGULAR) throw new Error('not a file');
  const size = Number.parseInt(bytes.toString('latin1', SIZE.at, SIZE.at + SIZE.bytes), 8);
  return bytes.subarray(HEAD_BYTES, HEAD_BYTES + size);
}
