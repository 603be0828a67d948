/** What is done to a node beside the batches: keys are listed, swept and repaired. */
import { BUCKETS, bucketOf } from '../../core/converge/bucket.ts';
import { mend } from '../../core/converge/mend.ts';
import { settleKey } from '../../core/converge/settle.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import { stampMs, type Version } from '../../core/stamp.ts';
import type { CacheRepair, RepairOutcome } from '../inspection.ts';
import { evictedKey } from './evicted.ts';
import { decodeHead } from './head.ts';
import { type ChangeContext, changeOf, type KeyChange } from './key-change.ts';
import { NOTHING_TO_COMMIT, type RedisNode } from './node.ts';
import type { LeftRevision } from './revisions.ts';
import { textOf } from './shown.ts';
import { type StoredKey, seeKey, withDamage } from './stored-key.ts';

/** Buckets read at once: half a millisecond of the server. */
const PAGE_BUCKETS = 256;
/** Keys settled at once. */
const PAGE_KEYS = 128;
const ATTEMPTS_MAX = 32;

export interface Tending {
  /** Of the node, when `settled` was read. */
  readonly life: number;
  readonly settled: Version;
  readonly nowMs: number;
  readonly shiftMs: number;
  readonly change: () => Uint8Array;
  readonly runtime: Runtime;
  readonly restsOn?: readonly LeftRevision[];
}

/** Of every key that something is remembered of, in no order; some may come twice. */
export async function* keysOf(node: RedisNode, count: number): AsyncIterable<string> {
  for (const kind of ['b', 'l']) {
    let cursor = '0';
    do {
      const [next, names] = await node.reader.scan(cursor, { match: `wmb:${kind}:*`, count });
      cursor = next;
      if (names.length === 0) continue;
      const heads = await node.reader.heads(names.map((name) => Number(String(name).slice('wmb:b:'.length))));
      for (let at = 0; at < heads.length; at += 2) yield textOf(heads[at]);
    } while (cursor !== '0');
  }
}

/** Forgets what the floor allows. Returns how many keys and elements went. */
export async function sweepNode(node: RedisNode, tending: Tending): Promise<number | 'other generation'> {
  const { settled, runtime, life, restsOn } = tending;
  // Before anything is forgotten, and also where there is nothing to forget.
  const noted = await node.commit({ ...NOTHING_TO_COMMIT, settled: settled > node.settled ? settled : '', restsOn }, life);
  if (noted.is === 'other generation') return 'other generation';
  if (settled === '') return 0;
  let gone = 0;
  const due = dueBuckets(node, stampMs(settled));
  for (let from = 0; from < due.length; from += PAGE_BUCKETS) {
    const swept = await sweepPage(node, due.slice(from, from + PAGE_BUCKETS), tending);
    if (swept === 'other generation') return swept;
    gone += swept;
    if (swept > 0) await sleep(runtime, 0);
  }
  return gone;
}

function dueBuckets({ dueMs }: RedisNode, untilMs: number): readonly number[] {
  const due: number[] = [];
  for (let bucket = 0; bucket < BUCKETS; bucket += 1) if ((dueMs[bucket] ?? 0) <= untilMs) due.push(bucket);
  return due;
}

async function sweepPage(node: RedisNode, buckets: readonly number[], tending: Tending): Promise<number | 'other generation'> {
  // Writes that come from now on say themselves when they are due.
  for (const bucket of buckets) node.dueMs[bucket] = Infinity;
  const untilMs = stampMs(tending.settled);
  const heads = await node.reader.heads(buckets);
  const keys: string[] = [];
  for (let at = 0; at < heads.length; at += 2) {
    const key = textOf(heads[at]);
    const atMs = dueOf(heads[at + 1] as Buffer);
    if (atMs <= untilMs) keys.push(key);
    else noteDue(node, key, atMs);
  }
  let gone = 0;
  for (let from = 0; from < keys.length; from += PAGE_KEYS) {
    const settled = await settleKeys(node, keys.slice(from, from + PAGE_KEYS), tending);
    if (settled === 'other generation') return settled;
    gone += settled;
  }
  return gone;
}

