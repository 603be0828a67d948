/** What the parts of the cache contract share. */
import assert from 'node:assert/strict';
import { compileCommands } from '../core/converge/commands.ts';
import type { CacheEntry, CacheValue, Effect } from '../core/converge/effects.ts';
import { formatStamp, type Stamp } from '../core/stamp.ts';
import type { Mark } from '../core/words.ts';
import type { CacheBatch, CacheOutcome, CacheStore, MarkMove } from './cache.ts';

export interface CacheUnderTest {
  readonly store: CacheStore;
  /** Closes the store and opens another one on the same data. */
  reopen(): Promise<CacheStore>;
  /** Takes a copy of the data. Calling what it resolves with puts the copy back while the store goes on running. */
  copy(): Promise<() => Promise<void>>;
  cleanup(): Promise<void>;
}

/** Registers a test that gets a fresh, empty store. */
export type Each = (title: string, body: (under: CacheUnderTest) => Promise<void>) => void;

export type Commands = readonly (readonly (string | number)[])[];

/** The tests' clock; no stamp of a test is beyond it. */
export const NOW = 10_000;
export const EPOCH = '00000000000000aa';
export const OTHER_EPOCH = '00000000000000bb';

export const stamp = (ms: number): Stamp => formatStamp({ ms, counter: 0, writer: 1 });
export const write = (ms: number, ...commands: Commands): readonly Effect[] => compileCommands(commands, stamp(ms));
export const move = (partition: number, expected: number, next: number, epoch = EPOCH): MarkMove => ({
  log: 'writes',
  origin: 'beijing',
  partition,
  epoch,
  expected,
  next,
});

export async function apply(
  store: CacheStore,
  writes: readonly (readonly Effect[])[],
  more: Partial<CacheBatch> = {},
): Promise<readonly CacheOutcome[]> {
  const { generation } = await store.marks();
  const result = await store.apply({ generation, moves: [], writes, floor: '', nowMs: NOW, ...more });
  assert.ok(result.moved);
  return result.outcomes;
}

export async function sweep(store: CacheStore, floor: Stamp, nowMs = NOW): Promise<number> {
  const { generation } = await store.marks();
  return store.sweep({ generation, floor, nowMs });
}

export async function marksOf(store: CacheStore): Promise<readonly Mark[]> {
  return (await store.marks()).marks;
}

export async function value(store: CacheStore, key: string, nowMs = NOW): Promise<CacheValue | undefined> {
  return (await store.get(key, nowMs))?.value;
}

export async function scan(store: CacheStore, prefix: string, nowMs = NOW): Promise<CacheEntry[]> {
  const entries: CacheEntry[] = [];
  for await (const entry of store.scan({ prefix, nowMs })) entries.push(entry);
  return entries;
}
