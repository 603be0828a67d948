/**
 * The cache of a room on servers of Redis or Valkey (docs/redis.md, docs/adr/0006). Applications read the keys with any client; WMB's own keys lie
 * beside them (layout.ts). Each node takes its part of a batch, with the marks, in one call of a function, all or nothing.
 *
 * One collector owns the nodes, or several do that share the room's partitions (docs/adr/0013); others may look (cache-inspector.ts).
 */
import type { EffectResult } from '../../core/converge/cell.ts';
import type { CacheEntry } from '../../core/converge/effects.ts';
import { compareText } from '../../core/converge/order.ts';
import { settledUpTo } from '../../core/converge/rules.ts';
import { visible } from '../../core/converge/visible.ts';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { Version } from '../../core/stamp.ts';
import { laneKey, type Mark, NOTHING_SEEN, type RoomId } from '../../core/words.ts';
import type { CacheBatch, CacheMarks, CacheResult, CacheStore, CacheSweep, Generation, MarkMove } from '../cache.ts';
import type { CacheRepair, RepairOutcome } from '../inspection.ts';
import type { RedisServer } from './connection.ts';
import { type LaneMove, laneMove } from './marks.ts';
import { NOTHING_TO_COMMIT, RedisNode } from './node.ts';
import { type NodeAnswer, NodeBatches } from './node-batch.ts';
import { keysOf, repairKey, sweepNode, type Tending } from './node-tending.ts';
import type { LeftRevision } from './revisions.ts';
import { outcomesOf, type Parts, partsOf, placeOf, smallestMarks } from './spread.ts';
import { seeKey } from './stored-key.ts';

export interface RedisCacheOptions {
  readonly nodes: readonly RedisServer[];
  readonly room: RoomId;
  readonly runtime: Runtime;
  /** How far the servers' clocks are taken to be ahead of the room's: 0 but for tests on a clock of their own. */
  readonly shiftMs?: number;
  /** Of several collectors that share the nodes; undefined: it is the only one. */
  readonly share?: number | undefined;
}

const SCAN_COUNT = 1_000;
const SCAN_KEYS = 256;
const TRIES_MAX = 8;

interface Node {
  readonly node: RedisNode;
  readonly batches: NodeBatches;
}

export class RedisCache implements CacheStore {
  readonly #options: RedisCacheOptions;
  readonly #shiftMs: number;
  #nodes: readonly Node[] = [];
  #changes = 0;
  #adoptions = 0;
  #generations: Generation = 0;
  readonly #nonce: Uint8Array;

  constructor(options: RedisCacheOptions) {
    this.#options = options;
    this.#shiftMs = options.shiftMs ?? 0;
    this.#nonce = options.runtime.bytes(3);
  }