/** When something of the key may be forgotten, by its head; Infinity: never. */
function dueOf(bytes: Buffer): number {
  const head = decodeHead(bytes);
  if (head.kind === 'tombstone') return stampMs(head.version);
  if (head.kind === 'damaged') return Infinity;
  const atMs = head.kind === 'plain' ? head.expireAtMs : head.dueMs;
  return atMs === 0 ? Infinity : atMs;
}

function noteDue({ dueMs }: RedisNode, key: string, atMs: number): void {
  const bucket = bucketOf(key);
  dueMs[bucket] = Math.min(dueMs[bucket] ?? 0, atMs);
}

async function settleKeys(node: RedisNode, keys: readonly string[], tending: Tending): Promise<number | 'other generation'> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const stored = await node.reader.loadWhole(keys);
    // The elements of an evicted key have lost their values, and are no tombstones for that.
    const isEvicted = (one: StoredKey) => node.facts?.evicts === true && evictedKey(one, tending.nowMs) !== undefined;
    for (const { key } of stored.filter(isEvicted)) noteDue(node, key, 0);
    const settled = stored.filter((one) => !isEvicted(one)).map((one) => settle(one, tending));
    const changes = settled.map(({ change }) => change);
    const dirty = changes.map(({ key }) => bucketOf(key)).filter((bucket) => node.dirty[bucket] === 0);
    const answer = await node.commit({ ...NOTHING_TO_COMMIT, changes: changes.filter(isChange), dirty }, tending.life);
    if (answer.is === 'other generation') return answer.is;
    if (answer.is !== 'done') continue;
    for (const { key, dueMs } of changes) noteDue(node, key, dueMs);
    return settled.reduce((sum, { gone }) => sum + gone, 0);
  }
  // They are written all the time: their turn comes with the next sweep.
  for (const key of keys) noteDue(node, key, 0);
  return 0;
}

function isChange({ head, commands }: KeyChange): boolean {
  return head !== undefined || commands.length > 0;
}

interface SettledKey {
  readonly change: KeyChange;
  readonly gone: number;
}

function settle(stored: StoredKey, tending: Tending): SettledKey {
  const { cell } = seeKey(stored, tending.shiftMs);
  const before = sizeOf(cell);
  const isForgotten = settleKey(cell, tending.settled);
  if (isForgotten) cell.clear();
  const change = changeOf(stored, cell, contextOf(tending));
  return { change, gone: before - sizeOf(cell) + (isForgotten && stored.head.length > 0 ? 1 : 0) };
}

function sizeOf(cell: ReturnType<typeof seeKey>['cell']): number {
  let size = cell.expiries().length;
  for (const _ of cell.registers()) size += 1;
  for (const [, increments] of cell.increments('')) size += increments.length;
  return size;
}

function contextOf({ nowMs, settled, shiftMs, change }: Tending): ChangeContext {
  return { nowMs, settled, shiftMs, change: change() };
}

/** One attempt. */
export async function repairKey(
  node: RedisNode,
  repair: CacheRepair,
  tending: Tending,
): Promise<RepairOutcome | 'stale' | 'other generation'> {
  const [stored] = await node.reader.loadWhole([repair.key]);
  if (stored === undefined) return 'stale';
  const cell = withDamage(seeKey(stored, tending.shiftMs), stored, tending.shiftMs);
  const outcome = mend(cell, repair, tending.settled);
  if (outcome !== 'repaired') return outcome;
  const change = changeOf(stored, cell, contextOf(tending));
  const bucket = bucketOf(repair.key);
  const answer = await node.commit(
    { ...NOTHING_TO_COMMIT, changes: [change], dirty: node.dirty[bucket] === 0 ? [bucket] : [] },
    tending.life,
  );
  if (answer.is === 'other generation') return answer.is;
  if (answer.is !== 'done') return 'stale';
  noteDue(node, repair.key, change.dueMs);
  return outcome;
}
