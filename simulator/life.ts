/**
 * One life of one daemon, from its start to its crash. It is the daemon's runtime, and the gate through which all of its calls to disks
 * and stores go. When it ends, no timer of it fires any more and no call of it is ever answered, so its objects stand still wherever
 * they were: what it had committed by then is all that is left of it.
 */
import type { Runtime, Timer } from '../core/runtime.ts';
import type { Random } from './random.ts';
import type { VirtualClock } from './time.ts';

/** A clock of one room, shared by its daemons: so many milliseconds from the simulator's own. */
export interface RoomClock {
  offsetMs: number;
}

/** The world that a life is lived in. */
export interface LifeHost {
  readonly clock: VirtualClock;
  readonly random: Random;
  /** Whether a life that comes to a disk or store ends there. */
  crashesHere(): boolean;
  crash(life: Life, where: string): void;
  ioDelayMs(): number;
}

export class Life implements Runtime {
  readonly name: string;
  readonly #world: LifeHost;
  readonly #clock: RoomClock;
  readonly #onEnd = new Set<() => void>();
  #alive = true;

  constructor(world: LifeHost, name: string, clock: RoomClock) {
    this.#world = world;
    this.name = name;
    this.#clock = clock;
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Called once when it ends, however it ends. Returns how to take that back. */
  onEnd(task: () => void): () => void {
    this.#onEnd.add(task);
    return () => void this.#onEnd.delete(task);
  }

  end(): void {
    if (!this.#alive) return;
    this.#alive = false;
    for (const task of [...this.#onEnd]) task();
  }

  nowMs(): number {
    return Math.floor(this.#world.clock.ms + this.#clock.offsetMs);
  }

  monotonicMs(): number {
    return this.#world.clock.runMs;
  }

  after(delayMs: number, task: () => void): Timer {
    return this.#world.clock.after(delayMs, () => {
      if (this.#alive) task();
    });
  }

  turn(): Promise<void> {
    return new Promise((resolve) => void this.after(0, resolve));
  }

  random(): number {
    return this.#world.random.next();
  }

  bytes(count: number): Uint8Array {
    return this.#world.random.bytes(count);
  }

  /** A call to a disk or store: it takes a moment before and after `commit`, and the daemon may crash in either. */
  async io<T>(what: string, commit: () => T | Promise<T>): Promise<T> {
    await this.#moment(`before ${what}`);
    const result = await commit();
    await this.#moment(`after ${what}`);
    return result;
  }

  /** The same for a call that only reads. */
  async read<T>(read: () => T | Promise<T>): Promise<T> {
    if (!this.#alive) return never();
    const result = await read();
    await this.#moment('after a read');
    return result;
  }

  async #moment(where: string): Promise<void> {
    if (!this.#alive) return never();
    if (this.#world.crashesHere()) {
      this.#world.crash(this, where);
      return never();
    }
    const delayMs = this.#world.ioDelayMs();
    if (delayMs > 0) await new Promise<void>((resolve) => void this.after(delayMs, resolve));
  }
}

/** What a call of an ended life gets. */
export function never<T>(): Promise<T> {
  return new Promise(() => {});
}
