/** Frames as they come from Kafka: each is checked before anybody gets it. */
import { WmbError } from '../../core/errors.ts';
import { formatPosition, type LogEpoch, type LogName, type RoomId, type Seq } from '../../core/words.ts';
import { batchesOf, type FoundBatch, recordsOf } from '../../kafka/records.ts';
import { checkFrame, type FrameHeader } from '../../link/frame.ts';

/** Which log the frames must be of. */
export interface FrameHome {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly epoch: LogEpoch;
}

/** What stands at one seq. */
export interface FoundFrame {
  readonly seq: Seq;
  readonly bytes: Buffer;
  /** Or what is wrong with it. */
  readonly header: FrameHeader | WmbError;
}

/** The frames from `from` on, in order, without holes: it ends before one. */
export function* framesOf(home: FrameHome, partition: number, { records, from }: { records: Buffer; from: Seq }): Generator<FoundFrame> {
  let next = from;
  for (const batch of batchesOf(records)) {
    if (batch === undefined || batch.firstOffset > next) return;
    if (batch.lastOffset < next) continue;
    for (const { seq, bytes } of valuesOf(batch, next)) {
      if (seq !== next) return;
      yield { seq, bytes, header: headerOf(home, { partition, seq, bytes }, batch) };
      next += 1;
    }
  }
}

/** What a batch has in place of frames has their seqs all the same. */
function* valuesOf(batch: FoundBatch, from: Seq): Generator<{ readonly seq: Seq; readonly bytes: Buffer }> {
  if (isReadable(batch)) {
    for (const { offset, value } of recordsOf(batch)) if (offset >= from) yield { seq: offset, bytes: value };
  } else {
    for (let seq = from; seq <= batch.lastOffset; seq += 1) yield { seq, bytes: Buffer.alloc(0) };
  }
}

function isReadable({ isCompressed, isControl }: FoundBatch): boolean {
  return !isCompressed && !isControl;
}

function headerOf(
  home: FrameHome,
  { partition, seq, bytes }: { readonly partition: number; readonly seq: Seq; readonly bytes: Buffer },
  batch: FoundBatch,
): FrameHeader | WmbError {
  const corrupt = (detail: string, cause?: unknown) => {
    const position = formatPosition({ log: home.log, origin: home.origin, partition, epoch: home.epoch, seq, index: 0 });
    const remedy = 'let the checker resend from a peer, or begin a new log epoch with `wmb log init --new-epoch`';
    return new WmbError('LOG_CORRUPT', `stored frame ${position}: ${detail}; ${remedy}`, { cause });
  };
  if (batch.isCompressed) return corrupt('its record was compressed by Kafka; compression.type of the topic must be producer');
  if (batch.isControl) return corrupt('a transaction of another program stands in its place');
  try {
    const header = checkFrame(bytes);
    const isHome =
      header.log === home.log && header.origin === home.origin && header.epoch === home.epoch && header.partition === partition;
    return isHome ? header : corrupt(`its header names ${header.log}/${header.origin}/${header.partition}@${header.epoch}`);
  } catch (cause) {
    return corrupt(cause instanceof Error ? cause.message : String(cause), cause);
  }
}
