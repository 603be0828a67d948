/**
 * A batch on one node. Effects on keys that only plain `set` and `del` touch are decided in the server, without a reading before. The others go by the
 * rules: what they need of their keys is read in one call, the rules run here, and what they changed is written in the same call that moves the marks, if
 * the keys are still as they were read. If not, nothing was changed, and all of it is done again.
 */
import { bucketOf } from '../../core/converge/bucket.ts';
import type { EffectResult, KeyCell } from '../../core/converge/cell.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { applyEffect } from '../../core/converge/rules.ts';
import { WmbError } from '../../core/errors.ts';
import { stampMs, type Version } from '../../core/stamp.ts';
import { decodeHead } from './head.ts';
import { type ChangeContext, changeOf, type KeyChange } from './key-change.ts';
import { isReserved } from './layout.ts';
import type { LaneMove } from './marks.ts';
import { type CommitAnswer, type HotEffect, NOTHING_TO_COMMIT, type RedisNode } from './node.ts';
import { NEEDS_WHOLE, SomeCell } from './some-cell.ts';
import { type StoredKey, seeKey, storedKey } from './stored-key.ts';

const ATTEMPTS_MAX = 32;
/** More elements of one key are read with the whole key. */
const NAMES_MAX = 1_000;

export interface NodeWork {
  readonly effects: readonly Effect[];
  readonly moves: readonly LaneMove[];
  /** Up to which the room has settled with this batch. */
  readonly settled: Version;
  readonly nowMs: number;
  /** Of the node, when `settled` and the moves' expectations were read. */
  readonly life: number;
}

export type NodeAnswer =
  | { readonly is: 'done'; readonly results: readonly EffectResult[] }
  | Exclude<CommitAnswer, { is: 'done' | 'stale' | 'complex' }>;

export interface BatchContext {
  readonly shiftMs: number;
  readonly change: () => Uint8Array;
}

const RESULTS: Readonly<Record<string, EffectResult>> = { a: 'applied', s: 'superseded', d: 'duplicate' };

export class NodeBatches {
  readonly #node: RedisNode;
  readonly #context: BatchContext;
  /** Batches that read before they write do so one after the other: among each other they would only find their keys changed. */
  #reading: Promise<unknown> = Promise.resolve();

  constructor(node: RedisNode, context: BatchContext) {
    this.#node = node;
    this.#context = context;
  }

  async apply(work: NodeWork): Promise<NodeAnswer> {
    const cold = coldKeys(work);
    if (cold.size === 0) {
      const answer = await this.#attempt(work, cold, undefined);
      if (answer !== undefined) return answer;
    }
    const turn = this.#reading.then(() => this.#readAndApply(work, cold));
    this.#reading = turn.catch(() => {});
    return turn;
  }

