/**
 * This room as the checker sees it: its cache through the keeper of the digest tree and the inspector, its write log through the log port, and for everything else its own
 * collector. Nothing here waits for a daemon that is down: it rejects, and the next round asks again.
 */
import { WmbError } from '../core/errors.ts';
import type { Runtime } from '../core/runtime.ts';
import type { RoomId, Seq, StampedWrite } from '../core/words.ts';
import type { LogReader } from '../log/log.ts';
import type { CacheInspector, CacheRepair, EntryDigest, RepairOutcome } from '../store/inspection.ts';
import { LogSearch } from './log-search.ts';
import type {
  CachePlaces,
  CopySide,
  DerivedWrite,
  FoundWrite,
  FrameReceipts,
  Horizon,
  NodeDigests,
  RoomView,
  SeqRange,
  StateAnswer,
  TakeOver,
  WriteQuery,
} from './room.ts';

/** What this room's collector does for the checker. */
export interface OwnCollector {
  horizon(): Promise<Horizon>;
  takeDirty(max: number): Promise<readonly number[]>;
  receiptDigests(ranges: readonly SeqRange[]): Promise<readonly string[]>;
  receipts(range: SeqRange): Promise<readonly FrameReceipts[]>;
  derive(writes: readonly StampedWrite[]): Promise<readonly DerivedWrite[]>;
  repair(repairs: readonly CacheRepair[]): Promise<readonly RepairOutcome[]>;
  cachePlaces(): Promise<CachePlaces>;
  takeOver(end: TakeOver): Promise<void>;
  /** Of the write request at `position`. */
  retryParked(position: string): Promise<{ readonly outcome: string; readonly message: string }>;
}

/** What of the keeper of the digest tree (cache/keeper.ts) is asked here. */
export interface LeafSource {
  nodes(query: { readonly level: number; readonly parents: readonly number[] }): Promise<NodeDigests>;
  entries(buckets: readonly number[]): Promise<readonly (readonly EntryDigest[])[]>;
  changedBehindMs(key: string): number;
}

export interface LocalRoomOptions {
  readonly room: RoomId;
  readonly inspector: CacheInspector;
  readonly leaves: LeafSource;
  readonly collector: OwnCollector;
  /** Opened here as soon as reship has made it, and closed here. */
  readonly log: LogReader;
  readonly duplicateWindowWrites: number;
  readonly runtime: Runtime;
}

/** Keys read before others have their turn: reading is synchronous in the embedded store. */
const KEYS_PER_TURN = 32;

export class LocalRoom implements RoomView, CopySide {
  readonly room: RoomId;
  readonly #options: LocalRoomOptions;
  readonly #search: LogSearch;
  #logOpening: Promise<void> | undefined;

  constructor(options: LocalRoomOptions) {
    this.room = options.room;
    this.#options = options;
    this.#search = new LogSearch(options);
  }

  horizon(): Promise<Horizon> {
    return this.#options.collector.horizon();
  }

  nodes(query: { readonly level: number; readonly parents: readonly number[] }): Promise<NodeDigests> {
    return this.#options.leaves.nodes(query);
  }

  entries(buckets: readonly number[], urgent = false): Promise<readonly (readonly EntryDigest[])[]> {
    const { inspector, leaves, runtime } = this.#options;
    return urgent ? inspector.entries(buckets, runtime.nowMs()) : leaves.entries(buckets);
  }

  async states(keys: readonly string[]): Promise<readonly StateAnswer[]> {
    const { inspector, leaves, runtime } = this.#options;
    const answers: StateAnswer[] = [];
    for (let at = 0; at < keys.length; at += KEYS_PER_TURN) {
      if (at > 0) await runtime.turn();
      const chunk = keys.slice(at, at + KEYS_PER_TURN);
      const states = await inspector.states(chunk);
      for (const [place, key] of chunk.entries()) answers.push({ key, state: states[place], changedBehindMs: leaves.changedBehindMs(key) });
    }
    return answers;
  }

  cachePlaces(): Promise<CachePlaces> {
    return this.#options.collector.cachePlaces();
  }

  keys(buckets: readonly number[]): Promise<readonly (readonly string[])[]> {
    return this.#options.inspector.keys(buckets);
  }

  receiptDigests(ranges: readonly SeqRange[]): Promise<readonly string[]> {
    return this.#options.collector.receiptDigests(ranges);
  }

  receipts(range: SeqRange): Promise<readonly FrameReceipts[]> {
    return this.#options.collector.receipts(range);
  }

  async findWrites(query: WriteQuery): Promise<readonly FoundWrite[]> {
    await this.#openLog();
    try {
      return await this.#search.find(query);
    } catch (cause) {
      // A log that was made anew is opened anew at the next question.
      if (cause instanceof WmbError && cause.code === 'LOG_GAP') await this.close();
      throw cause;
    }
  }

  /** Seq of the newest frame of a partition of the write log; -1: there is none. */
  async logEnd(partition: number): Promise<Seq> {
    await this.#openLog();
    return this.#options.log.extent(partition).next - 1;
  }

  derive(writes: readonly StampedWrite[]): Promise<readonly DerivedWrite[]> {
    return this.#options.collector.derive(writes);
  }

  async close(): Promise<void> {
    const opening = this.#logOpening;
    this.#logOpening = undefined;
    await opening?.catch(() => {});
    await this.#options.log.close();
  }

  /** Rejects with LOG_UNAVAILABLE while reship has not made the log yet. */
  async #openLog(): Promise<void> {
    this.#logOpening ??= this.#options.log.open();
    try {
      await this.#logOpening;
    } catch (cause) {
      this.#logOpening = undefined;
      throw cause;
    }
  }
}
