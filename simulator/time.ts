/**
 * Virtual time: a queue of what is to happen, in order of its moment and then of its being asked for. Between two events every promise
 * that can go on does so, so a run depends on nothing but its seed. Nothing here waits for a real clock.
 */
import { type Runtime, systemRuntime, type Timer } from '../core/runtime.ts';

interface Event {
  readonly atMs: number;
  readonly order: number;
  /** Undefined once it was cancelled. */
  task: (() => void) | undefined;
}

const START_MS = 1_700_000_000_000;

export class VirtualClock {
  #ms = START_MS;
  #order = 0;
  /** A binary heap, the next event at its root. */
  readonly #heap: Event[] = [];

  /** Milliseconds since 1970 as nobody's clock but the simulator's tells them. */
  get ms(): number {
    return this.#ms;
  }

  /** Milliseconds since the run began. */
  get runMs(): number {
    return this.#ms - START_MS;
  }

  after(delayMs: number, task: () => void): Timer {
    const event: Event = { atMs: this.#ms + Math.max(0, delayMs), order: this.#order, task };
    this.#order += 1;
    this.#push(event);
    return {
      cancel: () => {
        event.task = undefined;
      },
    };
  }

  /** Resolves after `delayMs` of virtual time. */
  wait(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.after(delayMs, resolve));
  }

  /** Lets `ms` milliseconds pass, or less where `stop` says so between two events. */
  async run(ms: number, stop: () => boolean): Promise<void> {
    const untilMs = this.#ms + ms;
    // One turn of the real event loop lets every promise that can go on do so; it is no wait.
    await systemRuntime.turn();
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs && !stop(); next = this.#heap[0]) {
      this.#pop();
      if (next.task === undefined) continue;
      this.#ms = next.atMs;
      next.task();
      await systemRuntime.turn();
    }
    if (!stop()) this.#ms = untilMs;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isSooner(event, heap[above] as Event)) break;
      heap[at] = heap[above] as Event;
      at = above;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (heap.length === 0 || last === undefined) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isSooner(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      if (!isSooner(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

function isSooner(left: Event, right: Event): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}

/** The runtime of what belongs to no room: the network. */
export function runtimeOf(clock: VirtualClock, random: { next(): number; bytes(count: number): Uint8Array }): Runtime {
  return {
    nowMs: () => Math.floor(clock.ms),
    monotonicMs: () => clock.runMs,
    after: (delayMs, task) => clock.after(delayMs, task),
    turn: () => clock.wait(0),
    random: () => random.next(),
    bytes: (count) => random.bytes(count),
  };
}
