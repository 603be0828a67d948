/** The gRPC service wmb.v1.Peer: what this room tells the checkers of its peers. Every call must say and prove who asks (peer-hello.ts). */
import type { handleUnaryCall } from '@grpc/grpc-js';
import { BUCKETS } from '../core/converge/bucket.ts';
import { asWmbError, WmbError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Runtime } from '../core/runtime.ts';
import { isStamp } from '../core/stamp.ts';
import { type Position, parsePosition } from '../core/words.ts';
import { placesToWire } from '../daemon/copy-wire.ts';
import { toGrpcError } from '../daemon/grpc-errors.ts';
import { derivedToWire, horizonToWire, rangeFromWire, receiptsToWire, writeFromWire } from '../daemon/inspection-wire.ts';
import type { FindWritesRequest, PeerHello, PeerServer } from '../proto/gen/wmb/v1/checker.ts';
import type { PeerGate, PeerMethod } from './peer-hello.ts';
import { PEER_LIMITS } from './peer-limits.ts';
import { entriesToWire, foundToWire, keysToWire, nodesToWire, statesToWire } from './peer-wire.ts';
import type { CopySide, RoomView, WriteQuery } from './room.ts';

export interface PeerServiceOptions {
  readonly own: RoomView & CopySide;
  readonly gate: PeerGate;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** For `server.addService(PeerService, peerService(…))`. */
export function peerService(options: PeerServiceOptions): PeerServer {
  const { own } = options;
  const asked = answering(options);
  return {
    getHorizon: asked('getHorizon', async () => horizonToWire(await own.horizon())),
    getNodes: asked('getNodes', async ({ level, parents }) => {
      requireAtMost(parents.length, PEER_LIMITS.parents, 'nodes');
      return nodesToWire(await own.nodes({ level, parents }));
    }),
    getEntries: asked('getEntries', async ({ buckets, urgent }) => {
      requireAtMost(buckets.length, PEER_LIMITS.buckets, 'buckets');
      return entriesToWire(await own.entries(buckets, urgent));
    }),
    getStates: asked('getStates', async ({ keys }) => {
      requireAtMost(keys.length, PEER_LIMITS.keys, 'keys');
      return statesToWire(await own.states(keys));
    }),
    digestReceipts: asked('digestReceipts', async ({ ranges }) => {
      requireAtMost(ranges.length, PEER_LIMITS.ranges, 'ranges');
      return { digests: [...(await own.receiptDigests(ranges.map(rangeFromWire)))] };
    }),
    getReceipts: asked('getReceipts', async ({ range: it }) => {
      if (it === undefined) throw new WmbError('PEER_GARBAGE', 'the call names no range of receipts');
      const range = rangeFromWire(it);
      requireAtMost(range.to - range.from + 1, PEER_LIMITS.seqs, 'seqs');
      return { frames: receiptsToWire(await own.receipts(range)) };
    }),
    findWrites: asked('findWrites', async (request) => foundToWire(await own.findWrites(queryFromWire(request)))),
    getCachePlaces: asked('getCachePlaces', async () => placesToWire(await own.cachePlaces())),
    listKeys: asked('listKeys', async ({ buckets }) => {
      requireAtMost(buckets.length, PEER_LIMITS.buckets, 'buckets');
      for (const bucket of buckets)
        if (bucket >= BUCKETS) throw new WmbError('PEER_GARBAGE', `the call asks for bucket ${bucket}; there is none`);
      return keysToWire(await own.keys(buckets));
    }),
    derive: asked('derive', async ({ writes }) => {
      requireAtMost(writes.length, PEER_LIMITS.writes, 'write requests');
      return { writes: (await own.derive(writes.map(writeFromWire))).map(derivedToWire) };
    }),
  };
}

/** How often one and the same refusal is logged: a peer asks every few seconds. */
const COMPLAINT_MS = 60_000;

interface Asking {
  readonly hello: PeerHello | undefined;
}

/** Makes handlers that admit a call before they answer it. */
function answering({ gate, runtime, logger }: PeerServiceOptions) {
  let complaint = { text: '', atMs: Number.NEGATIVE_INFINITY };
  const complain = (error: WmbError, peer: string) => {
    const nowMs = runtime.monotonicMs();
    if (error.message === complaint.text && nowMs - complaint.atMs < COMPLAINT_MS) return;
    complaint = { text: error.message, atMs: nowMs };
    logger.warn({ code: error.code, peer, reason: error.message }, 'a call of a peer’s checker is refused');
  };
  return <Request extends Asking, Response>(
    method: PeerMethod,
    answer: (request: Request) => Promise<Response>,
  ): handleUnaryCall<Request, Response> =>
    (call, callback) => {
      try {
        gate.admit({ hello: call.request.hello, method, certificate: call.getAuthContext()?.sslPeerCertificate });
      } catch (cause) {
        complain(asWmbError(cause), call.getPeer());
        callback(toGrpcError(cause));
        return;
      }
      answer(call.request).then(
        (response) => callback(null, response),
        (cause: unknown) => callback(toGrpcError(cause)),
      );
    };
}

function requireAtMost(count: number, max: number, what: string): void {
  if (count <= max) return;
  throw new WmbError('PEER_GARBAGE', `the call asks for ${count} ${what}; at most ${max} are answered at once`);
}

function queryFromWire({ stamps, positions, requestId, limitMs }: FindWritesRequest): WriteQuery {
  requireAtMost(stamps.length + positions.length, PEER_LIMITS.writes, 'write requests');
  if (requestId !== '') return { by: 'request', requestId, limitMs: Math.min(limitMs, PEER_LIMITS.searchMs) };
  if (stamps.length === 0) return { by: 'position', positions: positions.map(positionFromWire) };
  for (const stamp of stamps)
    if (!isStamp(stamp)) throw new WmbError('PEER_GARBAGE', `the call asks for ${JSON.stringify(stamp)}, which is no stamp`);
  return { by: 'stamp', stamps };
}

function positionFromWire(text: string): Position {
  const position = parsePosition(text);
  if (position === undefined) throw new WmbError('PEER_GARBAGE', `the call asks for ${JSON.stringify(text)}, which is no position`);
  return position;
}
