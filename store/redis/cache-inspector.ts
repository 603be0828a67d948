/**
 * Looks into the nodes of a room's cache from a process of its own. A bucket is read with all its keys in one call, at one moment of its node.
 *
 * What nobody can find by buckets is a key that was put in behind WMB's back and has no head: stray-keys.ts goes slowly through the whole keyspace for those.
 */
import { bucketOf } from '../../core/converge/bucket.ts';
import { EVICTED } from '../../core/converge/cell.ts';
import type { MemoryCell } from '../../core/converge/memory-cell.ts';
import { compareText } from '../../core/converge/order.ts';
import { exportState, type KeyState } from '../../core/converge/state.ts';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import { digestOf, entriesOf } from '../bucket-digest.ts';
import { type BucketDigest, type CacheInspector, type EntryDigest, EVICTED_HASH } from '../inspection.ts';
import { Connection, type RedisServer } from './connection.ts';
import { evictedKey } from './evicted.ts';
import { checkRoom } from './node.ts';
import { NodeReader } from './reader.ts';
import { checkServer, type ServerFacts } from './server.ts';
import { placeOf } from './spread.ts';
import { type StoredKey, seeKey, withDamage } from './stored-key.ts';
import { StrayKeys } from './stray-keys.ts';

export interface RedisCacheInspectorOptions {
  readonly nodes: readonly RedisServer[];
  readonly room: RoomId;
  readonly runtime: Runtime;
  /** As of RedisCache. */
  readonly shiftMs?: number;
}

/** Buckets read in one call, which holds up the server for less than a millisecond where their keys are small. */
const BUCKETS_AT_ONCE = 128;
const KEYS_AT_ONCE = 64;

interface Opened {
  readonly connection: Connection;
  readonly reader: NodeReader;
  readonly facts: ServerFacts;
  readonly strays: StrayKeys;
}

export class RedisCacheInspector implements CacheInspector {
  readonly #options: RedisCacheInspectorOptions;
  readonly #shiftMs: number;
  #opened: readonly Opened[] = [];
  #opening: Promise<readonly Opened[]> | undefined;

  constructor(options: RedisCacheInspectorOptions) {
    this.#options = options;
    this.#shiftMs = options.shiftMs ?? 0;
  }

  /** STORE_UNAVAILABLE, STORE_DENIED, STORE_UNFIT, STORE_FOREIGN. Every other call opens too where it has to. */
  async open(): Promise<void> {
    await this.#nodes();
  }

  digests(buckets: readonly number[], nowMs: number): Promise<readonly BucketDigest[]> {
    return this.#ofEach(buckets, nowMs, (seen, bucket) => digestOf(bucket, cellsOf(seen), nowMs));
  }

