/**
 * The gRPC service wmb.v1.Inspection: what this collector does for the checker of its own room. Everything asked is bounded, and what takes long gives the
 * lanes their turns in between: a checker must never hold up the write requests it looks after.
 */
import type { handleUnaryCall } from '@grpc/grpc-js';
import type { Config } from '../core/config/types.ts';
import { BUCKETS } from '../core/converge/bucket.ts';
import { asWmbError, WmbError } from '../core/errors.ts';
import type { DerivedWrite, FrameReceipts, LanePlace, SeqRange } from '../core/inspection.ts';
import type { Runtime } from '../core/runtime.ts';
import { processesWrites } from '../core/topology.ts';
import type { StampedWrite } from '../core/words.ts';
import { toGrpcError } from '../daemon/grpc-errors.ts';
import { derivedToWire, horizonToWire, rangeFromWire, receiptsToWire, repairFromWire, writeFromWire } from '../daemon/inspection-wire.ts';
import type { LinkStatus } from '../proto/gen/wmb/v1/admin.ts';
import {
  type DeriveRequest,
  type DigestReceiptsRequest,
  type InspectionServer,
  type RepairKeysRequest,
  type TakeDirtyRequest,
  DerivedWrite as WireDerived,
  type SeqRange as WireRange,
} from '../proto/gen/wmb/v1/inspection.ts';
import type { CacheMending, CacheRepair } from '../store/inspection.ts';
import type { Processed } from './process/processors.ts';
import type { ReceiptBook } from './receipts/receipts.ts';

const RANGES_MAX = 1_024;
/** Of one range, and of one answer with receipts. */
const FRAMES_MAX = 4_096;
/** Of all ranges of a call. */
const DIGEST_FRAMES_MAX = 256 * RANGES_MAX;
const DERIVE_WRITES_MAX = 1_024;
const DERIVE_BYTES_MAX = 8 * 1024 * 1024;
const REPAIRS_MAX = 256;
/** Leaves room under the largest message (daemon/grpc-server.ts). */
const ANSWER_BYTES_MAX = 24 * 1024 * 1024;
/** What is done between two turns of the event loop. */
const FRAMES_STEP = 64;
const DERIVE_STEP = 32;
const REPAIRS_STEP = 8;

export interface InspectionOptions {
  readonly config: Config;
  readonly processors: { run(write: StampedWrite): Processed | Promise<Processed> };
  /** See Applier.horizon. */
  readonly horizon: () => readonly LanePlace[];
  readonly links: () => readonly LinkStatus[];
  readonly book: Pick<ReceiptBook, 'digest' | 'frames'>;
  readonly cache: CacheMending;
  readonly runtime: Runtime;
}

/** For `server.addService(InspectionService, inspectionService(…))`. */
export function inspectionService(options: InspectionOptions): InspectionServer {
  const { book, cache, runtime } = options;
  return {
    takeDirty: unary(async ({ max }: TakeDirtyRequest) => {
      bounded(max, 'buckets', BUCKETS);
      return { buckets: [...(await cache.takeDirty(max))] };
    }),
    getHorizon: unary(async () => horizonToWire({ nowMs: runtime.nowMs(), lanes: withLinks(options.horizon(), options.links()) })),
    digestReceipts: unary(async ({ ranges }: DigestReceiptsRequest) => ({ digests: await digests(book, checkedRanges(ranges), runtime) })),
    getReceipts: unary(async (range: WireRange) => ({ frames: receiptsToWire(await receipts(book, checkedRange(range), runtime)) })),
    derive: unary(async ({ writes }: DeriveRequest) => ({ writes: await derive(options, checkedWrites(writes)) })),
    repairKeys: unary(async ({ repairs }: RepairKeysRequest) => ({ outcomes: await repair(cache, checkedRepairs(repairs), runtime) })),
  };
}

function unary<Request, Response>(answer: (request: Request) => Promise<Response>): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    answer(call.request).then(
      (response) => callback(null, response),
      (cause: unknown) => callback(toGrpcError(cause)),
    );
  };
}

function bounded(count: number, what: string, max: number): void {
  if (count > max) throw new WmbError('USAGE', `${count} ${what} at once are too many; at most ${max} are answered`);
}

/** Here it is the caller who is wrong, and no peer. */
function checked<From, To>(list: readonly From[], read: (item: From) => To): To[] {
  try {
    return list.map(read);
  } catch (cause) {
    const { code, message } = asWmbError(cause);
    throw code === 'PEER_GARBAGE' ? new WmbError('USAGE', `the question is wrong: ${message}`, { cause }) : cause;
  }
}

function checkedRange(range: WireRange): SeqRange {
  const [known] = checked([range], rangeFromWire) as [SeqRange];
  bounded(known.to - known.from + 1, 'frames of a range', FRAMES_MAX);
  return known;
}