  async #readAndApply(work: NodeWork, cold: Set<string>): Promise<NodeAnswer> {
    const whole = new Set<string>();
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const answer = await this.#attempt(work, cold, whole);
      if (answer !== undefined) return answer;
    }
    throw new WmbError(
      'STORE_UNAVAILABLE',
      `${this.#node.place}: the keys of a batch change faster than they can be read; somebody else writes them`,
    );
  }

  /** Undefined: to be done again, with what was learned in `cold`. */
  async #attempt(work: NodeWork, cold: Set<string>, whole: Set<string> | undefined): Promise<NodeAnswer | undefined> {
    const plan = planOf(work, cold, this.#node.dirty);
    const ruled = whole === undefined ? NOTHING_RULED : await this.#rule(work, plan.ruled, whole);
    const commit = {
      ...NOTHING_TO_COMMIT,
      moves: work.moves,
      settled: work.settled > this.#node.settled ? work.settled : '',
      dirty: [...plan.dirty],
      plain: plan.plain,
      plainBuckets: plan.plainBuckets,
      mixed: plan.mixed,
      changes: ruled.changes,
    };
    const answer = await this.#node.commit(commit, work.life);
    if (answer.is === 'complex') {
      const count = plan.plain.length;
      for (const at of answer.hot) cold.add((at < count ? plan.plain[at] : plan.mixed[at - count])?.key ?? '');
      return undefined;
    }
    if (answer.is === 'stale') return undefined;
    if (answer.is !== 'done') return answer;
    this.#noteDue(plan, ruled.changes);
    return { is: 'done', results: resultsOf(work.effects.length, plan, ruled, answer.outcomes) };
  }

  async #rule(
    { nowMs, settled }: Pick<NodeWork, 'nowMs' | 'settled'>,
    effects: ReadonlyMap<string, Ruled>,
    whole: Set<string>,
  ): Promise<RuledBatch> {
    if (effects.size === 0) return NOTHING_RULED;
    const context: ChangeContext = { nowMs, settled, shiftMs: this.#context.shiftMs, change: this.#context.change() };
    const keys = [...effects.keys()];
    const loaded = await this.#node.reader.load(
      keys.map((key) => ({ key, names: whole.has(key) ? [] : namesOf(effects.get(key)?.effects ?? []) })),
    );
    const again = new Set<string>();
    const results = new Map<number, EffectResult>();
    const changes: KeyChange[] = [];
    for (const [index, key] of keys.entries()) {
      const ruled = effects.get(key);
      const cell = ruled && cellOf(key, namesOf(ruled.effects), loaded[index] as readonly unknown[], context);
      if (cell === undefined || !runRules(cell, ruled as Ruled, settled, results)) again.add(key);
      else changes.push(cell.change());
    }
    if (again.size === 0) return { changes, results };
    for (const key of again) whole.add(key);
    return this.#rule({ nowMs, settled }, effects, whole);
  }

  #noteDue({ plain, mixed }: Plan, changes: readonly KeyChange[]): void {
    const { dueMs } = this.#node;
    const note = (key: string, atMs: number) => {
      const bucket = bucketOf(key);
      dueMs[bucket] = Math.min(dueMs[bucket] ?? 0, atMs);
    };
    for (const effect of plain) if (effect.op === 'del') note(effect.key, stampMs(effect.version));
    for (const effect of mixed) {
      if (effect.op === 'del') note(effect.key, stampMs(effect.version));
      else if (effect.expireAtMs !== 0) note(effect.key, effect.expireAtMs);
    }
    for (const { key, dueMs: atMs } of changes) if (atMs !== Infinity) note(key, atMs);
  }
}

/** Effects on one key, with their places in the batch. */
interface Ruled {
  readonly effects: Effect[];
  readonly at: number[];
}

interface Plan {
  readonly plain: HotEffect[];
  readonly plainBuckets: number[];
  readonly plainAt: number[];
  readonly mixed: HotEffect[];
  readonly mixedAt: number[];
  readonly ruled: Map<string, Ruled>;
  /** Buckets that are not marked yet. */
  readonly dirty: Set<number>;
}

interface RuledBatch {
  readonly changes: readonly KeyChange[];
  /** By the effect's place in the batch. */
  readonly results: ReadonlyMap<number, EffectResult>;
}

const NOTHING_RULED: RuledBatch = { changes: [], results: new Map() };

function isHot(effect: Effect, { settled, nowMs }: NodeWork): effect is HotEffect {
  if (effect.op !== 'set' && effect.op !== 'del') return false;
  if (effect.version <= settled || isReserved(effect.key)) return false;
  return effect.op === 'del' || effect.expireAtMs === 0 || effect.expireAtMs > nowMs;
}

function coldKeys(work: NodeWork): Set<string> {
  const cold = new Set<string>();
  for (const effect of work.effects) if (!isHot(effect, work)) cold.add(effect.key);
  return cold;
}

