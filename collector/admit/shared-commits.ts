/**
 * The batches of all lanes that reach a store within one turn of the event loop share one commit: in a room with little traffic a
 * batch is a write request or two, and the commit, not the write, is what costs. A lane notices nothing of its neighbours: where the shared
 * call fails, or a mark in it is not the expected one, nothing was changed, and each batch is tried by itself.
 */
import type { Runtime } from '../../core/runtime.ts';
import type { CacheBatch, CacheResult, CacheStore } from '../../store/cache.ts';
import type { BookEntry, ReceiptBook } from '../receipts/receipts.ts';

/** A commit that has so many write requests is worth its price; more would keep the event loop waiting. */
const COMMIT_WRITES = 512;

export class SharedCommits {
  readonly #cache: Gather<CacheBatch, CacheResult>;
  readonly #book: Gather<readonly BookEntry[], void>;

  constructor(stores: { readonly cache: CacheStore; readonly book: ReceiptBook; readonly runtime: Runtime }) {
    const { cache, book, runtime } = stores;
    this.#cache = new Gather({
      runtime,
      size: (batch) => batch.writes.length,
      one: (batch) => cache.apply(batch),
      all: (batches) => applyAll(cache, batches),
    });
    this.#book = new Gather({
      runtime,
      size: (entries) => entries.reduce((sum, entry) => sum + entry.frames.length + entry.exceptions.length, 0),
      one: (entries) => book.record(entries),
      all: async (lists) => {
        await book.record(lists.flat());
        return lists.map(() => undefined);
      },
    });
  }

  /** As CacheStore.apply. */
  apply(batch: CacheBatch): Promise<CacheResult> {
    return this.#cache.add(batch);
  }

  /** As ReceiptBook.record. */
  record(entries: readonly BookEntry[]): Promise<void> {
    return this.#book.add(entries);
  }
}

/** Undefined: nothing was changed. */
async function applyAll(cache: CacheStore, batches: readonly CacheBatch[]): Promise<readonly CacheResult[] | undefined> {
  const newest = batches.at(-1);
  if (newest === undefined) return [];
  const { generation } = newest;
  if (batches.some((batch) => batch.generation !== generation)) return undefined;
  const result = await cache.apply({
    generation,
    moves: batches.flatMap((batch) => batch.moves),
    writes: batches.flatMap((batch) => batch.writes),
    floor: newest.floor,
    nowMs: newest.nowMs,
  });
  if (!result.moved) return undefined;
  let from = 0;
  return batches.map(({ writes }) => {
    const outcomes = result.outcomes.slice(from, from + writes.length);
    from += writes.length;
    return { moved: true, outcomes };
  });
}

interface Calls<Item, Result> {
  readonly runtime: Runtime;
  readonly size: (item: Item) => number;
  readonly one: (item: Item) => Promise<Result>;
  /** Undefined, or a rejection: nothing was changed. */
  readonly all: (items: readonly Item[]) => Promise<readonly Result[] | undefined>;
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (cause: unknown) => void;
}

/** One call at a time; what comes meanwhile, or within the turn before it, goes into the next. Bounded by the lanes: each waits for its own. */
class Gather<Item, Result> {
  readonly #calls: Calls<Item, Result>;
  #waiting: Waiting<Item, Result>[] = [];
  #running = false;

  constructor(calls: Calls<Item, Result>) {
    this.#calls = calls;
  }

  add(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      await this.#calls.runtime.turn();
      await this.#call(this.#take());
    }
    this.#running = false;
  }

  #take(): readonly Waiting<Item, Result>[] {
    let size = 0;
    let count = 0;
    for (const { item } of this.#waiting) {
      if (count > 0 && size >= COMMIT_WRITES) break;
      size += this.#calls.size(item);
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #call(group: readonly Waiting<Item, Result>[]): Promise<void> {
    const results = group.length === 1 ? undefined : await this.#calls.all(group.map(({ item }) => item)).catch(() => undefined);
    for (const [place, { item, resolve, reject }] of group.entries()) {
      if (results === undefined) await this.#calls.one(item).then(resolve, reject);
      else resolve(results[place] as Result);
    }
  }
}
