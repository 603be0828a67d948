/**
 * A log in Kafka for a process that only looks things up in it now and then. Where a reship is at work in the same directory it shares that one's index, which costs nothing. Where none is (it is
 * down, and others of the room are at work on other machines), it has an index of its own, until one is again.
 */
import { WmbError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { type Runtime, sleep, type Timer } from '../../core/runtime.ts';
import type { LogEpoch, LogName, RoomId, Seq } from '../../core/words.ts';
import { Listeners } from '../listeners.ts';
import type { Extent, LogReader, StampBounds, StoredFrame } from '../log.ts';

/** Whoever asks is told to ask again: a long log takes longer to read. */
const OPEN_MS_MAX = 5_000;
/** An index of its own follows the log all the time: it looks so often whether it can do without. */
const RETURN_MS = 60_000;
/** Nobody is in the middle of anything. */
const QUIET_MS = 20_000;

export interface OnlookerOptions {
  /** Over the index of another process. */
  readonly shared: LogReader;
  /** With an index of its own. */
  readonly own: () => LogReader;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

export class Onlooker implements LogReader {
  readonly log: LogName;
  readonly origin: RoomId;
  readonly partitions: number;
  readonly #options: OnlookerOptions;
  readonly #listeners = new Listeners();
  #at: LogReader | undefined;
  #opening: Promise<void> | undefined;
  #unlisten: () => void = () => {};
  #usedMs = 0;
  #timer: Timer | undefined;

  constructor(options: OnlookerOptions) {
    const { log, origin, partitions } = options.shared;
    this.log = log;
    this.origin = origin;
    this.partitions = partitions;
    this.#options = options;
  }

  get epoch(): LogEpoch {
    return this.#open.epoch;
  }

  /** As KafkaLog.open; LOG_UNAVAILABLE while an index of its own is being read. */
  async open(): Promise<void> {
    const { shared } = this.#options;
    try {
      await shared.open();
      this.#use(shared);
    } catch (cause) {
      if (!isUnavailable(cause)) throw cause;
      await this.#openOwn();
    }
  }

  extent(partition: number): Extent {
    return this.#open.extent(partition);
  }

  read(partition: number, from: Seq, bytesMax: number): Promise<readonly StoredFrame[]> {
    this.#usedMs = this.#options.runtime.monotonicMs();
    return this.#open.read(partition, from, bytesMax);
  }

  seqBack(partition: number, before: Seq, writes: number): Promise<Seq> {
    return this.#open.seqBack(partition, before, writes);
  }

  writesUpTo(partition: number, seq: Seq): Promise<number> {
    return this.#open.writesUpTo(partition, seq);
  }

  stampsAt(partition: number, seq: Seq): Promise<StampBounds | undefined> {
    return this.#open.stampsAt(partition, seq);
  }

  async catchUp(): Promise<void> {
    this.#usedMs = this.#options.runtime.monotonicMs();
    const at = this.#open;
    try {
      return await at.catchUp();
    } catch (cause) {
      if (at !== this.#options.shared || !isUnavailable(cause)) throw cause;
    }
    if (this.#at === at) await this.#openOwn();
    await this.#open.catchUp();
  }

  onAppend(listener: (partition: number) => void): () => void {
    return this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    const { shared } = this.#options;
    const at = this.#at;
    this.#opening = undefined;
    this.#timer?.cancel();
    this.#unlisten();
    this.#at = undefined;
    await shared.close();
    if (at !== shared) await at?.close();
  }

  get #open(): LogReader {
    if (this.#at === undefined) throw new WmbError('LOG_UNAVAILABLE', `the ${this.log} log of room ${this.origin} is not open`);
    return this.#at;
  }

  #use(log: LogReader): void {
    this.#unlisten();
    this.#at = log;
    this.#unlisten = log.onAppend((partition) => this.#listeners.call(partition));
  }

  async #openOwn(): Promise<void> {
    const { runtime } = this.#options;
    this.#opening ??= this.#makeOwn();
    const isOver = new AbortController();
    const late = sleep(runtime, OPEN_MS_MAX, isOver.signal).then(() => {
      if (isOver.signal.aborted) return;
      const what = `no reship of ${this.origin} is at work in this directory, and the log is still being read from Kafka; ask again`;
      throw new WmbError('LOG_UNAVAILABLE', what, { retryAfterMs: OPEN_MS_MAX });
    });
    await Promise.race([this.#opening.finally(() => isOver.abort()), late]);
  }

  #makeOwn(): Promise<void> {
    const { logger, own } = this.#options;
    const log = own();
    const opening: Promise<void> = log.open().then(
      async () => {
        // Closed meanwhile.
        if (this.#opening !== opening) return log.close();
        this.#opening = undefined;
        this.#use(log);
        logger.info({ log: this.log }, 'no reship is at work in this directory: the log is looked up with an index of its own');
        this.#returnLater();
      },
      (cause) => {
        if (this.#opening === opening) this.#opening = undefined;
        throw cause;
      },
    );
    return opening;
  }

  #returnLater(): void {
    this.#timer = this.#options.runtime.after(RETURN_MS, () => void this.#return(), true);
  }

  async #return(): Promise<void> {
    const { shared, runtime, logger } = this.#options;
    const own = this.#at;
    const isWanted = () => this.#at === own && runtime.monotonicMs() - this.#usedMs >= QUIET_MS;
    if (isWanted() && (await isAtWork(shared)) && isWanted()) {
      this.#use(shared);
      await own?.close();
      logger.info({ log: this.log }, 'a reship is at work in this directory again: the log is looked up with its index');
    } else if (this.#at !== undefined) this.#returnLater();
    else await shared.close();
  }
}

/** Whether some process brings its index up to what is in Kafka. */
async function isAtWork(shared: LogReader): Promise<boolean> {
  try {
    // What it had open may be an index that nobody writes any more.
    await shared.close();
    await shared.open();
    await shared.catchUp();
    return true;
  } catch {
    return false;
  }
}

function isUnavailable(cause: unknown): boolean {
  return cause instanceof WmbError && cause.code === 'LOG_UNAVAILABLE';
}
