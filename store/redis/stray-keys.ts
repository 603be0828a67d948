/**
 * Keys that somebody has put into a node and that have no head. Only going through the whole keyspace finds them: a SCAN that rests nineteen times as long
 * as it works, so that it takes a twentieth of a processor, its own and the server's together, however big and however far away that is.
 */
import { bucketOf } from '../../core/converge/bucket.ts';
import { measureWork, type Runtime, sleep } from '../../core/runtime.ts';
import type { NodeReader } from './reader.ts';
import { textOf } from './shown.ts';

const KEYS_AT_ONCE = 256;
const REST = 19;
const REST_MS_MIN = 20;
/** After a failure, and between two passes. */
const PAUSE_MS = 10_000;
/** More are not kept; they are found when these are gone. */
const STRAYS_MAX = 65_536;

export interface StrayKeysOptions {
  readonly reader: NodeReader;
  readonly runtime: Runtime;
}

export class StrayKeys {
  readonly #options: StrayKeysOptions;
  readonly #stopping = new AbortController();
  /** Of the last pass and of the one that is under way. */
  #last = new Map<number, Set<string>>();
  #current = new Map<number, Set<string>>();
  #count = 0;

  constructor(options: StrayKeysOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#stopping.abort();
  }

  /** They may have gone since, or got a head. */
  of(bucket: number): readonly string[] {
    return [...new Set([...(this.#last.get(bucket) ?? []), ...(this.#current.get(bucket) ?? [])])];
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        await this.pass();
      } catch {
        // The inspector's own calls say what the node suffers from.
      }
      await sleep(this.#options.runtime, PAUSE_MS, signal);
    }
  }

  /** Once through the keyspace. */
  async pass(): Promise<void> {
    const { reader, runtime } = this.#options;
    const { signal } = this.#stopping;
    this.#current = new Map();
    this.#count = 0;
    let cursor = '0';
    do {
      const worked = measureWork(runtime);
      const [next, names] = await reader.scan(cursor, { match: '*', count: KEYS_AT_ONCE });
      cursor = next;
      const keys = names.map(keyOf).filter((key) => key !== undefined);
      if (keys.length > 0) this.#note(await reader.strays(keys));
      await sleep(runtime, Math.max(REST_MS_MIN, REST * worked()), signal);
    } while (cursor !== '0' && !signal.aborted);
    this.#last = this.#current;
    this.#current = new Map();
  }

  #note(strays: readonly string[]): void {
    for (const key of strays) {
      if (this.#count >= STRAYS_MAX) return;
      const bucket = bucketOf(key);
      const keys = this.#current.get(bucket);
      if (keys === undefined) this.#current.set(bucket, new Set([key]));
      else keys.add(key);
      this.#count += 1;
    }
  }
}

const RESERVED = Buffer.from('wmb:');
const MOVED = Buffer.from('wmb:=');

/** The application's key; undefined for WMB's own. */
function keyOf(name: Buffer): string | undefined {
  if (name.subarray(0, MOVED.length).equals(MOVED)) return textOf(name.subarray(MOVED.length));
  return name.subarray(0, RESERVED.length).equals(RESERVED) ? undefined : textOf(name);
}
