/**
 * The digest tree: 65,536 leaves (core/converge/bucket.ts) under four levels of sixteen. A node is the XOR of its leaves' 64-bit digests, so that one
 * leaf changes four numbers. (The leaves themselves are hashes over keys, values and their places: two values that changed places are seen there.)
 *
 * Beside the digests a leaf has what the keeper must know of it. Everything lies in typed arrays: about 1.7 MB, whatever the cache holds.
 */
import { BUCKETS } from '../../core/converge/bucket.ts';

export const FAN_OUT = 16;
/** Levels of nodes; the last are the leaves. */
export const LEVELS = 4;
export const LEAF_LEVEL = LEVELS - 1;

/** Nodes of a level: 16, 256, 4,096, 65,536. */
export function nodesOf(level: number): number {
  return FAN_OUT ** (level + 1);
}

/** The node of `level` above (or at) the leaf `bucket`. */
export function nodeAbove(bucket: number, level: number): number {
  return bucket >>> (4 * (LEAF_LEVEL - level));
}

interface Level {
  readonly high: Uint32Array;
  readonly low: Uint32Array;
}

export interface Leaf {
  readonly high: number;
  readonly low: number;
  readonly keys: number;
  /** Wall clock from which on the digest does not hold any more; 0: none. */
  readonly expiresMs: number;
}

export class DigestTree {
  readonly #levels: readonly Level[] = Array.from({ length: LEVELS }, (_, level) => ({
    high: new Uint32Array(nodesOf(level)),
    low: new Uint32Array(nodesOf(level)),
  }));
  readonly #keys = new Uint32Array(BUCKETS);
  readonly #expiresMs = new Float64Array(BUCKETS);
  #keysTotal = 0;

  /** Keys of all leaves together. */
  get keys(): number {
    return this.#keysTotal;
  }

  /** True: the leaf had another digest before. */
  set(bucket: number, leaf: Leaf): boolean {
    this.#keysTotal += leaf.keys - (this.#keys[bucket] ?? 0);
    this.#keys[bucket] = leaf.keys;
    this.#expiresMs[bucket] = leaf.expiresMs;
    const leaves = this.#level(LEAF_LEVEL);
    const high = ((leaves.high[bucket] ?? 0) ^ leaf.high) >>> 0;
    const low = ((leaves.low[bucket] ?? 0) ^ leaf.low) >>> 0;
    if (high === 0 && low === 0) return false;
    for (let level = 0; level < LEVELS; level += 1) this.#toggle(level, nodeAbove(bucket, level), high, low);
    return true;
  }

  expiresMs(bucket: number): number {
    return this.#expiresMs[bucket] ?? 0;
  }

  /** Digests of the children of `parents` (nodes of the level above; for level 0: [0]), 8 bytes each, big-endian. */
  children(level: number, parents: readonly number[]): Uint8Array {
    const { high, low } = this.#level(level);
    const bytes = new Uint8Array(parents.length * FAN_OUT * 8);
    const view = new DataView(bytes.buffer);
    let at = 0;
    for (const parent of parents) {
      for (let child = parent * FAN_OUT; child < (parent + 1) * FAN_OUT; child += 1, at += 8) {
        view.setUint32(at, high[child] ?? 0);
        view.setUint32(at + 4, low[child] ?? 0);
      }
    }
    return bytes;
  }

  #level(level: number): Level {
    return this.#levels[level] as Level;
  }

  #toggle(level: number, node: number, high: number, low: number): void {
    const nodes = this.#level(level);
    nodes.high[node] = (nodes.high[node] ?? 0) ^ high;
    nodes.low[node] = (nodes.low[node] ?? 0) ^ low;
  }
}