function planOf({ effects }: NodeWork, cold: ReadonlySet<string>, dirty: Uint8Array): Plan {
  const plan: Plan = { plain: [], plainBuckets: [], plainAt: [], mixed: [], mixedAt: [], ruled: new Map(), dirty: new Set() };
  const repeated = repeatedKeys(effects);
  // By index, here and below: at a hundred thousand effects a second the pairs of `entries` are most of what is thrown away.
  for (let at = 0; at < effects.length; at += 1) {
    const effect = effects[at] as Effect;
    const bucket = bucketOf(effect.key);
    if (dirty[bucket] === 0) plan.dirty.add(bucket);
    if (cold.size > 0 && cold.has(effect.key)) addRuled(plan.ruled, effect, at);
    else if (effect.op === 'set' && effect.expireAtMs === 0 && !repeated.has(effect.key)) {
      plan.plain.push(effect);
      plan.plainBuckets.push(bucket);
      plan.plainAt.push(at);
    } else {
      plan.mixed.push(effect as HotEffect);
      plan.mixedAt.push(at);
    }
  }
  return plan;
}

function repeatedKeys(effects: readonly Effect[]): ReadonlySet<string> {
  const seen = new Set<string>();
  const repeated = new Set<string>();
  for (const { key } of effects) {
    if (seen.has(key)) repeated.add(key);
    seen.add(key);
  }
  return repeated;
}

function addRuled(ruled: Map<string, Ruled>, effect: Effect, at: number): void {
  const found = ruled.get(effect.key);
  if (found === undefined) ruled.set(effect.key, { effects: [effect], at: [at] });
  else {
    found.effects.push(effect);
    found.at.push(at);
  }
}

/** The elements that the effects name; none where the whole key is wanted. */
function namesOf(effects: readonly Effect[]): readonly string[] {
  const names = new Set<string>();
  for (const effect of effects) {
    if ('field' in effect) names.add(effect.field);
    else if ('member' in effect && effect.op !== 'timeline') names.add(effect.member);
    else return [];
  }
  return names.size > NAMES_MAX ? [] : [...names];
}

interface LoadedCell {
  readonly cell: KeyCell;
  change(): KeyChange;
}

/** Undefined: the answer has less than is needed. */
function cellOf(key: string, names: readonly string[], answer: readonly unknown[], context: ChangeContext): LoadedCell | undefined {
  if (String(answer[0]) === 'w') return wholeCell(storedKey(key, answer), context);
  const head = answer[1] as Buffer;
  const decoded = head.length === 0 ? undefined : decodeHead(head);
  if (decoded?.kind !== 'elements') return wholeCell(storedKey(key, ['w', head, 'none', null, -2, null]), context);
  const cell = new SomeCell(key, decoded, names, answer);
  return { cell, change: () => cell.change(context) };
}

function wholeCell(stored: StoredKey, context: ChangeContext): LoadedCell {
  const { cell } = seeKey(stored, context.shiftMs);
  return { cell, change: () => changeOf(stored, cell, context) };
}

/** False: the rules ask for more than was read. */
function runRules({ cell }: LoadedCell, { effects, at }: Ruled, settled: Version, results: Map<number, EffectResult>): boolean {
  try {
    for (const [index, effect] of effects.entries()) results.set(at[index] ?? 0, applyEffect(cell, effect, settled));
    return true;
  } catch (cause) {
    if (cause === NEEDS_WHOLE) return false;
    throw cause;
  }
}

function resultsOf(count: number, plan: Plan, ruled: RuledBatch, outcomes: string): readonly EffectResult[] {
  const results = new Array<EffectResult>(count).fill('applied');
  let index = 0;
  for (const at of plan.plainAt) results[at] = RESULTS[outcomes[index++] ?? 'a'] ?? 'applied';
  for (const at of plan.mixedAt) results[at] = RESULTS[outcomes[index++] ?? 'a'] ?? 'applied';
  for (const [at, result] of ruled.results) results[at] = result;
  return results;
}
