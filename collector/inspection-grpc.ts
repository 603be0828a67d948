/**
 * The gRPC service wmb.v1.Inspection: what this collector does for the checker of its own room (inspection.ts). Everything asked is bounded.
 */
import type { handleUnaryCall } from '@grpc/grpc-js';
import { BUCKETS } from '../core/converge/bucket.ts';
import { asWmbError, WmbError } from '../core/errors.ts';
import type { SeqRange } from '../core/inspection.ts';
import type { StampedWrite } from '../core/words.ts';
import { placesToWire, takeOverFromWire } from '../daemon/copy-wire.ts';
import { toGrpcError } from '../daemon/grpc-errors.ts';
import { derivedToWire, horizonToWire, rangeFromWire, receiptsToWire, repairFromWire, writeFromWire } from '../daemon/inspection-wire.ts';
import type {
  DeriveRequest,
  DigestReceiptsRequest,
  InspectionServer,
  RepairKeysRequest,
  TakeDirtyRequest,
  TakeOverRequest,
  SeqRange as WireRange,
} from '../proto/gen/wmb/v1/inspection.ts';
import type { CacheRepair } from '../store/inspection.ts';
import type { Inspection } from './inspection.ts';

const RANGES_MAX = 1_024;
/** Of one range, and of one answer with receipts. */
const FRAMES_MAX = 4_096;
/** Of all ranges of a call. */
const DIGEST_FRAMES_MAX = 256 * RANGES_MAX;
const DERIVE_WRITES_MAX = 1_024;
const DERIVE_BYTES_MAX = 8 * 1024 * 1024;
const REPAIRS_MAX = 256;
const MOVES_MAX = 65_536;

/** For `server.addService(InspectionService, inspectionService(…))`. */
export function inspectionService(inspection: Inspection): InspectionServer {
  return {
    takeDirty: unary(async ({ max }: TakeDirtyRequest) => {
      bounded(max, 'buckets', BUCKETS);
      return { buckets: [...(await inspection.takeDirty(max))] };
    }),
    getHorizon: unary(async () => horizonToWire(await inspection.horizon())),
    digestReceipts: unary(async ({ ranges }: DigestReceiptsRequest) => ({
      digests: [...(await inspection.receiptDigests(checkedRanges(ranges)))],
    })),
    getReceipts: unary(async (range: WireRange) => ({ frames: receiptsToWire(await inspection.receipts(checkedRange(range))) })),
    derive: unary(async ({ writes }: DeriveRequest) => ({ writes: (await inspection.derive(checkedWrites(writes))).map(derivedToWire) })),
    getCachePlaces: unary(async () => placesToWire(await inspection.cachePlaces())),
    takeOver: unary(async (end: TakeOverRequest) => {
      bounded(end.moves.length, 'marks', MOVES_MAX);
      for (const known of checked([end], takeOverFromWire)) await inspection.takeOver(known);
      return {};
    }),
    repairKeys: unary(async ({ repairs }: RepairKeysRequest) => ({ outcomes: [...(await inspection.repair(checkedRepairs(repairs)))] })),
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
