/** A cache in memory: the model of store/cache.contract.ts, and the cache of simulated rooms. */
import { BUCKETS, bucketOf } from '../../core/converge/bucket.ts';
import type { EffectResult, KeyCell } from '../../core/converge/cell.ts';
import type { CacheEntry, Effect } from '../../core/converge/effects.ts';
import { MemoryCell } from '../../core/converge/memory-cell.ts';
import { mend } from '../../core/converge/mend.ts';
import { compareText } from '../../core/converge/order.ts';
import { outcomeOf } from '../../core/converge/outcome.ts';
import { applyEffect, settledUpTo } from '../../core/converge/rules.ts';
import { settleKey } from '../../core/converge/settle.ts';
import { visible } from '../../core/converge/visible.ts';
import { WmbError } from '../../core/errors.ts';
import type { Stamp, Version } from '../../core/stamp.ts';
import { laneKey, type Mark, NOTHING_SEEN } from '../../core/words.ts';
import type { CacheBatch, CacheMarks, CacheResult, CacheStore, CacheSweep, Generation } from '../cache.ts';
import type { CacheRepair, RepairOutcome } from '../inspection.ts';

export class MemoryCache implements CacheStore {
  readonly #cells = new Map<string, MemoryCell>();
  /** Keys of `#cells` by bucket. */
  readonly #buckets = new Map<number, Set<string>>();
  readonly #dirty = new Set<number>();
  readonly #marks = new Map<string, Mark>();
  readonly #generation: Generation;
  #settled: Version = '';

  /**
   * Nobody changes memory behind its back: its generation is for whoever puts another cache in its place. Then any bucket may differ from what
   * somebody has seen of it.
   */
  constructor(generation: Generation = 0) {
    this.#generation = generation;
    if (generation > 0) for (let bucket = 0; bucket < BUCKETS; bucket += 1) this.#dirty.add(bucket);
  }

  /** What it holds now, as another cache. */
  copy(generation: Generation): MemoryCache {
    const copy = new MemoryCache(generation);
    for (const [key, cell] of this.#cells) copyOf(cell, copy.#touched(key));
    for (const [lane, mark] of this.#marks) copy.#marks.set(lane, mark);
    copy.#settled = this.#settled;
    return copy;
  }

  async open(): Promise<void> {}

  async marks(): Promise<CacheMarks> {
    return { generation: this.#generation, marks: [...this.#marks.values()], settled: this.#settled };
  }

  async apply(batch: CacheBatch): Promise<CacheResult> {
    const generation = this.#generation;
    if (batch.generation !== generation) return { moved: false, generation, stored: undefined };
    for (const move of batch.moves) {
      const stored = this.#marks.get(laneKey(move));
      const seq = stored?.epoch === move.epoch ? stored.seq : NOTHING_SEEN;
      if (seq !== move.expected) return { moved: false, generation, stored };
    }
    this.#settleUpTo(batch.floor, batch.nowMs);
    const outcomes = batch.writes.map((effects) => outcomeOf(effects.map((effect) => this.#apply(effect))));
    for (const { log, origin, partition, epoch, next } of batch.moves) {
      const mark: Mark = { log, origin, partition, epoch, seq: next };
      this.#marks.set(laneKey(mark), mark);
    }
    return { moved: true, outcomes };
  }

  async get(key: string, nowMs: number): Promise<CacheEntry | undefined> {
    const cell = this.#cells.get(key);
    return cell && visible(key, cell, nowMs);
  }

  async *scan({ prefix, nowMs }: { readonly prefix: string; readonly nowMs: number }): AsyncIterable<CacheEntry> {
    for (const key of [...this.#cells.keys()].sort(compareText)) {
      const entry = key.startsWith(prefix) ? await this.get(key, nowMs) : undefined;
      if (entry !== undefined) yield entry;
    }
  }

  async sweep({ generation, floor, nowMs }: CacheSweep): Promise<number> {
    if (generation !== this.#generation) throw new WmbError('MARK_MOVED', 'the cache in memory was replaced by another one');
    this.#settleUpTo(floor, nowMs);
    let gone = 0;
    for (const [key, cell] of this.#cells) if (settleKey(cell, this.#settled)) gone += this.#forget(key);
    return gone;
  }

  async takeDirty(max: number): Promise<readonly number[]> {
    const taken = [...this.#dirty].slice(0, max);
    for (const bucket of taken) this.#dirty.delete(bucket);
    return taken;
  }

  async repair(repairs: readonly CacheRepair[], _nowMs: number): Promise<readonly RepairOutcome[]> {
    return repairs.map((repair) => {
      const { key } = repair;
      const cell = this.#cells.get(key) ?? new MemoryCell();
      const outcome = mend(cell, repair, this.#settled);
      if (outcome === 'repaired') this.#touched(key, cell);
      return outcome;
    });
  }

  /** For the inspector beside it. */
  cell(key: string): KeyCell | undefined {
    return this.#cells.get(key);
  }

  /** For the inspector beside it: ascending. */
  keysOf(bucket: number): readonly string[] {
    return [...(this.#buckets.get(bucket) ?? [])].sort(compareText);
  }

  async close(): Promise<void> {}

  #apply(effect: Effect): EffectResult {
    return applyEffect(this.#touched(effect.key), effect, this.#settled);
  }

  /** The cell of a key that is about to be changed, or was. */
  #touched(key: string, cell = this.#cells.get(key) ?? new MemoryCell()): MemoryCell {
    const bucket = bucketOf(key);
    this.#dirty.add(bucket);
    if (this.#cells.has(key)) return cell;
    this.#cells.set(key, cell);
    const keys = this.#buckets.get(bucket);
    if (keys === undefined) this.#buckets.set(bucket, new Set([key]));
    else keys.add(key);
    return cell;
  }

  #forget(key: string): number {
    this.#buckets.get(bucketOf(key))?.delete(key);
    return Number(this.#cells.delete(key));
  }

  #settleUpTo(floor: Stamp, nowMs: number): void {
    const settled = settledUpTo(floor, nowMs);
    if (settled > this.#settled) this.#settled = settled;
  }
}

function copyOf(cell: KeyCell, copy: MemoryCell): void {
  Object.assign(copy.head, cell.head);
  for (const [name, register] of cell.registers()) copy.setRegister(name, register);
  for (const [name, increments] of cell.increments('')) for (const increment of increments) copy.addIncrement(name, increment);
  for (const expiry of cell.expiries()) copy.addExpiry(expiry);
}
