/**
 * One lane of an inbox on the collector's side: where it reads, and what of it goes on to the collector. While it *seeks* it only looks for the place where the lane goes
 * on; when it has found that, it *streams* from there, as far as the collector has granted credit.
 */
import type { Logger } from '../../core/logger.ts';
import type { LogName, RoomId, Seq } from '../../core/words.ts';
import type { FoundRecord } from '../../kafka/records.ts';
import { peekFrame } from '../frame.ts';
import type { Downward, LinkFrame, Upward } from '../link.ts';
import { decodeRecord, type InboxRecord, ownRecord } from './record.ts';
import { LaneRuns, type Place } from './runs.ts';

export type Resume = Extract<Upward, { type: 'resume' }>;
export type Resumed = Extract<Downward, { type: 'resumed' }>;
export type Gap = Extract<Downward, { type: 'gap' }>;

const SEEK_BYTES_MAX = 1024 * 1024;
/** Strangers' records that are told of one by one. */
const STRANGERS_TOLD_MAX = 10;

export interface InboxLaneOptions {
  readonly origin: RoomId;
  readonly log: LogName;
  readonly partition: number;
  readonly logger: Logger;
  /** Offset of the first record that is kept. */
  readonly first: number;
}

/** What comes of an answer of the broker. */
export interface Dealt {
  readonly frames: readonly LinkFrame[];
  /** The lane's place was found: it streams from here. */
  readonly resumed: Resumed | undefined;
  /** It was not found, and the origin has to be asked: once for each time that the lane is resumed. */
  readonly ask: Resume | undefined;
  readonly gap: Gap | undefined;
}

export class InboxLane {
  readonly log: LogName;
  readonly partition: number;
  readonly #options: InboxLaneOptions;
  #runs = new LaneRuns();
  /** What has been told to the runs ends before this offset. */
  #known: number;
  #offset: number;
  #wanted: Resume | undefined;
  #isStreaming = false;
  #creditBytes = 0;
  /** The first seq that goes on to the collector next. */
  #next: Seq = 0;
  #asked = false;
  #historyFrom: Seq | undefined;
  /** The origin cannot go on here. */
  #gap: Gap | undefined;
  /** It stopped here for what the origin said: the origin sends nothing more before it is asked. */
  #mustAsk = false;
  #strangers = 0;

  constructor(options: InboxLaneOptions) {
    this.#options = options;
    this.log = options.log;
    this.partition = options.partition;
    this.#known = options.first;
    this.#offset = options.first;
  }

