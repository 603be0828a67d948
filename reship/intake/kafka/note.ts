/**
 * What is noted beside an offset that a group commits: how far the member may go on beyond it before it commits again, and where in the write log everything lies that
 * it appends there. Whoever has the partition next finds by it which records are in the log already.
 *
 *     1,AHEAD                             nothing was taken beyond the offset
 *     1,AHEAD,EPOCH,SHIFT,POSITIONS       records from the offset up to before AHEAD may be in the log of this epoch, in frames from these seqs on
 *
 * POSITIONS has a number of each partition of the log, in order: the seq without its lowest SHIFT bits, as LEB128, all of them in base64url. Kafka takes notes of up to
 * 4,096 bytes (`offset.metadata.max.bytes`), so where there are many partitions SHIFT makes them fit; then a little more of the log is looked through.
 */
import type { LogEpoch, Seq } from '../../../core/words.ts';

const VERSION = '1';
const POSITION_BYTES_MAX = 2_900;
const EPOCH = /^[0-9a-f]{16}$/;

export interface Note {
  /** Records from here on are not in the log. */
  readonly ahead: number;
  /** Undefined: neither are those before it. */
  readonly place: LogPlaces | undefined;
}

/** Places in the write log, by partition. */
export interface LogPlaces {
  readonly epoch: LogEpoch;
  readonly seqs: readonly Seq[];
}

export function formatNote({ ahead, place }: Note): string {
  if (place === undefined) return `${VERSION},${ahead}`;
  let shift = 0;
  while (packedBytes(place.seqs, shift) > POSITION_BYTES_MAX) shift += 1;
  return `${VERSION},${ahead},${place.epoch},${shift},${pack(place.seqs, shift).toString('base64url')}`;
}

/** Undefined where somebody else has set the offset, with a note of his own or with none. */
export function parseNote(text: string): Note | undefined {
  const [version, ahead = '', epoch, shift = '', packed = ''] = text.split(',');
  if (version !== VERSION || !/^\d{1,16}$/.test(ahead)) return undefined;
  if (epoch === undefined) return { ahead: Number(ahead), place: undefined };
  if (!EPOCH.test(epoch) || !/^\d{1,2}$/.test(shift)) return undefined;
  return { ahead: Number(ahead), place: { epoch, seqs: unpack(Buffer.from(packed, 'base64url'), Number(shift)) } };
}

function packedBytes(seqs: readonly Seq[], shift: number): number {
  return seqs.reduce((sum, seq) => sum + Math.max(1, Math.ceil(Math.floor(seq / 2 ** shift).toString(2).length / 7)), 0);
}

function pack(seqs: readonly Seq[], shift: number): Buffer {
  const bytes: number[] = [];
  for (const seq of seqs) {
    let rest = Math.floor(seq / 2 ** shift);
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
    bytes.push(rest);
  }
  return Buffer.from(bytes);
}

function unpack(packed: Buffer, shift: number): Seq[] {
  const seqs: Seq[] = [];
  let [value, factor] = [0, 1];
  for (const byte of packed) {
    value += (byte & 0x7f) * factor;
    factor *= 128;
    if (byte >= 0x80) continue;
    seqs.push(value * 2 ** shift);
    [value, factor] = [0, 1];
  }
  return seqs;
}