function checkedRanges(ranges: readonly WireRange[]): SeqRange[] {
  bounded(ranges.length, 'ranges', RANGES_MAX);
  const known = ranges.map(checkedRange);
  const frames = known.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  bounded(frames, 'frames of all ranges', DIGEST_FRAMES_MAX);
  return known;
}

function checkedWrites(writes: DeriveRequest['writes']): StampedWrite[] {
  bounded(writes.length, 'write requests', DERIVE_WRITES_MAX);
  const known = checked(writes, writeFromWire);
  const bytes = known.reduce((sum, { payload }) => sum + payload.length, 0);
  bounded(bytes, 'bytes of payload', DERIVE_BYTES_MAX);
  return known;
}

function checkedRepairs(repairs: RepairKeysRequest['repairs']): CacheRepair[] {
  bounded(repairs.length, 'repairs', REPAIRS_MAX);
  return checked(repairs, repairFromWire);
}

/** A lane that comes to this room by way of the master's effects has no link of its own. */
function withLinks(places: readonly LanePlace[], links: readonly LinkStatus[]): LanePlace[] {
  const byLane = new Map(
    links.flatMap(({ origin, lanes }) => lanes.filter(({ log }) => log === 'writes').map((lane) => [`${origin}/${lane.partition}`, lane])),
  );
  return places.map((place) => {
    const link = byLane.get(`${place.origin}/${place.partition}`);
    return link === undefined ? place : { ...place, state: link.state, reason: link.reason, lagWrites: link.lagWrites };
  });
}

async function digests(book: InspectionOptions['book'], ranges: readonly SeqRange[], runtime: Runtime): Promise<string[]> {
  const found: string[] = [];
  for (const range of ranges) {
    if (found.length > 0) await runtime.turn();
    found.push(await book.digest(range));
  }
  return found;
}

async function receipts(book: InspectionOptions['book'], { lane, from, to }: SeqRange, runtime: Runtime): Promise<FrameReceipts[]> {
  const found: FrameReceipts[] = [];
  let bytes = 0;
  for (let at = from; at <= to; at += FRAMES_STEP) {
    if (at > from) await runtime.turn();
    for (const frame of await book.frames({ lane, from: at, to: Math.min(to, at + FRAMES_STEP - 1) })) {
      bytes += receiptBytes(frame);
      found.push(frame);
    }
    if (bytes > ANSWER_BYTES_MAX && found.length > 1)
      throw new WmbError(
        'USAGE',
        `the receipts of the frames ${from} to ${to} are too many for one answer; ask for fewer frames at a time`,
      );
  }
  return found;
}

/** At most. */
function receiptBytes({ exceptions }: FrameReceipts): number {
  return exceptions.reduce((sum, { requestId, code }) => sum + Buffer.byteLength(requestId) + code.length + 32, 96);
}

async function derive(options: InspectionOptions, writes: readonly StampedWrite[]): Promise<WireDerived[]> {
  const { topology, room } = options.config;
  if (!processesWrites(topology, room.id))
    throw new WmbError(
      'NOT_FOUND',
      'this room processes no write requests, it takes what the master room makes of them; ask the master room',
    );
  const found: WireDerived[] = [];
  let bytes = 0;
  for (let at = 0; at < writes.length; at += DERIVE_STEP) {
    if (at > 0) await options.runtime.turn();
    for (const derived of await Promise.all(writes.slice(at, at + DERIVE_STEP).map((write) => deriveOne(options, write)))) {
      const wire = derivedToWire(derived);
      bytes += WireDerived.encode(wire).finish().length;
      found.push(wire);
    }
    if (bytes > ANSWER_BYTES_MAX)
      throw new WmbError('USAGE', `the effects of ${writes.length} write requests are too many for one answer; ask for fewer at a time`);
  }
  return found;
}

async function deriveOne({ config, processors }: InspectionOptions, write: StampedWrite): Promise<DerivedWrite> {
  const { kind, stamp } = write;
  const rooms = config.topology.kinds[kind]?.rooms;
  if (rooms !== undefined && !rooms.includes(config.room.id))
    return { stamp, effects: undefined, error: `the kind “${kind}” is processed in ${rooms.join(', ') || 'no room'}, and not here` };
  try {
    return { stamp, effects: (await processors.run(write)).effects, error: '' };
  } catch (cause) {
    const { code, message } = asWmbError(cause);
    return { stamp, effects: undefined, error: `${code}: ${message}` };
  }
}

async function repair(cache: CacheMending, repairs: readonly CacheRepair[], runtime: Runtime): Promise<string[]> {
  const outcomes: string[] = [];
  for (let at = 0; at < repairs.length; at += REPAIRS_STEP) {
    if (at > 0) await runtime.turn();
    outcomes.push(...(await cache.repair(repairs.slice(at, at + REPAIRS_STEP), runtime.nowMs())));
  }
  return outcomes;
}
