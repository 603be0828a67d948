/**
 * One session with one peer: a cursor per lane that the peer asked for, and one loop that goes round the lanes that have frames and
 * credit. What it holds in memory is one batch; everything else stays in the log.
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { TokenBucket } from '../../core/flow/token-bucket.ts';
import { Wakeup } from '../../core/flow/wakeup.ts';
import type { Logger } from '../../core/logger.ts';
import type { LogName, Seq } from '../../core/words.ts';
import type { LinkFrame, ServedSession, Upward } from '../../link/link.ts';
import type { LogReader, StoredFrame } from '../../log/log.ts';
import { type LaneCursor, readGap, resumeGap } from './lane-cursor.ts';

/** Bytes read from the log and handed to the transport at once. */
const BATCH_BYTES_MAX = 256 * 1024;

export interface PeerSessionOptions {
  readonly session: ServedSession;
  readonly readers: readonly LogReader[];
  /** Undefined: no bandwidth limit. */
  readonly bucket: TokenBucket | undefined;
  readonly logger: Logger;
  /** What the lanes do not handle: acks and hints. */
  readonly onMessage: (message: Upward) => void;
  /** The peer said something, whatever it was. */
  readonly onHeard: () => void;
  readonly onSent: (log: LogName, frames: number, bytes: number) => void;
}

export class PeerSession {
  readonly #options: PeerSessionOptions;
  readonly #cursors = new Map<string, LaneCursor>();
  /** Lanes to look at, each once, in turn. */
  #ready: LaneCursor[] = [];
  readonly #wakeup = new Wakeup();
  readonly #over = new AbortController();

  constructor(options: PeerSessionOptions) {
    this.#options = options;
  }

  /** Serves the session to its end and says why it ended. */
  async run(): Promise<WmbError | undefined> {
    const { session, readers } = this.#options;
    const unsubscribe = readers.map((reader) => reader.onAppend((partition) => this.appended(reader.log, partition)));
    void this.#control();
    void this.#pump().catch((cause) => session.close(asWmbError(cause)));
    const reason = await session.closed;
    this.#over.abort();
    this.#wakeup.wake();
    for (const stop of unsubscribe) stop();
    return reason;
  }

  appended(log: LogName, partition: number): void {
    const cursor = this.#cursors.get(`${log}/${partition}`);
    if (cursor !== undefined) this.#look(cursor);
  }

