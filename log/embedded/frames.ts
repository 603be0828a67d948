/** Reads a log's frames and counters from SQLite, on the calling thread. Nothing is kept between calls. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { WmbError } from '../../core/errors.ts';
import { formatPosition, type Seq } from '../../core/words.ts';
import { checkFrame, type FrameHeader } from '../../link/frame.ts';
import { gapError } from '../gap.ts';
import type { Extent, StampBounds, StoredFrame } from '../log.ts';
import { frameId, type LogIdentity, readPartition, seqOf } from './schema.ts';

/** One read returns no more frames than this, so that a log of tiny frames does not hold up the event loop. */
const READ_FRAMES_MAX = 1024;

export class FrameTable {
  readonly #db: DatabaseSync;
  readonly #identity: LogIdentity;
  readonly #from: StatementSync;
  readonly #one: StatementSync;
  readonly #at: StatementSync;

  constructor(db: DatabaseSync, identity: LogIdentity) {
    this.#db = db;
    this.#identity = identity;
    this.#from = db.prepare('SELECT id, count, frame FROM wmb_log_frames WHERE id >= ? AND id < ? ORDER BY id LIMIT ?');
    this.#one = db.prepare('SELECT before, count, stamp_last FROM wmb_log_frames WHERE id = ?');
    this.#at = db.prepare('SELECT before FROM wmb_log_frames WHERE id >= ? AND id < ? ORDER BY id LIMIT 1');
  }

  extent(partition: number): Extent {
    const { first, next, writes, stampLast } = readPartition(this.#db, partition);
    return { partition, first, next, writes, stampLast, through: stampLast };
  }

  /** See LogReader.read. What lies before a damaged or missing frame is returned first; the error comes when it is the next. */
  read(partition: number, from: Seq, bytesMax: number): StoredFrame[] {
    const { first, next } = this.extent(partition);
    if (from > next) throw gapError(this.#identity, { partition, from, first, next });
    const frames: StoredFrame[] = [];
    let bytes = 0;
    for (const row of this.#from.iterate(frameId(partition, from), frameId(partition, next), READ_FRAMES_MAX)) {
      const seq = seqOf(Number(row.id));
      const stored = row.frame as Uint8Array;
      bytes += stored.length;
      const expected = from + frames.length;
      if (frames.length > 0 && (bytes > bytesMax || seq !== expected)) break;
      if (seq !== expected) throw gapError(this.#identity, { partition, from, first: seq, next });
      const fault = this.#fault(stored, partition, Number(row.count));
      if (fault !== undefined && frames.length > 0) break;
      if (fault !== undefined) throw this.#corrupt(partition, seq, fault);
      frames.push({ partition, seq, bytes: stored, count: Number(row.count) });
    }
    if (frames.length === 0 && from < next) throw gapError(this.#identity, { partition, from, first: next, next });
    return frames;
  }

  seqBack(partition: number, before: Seq, writes: number): Seq {
    const { first, next } = this.extent(partition);
    const end = Math.min(before, next);
    if (end <= first) return first;
    if (writes <= 0) return end;
    return this.#lastWith(partition, { first, end }, this.writesUpTo(partition, end - 1) - writes);
  }

  /** The last of the frames from `first` to `end - 1` that has at most `before` write requests before it, or `first`. Halves the range: they ascend. */
  #lastWith(partition: number, { first, end }: { readonly first: Seq; readonly end: Seq }, before: number): Seq {
    let low = first;
    let high = end - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      // The frame itself, or the next one where a damaged log lacks it.
      const row = this.#at.get(frameId(partition, middle), frameId(partition, end));
      if (row !== undefined && Number(row.before) <= before) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  writesUpTo(partition: number, seq: Seq): number {
    const extent = this.extent(partition);
    if (seq >= extent.next - 1) return extent.writes;
    if (seq < 0) return 0;
    const row = this.#one.get(frameId(partition, seq));
    if (row !== undefined) return Number(row.before) + Number(row.count);
    // No longer stored: what lies before the first stored frame is the nearest that is known.
    return Number(this.#one.get(frameId(partition, extent.first))?.before ?? extent.writes);
  }

  /** One process appends. */
  stampsAt(partition: number, seq: Seq): StampBounds | undefined {
    const row = seq < 0 ? undefined : this.#one.get(frameId(partition, seq));
    return row && { greatest: String(row.stamp_last), through: String(row.stamp_last) };
  }

  /** Bytes of all stored frames. */
  bytes(): number {
    return Number(this.#db.prepare('SELECT sum(bytes) AS bytes FROM wmb_log_partitions').get()?.bytes ?? 0);
  }

  /** Changes whenever another connection has committed. */
  version(): number {
    return Number(this.#db.prepare('PRAGMA data_version').get()?.data_version);
  }

  close(): void {
    this.#db.close();
  }

  /** What is wrong with a stored frame; undefined where it is sound and in its place. */
  #fault(bytes: Uint8Array, partition: number, count: number): WmbError | string | undefined {
    let header: FrameHeader;
    try {
      header = checkFrame(bytes);
    } catch (cause) {
      if (cause instanceof WmbError) return cause;
      throw cause;
    }
    const { log, origin, epoch } = this.#identity;
    const home = header.log === log && header.origin === origin && header.epoch === epoch && header.partition === partition;
    if (!home) return `its header names ${header.log}/${header.origin}/${header.partition}@${header.epoch}`;
    return header.count === count ? undefined : `its header counts ${header.count} write requests, its row ${count}`;
  }

  #corrupt(partition: number, seq: Seq, fault: WmbError | string): WmbError {
    const { log, origin, epoch } = this.#identity;
    const position = formatPosition({ log, origin, partition, epoch, seq, index: 0 });
    const detail = typeof fault === 'string' ? fault : fault.message;
    const options = typeof fault === 'string' ? {} : { cause: fault };
    return new WmbError(
      'LOG_CORRUPT',
      `stored frame ${position}: ${detail}; restore the log from a copy, or let the checker resend from a peer`,
      options,
    );
  }
}
