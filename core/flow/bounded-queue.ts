/**
 * A queue between one producer and one consumer, bounded in bytes and in count. A producer whose item does not fit is told so; what it
 * then does (wait for `taken()`, or give the other side up) is its decision, but it never grows the queue.
 */
import { Wakeup } from './wakeup.ts';

export interface QueueLimits {
  readonly bytesMax: number;
  readonly countMax: number;
}

export class BoundedQueue<T> implements AsyncIterable<T> {
  readonly #limits: QueueLimits;
  #items: { readonly item: T; readonly bytes: number }[] = [];
  #head = 0;
  #bytes = 0;
  #ended = false;
  readonly #filled = new Wakeup();
  readonly #emptied = new Wakeup();

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#items.length - this.#head;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** False, and nothing happens, where the queue is over a limit already or has ended: a single item may be larger than the limit. */
  push(item: T, bytes: number): boolean {
    if (this.#ended || this.full()) return false;
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    this.#filled.wake();
    return true;
  }

  full(): boolean {
    return this.#bytes >= this.#limits.bytesMax || this.count >= this.#limits.countMax;
  }

  /** Resolves when something was taken off the queue since the last call, or when the queue ended. One waiter at a time. */
  taken(): Promise<void> {
    return this.#ended ? Promise.resolve() : this.#emptied.wait();
  }

  shift(): T | undefined {
    const entry = this.#items[this.#head];
    if (entry === undefined) return undefined;
    this.#head += 1;
    this.#bytes -= entry.bytes;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    this.#emptied.wake();
    return entry.item;
  }

  /** No more items; those that are there can still be taken. */
  end(): void {
    this.#ended = true;
    this.#filled.wake();
    this.#emptied.wake();
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.#bytes = 0;
    this.#emptied.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const item = this.shift();
      if (item !== undefined) yield item;
      else if (this.#ended) return;
      else await this.#filled.wait();
    }
  }
}
