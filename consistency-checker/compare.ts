/**
 * Two rooms compared as a whole, now and from what is stored: every key of every bucket, without the digest tree (which learns of a change behind WMB's back only when it reads the
 * leaf again). A key that differs is looked at once more after the grace period: what differs otherwise by then, or only in what a room has not passed, is lag.
 */
import { BUCKETS } from '../core/converge/bucket.ts';
import { entryHash, visibleOf } from '../core/converge/state.ts';
import { WmbError } from '../core/errors.ts';
import { type Runtime, sleep } from '../core/runtime.ts';
import type { RoomId } from '../core/words.ts';
import type { EntryDigest } from '../store/inspection.ts';
import type { ConfirmedKey } from './cache/comparison.ts';
import type { DriftSide } from './drift.ts';
import type { RoomView, StateAnswer } from './room.ts';

export interface ComparedKey {
  readonly key: string;
  readonly sides: readonly [DriftSide, DriftSide];
  readonly verdict: 'lag' | 'difference';
}

export interface CompareStep {
  /** Keys read so far, in either room. */
  readonly compared: number;
  readonly different: number;
  /** Judged since the last step. */
  readonly keys: readonly ComparedKey[];
  readonly done: boolean;
}

export interface CompareOptions {
  readonly own: RoomView;
  readonly peer: RoomView;
  /** Both sides of a key read now; undefined: they agree, or differ only by what is on its way. */
  readonly differs: (key: string) => Promise<ConfirmedKey | undefined>;
  readonly prefix: string;
  readonly graceMs: number;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
}

const BUCKETS_AT_ONCE = 256;
/** More keys that differ are counted and not looked at: the rooms differ as a whole. */
const DIFFERING_MAX = 10_000;
const JUDGED_AT_ONCE = 64;
const SHOWN_CHARACTERS_MAX = 200;

/** A step for every part of the cache, then for every part of what differs; the last one is `done`. */
export async function* compareRooms(options: CompareOptions): AsyncGenerator<CompareStep, void> {
  const { runtime, graceMs, signal } = options;
  const differing = new Map<string, string>();
  let [compared, different] = [0, 0];
  for (let from = 0; from < BUCKETS && !signal.aborted; from += BUCKETS_AT_ONCE) {
    const found = await compareBuckets(options, from);
    compared += found.compared;
    different += found.differing.size;
    for (const [key, print] of found.differing) if (differing.size < DIFFERING_MAX) differing.set(key, print);
    yield { compared, different, keys: [], done: false };
  }
  if (differing.size > 0) await sleep(runtime, graceMs, signal);
  const names = [...differing.keys()];
  for (let at = 0; at < names.length && !signal.aborted; at += JUDGED_AT_ONCE) {
    const chunk = names.slice(at, at + JUDGED_AT_ONCE);
    const keys = await judge(options, chunk, differing);
    different -= chunk.length - keys.length;
    yield { compared, different, keys, done: false };
  }
  if (!signal.aborted) yield { compared, different, keys: [], done: true };
}

interface Found {
  readonly compared: number;
  /** By key, what the two rooms show. */
  readonly differing: ReadonlyMap<string, string>;
}

async function compareBuckets({ own, peer, prefix }: CompareOptions, from: number): Promise<Found> {
  const buckets = Array.from({ length: BUCKETS_AT_ONCE }, (_, place) => from + place);
  const [mine, theirs] = await Promise.all([own.entries(buckets, true), peer.entries(buckets, true)]);
  const differing = new Map<string, string>();
  const [ours, others] = [byKey(mine, prefix), byKey(theirs, prefix)];
  const keys = new Set([...ours.keys(), ...others.keys()]);
  for (const key of keys) {
    const print = printOf(ours.get(key), others.get(key));
    if (print !== undefined) differing.set(key, print);
  }
  return { compared: keys.size, differing };
}

function byKey(buckets: readonly (readonly EntryDigest[])[], prefix: string): ReadonlyMap<string, EntryDigest> {
  const entries = new Map<string, EntryDigest>();
  for (const bucket of buckets) for (const entry of bucket) if (entry.key.startsWith(prefix)) entries.set(entry.key, entry);
  return entries;
}

type Shown = Pick<EntryDigest, 'version' | 'hash'> | undefined;

/** What the two rooms show of a key, as a text; undefined where it is the same. */
function printOf(mine: Shown, theirs: Shown): string | undefined {
  if (mine?.version === theirs?.version && mine?.hash === theirs?.hash) return undefined;
  return [mine, theirs].map((entry) => (entry === undefined ? '' : `${entry.version} ${entry.hash}`)).join('/');
}

/** Reads keys that differed once more. Those that agree now were lag, and are left out: nothing is there to show. */
async function judge(
  options: CompareOptions,
  names: readonly string[],
  before: ReadonlyMap<string, string>,
): Promise<readonly ComparedKey[]> {
  const { own, peer, runtime } = options;
  const [mine, theirs] = await Promise.all([own.states(names), peer.states(names)]);
  const judged: ComparedKey[] = [];
  for (const [place, key] of names.entries()) {
    const answers = [mine[place], theirs[place]] as const;
    if (answers[0] === undefined || answers[1] === undefined)
      throw new WmbError('INTERNAL', `the key ${key} was asked for and not answered`);
    const nowMs = runtime.nowMs();
    const sides = [sideOf(own.room, answers[0], nowMs), sideOf(peer.room, answers[1], nowMs)] as const;
    const print = printOf(shownOf(sides[0]), shownOf(sides[1]));
    if (print === undefined) continue;
    const still = print === before.get(key) && (await options.differs(key)) !== undefined;
    judged.push({ key, sides, verdict: still ? 'difference' : 'lag' });
  }
  return judged;
}

function shownOf({ version, hash }: DriftSide): Shown {
  return hash === '' ? undefined : { version, hash };
}

function sideOf(room: RoomId, { state }: StateAnswer, nowMs: number): DriftSide {
  const entry = visibleOf(state, nowMs);
  if (entry === undefined) return { room, shows: 'nothing', version: '', hash: '', bytes: 0, expireAtMs: 0 };
  const text = valueText(entry.value);
  const shows = text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}…` : text;
  return { room, shows, version: entry.version, hash: entryHash(entry), bytes: Buffer.byteLength(text), expireAtMs: entry.expireAtMs };
}

function valueText(value: NonNullable<ReturnType<typeof visibleOf>>['value']): string {
  switch (value.type) {
    case 'string':
      return JSON.stringify(value.value);
    case 'hash':
      return `hash ${JSON.stringify(Object.fromEntries(value.fields))}`;
    default:
      return `${value.type} ${JSON.stringify(value.members)}`;
  }
}
