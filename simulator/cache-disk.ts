/**
 * The cache of a room as it outlives its collector: the model cache, a journal of every call that changed it (so that it can be put back
 * to what it was at any earlier moment), and beside it the effects that went in, so that what it shows can be held against the oracle.
 */
import type { Effect } from '../core/converge/effects.ts';
import { effectsOf } from '../core/converge/effects-of.ts';
import { oracle } from '../core/converge/oracle-kit.ts';
import type { Version } from '../core/stamp.ts';
import { NOTHING_SEEN, type Seq } from '../core/words.ts';
import type { CacheBatch, CacheResult, CacheStore, CacheSweep } from '../store/cache.ts';
import type { CacheRepair, RepairOutcome } from '../store/inspection.ts';
import { MemoryCache } from '../store/memory/cache.ts';
import { type EpochLane, type Failure, failure } from './checks/failure.ts';

type Step =
  | { readonly batch: CacheBatch }
  | { readonly sweep: CacheSweep }
  | { readonly repairs: readonly CacheRepair[]; readonly nowMs: number };

/** What it holds from one time that it is put back to the next. */
interface Content {
  readonly memory: MemoryCache;
  /** The same, with what stands around it. */
  readonly cache: CacheStore;
  readonly journal: Step[];
  /** By key: what was applied since the beginning, a late write request excepted; a repair brings in what it stands for. */
  readonly effects: Map<string, Effect[]>;
  /** By key: the greatest DEL. */
  readonly killed: Map<string, Version>;
}

export class CacheDisk {
  #content: Content;
  /** How often it was put back. */
  #restores = 0;
  /** Nobody looks at an earlier moment than somebody has looked at already. */
  #lookedMs = 0;

  readonly #around: (store: MemoryCache) => CacheStore;

  /** `around`: what stands between the store and everybody, also the checks. */
  constructor(around: (store: MemoryCache) => CacheStore = (store) => store) {
    this.#around = around;
    this.#content = this.#empty();
  }

  #empty(): Content {
    const memory = new MemoryCache(this.#restores);
    return { memory, cache: this.#around(memory), journal: [], effects: new Map(), killed: new Map() };
  }

  /** What is really stored now: for the inspector. */
  get memory(): MemoryCache {
    return this.#content.memory;
  }

  get cache(): CacheStore {
    return this.#content.cache;
  }

  get steps(): number {
    return this.#content.journal.length;
  }

  async apply(batch: CacheBatch): Promise<CacheResult> {
    return applyTo(this.#content, batch);
  }

  async sweep(sweep: CacheSweep): Promise<number> {
    return sweepIn(this.#content, sweep);
  }

  async repair(repairs: readonly CacheRepair[], nowMs: number): Promise<readonly RepairOutcome[]> {
    return repairIn(this.#content, repairs, nowMs);
  }

  /** Puts the cache back to what it was after its first `steps` changes, marks included, at one moment. */
  async restore(steps: number): Promise<void> {
    this.#restores += 1;
    const generation = this.#restores;
    const content = this.#empty();
    for (const step of this.#content.journal.slice(0, steps)) {
      if ('batch' in step) await applyTo(content, { ...step.batch, generation });
      else if ('sweep' in step) await sweepIn(content, { ...step.sweep, generation });
      else await repairIn(content, step.repairs, step.nowMs);
    }
    this.#content = content;
  }

  async markOf(lane: EpochLane): Promise<Seq> {
    const { marks } = await this.cache.marks();
    const same = (it: EpochLane) => it.log === lane.log && it.origin === lane.origin && it.partition === lane.partition;
    return marks.find((it) => same(it) && it.epoch === lane.epoch)?.seq ?? NOTHING_SEEN;
  }

  keys(): string[] {
    return [...this.#content.effects.keys()];
  }

  /** Whether `key` shows what a plain cache would that got the same effects, once each and in order (I5), and nothing that was deleted (I6). */
  async check(room: string, key: string, nowMs: number): Promise<Failure | undefined> {
    this.#lookedMs = Math.max(this.#lookedMs, nowMs);
    const content = this.#content;
    const shown = await content.cache.get(key, this.#lookedMs);
    const killed = content.killed.get(key) ?? '';
    if (shown !== undefined && shown.version <= killed)
      return failure('I6', `nothing of ${key} up to its DEL ${killed} is seen in ${room} again`, JSON.stringify(shown));
    const effects = content.effects.get(key) ?? [];
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
}

async function applyTo(content: Content, batch: CacheBatch): Promise<CacheResult> {
  const result = await content.cache.apply(batch);
  if (!result.moved) return result;
  content.journal.push({ batch });
  learn(content, batch, result);
  return result;
}

async function sweepIn(content: Content, sweep: CacheSweep): Promise<number> {
  const gone = await content.cache.sweep(sweep);
  content.journal.push({ sweep });
  return gone;
}

async function repairIn(content: Content, repairs: readonly CacheRepair[], nowMs: number): Promise<readonly RepairOutcome[]> {
  const outcomes = await content.cache.repair(repairs, nowMs);
  content.journal.push({ repairs, nowMs });
  for (const [place, repair] of repairs.entries()) {
    if (outcomes[place] === 'repaired') content.effects.set(repair.key, afterRepair(content.effects.get(repair.key) ?? [], repair));
  }
  return outcomes;
}

/** What the key has got now: what came up to `upTo` counts no longer, and in its place is what the right side had got. */
function afterRepair(effects: readonly Effect[], repair: CacheRepair): Effect[] {
  if (repair.action === 'resend') return [...effects, ...repair.effects.filter(({ key }) => key === repair.key)];
  return [...effects.filter(({ version }) => version > repair.upTo), ...effectsOf(repair.state)];
}

function learn({ effects: known, killed }: Content, batch: CacheBatch, result: Extract<CacheResult, { moved: true }>): void {
  for (const [place, effects] of batch.writes.entries()) {
    if (result.outcomes[place] === 'late') continue;
    for (const effect of effects) {
      const ofKey = known.get(effect.key);
      if (ofKey === undefined) known.set(effect.key, [effect]);
      else ofKey.push(effect);
      if (effect.op === 'del' && effect.version > (killed.get(effect.key) ?? '')) killed.set(effect.key, effect.version);
    }
  }
}
