/**
 * The revision that every commit leaves in the file, never the same twice. Where another one is found than was left, the file came back from an older
 * copy, or another process changed it.
 */
import type { Runtime } from '../../core/runtime.ts';
import type { Generation } from '../cache.ts';
import type { CacheTables } from './cache-tables.ts';

export class Revisions {
  readonly #tables: CacheTables;
  /** No two processes give the same revision. */
  readonly #nonce: string;
  #commits = 0;
  #left: string;
  #generation: Generation = 0;

  /** `before`: of the file in whose place this one came; whether it is as that one was left shows at the first look. */
  constructor(tables: CacheTables, runtime: Runtime, before?: Revisions) {
    this.#tables = tables;
    this.#nonce = Buffer.from(runtime.bytes(8)).toString('hex');
    this.#left = before === undefined ? this.#stored() : before.#left;
    this.#generation = before?.generation ?? 0;
  }

  get generation(): Generation {
    return this.#generation;
  }

  /** Within a transaction: whether the file is another one than was left. Then a new generation begins, with what is found. */
  isOther(): boolean {
    const stored = this.#stored();
    if (stored === this.#left) return false;
    this.#left = stored;
    this.#generation += 1;
    return true;
  }

  /** Within a transaction that changes something. */
  put(): void {
    this.#tables.revisionPut.run(this.#next());
  }

  /** After its commit. */
  committed(): void {
    this.#left = this.#next();
    this.#commits += 1;
  }

  #next(): string {
    return `${this.#nonce}-${this.#commits + 1}`;
  }

  /** Empty where there is none. */
  #stored(): string {
    return String(this.#tables.revision.get()?.['revision'] ?? '');
  }
}
