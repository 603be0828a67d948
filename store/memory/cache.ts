/** A cache in memory: the model of store/cache.contract.ts, and the cache of simulated rooms. */
import type { EffectResult, KeyCell } from '../../core/converge/cell.ts';
import type { CacheEntry, Effect } from '../../core/converge/effects.ts';
import { MemoryCell } from '../../core/converge/memory-cell.ts';
import { compareText } from '../../core/converge/order.ts';
import { outcomeOf } from '../../core/converge/outcome.ts';
import { applyEffect, settledUpTo } from '../../core/converge/rules.ts';
import { settleKey } from '../../core/converge/settle.ts';
import { visible } from '../../core/converge/visible.ts';
import { WmbError } from '../../core/errors.ts';
import type { Stamp, Version } from '../../core/stamp.ts';
import { laneKey, type Mark, NOTHING_SEEN } from '../../core/words.ts';
import type { CacheBatch, CacheMarks, CacheResult, CacheStore, CacheSweep, Generation } from '../cache.ts';

export class MemoryCache implements CacheStore {
  readonly #cells = new Map<string, MemoryCell>();
  readonly #marks = new Map<string, Mark>();
  readonly #generation: Generation;
  #settled: Version = '';

  /** Nobody changes memory behind its back: its generation is for whoever puts another cache in its place. */
  constructor(generation: Generation = 0) {
    this.#generation = generation;
  }

  /** What it holds now, as another cache. */
  copy(generation: Generation): MemoryCache {
    const copy = new MemoryCache(generation);
    for (const [key, cell] of this.#cells) copy.#cells.set(key, copyOf(cell));
    for (const [lane, mark] of this.#marks) copy.#marks.set(lane, mark);
    copy.#settled = this.#settled;
    return copy;
  }

  async open(): Promise<void> {}

  async marks(): Promise<CacheMarks> {
    return { generation: this.#generation, marks: [...this.#marks.values()] };
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
    for (const [key, cell] of this.#cells) if (settleKey(cell, this.#settled)) gone += Number(this.#cells.delete(key));
    return gone;
  }

  async close(): Promise<void> {}

  #apply(effect: Effect): EffectResult {
    const cell = this.#cells.get(effect.key) ?? new MemoryCell();
    this.#cells.set(effect.key, cell);
    return applyEffect(cell, effect, this.#settled);
  }

  #settleUpTo(floor: Stamp, nowMs: number): void {
    const settled = settledUpTo(floor, nowMs);
    if (settled > this.#settled) this.#settled = settled;
  }
}

function copyOf(cell: KeyCell): MemoryCell {
  const copy = new MemoryCell();
  Object.assign(copy.head, cell.head);
  for (const [name, register] of cell.registers()) copy.setRegister(name, register);
  for (const [name, increments] of cell.increments('')) for (const increment of increments) copy.addIncrement(name, increment);
  for (const expiry of cell.expiries()) copy.addExpiry(expiry);
  return copy;
}
