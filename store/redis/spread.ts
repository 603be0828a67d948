/**
 * Which key lies on which node: rendezvous hashing over the addresses, so that a node that comes or goes moves only the keys that are its own. Every
 * node has all marks of its own; those of the cache are the smallest.
 */
import { crc32 } from 'node:zlib';
import type { EffectResult } from '../../core/converge/cell.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { outcomeOf } from '../../core/converge/outcome.ts';
import type { Mark } from '../../core/words.ts';
import type { CacheOutcome } from '../cache.ts';

/** The node's place among `addresses`. */
export function placeOf(key: string, addresses: readonly string[]): number {
  if (addresses.length === 1) return 0;
  const hash = crc32(key);
  let [best, place] = [-1, 0];
  for (const [index, address] of addresses.entries()) {
    const weight = mixed(hash ^ crc32(address));
    if (weight <= best) continue;
    best = weight;
    place = index;
  }
  return place;
}

/** CRCs are linear: without this the same node would win for whole families of keys. */
function mixed(hash: number): number {
  let value = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

/** A batch, taken apart. */
export interface Parts {
  /** Of each node, in the order of the batch. */
  readonly effects: readonly (readonly Effect[])[];
  /** For every effect of the batch the node that has it. Empty: there is one. */
  readonly places: readonly number[];
}

export function partsOf(writes: readonly (readonly Effect[])[], addresses: readonly string[]): Parts {
  if (addresses.length === 1) return { effects: [writes.flat()], places: [] };
  const effects: Effect[][] = addresses.map(() => []);
  const places: number[] = [];
  for (const write of writes) {
    for (const effect of write) {
      const place = placeOf(effect.key, addresses);
      effects[place]?.push(effect);
      places.push(place);
    }
  }
  return { effects, places };
}

/** `results`: of each node, in the order of its part. */
export function outcomesOf(
  writes: readonly (readonly Effect[])[],
  { places }: Parts,
  results: readonly (readonly EffectResult[])[],
): readonly CacheOutcome[] {
  const next = results.map(() => 0);
  let at = 0;
  const take = (): EffectResult => {
    const place = places[at++] ?? 0;
    const index = next[place] ?? 0;
    next[place] = index + 1;
    return results[place]?.[index] ?? 'applied';
  };
  return writes.map((effects) => (effects.length === 1 ? take() : outcomeOf(effects.map(take))));
}

/** A lane that a node has no mark of, or one of another epoch, begins at the beginning. */
export function smallestMarks(nodes: readonly ReadonlyMap<string, Mark>[]): readonly Mark[] {
  const smallest: Mark[] = [];
  for (const [lane, first] of nodes[0] ?? []) {
    const all = nodes.map((marks) => marks.get(lane)).filter((mark) => mark?.epoch === first.epoch);
    if (all.length < nodes.length) continue;
    smallest.push(all.reduce((least: Mark, mark) => (mark !== undefined && mark.seq < least.seq ? mark : least), first));
  }
  return smallest;
}
