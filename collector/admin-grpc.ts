/** The gRPC service wmb.v1.Collector: what people and the checker ask of a collector. */
import type { handleUnaryCall, ServerWritableStream } from '@grpc/grpc-js';
import type { Config, Transport } from '../core/config/types.ts';
import type { CacheEntry } from '../core/converge/effects.ts';
import { WmbError } from '../core/errors.ts';
import type { Runtime } from '../core/runtime.ts';
import type { Stamp } from '../core/stamp.ts';
import { formatPosition, type Outcome as OutcomeWord, type RoomId } from '../core/words.ts';
import { toGrpcError } from '../daemon/grpc-errors.ts';
import type {
  CollectorServer,
  CollectorStatus,
  DatabaseStatus,
  GetKeysResponse,
  KeyEntry,
  LaneStatus,
  LinkStatus,
  ParkedResult,
  ParkedSelection,
  ScanKeysRequest,
  SkippedLane,
  ParkedOutcome as WireOutcome,
  ParkedWrite as WireParked,
} from '../proto/gen/wmb/v1/admin.ts';
import { Outcome } from '../proto/gen/wmb/v1/writes.ts';
import type { CacheStore } from '../store/cache.ts';
import type { ParkedOutcome, Parking, Selection, Step } from './receipts/parked.ts';
import type { ParkedWrite } from './receipts/receipts.ts';

const LIST_DEFAULT = 100;
const LIST_MAX = 1_000;
const KEYS_MAX = 1_000;
/** A message of a scan is sent when it holds this many keys. */
const SCAN_KEYS = 256;

/** What receive/ answers for the links into this room. */
export interface LinkAdmin {
  links(): readonly LinkStatus[];
  /** Pauses or resumes the link from `origin`. ROOM_UNKNOWN where there is none. */
  setPaused(origin: RoomId, paused: boolean): readonly LaneStatus[] | Promise<readonly LaneStatus[]>;
  /** Switches the link from `origin`; returns over what it ran before. ROOM_UNKNOWN, USAGE, and why it cannot be. */
  setTransport(origin: RoomId, transport: Transport): Promise<Transport>;
  /** What the stopped lanes from `origin` would lose; `confirmed`: they go on without it. ROOM_UNKNOWN, NOT_FOUND. */
  skipGaps(origin: RoomId, confirmed: boolean): Promise<readonly SkippedLane[]>;
}

export interface CollectorAdminOptions {
  readonly config: Config;
  readonly cache: CacheStore;
  readonly parking: Parking;
  readonly links: LinkAdmin;
  readonly floor: () => Stamp;
  /** Undefined where no database follows by its server's replication. */
  readonly database?: (() => DatabaseStatus) | undefined;
  /** Names this process. */
  readonly instance: string;
  readonly runtime: Runtime;
}