  async #control(): Promise<void> {
    const { session } = this.#options;
    try {
      for await (const message of session.control) {
        this.#options.onHeard();
        if (message.type === 'resume') await this.#resume(message);
        else if (message.type === 'credit') this.#credit(message);
        else if (message.type === 'halt') this.#drop(message.log, message.partition);
        else this.#options.onMessage(message);
      }
    } catch (cause) {
      session.close(asWmbError(cause));
    }
  }

  async #resume(message: Extract<Upward, { type: 'resume' }>): Promise<void> {
    const { session, readers, logger } = this.#options;
    const { log, partition, after } = message;
    const reader = readers.find((candidate) => candidate.log === log);
    if (reader === undefined || partition >= reader.partitions || !(after >= -1)) {
      throw new WmbError(
        'PEER_GARBAGE',
        `room ${session.hello.from} asked for ${log}/${partition} after ${after}, which it was not offered`,
      );
    }
    this.#drop(log, partition);
    // Another reship of this room may have shipped what is not known here yet.
    if (message.epoch === reader.epoch && after >= reader.extent(partition).next) await reader.catchUp();
    const gap = resumeGap(reader, message);
    if (gap !== undefined) {
      logger.error(
        { log, partition, code: gap.code, missingFrom: gap.missingFrom, missingTo: gap.missingTo },
        `a lane cannot resume: ${gap.message}`,
      );
      return session.send(gap);
    }
    const liveFrom = after + 1;
    const historyFrom = await this.#historyFrom(reader, message);
    const cursor = { reader, partition, next: historyFrom, liveFrom, creditBytes: message.creditBytes, ready: false, halted: false };
    this.#cursors.set(`${log}/${partition}`, cursor);
    session.send({ type: 'resumed', log, partition, historyFrom, liveFrom });
    this.#look(cursor);
  }

  /** Where the history begins. Too little of it is told: a request id that was repeated across the hole has its effect twice. */
  async #historyFrom(reader: LogReader, message: Extract<Upward, { type: 'resume' }>): Promise<Seq> {
    const { log, partition, after, historyWrites } = message;
    if (historyWrites <= 0 || after < 0) return after + 1;
    const from = await reader.seqBack(partition, after + 1, historyWrites);
    const held = (await reader.writesUpTo(partition, after)) - (await reader.writesUpTo(partition, from - 1));
    if (from > 0 && held < historyWrites)
      this.#options.logger.warn({ log, partition, from, held, historyWrites }, 'a duplicate window is rebuilt from less than it holds');
    return from;
  }

  #credit(message: Extract<Upward, { type: 'credit' }>): void {
    const cursor = this.#cursors.get(`${message.log}/${message.partition}`);
    if (cursor === undefined) return;
    cursor.creditBytes += message.bytes;
    this.#look(cursor);
  }

  #drop(log: LogName, partition: number): void {
    const cursor = this.#cursors.get(`${log}/${partition}`);
    if (cursor !== undefined) cursor.halted = true;
    this.#cursors.delete(`${log}/${partition}`);
  }

  #look(cursor: LaneCursor): void {
    if (cursor.ready || cursor.halted || cursor.creditBytes <= 0) return;
    cursor.ready = true;
    this.#ready.push(cursor);
    this.#wakeup.wake();
  }

  async #pump(): Promise<void> {
    const { session, bucket } = this.#options;
    while (!this.#over.signal.aborted) {
      if (this.#ready.length === 0) {
        await this.#wakeup.wait();
        continue;
      }
      const batch = await this.#gather();
      if (batch.frames.length === 0) continue;
      if (bucket !== undefined) await bucket.take(batch.bytes, this.#over.signal);
      if (this.#over.signal.aborted) return;
      await session.sendFrames(batch.frames).catch((cause) => {
        if (!this.#over.signal.aborted) session.close(asWmbError(cause));
      });
    }
  }

  /** Goes round the lanes, each with its share, until the batch is full or no lane has more. */
  async #gather(): Promise<{ readonly frames: readonly LinkFrame[]; readonly bytes: number }> {
    const frames: LinkFrame[] = [];
    let bytes = 0;
    const share = Math.ceil(BATCH_BYTES_MAX / this.#ready.length);
    while (bytes < BATCH_BYTES_MAX) {
      const cursor = this.#ready.shift();
      if (cursor === undefined) break;
      cursor.ready = false;
      if (cursor.halted) continue;
      const stored = await this.#read(cursor, share);
      // The peer may have halted the lane while the log was read.
      if (cursor.halted || stored.length === 0) continue;
      const laneBytes = this.#advance(cursor, stored, frames);
      this.#options.onSent(cursor.reader.log, stored.length, laneBytes);
      bytes += laneBytes;
      this.#look(cursor);
    }
    return { frames, bytes };
  }

  #advance(cursor: LaneCursor, stored: readonly StoredFrame[], frames: LinkFrame[]): number {
    const { reader, partition, liveFrom } = cursor;
    let bytes = 0;
    for (const frame of stored) {
      frames.push({ log: reader.log, partition, seq: frame.seq, history: frame.seq < liveFrom, bytes: frame.bytes });
      bytes += frame.bytes.length;
      cursor.next = frame.seq + 1;
    }
    cursor.creditBytes -= bytes;
    return bytes;
  }

  /** A lane whose frames are missing or damaged ends with a message; its neighbours go on. */
  async #read(cursor: LaneCursor, share: number): Promise<readonly StoredFrame[]> {
    const { session, logger } = this.#options;
    const { reader, partition } = cursor;
    try {
      return await reader.read(partition, cursor.next, Math.min(share, cursor.creditBytes));
    } catch (cause) {
      const error = asWmbError(cause);
      if (error.code !== 'LOG_GAP' && error.code !== 'LOG_CORRUPT') throw error;
      const gap = readGap(cursor, error);
      cursor.halted = true;
      logger.error(
        { log: reader.log, partition, code: gap.code, missingFrom: gap.missingFrom, missingTo: gap.missingTo },
        `a lane stops: ${gap.message}`,
      );
      session.send(gap);
      return [];
    }
  }
}
