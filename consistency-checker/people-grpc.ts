/** The gRPC service wmb.v1.Checker: what people ask of a checker. */
import type { handleServerStreamingCall, handleUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import { WmbError } from '../core/errors.ts';
import { BoundedQueue } from '../core/flow/bounded-queue.ts';
import type { RoomId } from '../core/words.ts';
import { toGrpcError } from '../daemon/grpc-errors.ts';
import type {
  CheckerServer,
  CompareProgress,
  DriftReport,
  ListDriftsRequest,
  ListDriftsResponse,
  RepairRequest as WireRequest,
} from '../proto/gen/wmb/v1/checker.ts';
import type { CompareStep } from './compare.ts';
import type { Drift, DriftStatus } from './drift.ts';
import { auditToWire, driftToWire, hopToWire, sideToWire, timelineToWire } from './drift-wire.ts';
import type { RepairRequest, RepairStep } from './repair/repairer.ts';
import type { WatchedBook } from './report/watched-book.ts';
import { type StatusSource, statusOf } from './status.ts';
import type { Traced } from './trace.ts';

export interface PeopleOptions {
  readonly status: StatusSource;
  readonly book: WatchedBook;
  readonly repair: (request: RepairRequest, signal: AbortSignal) => AsyncIterable<RepairStep>;
  readonly compare: (options: { readonly peer: RoomId; readonly prefix: string }, signal: AbortSignal) => AsyncIterable<CompareStep>;
  readonly trace: (write: string) => Promise<Traced>;
}

const LIST_DEFAULT = 100;
const LIST_MAX = 10_000;
/** Changes that a watcher has not taken; one that falls behind by more is let go and comes again. */
const WATCH_LIMITS = { countMax: 10_000, bytesMax: 32 * 1024 * 1024 };
const DRIFT_BYTES = 1_024;

/** For `server.addService(CheckerService, checkerService(…))`. */
export function checkerService(options: PeopleOptions): CheckerServer {
  const { book, trace } = options;
  const compare = oneAtATime(options.compare);
  return {
    getStatus: unary(() => statusOf(options.status)),
    listDrifts: unary((request: ListDriftsRequest) => listDrifts(book, request)),
    watchDrifts: (call) => void sendAll(call, (signal) => watch(book, signal)),
    repair: streaming(({ request }, signal) =>
      mapEach(options.repair(repairOf(request), signal), (step) => ({ ...step, diff: [...step.diff] })),
    ),
    compare: streaming(({ request }, signal) => mapEach(compare(request, signal), compareToWire)),
    trace: unary(async ({ write }: { write: string }) => {
      const { found, timeline, hops } = await trace(write);
      return { write: timeline && timelineToWire(timeline), payload: Buffer.from(found?.write.payload ?? ''), hops: hops.map(hopToWire) };
    }),
    listAudit: unary(async ({ limit }: { limit: number }) => ({ entries: (await book.audits(limitOf(limit))).map(auditToWire) })),
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

function streaming<Request, Response>(
  answer: (call: ServerWritableStream<Request, Response>, signal: AbortSignal) => AsyncIterable<Response>,
): handleServerStreamingCall<Request, Response> {
  return (call) => void sendAll(call, (signal) => answer(call, signal));
}

/** Sends what `messages` gives, no faster than it is taken. The signal aborts when the caller hangs up. */
async function sendAll<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  messages: (signal: AbortSignal) => AsyncIterable<Response>,
): Promise<void> {
  const hungUp = new AbortController();
  for (const event of ['cancelled', 'error', 'close']) call.on(event, () => hungUp.abort());
  try {
    for await (const message of messages(hungUp.signal)) {
      if (hungUp.signal.aborted) break;
      await send(call, message);
    }
    if (!hungUp.signal.aborted) call.end();
  } catch (cause) {
    // To destroy it would leave the caller without an end.
    if (!hungUp.signal.aborted) call.emit('error', toGrpcError(cause));
  }
}

/** Resolves when the stream takes more, or is over. */
function send<Response>(call: ServerWritableStream<unknown, Response>, message: Response): Promise<void> {
  return new Promise((resolve) => {
    if (call.cancelled || call.write(message)) return resolve();
    const done = () => {
      for (const event of ['drain', 'cancelled', 'close']) call.off(event, done);
      resolve();
    };
    for (const event of ['drain', 'cancelled', 'close']) call.on(event, done);
  });
}

async function* mapEach<A, B>(items: AsyncIterable<A>, map: (item: A) => B): AsyncGenerator<B, void> {
  for await (const item of items) yield map(item);
}

async function listDrifts(book: WatchedBook, { status, limit, id }: ListDriftsRequest): Promise<ListDriftsResponse> {
  if (id !== '') {
    const drift = await book.get(id);
    return { drifts: drift === undefined ? [] : [driftToWire(drift)], total: drift === undefined ? 0 : 1 };
  }
  const wanted = statusFrom(status);
  const [drifts, counts] = await Promise.all([book.list({ status: wanted, limit: limitOf(limit) }), book.counts()]);
  const total = wanted === 'all' ? counts.open + counts.repaired + counts.healed : counts[wanted];
  return { drifts: drifts.map(driftToWire), total };
}

function statusFrom(status: string): DriftStatus | 'all' {
  if (status === '') return 'open';
  if (status === 'open' || status === 'repaired' || status === 'healed' || status === 'all') return status;
  throw new WmbError('USAGE', `there are no ${status} drifts; allowed: open, repaired, healed, all`);
}

function limitOf(limit: number): number {
  return Math.min(limit === 0 ? LIST_DEFAULT : limit, LIST_MAX);
}

/** What is open, then every change. What changes while the former is sent comes after it. */
async function* watch(book: WatchedBook, signal: AbortSignal): AsyncGenerator<DriftReport, void> {
  const changes = new BoundedQueue<Drift>(WATCH_LIMITS);
  let lost = false;
  const stopListening = book.onChange((drift) => {
    if (changes.push(drift, DRIFT_BYTES)) return;
    lost = true;
    changes.end();
  });
  const end = () => changes.end();
  signal.addEventListener('abort', end, { once: true });
  try {
    for (const drift of [...book.openDrifts.values()]) yield driftToWire(drift);
    for await (const drift of changes) yield driftToWire(drift);
    if (lost) throw new WmbError('OVERLOADED', `more than ${WATCH_LIMITS.countMax} changes waited to be read; watch again`);
  } finally {
    stopListening();
    signal.removeEventListener('abort', end);
  }
}

function repairOf({ ids, all, apply, limit, from, by }: WireRequest): RepairRequest {
  if (ids.length === 0 && !all) throw new WmbError('USAGE', 'name drifts, or say all');
  return { ids: all ? 'all' : ids, apply, limit, from, by };
}

/** It reads both rooms' caches as a whole. */
function oneAtATime(compare: PeopleOptions['compare']): PeopleOptions['compare'] {
  let comparing = false;
  return async function* once(request, signal) {
    if (comparing) throw new WmbError('OVERLOADED', 'this room is being compared already; wait for that to end');
    comparing = true;
    try {
      yield* compare(request, signal);
    } finally {
      comparing = false;
    }
  };
}

function compareToWire({ compared, different, keys, done }: CompareStep): CompareProgress {
  return { compared, different, keys: keys.map(({ key, sides, verdict }) => ({ key, sides: sides.map(sideToWire), verdict })), done };
}
