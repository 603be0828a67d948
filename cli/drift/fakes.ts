/** For tests: a room whose checker knows these drifts. */
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { Drift } from '../../consistency-checker/drift.ts';
import type { WmbError } from '../../core/errors.ts';
import { toGrpcError } from '../../daemon/grpc-errors.ts';
import type {
  AuditEntry,
  CheckerStatus,
  CompareProgress,
  CompareRequest,
  DriftReport,
  ListDriftsRequest,
  PeerVerification,
  RepairProgress,
  RepairRequest,
  TraceRequest,
  TraceResponse,
  WatchDriftsRequest,
} from '../../proto/gen/wmb/v1/checker.ts';
import type { FakeRoom } from '../testing.ts';

type Answer = (error: unknown, response?: unknown) => void;

export interface FakeChecker {
  readonly room: string;
  readonly drifts?: readonly Drift[];
  readonly peers?: readonly Partial<PeerVerification>[];
  readonly status?: Partial<CheckerStatus>;
  readonly audit?: readonly AuditEntry[];
  /** What a repair answers; an error breaks it off. */
  readonly repair?: (request: RepairRequest) => readonly (RepairProgress | WmbError)[];
  readonly compare?: (request: CompareRequest) => readonly CompareProgress[];
  readonly trace?: (request: TraceRequest) => TraceResponse | WmbError;
  /** By each call: what it streams; it then stays open unless `ends`. */
  readonly watch?: (calls: number) => { readonly drifts: readonly Drift[]; readonly ends?: boolean };
}

export function fakeChecker(fake: FakeChecker): FakeRoom {
  let watches = 0;
  return {
    checker: {
      getStatus: (_call: unknown, answer: Answer) => answer(null, statusOf(fake)),
      listDrifts: ({ request }: { request: ListDriftsRequest }, answer: Answer) => answer(null, listOf(fake, request)),
      listAudit: (_call: unknown, answer: Answer) => answer(null, { entries: fake.audit ?? [] }),
      trace: ({ request }: { request: TraceRequest }, answer: Answer) => {
        const response = fake.trace?.(request);
        if (response instanceof Error) answer(toGrpcError(response));
        else answer(null, response);
      },
      repair: (call: ServerWritableStream<RepairRequest, RepairProgress>) => stream(call, fake.repair?.(call.request) ?? []),
      compare: (call: ServerWritableStream<CompareRequest, CompareProgress>) => stream(call, fake.compare?.(call.request) ?? []),
      watchDrifts: (call: ServerWritableStream<WatchDriftsRequest, DriftReport>) => {
        watches += 1;
        const { drifts, ends = false } = fake.watch?.(watches) ?? { drifts: [] };
        for (const drift of drifts) call.write(driftToWire(drift));
        if (ends) call.end();
      },
    },
  };
}

function stream<T>(call: ServerWritableStream<unknown, T>, messages: readonly (T | WmbError)[]): void {
  for (const message of messages) {
    if (message instanceof Error) return void call.emit('error', toGrpcError(message));
    call.write(message);
  }
  call.end();
}

function statusOf({ room, peers = [], status = {}, drifts = [] }: FakeChecker): CheckerStatus {
  return {
    ...{
      room,
      topologyEpoch: 3,
      instance: 'i',
      uptimeMs: 61_000,
      nowMs: 10_000,
      repaired: 0,
      healed: 0,
      keys: 59_835,
      built: 1,
      copy: '',
      database: '',
    },
    open: drifts.filter((drift) => drift.status === 'open').length,
    peers: peers.map((peer) => ({
      ...{ room: '', verifiedMs: 8_000, reason: '', suspects: 0, open: 0, canaryAgeMs: 0, rounds: 1, roundBytes: 256, roundMs: 1 },
      ...peer,
    })),
    ...status,
  };
}

function listOf({ drifts = [] }: FakeChecker, { status, limit, id }: ListDriftsRequest): object {
  const fitting = drifts.filter((drift) => (id === '' || drift.id === id) && (status === 'all' || drift.status === (status || 'open')));
  return { drifts: fitting.slice(0, limit).map(driftToWire), total: fitting.length };
}

export function driftToWire({ subject, elements, ...drift }: Drift): DriftReport {
  return {
    ...drift,
    subjectType: subject.type,
    subject: subject.name,
    sides: [...drift.sides],
    elements: elements.map(({ name, versions, values }) => ({
      name,
      sides: versions.map((version, index) => ({ version, value: values[index] ?? undefined })),
    })),
    write: drift.write === undefined ? undefined : { ...drift.write, hops: [...drift.write.hops] },
    repair: { ...drift.repair, diff: [...drift.repair.diff] },
  };
}
