/**
 * Between RoomView's words and proto/wmb/v1/checker.proto. What a peer answers is held against what it was asked: what comes out is an answer to that question, or PEER_GARBAGE is
 * thrown that names what is wrong. A version may be any short text: a key whose metadata is lost is a drift to be reported, not garbage.
 */
import { compareText } from '../core/converge/order.ts';
import { WmbError } from '../core/errors.ts';
import type { CachePlaces, DerivedWrite, FrameReceipts, Horizon, SeqRange } from '../core/inspection.ts';
import { formatPosition, type Lane, laneKey, parsePosition, type RoomId, type StampedWrite } from '../core/words.ts';
import { placesFromWire } from '../daemon/copy-wire.ts';
import {
  derivedFromWire,
  horizonFromWire,
  receiptsFromWire,
  stateFromWire,
  stateToWire,
  writeFromWire,
  writeToWire,
} from '../daemon/inspection-wire.ts';
import type * as wire from '../proto/gen/wmb/v1/checker.ts';
import type {
  CachePlacesResponse,
  DeriveResponse,
  DigestReceiptsResponse,
  HorizonResponse,
  ReceiptsResponse,
} from '../proto/gen/wmb/v1/inspection.ts';
import type { EntryDigest } from '../store/inspection.ts';
import type { FoundWrite, NodeDigests, StateAnswer, WriteQuery } from './room.ts';

export const FAN_OUT = 16;
export const DIGEST_BYTES = 8;
const DIGEST = /^[0-9a-f]{16}$/;
const VERSION_CHARACTERS_MAX = 64;

// ── answers, as they leave ──

export function nodesToWire({ digests, keys, built }: NodeDigests): wire.GetNodesResponse {
  return { digests: Buffer.from(digests), keys, built };
}

export function entriesToWire(buckets: readonly (readonly EntryDigest[])[]): wire.GetEntriesResponse {
  return { buckets: buckets.map((entries) => ({ entries: [...entries] })) };
}

export function statesToWire(answers: readonly StateAnswer[]): wire.GetStatesResponse {
  return {
    answers: answers.map(({ key, state, changedBehindMs }) => ({
      key,
      state: state && stateToWire(state),
      changedBehindMs: Math.floor(changedBehindMs),
    })),
  };
}

export function queryToWire(query: WriteQuery): Omit<wire.FindWritesRequest, 'hello'> {
  const nothing = { stamps: [], positions: [], requestId: '', limitMs: 0 };
  if (query.by === 'stamp') return { ...nothing, stamps: [...query.stamps] };
  if (query.by === 'position') return { ...nothing, positions: query.positions.map(formatPosition) };
  return { ...nothing, requestId: query.requestId, limitMs: query.limitMs };
}

export function foundToWire(writes: readonly FoundWrite[]): wire.FindWritesResponse {
  return { writes: writes.map(({ position, write }) => ({ position: formatPosition(position), write: writeToWire(write) })) };
}

// ── answers, as they come ──

export function nodesFromWire(answer: wire.GetNodesResponse, parents: readonly number[]): NodeDigests {
  const bytes = DIGEST_BYTES * FAN_OUT * parents.length;
  if (answer.digests.length !== bytes) throw garbage(`${answer.digests.length} bytes of digests for ${parents.length} nodes, not ${bytes}`);
  requireCount(answer.keys, 'keys');
  if (!(answer.built >= 0 && answer.built <= 1)) throw garbage(`${answer.built} as the share of the tree that is built`);
  return { digests: answer.digests, keys: answer.keys, built: answer.built };
}

export function entriesFromWire(answer: wire.GetEntriesResponse, buckets: readonly number[]): readonly (readonly EntryDigest[])[] {
  requireSame(answer.buckets.length, buckets.length, 'buckets');
  return answer.buckets.map(({ entries }) => {
    let before: string | undefined;
    for (const entry of entries) {
      checkEntry(entry);
      if (before !== undefined && compareText(before, entry.key) >= 0)
        throw garbage(`the keys ${quote(before)} and ${quote(entry.key)} in this order, not ascending`);
      before = entry.key;
    }
    return entries;
  });
}

/** A key may stand in a bucket where it does not belong: then somebody has made its row by hand, and that is for the comparison to find. */
function checkEntry({ key, version, hash, expireAtMs }: EntryDigest): void {
  if (!DIGEST.test(hash)) throw garbage(`${quote(hash)} as the hash of ${quote(key)}`);
  if (version.length > VERSION_CHARACTERS_MAX) throw garbage(`a version of ${version.length} characters of ${quote(key)}`);
  requireCount(expireAtMs, `the expiry of ${quote(key)}`);
}

export function statesFromWire(answer: wire.GetStatesResponse, keys: readonly string[]): readonly StateAnswer[] {
  requireSame(answer.answers.length, keys.length, 'keys');
  return answer.answers.map(({ key, state, changedBehindMs }, place) => {
    if (key !== keys[place]) throw garbage(`the key ${quote(key)} where ${quote(keys[place] ?? '')} was asked for`);
    if (state !== undefined && state.key !== key) throw garbage(`the state of ${quote(state.key)} as that of ${quote(key)}`);
    requireCount(changedBehindMs, `the moment at which ${quote(key)} was changed`);
    return { key, state: state && stateFromWire(state), changedBehindMs };
  });
}