/** For `server.addService(CollectorService, collectorAdmin(…))`. */
export function collectorAdmin(options: CollectorAdminOptions): CollectorServer {
  const { cache, parking, links, runtime } = options;
  const startedMs = runtime.monotonicMs();
  return {
    getStatus: unary(async () => statusOf(options, runtime.monotonicMs() - startedMs)),
    getKeys: unary(async ({ keys }: { keys: string[] }) => {
      if (keys.length > KEYS_MAX)
        throw new WmbError('USAGE', `${keys.length} keys were asked for at once; at most ${KEYS_MAX} are answered`);
      const nowMs = runtime.nowMs();
      const entries = await Promise.all(keys.map(async (key) => keyEntry(key, await cache.get(key, nowMs))));
      return { entries };
    }),
    scanKeys: (call) => void scanKeys(call, cache, runtime),
    listParked: unary(async ({ limit, after }: { limit: number; after: string }) => {
      const writes = await parking.list(after, Math.min(limit === 0 ? LIST_DEFAULT : limit, LIST_MAX));
      return { writes: writes.map(parkedWire), total: parking.total() };
    }),
    retryParked: unary(async (selection: ParkedSelection) => stepWire(await parking.retry(selectionOf(selection)))),
    discardParked: unary(async (selection: ParkedSelection) => stepWire(await parking.discard(selectionOf(selection)))),
    setLink: unary(async ({ origin, paused }: { origin: string; paused: boolean }) => ({
      lanes: [...(await links.setPaused(origin, paused))],
    })),
    setTransport: unary(async ({ origin, transport }: { origin: string; transport: string }) => {
      if (transport !== 'rpc' && transport !== 'mq')
        throw new WmbError('USAGE', `a link runs over rpc or mq, not ${JSON.stringify(transport)}`);
      return { before: await links.setTransport(origin, transport) };
    }),
    skipGap: unary(async ({ origin, confirmed }: { origin: string; confirmed: boolean }) => ({
      lanes: [...(await links.skipGaps(origin, confirmed))],
    })),
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

function statusOf(options: CollectorAdminOptions, uptimeMs: number): CollectorStatus {
  const { config, parking, links, floor, database, instance, runtime } = options;
  return {
    room: config.room.id,
    topologyEpoch: config.topology.epoch,
    instance,
    uptimeMs: Math.round(uptimeMs),
    nowMs: runtime.nowMs(),
    links: [...links.links()],
    parked: parking.total(),
    floor: floor(),
    database: database?.(),
    members: [],
  };
}

async function scanKeys(call: ServerWritableStream<ScanKeysRequest, GetKeysResponse>, cache: CacheStore, runtime: Runtime): Promise<void> {
  try {
    let entries: KeyEntry[] = [];
    for await (const entry of cache.scan({ prefix: call.request.prefix, nowMs: runtime.nowMs() })) {
      if (call.cancelled) return;
      entries.push(keyEntry(entry.key, entry));
      if (entries.length < SCAN_KEYS) continue;
      await send(call, { entries });
      entries = [];
    }
    if (entries.length > 0) await send(call, { entries });
    call.end();
  } catch (cause) {
    call.destroy(toGrpcError(cause));
  }
}

/** Resolves when the stream takes more, or is over: a slow reader costs no memory. */
function send(call: ServerWritableStream<ScanKeysRequest, GetKeysResponse>, response: GetKeysResponse): Promise<void> {
  return new Promise((resolve) => {
    if (call.cancelled || call.write(response)) return resolve();
    const done = () => {
      call.off('drain', done);
      call.off('cancelled', done);
      resolve();
    };
    call.on('drain', done);
    call.on('cancelled', done);
  });
}

function keyEntry(key: string, entry: CacheEntry | undefined): KeyEntry {
  if (entry === undefined) return { key, found: false, type: '', value: '', elements: [], expireAtMs: 0, version: '' };
  const { value, expireAtMs, version } = entry;
  const known = { key, found: true, type: value.type, value: '', expireAtMs, version };
  switch (value.type) {
    case 'string':
      return { ...known, value: value.value, elements: [] };
    case 'hash':
      return { ...known, elements: value.fields.map(([name, text]) => ({ name, value: text })) };
    case 'set':
      return { ...known, elements: value.members.map((name) => ({ name, value: '' })) };
    default:
      return { ...known, elements: value.members.map(([name, score]) => ({ name, value: String(score) })) };
  }
}

function selectionOf({ writes, all, after }: ParkedSelection): Selection {
  if (writes.length === 0 && !all) throw new WmbError('USAGE', 'name positions or request ids, or say all');
  return { writes, all: writes.length === 0, after: after ?? '' };
}

function parkedWire(it: ParkedWrite): WireParked {
  const { write } = it;
  return {
    position: formatPosition(it.position),
    requestId: write.requestId,
    kind: write.kind,
    key: write.key,
    stamp: write.stamp,
    code: it.code,
    message: it.message,
    parkedMs: it.parkedMs,
    attempts: it.attempts,
    payload: Buffer.from(write.payload),
  };
}

function stepWire({ outcomes, next }: Step): ParkedResult {
  return { outcomes: outcomes.map(outcomeWire), next };
}

function outcomeWire(it: ParkedOutcome): WireOutcome {
  return {
    position: it.position,
    requestId: it.requestId,
    outcome: it.position === '' ? Outcome.OUTCOME_UNSPECIFIED : OUTCOMES[it.outcome],
    code: it.code,
    message: it.message,
  };
}

const OUTCOMES: Readonly<Record<OutcomeWord, Outcome>> = {
  applied: Outcome.OUTCOME_APPLIED,
  superseded: Outcome.OUTCOME_SUPERSEDED,
  duplicate: Outcome.OUTCOME_DUPLICATE,
  parked: Outcome.OUTCOME_PARKED,
  rejected: Outcome.OUTCOME_REJECTED,
};
