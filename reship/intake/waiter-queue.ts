/** Waiters of one partition for one goal, in the order of their seqs. */
import type { Timer } from '../../core/runtime.ts';
import type { Seq } from '../../core/words.ts';
import type { Call, Segment } from './call.ts';

/** A call that waits, once its write requests are durable. */
export interface WaitingCall {
  readonly call: Call;
  readonly waiters: Waiter[];
  /** Waiters that have not got what they wait for. */
  left: number;
  timer: Timer | undefined;
}

/** The write requests of one call in one frame. */
export interface Waiter {
  readonly seq: Seq;
  readonly segment: Segment;
  readonly waiting: WaitingCall;
  /** For this room's own mark, which says the outcome. */
  readonly own: WaiterQueue;
  /** For every room's mark; undefined where the call does not wait for it. */
  readonly every: WaiterQueue | undefined;
  ownPassed: boolean;
  /** Answered: it has got what it waits for, or its deadline has passed. */
  dead: boolean;
}

/** Below so many entries sweeping is not worth it. */
const SWEEP_FROM = 64;

export class WaiterQueue {
  #waiters: Waiter[] = [];
  #head = 0;
  #dead = 0;

  /** Entries held, dead ones too. */
  get size(): number {
    return this.#waiters.length - this.#head;
  }

  push(waiter: Waiter): void {
    this.#waiters.push(waiter);
  }

  /** Takes the next living waiter off whose seq is at most `seq`. */
  pop(seq: Seq): Waiter | undefined {
    for (let waiter = this.#waiters[this.#head]; waiter !== undefined && waiter.seq <= seq; waiter = this.#waiters[this.#head]) {
      this.#head += 1;
      if (this.#head * 2 > this.#waiters.length && this.#head >= SWEEP_FROM) this.#cut();
      if (!waiter.dead) return waiter;
      this.#dead -= 1;
    }
    if (this.size === 0) this.#cut();
    return undefined;
  }

  /** One of the waiters held here has died. */
  died(): void {
    this.#dead += 1;
    if (this.size < SWEEP_FROM || this.#dead * 2 < this.size) return;
    this.#waiters = this.#waiters.slice(this.#head).filter((waiter) => !waiter.dead);
    this.#head = 0;
    this.#dead = 0;
  }

  #cut(): void {
    this.#waiters = this.#waiters.slice(this.#head);
    this.#head = 0;
  }
}