  entries(buckets: readonly number[], nowMs: number): Promise<readonly (readonly EntryDigest[])[]> {
    return this.#ofEach(buckets, nowMs, (seen) => {
      const evicted = new Set(seen.filter(({ isEvicted }) => isEvicted).map(({ key }) => key));
      const entries = entriesOf(cellsOf(seen), nowMs);
      return evicted.size === 0 ? entries : entries.map((entry) => (evicted.has(entry.key) ? { ...entry, hash: EVICTED_HASH } : entry));
    });
  }

  keys(buckets: readonly number[]): Promise<readonly (readonly string[])[]> {
    return this.#ofEach(buckets, this.#options.runtime.nowMs(), (seen) => seen.map(({ key }) => key));
  }

  async #ofEach<T>(
    buckets: readonly number[],
    nowMs: number,
    tell: (seen: readonly SeenKey[], bucket: number) => T,
  ): Promise<readonly T[]> {
    const told: T[] = [];
    for (let from = 0; from < buckets.length; from += BUCKETS_AT_ONCE) {
      const some = buckets.slice(from, from + BUCKETS_AT_ONCE);
      for (const [index, seen] of (await this.#seen(some, nowMs)).entries()) told.push(tell(seen, some[index] ?? 0));
    }
    return told;
  }

  async states(keys: readonly string[]): Promise<readonly (KeyState | undefined)[]> {
    const states: (KeyState | undefined)[] = [];
    for (let from = 0; from < keys.length; from += KEYS_AT_ONCE)
      states.push(...(await this.#states(keys.slice(from, from + KEYS_AT_ONCE))));
    return states;
  }

  async close(): Promise<void> {
    for (const { connection, strays } of this.#opened) {
      strays.stop();
      connection.close();
    }
    this.#opened = [];
  }

  async #states(keys: readonly string[]): Promise<readonly (KeyState | undefined)[]> {
    const nodes = await this.#nodes();
    const places = keys.map((key) => this.#placeOf(key));
    const found = new Map<string, KeyState | undefined>();
    for (const [index, { reader, facts }] of nodes.entries()) {
      const own = keys.filter((_, at) => places[at] === index);
      for (const stored of await reader.loadWhole(own)) found.set(stored.key, this.#stateOf(stored, facts));
    }
    return keys.map((key) => found.get(key));
  }

  #stateOf(stored: StoredKey, facts: ServerFacts): KeyState | undefined {
    const nowMs = this.#options.runtime.nowMs();
    const cell = withDamage(seeKey(stored, this.#shiftMs), stored, this.#shiftMs);
    if (facts.evicts && evictedKey(stored, nowMs) !== undefined)
      cell.addExpiry({ version: EVICTED, atMs: cell.expiries().at(-1)?.atMs ?? cell.head.expireAtMs });
    return exportState(stored.key, cell);
  }

  /** Of each bucket, ascending by key. */
  async #seen(buckets: readonly number[], nowMs: number): Promise<readonly (readonly SeenKey[])[]> {
    const nodes = await this.#nodes();
    const all = await Promise.all(nodes.map((node) => this.#seenOn(node, buckets, nowMs)));
    return buckets.map((_, index) => all.flatMap((seen) => seen[index] ?? []).sort((a, b) => compareText(a.key, b.key)));
  }

  async #seenOn({ reader, facts, strays }: Opened, buckets: readonly number[], nowMs: number): Promise<readonly (readonly SeenKey[])[]> {
    const [known, unknown] = await Promise.all([reader.buckets(buckets), reader.loadWhole(buckets.flatMap((bucket) => strays.of(bucket)))]);
    // One that has a head by now is among the others.
    const alone = unknown.filter(({ head }) => head.length === 0);
    const see = (stored: StoredKey): SeenKey => {
      const evicted = facts.evicts ? evictedKey(stored, nowMs) : undefined;
      const cell = evicted ?? withDamage(seeKey(stored, this.#shiftMs), stored, this.#shiftMs);
      return { key: stored.key, cell, isEvicted: evicted !== undefined };
    };
    return buckets.map((bucket, index) => [...(known[index] ?? []), ...alone.filter(({ key }) => bucketOf(key) === bucket)].map(see));
  }

  #placeOf(key: string): number {
    return placeOf(
      key,
      this.#options.nodes.map(({ address }) => address),
    );
  }

  async #nodes(): Promise<readonly Opened[]> {
    if (this.#opened.length > 0) return this.#opened;
    this.#opening ??= this.#openAll().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #openAll(): Promise<readonly Opened[]> {
    const opened: Opened[] = [];
    try {
      for (const server of this.#options.nodes) opened.push(await this.#openNode(server));
    } catch (cause) {
      for (const { connection } of opened) connection.close();
      throw cause;
    }
    this.#opened = opened;
    for (const { strays } of opened) strays.start();
    return opened;
  }

  async #openNode(server: RedisServer): Promise<Opened> {
    const { room: own, runtime } = this.#options;
    const connection = new Connection(server);
    await connection.open();
    try {
      const facts = await checkServer(connection);
      const reader = new NodeReader(connection);
      const { room } = await reader.look();
      checkRoom(room, own, connection.place);
      if (!room.has('schema'))
        throw new WmbError(
          'STORE_UNAVAILABLE',
          `${connection.place} has no cache of WMB yet; the room’s collector makes it when it starts`,
        );
      return { connection, reader, facts, strays: new StrayKeys({ reader, runtime }) };
    } catch (cause) {
      connection.close();
      throw cause;
    }
  }
}

interface SeenKey {
  readonly key: string;
  readonly cell: MemoryCell;
  readonly isEvicted: boolean;
}

function cellsOf(seen: readonly SeenKey[]): readonly (readonly [string, MemoryCell])[] {
  return seen.map(({ key, cell }) => [key, cell] as const);
}