  /** STORE_UNAVAILABLE, STORE_DENIED, STORE_UNFIT, STORE_FOREIGN. */
  async open(): Promise<void> {
    const { nodes, room, runtime, share } = this.#options;
    const opened: RedisNode[] = [];
    try {
      for (const server of nodes) {
        const node = new RedisNode({ server, room, runtime, shiftMs: this.#shiftMs, share });
        await node.open();
        opened.push(node);
      }
    } catch (cause) {
      for (const node of opened) node.close();
      throw cause;
    }
    const context = { shiftMs: this.#shiftMs, change: () => this.#nextChange() };
    this.#nodes = opened.map((node) => ({ node, batches: new NodeBatches(node, context) }));
  }

  async marks(): Promise<CacheMarks> {
    await Promise.all(this.#open().map(({ node }) => node.look()));
    const nodes = this.#open().map(({ node }) => node);
    const settled = nodes.reduce((latest, node) => laterOf(latest, node.settled), '');
    return { generation: this.#generation, marks: smallestMarks(nodes.map(({ marks }) => marks)), settled };
  }

  async apply(batch: CacheBatch): Promise<CacheResult> {
    const nodes = this.#open();
    const generation = this.#generation;
    if (batch.generation !== generation) return { moved: false, generation, stored: undefined };
    const moves = this.#movesOf(batch.moves);
    if ('refused' in moves) return { moved: false, generation, stored: moves.refused };
    const parts = partsOf(batch.writes, this.#addresses);
    const lives = nodes.map(({ node }) => node.life);
    const answers = await Promise.all(
      nodes.map(({ node, batches }, index) =>
        batches.apply({
          effects: parts.effects[index] ?? [],
          moves: moves.of[index] ?? [],
          settled: laterOf(node.settled, settledUpTo(batch.floor, batch.nowMs)),
          nowMs: batch.nowMs,
          life: node.life,
        }),
      ),
    );
    return this.#resultOf({ batch, answers, parts, lives });
  }

  async #resultOf({ batch, answers, parts, lives }: Answered): Promise<CacheResult> {
    for (const [index, answer] of answers.entries()) {
      if (answer.is === 'other generation') await this.#at(index).node.adopt(lives[index] ?? 0);
    }
    const generation = this.#generation;
    if (generation !== batch.generation) return { moved: false, generation, stored: undefined };
    const results: (readonly EffectResult[])[] = [];
    for (const answer of answers) {
      if (answer.is === 'other mark') return { moved: false, generation, stored: answer.stored };
      results.push(answer.is === 'done' ? answer.results : []);
    }
    return { moved: true, outcomes: outcomesOf(batch.writes, parts, results) };
  }

  /** What each node's marks are expected to be; or the mark that is another one. With one node the node itself says so. */
  #movesOf(moves: readonly MarkMove[]): { readonly of: readonly (readonly LaneMove[])[] } | { readonly refused: Mark | undefined } {
    const nodes = this.#open();
    if (nodes.length === 1) return { of: [moves.map((move) => laneMove(move, move.expected))] };
    const of: LaneMove[][] = nodes.map(() => []);
    for (const move of moves) {
      const stored = nodes.map(({ node }) => node.marks.get(laneKey(move)));
      const seqs = stored.map((mark) => (mark?.epoch === move.epoch ? mark.seq : NOTHING_SEEN));
      const least = Math.min(...seqs);
      if (least !== move.expected) return { refused: stored[seqs.indexOf(least)] };
      for (const [index, seq] of seqs.entries()) of[index]?.push(laneMove(move, seq));
    }
    return { of };
  }

  async get(key: string, nowMs: number): Promise<CacheEntry | undefined> {
    const [stored] = await this.#nodeOf(key).node.reader.loadWhole([key]);
    return stored && visible(key, seeKey(stored, this.#shiftMs).cell, nowMs);
  }

  async *scan({ prefix, nowMs }: { readonly prefix: string; readonly nowMs: number }): AsyncIterable<CacheEntry> {
    const keys: string[] = [];
    for (const { node } of this.#open()) for await (const key of keysOf(node, SCAN_COUNT)) if (key.startsWith(prefix)) keys.push(key);
    const sorted = [...new Set(keys)].sort(compareText);
    for (let from = 0; from < sorted.length; from += SCAN_KEYS) yield* await this.#entries(sorted.slice(from, from + SCAN_KEYS), nowMs);
  }

  async #entries(keys: readonly string[], nowMs: number): Promise<readonly CacheEntry[]> {
    const found = new Map<string, CacheEntry>();
    for (const { node } of this.#open()) {
      const own = keys.filter((key) => this.#nodeOf(key).node === node);
      for (const stored of await node.reader.loadWhole(own)) {
        const entry = visible(stored.key, seeKey(stored, this.#shiftMs).cell, nowMs);
        if (entry !== undefined) found.set(stored.key, entry);
      }
    }
    return keys.map((key) => found.get(key)).filter((entry) => entry !== undefined);
  }

  /** What this writer has left in every node for certain: a floor of the room rests on it. */
  left(): string {
    return JSON.stringify(this.#open().map(({ node }) => node.left));
  }

  async sweep({ generation, floor, nowMs, restsOn = [] }: CacheSweep): Promise<number> {
    let gone = 0;
    const others = restsOn.map((left) => JSON.parse(left) as readonly LeftRevision[]);
    for (const [index, { node }] of this.#open().entries()) {
      if (generation !== this.#generation) throw wentBack(node.place);
      const { life } = node;
      const settled = laterOf(node.settled, settledUpTo(floor, nowMs));
      const known = others.flatMap((left) => left[index] ?? []);
      const swept = await sweepNode(node, { ...this.#tending(), life, settled, nowMs, restsOn: known });
      if (swept === 'other generation') {
        await node.adopt(life);
        throw wentBack(node.place);
      }
      gone += swept;
    }
    return gone;
  }

  async takeDirty(max: number): Promise<readonly number[]> {
    const taken = new Set<number>();
    for (const [index] of this.#open().entries()) for (const bucket of await this.#takeFrom(index, max - taken.size)) taken.add(bucket);
    return [...taken];
  }

  async #takeFrom(index: number, max: number): Promise<readonly number[]> {
    const { node } = this.#at(index);
    for (let attempt = 0; attempt < TRIES_MAX; attempt += 1) {
      const { life } = node;
      const clean = (await this.#dirtyOf(node)).slice(0, max);
      // A write that is sent from now on marks them again.
      for (const bucket of clean) node.dirty[bucket] = 0;
      try {
        const answer = await node.commit({ ...NOTHING_TO_COMMIT, clean }, life);
        if (answer.is === 'done') return clean;
      } catch (cause) {
        if (this.#options.share === undefined) for (const bucket of clean) node.dirty[bucket] = 1;
        throw cause;
      }
      await node.adopt(life);
    }
    throw new WmbError('STORE_UNAVAILABLE', `${node.place} is another one each time it is looked at; does another collector work on it?`);
  }

  async #dirtyOf(node: RedisNode): Promise<readonly number[]> {
    if (this.#options.share !== undefined) return node.dirtyBuckets();
    return Array.from(node.dirty.keys()).filter((bucket) => node.dirty[bucket] === 1);
  }

  async repair(repairs: readonly CacheRepair[], nowMs: number): Promise<readonly RepairOutcome[]> {
    const outcomes: RepairOutcome[] = [];
    for (const repair of repairs) outcomes.push(await this.#repair(repair, nowMs));
    return outcomes;
  }

  async #repair(repair: CacheRepair, nowMs: number): Promise<RepairOutcome> {
    const index = placeOf(repair.key, this.#addresses);
    const { node } = this.#at(index);
    for (let attempt = 0; attempt < TRIES_MAX; attempt += 1) {
      const { life } = node;
      const outcome = await repairKey(node, repair, { ...this.#tending(), life, settled: node.settled, nowMs });
      if (outcome === 'other generation') await node.adopt(life);
      else if (outcome !== 'stale') return outcome;
    }
    return 'overtaken';
  }

  async close(): Promise<void> {
    for (const { node } of this.#nodes) node.close();
    this.#nodes = [];
  }

  /** Nodes that are found other than they were left in one call begin one together. */
  get #generation(): Generation {
    const adoptions = this.#nodes.reduce((sum, { node }) => sum + node.generation, 0);
    if (adoptions !== this.#adoptions) this.#generations += 1;
    this.#adoptions = adoptions;
    return this.#generations;
  }

  #tending(): Pick<Tending, 'shiftMs' | 'change' | 'runtime'> {
    return { shiftMs: this.#shiftMs, change: () => this.#nextChange(), runtime: this.#options.runtime };
  }

  #nextChange(): Uint8Array {
    const change = Buffer.alloc(6);
    change.set(this.#nonce);
    this.#changes = (this.#changes + 1) % 0x1000000;
    change.writeUIntBE(this.#changes, 3, 3);
    return change;
  }

  get #addresses(): readonly string[] {
    return this.#options.nodes.map(({ address }) => address);
  }

  #nodeOf(key: string): Node {
    return this.#at(placeOf(key, this.#addresses));
  }

  #at(index: number): Node {
    const node = this.#open()[index];
    if (node === undefined) throw new WmbError('INTERNAL', `there is no node number ${index}`);
    return node;
  }

  #open(): readonly Node[] {
    if (this.#nodes.length === 0) throw new WmbError('STORE_UNAVAILABLE', 'the Redis cache is not open');
    return this.#nodes;
  }
}

interface Answered {
  readonly batch: CacheBatch;
  readonly answers: readonly NodeAnswer[];
  readonly parts: Parts;
  readonly lives: readonly number[];
}

function laterOf(a: Version, b: Version): Version {
  return a > b ? a : b;
}

function wentBack(place: string): WmbError {
  return new WmbError('MARK_MOVED', `${place} came back from an older copy or was changed by somebody else; it is swept by its own marks`);
}
