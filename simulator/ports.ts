/** The ports of a daemon's life: what stands behind them outlives it, and every call passes through the life's gate. */
import type { BookEntry, EpochLane, ParkedWrite, ReceiptBook, Selection, Settlement } from '../collector/receipts/receipts.ts';
import type { LinkStateRow, LinkStateStore } from '../collector/receive/state-store.ts';
import type { CacheEntry } from '../core/converge/effects.ts';
import type { Stamp } from '../core/stamp.ts';
import { type LogName, laneKey, type RoomId, type Seq } from '../core/words.ts';
import type { LinkDialer, LinkSession, Upward } from '../link/link.ts';
import type { Extent, FrameDraft, Log, RetentionFloor, RetentionPolicy, StoredFrame } from '../log/log.ts';
import type { CacheBatch, CacheResult, CacheStore } from '../store/cache.ts';
import type { MemoryBook } from './book.ts';
import type { CacheDisk } from './cache-disk.ts';
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
  stampAt(partition: number, seq: Seq): Promise<Stamp | undefined> {
    return this.#life.read(() => this.#log.stampAt(partition, seq));
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
  trim(policy: RetentionPolicy, floors: readonly RetentionFloor[], nowMs: number): Promise<{ frames: number; bytes: number }> {
    return this.#life.io('trimming', () => this.#log.trim(policy, floors, nowMs));
  }
  bytes(): number {
    return this.#log.bytes();
  }
  async close(): Promise<void> {}
}

/** `applied` is called with every batch that went in. */
export class GatedCache implements CacheStore {
  readonly #disk: CacheDisk;
  readonly #life: Life;
  readonly #applied: (batch: CacheBatch) => Promise<void>;

  constructor(disk: CacheDisk, life: Life, applied: (batch: CacheBatch) => Promise<void>) {
    this.#disk = disk;
    this.#life = life;
    this.#applied = applied;
  }

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  marks(): ReturnType<CacheStore['marks']> {
    return this.#life.read(() => this.#disk.cache.marks());
  }
  apply(batch: CacheBatch): Promise<CacheResult> {
    return this.#life.io('applying to the cache', async () => {
      const result = await this.#disk.apply(batch);
      if (result.moved) await this.#applied(batch);
      return result;
    });
  }
  get(key: string, nowMs: number): Promise<CacheEntry | undefined> {
    return this.#life.read(() => this.#disk.cache.get(key, nowMs));
  }
  scan(options: { readonly prefix: string; readonly nowMs: number }): AsyncIterable<CacheEntry> {
    return this.#disk.cache.scan(options);
  }
  sweep(floor: Stamp, nowMs: number): Promise<number> {
    return this.#life.io('sweeping the cache', () => this.#disk.sweep(floor, nowMs));
  }
}

export interface BookWatch {
  recorded(entries: readonly BookEntry[]): void;
  settled(settlement: Settlement): void;
}

export class GatedBook implements ReceiptBook {
  readonly #book: MemoryBook;
  readonly #life: Life;
  readonly #watch: BookWatch;

  constructor(book: MemoryBook, life: Life, watch: BookWatch) {
    this.#book = book;
    this.#life = life;
    this.#watch = watch;
  }

  async open(): Promise<void> {}
  async close(): Promise<void> {}

  marks(): ReturnType<ReceiptBook['marks']> {
    return this.#life.read(() => this.#book.marks());
  }
  summary(lane: EpochLane): ReturnType<ReceiptBook['summary']> {
    return this.#life.read(() => this.#book.summary(lane));
  }
  record(entries: readonly BookEntry[]): Promise<void> {
    return this.#life.io('recording receipts', async () => {
      await this.#book.record(entries);
      this.#watch.recorded(entries);
    });
  }
  exceptions(lane: EpochLane, from: Seq, to: Seq): ReturnType<ReceiptBook['exceptions']> {
    return this.#life.read(() => this.#book.exceptions(lane, from, to));
  }
  parkedKeys(lane: EpochLane): ReturnType<ReceiptBook['parkedKeys']> {
    return this.#life.read(() => this.#book.parkedKeys(lane));
  }
  list(after: string, limit: number): ReturnType<ReceiptBook['list']> {
    return this.#life.read(() => this.#book.list(after, limit));
  }
  select(selection: Selection): ReturnType<ReceiptBook['select']> {
    return this.#life.read(() => this.#book.select(selection));
  }
  firstOfKey(lane: EpochLane, key: string): ReturnType<ReceiptBook['firstOfKey']> {
    return this.#life.read(() => this.#book.firstOfKey(lane, key));
  }
  due(nowMs: number, limit: number): ReturnType<ReceiptBook['due']> {
    return this.#life.read(() => this.#book.due(nowMs, limit));
  }
  settle(settlement: Settlement): Promise<void> {
    return this.#life.io('settling a parked write request', async () => {
      await this.#book.settle(settlement);
      this.#watch.settled(settlement);
    });
  }
  failAgain(parked: ParkedWrite): Promise<void> {
    return this.#life.io('parking again', () => this.#book.failAgain(parked));
  }
  parkedTotal(): number {
    return this.#book.parkedTotal();
  }
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
}

/** Dials for a life: its sessions end with it. `sent` sees what goes up, with the room it goes to. */
export function gatedDialer(dialer: LinkDialer, life: Life, sent: (to: RoomId, message: Upward) => void): LinkDialer {
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
        frames: session.frames,
        control: session.control,
        closed: session.closed,
        close: () => session.close(),
        send(message) {
          if (!life.alive) return;
          sent(hello.to, message);
          session.send(message);
        },
      };
    },
  };
}
