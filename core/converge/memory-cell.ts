/** A key in memory: the model that every store is held to, and the simulator's cache. */
import type { Version } from '../stamp.ts';
import type { Expiry, Increment, KeyCell, KeyHead, Register } from './cell.ts';
import { emptyHead } from './cell.ts';

export class MemoryCell implements KeyCell {
  readonly head: KeyHead = emptyHead();
  readonly #registers = new Map<string, Register>();
  /** Ascending by version. */
  readonly #increments = new Map<string, Increment[]>();
  #expiries: Expiry[] = [];

  headChanged(): void {}

  register(name: string): Register | undefined {
    return this.#registers.get(name);
  }

  setRegister(name: string, register: Register): void {
    this.#registers.set(name, register);
  }

  dropRegister(name: string): void {
    this.#registers.delete(name);
  }

  registers(): Iterable<readonly [string, Register]> {
    return this.#registers;
  }

  tombstones(upTo: Version): readonly (readonly [string, Version])[] {
    const found: [string, Version][] = [];
    for (const [name, { version, value }] of this.#registers) if (value === null && version <= upTo) found.push([name, version]);
    return found;
  }

  hasIncrement(name: string, version: Version): boolean {
    return this.#increments.get(name)?.some((increment) => increment.version === version) ?? false;
  }

  addIncrement(name: string, increment: Increment): void {
    const increments = this.#increments.get(name) ?? [];
    this.#increments.set(name, increments);
    insert(increments, increment);
  }

  dropIncrements(name: string, upTo: Version): void {
    const increments = this.#increments.get(name);
    if (increments === undefined) return;
    const kept = increments.filter((increment) => increment.version > upTo);
    if (kept.length > 0) this.#increments.set(name, kept);
    else this.#increments.delete(name);
  }

  *increments(upTo: Version): Iterable<readonly [string, readonly Increment[]]> {
    for (const [name, increments] of this.#increments) {
      const found = upTo === '' ? increments : increments.filter((increment) => increment.version <= upTo);
      if (found.length > 0) yield [name, found];
    }
  }

  expiries(): readonly Expiry[] {
    return this.#expiries;
  }

  addExpiry(expiry: Expiry): void {
    insert(this.#expiries, expiry);
  }

  dropExpiries(upTo: Version): void {
    this.#expiries = this.#expiries.filter((expiry) => expiry.version > upTo);
  }

  top(): Version {
    let top = '';
    for (const { version } of this.#registers.values()) if (version > top) top = version;
    for (const increments of this.#increments.values()) {
      const version = increments.at(-1)?.version ?? '';
      if (version > top) top = version;
    }
    return top;
  }

  /** Forgets everything. */
  clear(): void {
    Object.assign(this.head, emptyHead());
    this.#registers.clear();
    this.#increments.clear();
    this.#expiries = [];
  }

  dropUpTo(upTo: Version): void {
    for (const [name, { version }] of this.#registers) if (version <= upTo) this.#registers.delete(name);
    for (const name of [...this.#increments.keys()]) this.dropIncrements(name, upTo);
    this.dropExpiries(upTo);
  }
}

/** Keeps the list ascending by version. */
function insert<T extends { readonly version: Version }>(list: T[], item: T): void {
  let at = list.length;
  while (at > 0 && (list[at - 1]?.version ?? '') > item.version) at--;
  list.splice(at, 0, item);
}
