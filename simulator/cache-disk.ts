/**
 * The cache of a room as it outlives its collector: the model cache, a journal of every call that changed it (so that it can be put back
 * to what it was at any earlier moment), and beside it the effects that went in, so that what it shows can be held against the oracle.
 */
import type { Effect } from '../core/converge/effects.ts';
import { oracle } from '../core/converge/oracle-kit.ts';
import type { Stamp, Version } from '../core/stamp.ts';
import { NOTHING_SEEN, type Seq } from '../core/words.ts';
import type { CacheBatch, CacheResult, CacheStore } from '../store/cache.ts';
import { MemoryCache } from '../store/memory/cache.ts';
import { type EpochLane, type Failure, failure } from './checks/failure.ts';

type Step = { readonly batch: CacheBatch } | { readonly floor: Stamp; readonly nowMs: number };

export class CacheDisk {
  cache: CacheStore;
  /** How often it was put back. */
  restores = 0;
  #journal: Step[] = [];
  /** By key: what was applied since the beginning, a late write request excepted. */
  #effects = new Map<string, Effect[]>();
  /** By key: the greatest DEL. */
  #killed = new Map<string, Version>();
  /** Nobody looks at an earlier moment than somebody has looked at already. */
  #lookedMs = 0;

  readonly #around: (store: CacheStore) => CacheStore;

  /** `around`: what stands between the store and everybody, also the checks. */
  constructor(around: (store: CacheStore) => CacheStore = (store) => store) {
    this.#around = around;
    this.cache = this.#made();
  }

  #made(): CacheStore {
    return this.#around(new MemoryCache());
  }

  get steps(): number {
    return this.#journal.length;
  }

  async apply(batch: CacheBatch): Promise<CacheResult> {
    const result = await this.cache.apply(batch);
    if (!result.moved) return result;
    this.#journal.push({ batch });
    this.#learn(batch, result);
    return result;
  }

  async sweep(floor: Stamp, nowMs: number): Promise<number> {
    this.#journal.push({ floor, nowMs });
    return this.cache.sweep(floor, nowMs);
  }

  /** Puts the cache back to what it was after its first `steps` changes, marks included. */
  async restore(steps: number): Promise<void> {
    const journal = this.#journal.slice(0, steps);
    this.restores += 1;
    this.cache = this.#made();
    this.#journal = [];
    this.#effects = new Map();
    this.#killed = new Map();
    for (const step of journal) {
      if ('batch' in step) await this.apply(step.batch);
      else await this.sweep(step.floor, step.nowMs);
    }
  }

  async markOf(lane: EpochLane): Promise<Seq> {
    const marks = await this.cache.marks();
    const same = (it: EpochLane) => it.log === lane.log && it.origin === lane.origin && it.partition === lane.partition;
    return marks.find((it) => same(it) && it.epoch === lane.epoch)?.seq ?? NOTHING_SEEN;
  }

  keys(): string[] {
    return [...this.#effects.keys()];
  }

  /** Whether `key` shows what a plain cache would that got the same effects, once each and in order (I5), and nothing that was deleted (I6). */
  async check(room: string, key: string, nowMs: number): Promise<Failure | undefined> {
    this.#lookedMs = Math.max(this.#lookedMs, nowMs);
    const shown = await this.cache.get(key, this.#lookedMs);
    const killed = this.#killed.get(key) ?? '';
    if (shown !== undefined && shown.version <= killed)
      return failure('I6', `nothing of ${key} up to its DEL ${killed} is seen in ${room} again`, JSON.stringify(shown));
    const effects = this.#effects.get(key) ?? [];
    const due = oracle(key, effects, this.#lookedMs);
    if (JSON.stringify(shown) === JSON.stringify(due)) return undefined;
    const undeleted = oracle(
      key,
      effects.filter(({ op }) => op !== 'del'),
      this.#lookedMs,
    );
    const invariant = JSON.stringify(shown) === JSON.stringify(undeleted) ? 'I6' : 'I5';
    return failure(invariant, `in ${room}, after what was applied there, ${key} is ${JSON.stringify(due)}`, JSON.stringify(shown));
  }

  #learn(batch: CacheBatch, result: Extract<CacheResult, { moved: true }>): void {
    for (const [place, effects] of batch.writes.entries()) {
      if (result.outcomes[place] === 'late') continue;
      for (const effect of effects) {
        const known = this.#effects.get(effect.key);
        if (known === undefined) this.#effects.set(effect.key, [effect]);
        else known.push(effect);
        if (effect.op === 'del' && effect.version > (this.#killed.get(effect.key) ?? '')) this.#killed.set(effect.key, effect.version);
      }
    }
  }
}
