/** The ports of a daemon's life: what stands behind them outlives it, and every call passes through the life's gate. */

import type { BookEntry, ReceiptBook, Settlement } from '../collector/receipts/receipts.ts';
import type { LinkStateRow, LinkStateStore } from '../collector/receive/state-store.ts';
import type { Transport } from '../core/config/types.ts';
import type { CacheEntry } from '../core/converge/effects.ts';
import { exportState, type KeyState } from '../core/converge/state.ts';
import type { WmbError } from '../core/errors.ts';
import { sleep } from '../core/runtime.ts';
import type { Stamp } from '../core/stamp.ts';
import { type LogName, laneKey, type RoomId, type Seq } from '../core/words.ts';
import type { LinkDialer, LinkSession, Upward } from '../link/link.ts';
import type { Extent, FrameDraft, Log, RetentionFloor, RetentionPolicy, StampBounds, StoredFrame } from '../log/log.ts';
import type { CacheBatch, CacheResult, CacheStore, CacheSweep } from '../store/cache.ts';
import type { CacheRepair, RepairOutcome } from '../store/inspection.ts';
import type { MemoryBook } from './book.ts';
import type { CacheDisk } from './cache-disk.ts';
import type { Repaired } from './checks/repairs.ts';
import { type Life, never } from './life.ts';

/** A log in a daemon's hands. A crash in the middle of an append leaves all of it or nothing; nobody was told. */
export class GatedLog implements Log {
  readonly #log: Log;
  readonly #life: Life;

  constructor(log: Log, life: Life) {
    this.#log = log;
    this.#life = life;
  }

  get log(): LogName {
    return this.#log.log;
  }
  get origin(): RoomId {
    return this.#log.origin;
  }
  get epoch(): string {
    return this.#log.epoch;
  }
  get partitions(): number {
    return this.#log.partitions;
  }
  get trouble(): WmbError | undefined {
    return this.#log.trouble;
  }

  open(): Promise<void> {
    return this.#life.io('opening a log', () => this.#log.open());
  }
  extent(partition: number): Extent {
    return this.#log.extent(partition);
  }
  read(partition: number, from: Seq, bytesMax: number): Promise<readonly StoredFrame[]> {
    return this.#life.read(() => this.#log.read(partition, from, bytesMax));
  }
  seqBack(partition: number, before: Seq, writes: number): Promise<Seq> {
    return this.#life.read(() => this.#log.seqBack(partition, before, writes));
  }
  writesUpTo(partition: number, seq: Seq): Promise<number> {
    return this.#life.read(() => this.#log.writesUpTo(partition, seq));
  }
  stampsAt(partition: number, seq: Seq): Promise<StampBounds | undefined> {
    return this.#life.read(() => this.#log.stampsAt(partition, seq));
  }
  catchUp(): Promise<void> {
    return this.#life.read(() => this.#log.catchUp());
  }
  onAppend(listener: (partition: number) => void): () => void {
    const stop = this.#log.onAppend(listener);
    this.#life.onEnd(stop);
    return stop;
  }
  append(drafts: readonly FrameDraft[]): Promise<readonly Seq[]> {
    return this.#life.io(`appending to ${this.#log.log}`, () => this.#log.append(drafts));
  }
  leaseWriter(holder: string): Promise<{ readonly lease: number; readonly stampLast: Stamp }> {
    return this.#life.io('leasing a writer', () => this.#log.leaseWriter(holder));
  }
  promise(stamp: Stamp): Promise<void> {
    return this.#life.io('promising', () => this.#log.promise(stamp));
  }
  trim(policy: RetentionPolicy, floors: readonly RetentionFloor[], nowMs: number): Promise<{ frames: number; bytes: number }> {
    return this.#life.io('trimming', () => this.#log.trim(policy, floors, nowMs));
  }
  bytes(): number {
    return this.#log.bytes();
  }
  async close(): Promise<void> {}
}

export interface CacheWatch {
  /** Nothing can be applied now: whoever tries waits. */
  hangs(): boolean;
  /** Is called with every batch that went in. */
  applied(batch: CacheBatch): Promise<void>;
  repaired(repaired: Omit<Repaired, 'room'>): void;
}

const HANGING_MS = 50;

export class GatedCache implements CacheStore {
  readonly #disk: CacheDisk;
  readonly #life: Life;
  readonly #watch: CacheWatch;

