/** Answers of a peer that cannot be: each is refused, and what is wrong with it is named. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bucketOf } from '../core/converge/bucket.ts';
import type { CachePlace, CachePlaces } from '../core/inspection.ts';
import { formatStamp } from '../core/stamp.ts';
import { placesToWire, takeOverFromWire, takeOverToWire } from '../daemon/copy-wire.ts';
import { writeToWire } from '../daemon/inspection-wire.ts';
import type { GetNodesResponse, KeyDigest } from '../proto/gen/wmb/v1/checker.ts';
import { Outcome } from '../proto/gen/wmb/v1/writes.ts';
import {
  derivedOf,
  digestsFromWire,
  entriesFromWire,
  foundFromWire,
  horizonOf,
  nodesFromWire,
  placesOf,
  receiptsOfRange,
  statesFromWire,
} from './peer-wire.ts';

function garbage(check: () => unknown, message: RegExp): void {
  assert.throws(check, { code: 'PEER_GARBAGE', message });
}

test('digests of nodes: eight bytes for each child of each node that was asked for', () => {
  const answer = (more: Partial<GetNodesResponse>) => () =>
    nodesFromWire({ digests: Buffer.alloc(256), keys: 1, built: 1, ...more }, [4, 5]);
  assert.equal(answer({})().digests.length, 256);
  garbage(answer({ digests: Buffer.alloc(128) }), /128 bytes of digests for 2 nodes, not 256/);
  garbage(answer({ keys: -1 }), /-1 for keys/);
  garbage(answer({ built: Number.NaN }), /NaN as the share/);
});

test('entries: of the buckets that were asked for, ascending, with hashes', () => {
  const [a, b] = twoKeysOfOneBucket();
  const bucket = bucketOf(a);
  const entry = (key: string, more: Partial<KeyDigest> = {}): KeyDigest => ({
    key,
    version: '',
    hash: 'a'.repeat(16),
    expireAtMs: 0,
    ...more,
  });
  const answer =
    (...entries: KeyDigest[]) =>
    () =>
      entriesFromWire({ buckets: [{ entries }] }, [bucket]);
  assert.equal(answer(entry(a), entry(b))()[0]?.length, 2);
  garbage(answer(entry(b), entry(a)), /not ascending/);
  garbage(answer(entry(a), entry(a)), /not ascending/);
  // Made by hand, in a bucket where it does not belong: to be found, not to end the comparison.
  assert.equal(answer(entry('elsewhere'))()[0]?.[0]?.key, 'elsewhere');
  garbage(answer(entry(a, { hash: 'A'.repeat(16) })), /"AAAAAAAAAAAAAAAA" as the hash/);
  garbage(answer(entry(a, { version: 'f'.repeat(65) })), /a version of 65 characters/);
  garbage(answer(entry(a, { expireAtMs: 1.5 })), /1.5 for the expiry/);
  garbage(() => entriesFromWire({ buckets: [] }, [bucket]), /answers for 0 buckets, not for the 1/);
});

function twoKeysOfOneBucket(): readonly [string, string] {
  const seen = new Map<number, string>();
  for (let n = 0; ; n += 1) {
    const other = seen.get(bucketOf(`${n}`));
    if (other !== undefined) return [other, `${n}`].sort() as [string, string];
    seen.set(bucketOf(`${n}`), `${n}`);
  }
}

test('states: of the keys that were asked for, in their order', () => {
  const state = { key: 'k', type: 'string', kill: '', expireAtMs: 0, caps: [], registers: [], increments: [], expiries: [] };
  const answer =
    (key: string, of = state) =>
    () =>
      statesFromWire({ answers: [{ key, state: of, changedBehindMs: 0 }] }, ['k']);
  assert.equal(answer('k')()[0]?.state?.type, 'string');
  garbage(answer('l'), /"l" where "k" was asked for/);
  garbage(answer('k', { ...state, key: 'm' }), /the state of "m" as that of "k"/);
  garbage(answer('k', { ...state, type: 'list' }), /list/);
  garbage(() => statesFromWire({ answers: [] }, ['k']), /answers for 0 keys/);
});

const LANE = { log: 'writes', origin: 'beijing', partition: 1, epoch: '0123456789abcdef' } as const;
const STAMP = formatStamp({ ms: 5_000, counter: 0, writer: 1 << 24 });

test('receipts: within the range that was asked for, ascending, of write requests that the frame has', () => {
  const range = { lane: LANE, from: 10, to: 12 };
  const frame = (seq: number) => ({ seq, count: 2, stampFirst: STAMP, stampLast: STAMP, appliedMs: 1, exceptions: [] });
  const exception = { index: 2, requestId: 'r', outcome: Outcome.OUTCOME_PARKED, code: '', parkedMs: 1, attempts: 0 };
  assert.equal(receiptsOfRange({ frames: [frame(10), frame(12)] }, range).length, 2);
  for (const seqs of [[9], [13], [11, 11], [12, 10]]) garbage(() => receiptsOfRange({ frames: seqs.map(frame) }, range), /seq/);
  garbage(() => receiptsOfRange({ frames: [{ ...frame(10), exceptions: [exception] }] }, range), /2/);
  garbage(() => digestsFromWire({ digests: ['xyz'] }, [range]), /"xyz" as a digest/);
  garbage(() => digestsFromWire({ digests: [] }, [range]), /0 ranges/);
});

const WRITE = { requestId: 'r', kind: 'cache', key: 'k', trace: '', payload: Buffer.from('x'), stamp: STAMP };

test('write requests: those that were asked for, of the room’s own write log', () => {
  const answer = (position: string, query: Parameters<typeof foundFromWire>[1]) => () =>
    foundFromWire({ writes: [{ position, write: writeToWire(WRITE) }] }, query, 'beijing');
  const position = 'beijing/1@0123456789abcdef:3.0';
  const byStamp = { by: 'stamp', stamps: [STAMP] } as const;
  assert.equal(answer(position, byStamp)().length, 1);
  garbage(answer('guangzhou/1@0123456789abcdef:3.0', byStamp), /not of its own write log/);
  garbage(answer('nowhere', byStamp), /"nowhere"/);
  garbage(answer(position, { by: 'stamp', stamps: [formatStamp({ ms: 1, counter: 0, writer: 1 })] }), /was not asked for/);
  garbage(answer(position, { by: 'stamp', stamps: [] }), /1 write requests where 0 were asked for/);
  garbage(answer(position, { by: 'request', requestId: 'other', limitMs: 1 }), /was not asked for/);
  garbage(answer(position, { by: 'position', positions: [{ ...LANE, seq: 4, index: 0 }] }), /was not asked for/);
});

test('effects: of the write requests that were asked for, in their order', () => {
  garbage(() => derivedOf({ writes: [] }, [WRITE]), /0 write requests/);
  garbage(() => derivedOf({ writes: [{ stamp: '', error: '', effects: [] }] }, [WRITE]), /effects of the stamp ""/);
});

test('lanes: of rooms and partitions of the topology, each once', () => {
  const lane = { origin: 'beijing', partition: 1, epoch: LANE.epoch, mark: 1, seen: STAMP, state: '', reason: '', lagWrites: 0 };
  const answer =
    (...lanes: (typeof lane)[]) =>
    () =>
      horizonOf({ nowMs: 1, lanes }, { rooms: ['beijing'], partitions: 2 });
  assert.equal(answer(lane, { ...lane, partition: 0 })().lanes.length, 2);
  garbage(answer(lane, lane), /"beijing\/1"/);
  garbage(answer({ ...lane, partition: 2 }), /"beijing\/2"/);
  garbage(answer({ ...lane, origin: 'shanghai' }), /"shanghai\/1"/);
  garbage(answer({ ...lane, seen: 'soon' }), /soon/);
});

test('places of a cache: of the room that was asked, in every lane that ends there, effects too', () => {
  const effects = { ...LANE, log: 'effects' } as const;
  const place = (lane: Pick<CachePlace, 'log' | 'origin' | 'partition' | 'epoch'>): CachePlace => {
    const seqs = { cache: 7, others: 9, applied: 4, logFrom: -1 };
    return { ...lane, ...seqs, seen: STAMP, state: 'streaming', reason: '' };
  };
  const places: CachePlaces = { room: 'beijing', nowMs: 7, life: 'b', settled: '', lanes: [place(LANE), place(effects)] };
  const answer = (more: Partial<CachePlaces>) => () =>
    placesOf(placesToWire({ ...places, ...more }), { room: 'beijing', lanes: [LANE, effects] });
  assert.deepEqual(answer({})(), places);
  garbage(answer({ room: 'guangzhou' }), /as "guangzhou"/);
  garbage(answer({ lanes: [place(LANE)] }), /answers for 1 lanes, not for the 2/);
  garbage(answer({ lanes: [place(effects), place(effects)] }), /effects\/beijing\/1/);
  garbage(answer({ lanes: [place(LANE), place({ ...effects, partition: 2 })] }), /effects\/beijing\/2/);
  garbage(answer({ lanes: [place(LANE), place({ ...LANE, log: 'changes' })] }), /"changes"/);
  const end = { life: 'b', settled: '', moves: [LANE, effects].map((lane) => ({ ...lane, expected: -1, next: 4 })) };
  assert.deepEqual(takeOverFromWire(takeOverToWire(end)), end);
});