  /** What to ask the broker for; undefined while the lane takes nothing. */
  get wants(): { readonly partition: number; readonly from: number; readonly bytesMax: number } | undefined {
    if (this.#wanted === undefined || this.isHeld) return undefined;
    const bytesMax = this.#isStreaming ? Math.min(this.#creditBytes, SEEK_BYTES_MAX) : SEEK_BYTES_MAX;
    return { partition: this.partition, from: this.#offset, bytesMax };
  }

  /** It streams, and waits for credit. */
  get isHeld(): boolean {
    return this.#isStreaming && this.#creditBytes <= 0;
  }

  /** What the origin was asked for and has not put into the inbox yet. */
  get asked(): Resume | undefined {
    return this.#asked && !this.#isStreaming ? this.#wanted : undefined;
  }

  resume(wanted: Resume): void {
    this.#wanted = wanted;
    this.#isStreaming = false;
    this.#creditBytes = wanted.creditBytes;
    this.#asked = false;
    this.#historyFrom = undefined;
    this.#offset = this.#known;
    this.#mustAsk = this.#isHere(this.#gap);
  }

  halt(): void {
    this.#wanted = undefined;
    this.#isStreaming = false;
  }

  credit(bytes: number): void {
    this.#creditBytes += bytes;
  }

  /** The origin answered what was asked: its log has history from there. */
  answered({ historyFrom, liveFrom }: Resumed): void {
    if (liveFrom !== this.#at) return;
    this.#historyFrom = historyFrom;
    this.#gap = undefined;
    this.#mustAsk = false;
  }

  /** The origin cannot go on. What it put into the inbox before comes first; where the lane is elsewhere, it means nothing. */
  broken(gap: Gap): void {
    this.#gap = gap;
  }

  /** The origin was started anew, and says again where it cannot go on. */
  mended(): void {
    this.#gap = undefined;
  }

  /** The offset before which nothing is needed by a collector with this mark. */
  needlessBefore(epoch: string, mark: Seq, historyWrites: number): number | undefined {
    return this.#isStreaming ? this.#runs.needlessBefore(epoch, mark, historyWrites) : undefined;
  }

  /** Takes what the broker answered; `end` is the offset after the last record of the partition. */
  deal(records: Iterable<FoundRecord>, end: number): Dealt {
    const frames: LinkFrame[] = [];
    for (const record of records) {
      if (this.#wanted === undefined || this.isHeld) break;
      if (record.offset < this.#offset) continue;
      const read = this.#read(record);
      this.#offset = record.offset + 1;
      if (read === undefined) continue;
      if (this.#isStreaming) this.#stream(read, frames);
    }
    const found = this.#wanted !== undefined && !this.#isStreaming ? this.#seek(this.#wanted, end) : undefined;
    const isAtEnd = this.#offset >= end && frames.length === 0;
    const gap = isAtEnd && (this.#isStreaming || this.#asked) && this.#isHere(this.#gap) ? this.#gap : undefined;
    return { frames, resumed: found?.resumed, ask: found?.ask, gap };
  }

  /** The seq that the lane waits for. */
  get #at(): Seq | undefined {
    return this.#isStreaming ? this.#next : this.#wanted && this.#wanted.after + 1;
  }

  /** What is missing begins where the lane is, or is what it had last. */
  #isHere(gap: Gap | undefined): boolean {
    const at = this.#at;
    return gap !== undefined && at !== undefined && (gap.missingFrom === at || (gap.missingFrom < at && gap.missingTo === at - 1));
  }

  #read(record: FoundRecord): InboxRecord | undefined {
    const read = ownRecord(record.value, this.#options);
    if (read === undefined) {
      this.#stranger(record);
      return undefined;
    }
    const count = read.bytes.length === 0 ? 0 : (peekFrame(read.bytes)?.count ?? 1);
    if (record.offset >= this.#known) {
      this.#known = record.offset + 1;
      if (!this.#runs.add({ ...read, offset: record.offset, count })) return undefined;
    }
    return count === 0 ? undefined : read;
  }

  /** What is no frame of this lane has no seq, so that nothing of the lane can be missed by passing it over. */
  #stranger({ offset, value }: FoundRecord): void {
    if (offset < this.#known) return;
    this.#known = offset + 1;
    this.#strangers += 1;
    if (this.#strangers > STRANGERS_TOLD_MAX) return;
    const read = decodeRecord(value);
    const origin = read && peekFrame(read.bytes)?.origin;
    const what = origin === undefined ? 'is no frame' : `is a frame of room ${origin}`;
    this.#options.logger.error(
      { code: 'INBOX_FOREIGN', log: this.log, partition: this.partition, offset },
      `a record of the inbox ${what}; it is passed over: find out who writes into this topic`,
    );
  }

  /** A frame that comes too early goes on too: the collector says what is missing, and resumes. */
  #stream({ epoch, seq, bytes }: InboxRecord, frames: LinkFrame[]): void {
    const wanted = this.#wanted;
    if (wanted === undefined || epoch !== wanted.epoch || seq < this.#next) return;
    this.#next = seq + 1;
    this.#creditBytes -= bytes.length;
    frames.push({ log: this.log, partition: this.partition, seq, history: seq <= wanted.after, bytes });
  }

  #seek(wanted: Resume, end: number): Pick<Dealt, 'resumed' | 'ask'> | undefined {
    const { epoch, after, historyWrites } = wanted;
    const place = this.#mustAsk ? undefined : this.#runs.locate({ epoch, after, historyWrites, historyFrom: this.#historyFrom });
    if (place !== undefined) return { resumed: this.#begin(wanted, place), ask: undefined };
    if (this.#offset < end || this.#asked) return undefined;
    this.#asked = true;
    // It will say so again.
    this.#gap = undefined;
    return { resumed: undefined, ask: wanted };
  }

  #begin({ log, partition, after, historyWrites }: Resume, place: Place): Resumed {
    const historyFrom = historyWrites > 0 && after >= 0 ? place.seq : after + 1;
    this.#isStreaming = true;
    this.#offset = place.offset;
    this.#next = historyFrom;
    return { type: 'resumed', log, partition, historyFrom, liveFrom: after + 1 };
  }
}