export function digestsFromWire({ digests }: DigestReceiptsResponse, ranges: readonly SeqRange[]): readonly string[] {
  requireSame(digests.length, ranges.length, 'ranges of receipts');
  for (const digest of digests) if (digest !== '' && !DIGEST.test(digest)) throw garbage(`${quote(digest)} as a digest of receipts`);
  return digests;
}

export function receiptsOfRange(answer: ReceiptsResponse, { from, to }: SeqRange): readonly FrameReceipts[] {
  const frames = receiptsFromWire(answer.frames);
  let before = from - 1;
  for (const { seq, count, exceptions } of frames) {
    if (seq <= before || seq > to) throw garbage(`receipts of seq ${seq}, after ${before} and up to ${to}`);
    before = seq;
    for (const { index } of exceptions) if (index >= count) throw garbage(`a receipt ${index} of the ${count} in seq ${seq}`);
  }
  return frames;
}

export function foundFromWire({ writes }: wire.FindWritesResponse, query: WriteQuery, origin: RoomId): readonly FoundWrite[] {
  const asked = query.by === 'stamp' ? query.stamps.length : query.by === 'position' ? query.positions.length : Number.POSITIVE_INFINITY;
  if (writes.length > asked) throw garbage(`${writes.length} write requests where ${asked} were asked for`);
  const isAsked = matcherOf(query);
  return writes.map((it) => {
    const position = parsePosition(it.position);
    if (position === undefined || it.write === undefined) throw garbage(`a write request at the position ${quote(it.position)}`);
    const found = { position, write: writeFromWire(it.write) };
    if (position.origin !== origin || position.log !== 'writes') throw garbage(`${it.position}, which is not of its own write log`);
    if (!isAsked(found)) throw garbage(`the write request ${it.position}, which was not asked for`);
    return found;
  });
}

function matcherOf(query: WriteQuery): (found: FoundWrite) => boolean {
  if (query.by === 'request') return ({ write }) => write.requestId === query.requestId;
  if (query.by === 'stamp') return ({ write }) => query.stamps.includes(write.stamp);
  const positions = new Set(query.positions.map(formatPosition));
  return ({ position }) => positions.has(formatPosition(position));
}

export function derivedOf({ writes }: DeriveResponse, asked: readonly StampedWrite[]): readonly DerivedWrite[] {
  requireSame(writes.length, asked.length, 'write requests');
  return writes.map((it, place) => {
    if (it.stamp !== asked[place]?.stamp) throw garbage(`effects of the stamp ${quote(it.stamp)}, which was not asked for there`);
    return derivedFromWire(it);
  });
}

/** Lanes of rooms and partitions that this room's topology has, each once. */
export function horizonOf(answer: HorizonResponse, known: { readonly rooms: readonly RoomId[]; readonly partitions: number }): Horizon {
  const horizon = horizonFromWire(answer);
  const seen = new Set<string>();
  for (const { origin, partition } of horizon.lanes) {
    const lane = `${origin}/${partition}`;
    if (!known.rooms.includes(origin) || partition >= known.partitions || seen.has(lane)) throw garbage(`a lane ${quote(lane)}`);
    seen.add(lane);
  }
  return horizon;
}

export function keysToWire(buckets: readonly (readonly string[])[]): wire.ListKeysResponse {
  return { buckets: buckets.map((keys) => ({ keys: [...keys] })) };
}

/** A key that stands in a bucket where it does not belong is passed on: it is copied as what it is. */
export function keysFromWire({ buckets }: wire.ListKeysResponse, asked: readonly number[]): readonly (readonly string[])[] {
  requireSame(buckets.length, asked.length, 'buckets');
  return buckets.map(({ keys }) => keys);
}

/** Of every lane of the topology: one that is left out would be taken for one of which nothing is to be feared. */
export function placesOf(answer: CachePlacesResponse, asked: { readonly room: RoomId; readonly lanes: readonly Lane[] }): CachePlaces {
  const places = placesFromWire(answer);
  if (places.room !== asked.room) throw garbage(`as ${quote(places.room)}`);
  const known = new Set(asked.lanes.map(laneKey));
  for (const lane of places.lanes) if (!known.has(laneKey(lane))) throw garbage(`a lane ${quote(laneKey(lane))}`);
  requireSame(places.lanes.length, known.size, 'lanes');
  return places;
}

function requireSame(found: number, asked: number, what: string): void {
  if (found !== asked) throw garbage(`answers for ${found} ${what}, not for the ${asked} that were asked for`);
}

function requireCount(value: number, what: string): void {
  if (!Number.isSafeInteger(value) || value < 0) throw garbage(`${value} for ${what}`);
}

/** Enough to recognise it; what a peer sends may be long. */
function quote(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}

function garbage(what: string): WmbError {
  return new WmbError('PEER_GARBAGE', what);
}