  constructor(disk: CacheDisk, life: Life, watch: CacheWatch) {
    this.#disk = disk;
    this.#life = life;
    this.#watch = watch;
  }

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  marks(): ReturnType<CacheStore['marks']> {
    return this.#life.read(() => this.#disk.cache.marks());
  }
  apply(batch: CacheBatch): Promise<CacheResult> {
    return this.#life.io('applying to the cache', async () => {
      while (this.#watch.hangs()) await sleep(this.#life, HANGING_MS);
      const result = await this.#disk.apply(batch);
      if (result.moved) await this.#watch.applied(batch);
      return result;
    });
  }
  get(key: string, nowMs: number): Promise<CacheEntry | undefined> {
    return this.#life.read(() => this.#disk.cache.get(key, nowMs));
  }
  scan(options: { readonly prefix: string; readonly nowMs: number }): AsyncIterable<CacheEntry> {
    return this.#disk.cache.scan(options);
  }
  sweep(sweep: CacheSweep): Promise<number> {
    return this.#life.io('sweeping the cache', () => this.#disk.sweep(sweep));
  }
  takeDirty(max: number): Promise<readonly number[]> {
    return this.#life.io('taking dirty buckets', () => this.#disk.cache.takeDirty(max));
  }
  repair(repairs: readonly CacheRepair[], nowMs: number): Promise<readonly RepairOutcome[]> {
    return this.#life.io('repairing keys', async () => {
      const states = () => repairs.map(({ key }) => stateOf(this.#disk, key));
      const before = states();
      const outcomes = await this.#disk.repair(repairs, nowMs);
      const after = states();
      for (const [place, repair] of repairs.entries())
        this.#watch.repaired({ repair, outcome: outcomes[place], before: before[place], after: after[place] });
      return outcomes;
    });
  }
}

function stateOf(disk: CacheDisk, key: string): KeyState | undefined {
  const cell = disk.memory.cell(key);
  return cell && exportState(key, cell);
}

export interface BookWatch {
  recorded(entries: readonly BookEntry[]): void;
  settled(settlement: Settlement): void;
}

const BOOK_WRITES: readonly string[] = [
  'failAgain',
  'parkAgain',
  'forgetRetried',
  'beginSkip',
  'finishSkip',
] satisfies (keyof ReceiptBook)[];
const BOOK_COUNTS: readonly string[] = ['parkedTotal', 'parkedBytes'] satisfies (keyof ReceiptBook)[];

/** A book in a daemon's hands: every call passes the gate, but for the counts, which a book has in memory. */
export function gatedBook(book: MemoryBook, life: Life, watch: BookWatch): ReceiptBook {
  const own: Pick<ReceiptBook, 'record' | 'settle'> = {
    record: (entries) =>
      life.io('recording receipts', async () => {
        await book.record(entries);
        watch.recorded(entries);
      }),
    settle: (settlement) =>
      life.io('settling a parked write request', async () => {
        await book.settle(settlement);
        watch.settled(settlement);
      }),
  };
  return new Proxy<ReceiptBook>(book, {
    get(_, name) {
      const special: unknown = Reflect.get(own, name);
      if (special !== undefined) return special;
      const call = Reflect.get(book, name, book) as (...args: unknown[]) => unknown;
      if (BOOK_COUNTS.includes(String(name))) return call.bind(book);
      if (BOOK_WRITES.includes(String(name))) return (...args: unknown[]) => life.io(String(name), () => call.apply(book, args));
      return (...args: unknown[]) => life.read(() => call.apply(book, args));
    },
  });
}

/** Link states of a room; an ended life writes none. */
export class GatedStates implements LinkStateStore {
  readonly #rows: Map<string, LinkStateRow>;
  readonly #life: Life;
  readonly #saved: (row: LinkStateRow) => void;

  constructor(rows: Map<string, LinkStateRow>, life: Life, saved: (row: LinkStateRow) => void) {
    this.#rows = rows;
    this.#life = life;
    this.#saved = saved;
  }

  load(): readonly LinkStateRow[] {
    return [...this.#rows.values()];
  }

  save(row: LinkStateRow): void {
    if (!this.#life.alive) return;
    this.#rows.set(laneKey(row.lane), row);
    this.#saved(row);
  }

  /** Nobody switches links here. */
  transports(): ReadonlyMap<RoomId, Transport> {
    return new Map();
  }

  saveTransport(): void {}

  async durable(): Promise<void> {}
}

export interface SessionWatch {
  /** What goes up, with the room it goes to. */
  sent(to: RoomId, message: Upward): void;
  /** Frames have come and are on their lanes' queues. */
  queued(): void;
}

/** Dials for a life: its sessions end with it. */
export function gatedDialer(dialer: LinkDialer, life: Life, watch: SessionWatch): LinkDialer {
  return {
    async dial(address, hello, signal): Promise<LinkSession> {
      const session = await dialer.dial(address, hello, signal).catch((cause) => {
        if (life.alive) throw cause;
        return never<LinkSession>();
      });
      if (!life.alive) {
        session.close();
        return never();
      }
      life.onEnd(() => session.close());
      return {
        welcome: session.welcome,
        frames: seen(session.frames, watch),
        control: session.control,
        closed: session.closed,
        close: () => session.close(),
        send(message) {
          if (!life.alive) return;
          watch.sent(hello.to, message);
          session.send(message);
        },
      };
    },
  };
}

async function* seen(frames: LinkSession['frames'], watch: SessionWatch): LinkSession['frames'] {
  for await (const batch of frames) {
    yield batch;
    watch.queued();
  }
}
