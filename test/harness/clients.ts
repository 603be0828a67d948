/** What a test or the demo asks of running rooms, over their public gRPC interface only. */
import { type Client, credentials, InterceptingCall, type Interceptor, type ServiceError } from '@grpc/grpc-js';
import { CollectorClient, type CollectorStatus, type KeyEntry, ReshipClient, type ReshipStatus } from '../../proto/gen/wmb/v1/admin.ts';
import { CheckerClient } from '../../proto/gen/wmb/v1/checker.ts';
import { type SubmitRequest, type SubmitResponse, WritesClient } from '../../proto/gen/wmb/v1/writes.ts';
import type { RunningRoom } from './rooms.ts';

/** Longer than any of them takes in a room that is well or comes back; a test that waits for an answer for ever says nothing. */
const ANSWER_MS_MAX = 120_000;

type Answer<T> = (error: ServiceError | null, response: T) => void;

/** Promise of a unary call. */
export function unary<T>(call: (answer: Answer<T>) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, response) => (error === null ? resolve(response) : reject(error)));
  });
}

/** A call that has no deadline gets one; streams may stay open. */
const withDeadline: Interceptor = (options, nextCall) => {
  const { deadline, method_definition: method } = options;
  const isBounded = deadline !== undefined || method.requestStream || method.responseStream;
  return new InterceptingCall(nextCall(isBounded ? options : { ...options, deadline: Date.now() + ANSWER_MS_MAX }));
};

/** A daemon that is back is reached at once: the library would wait longer and longer, up to two minutes. */
const RECONNECT = { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 1_000 };

export class RoomClients {
  readonly room: RunningRoom;
  readonly writes: WritesClient;
  readonly reship: ReshipClient;
  readonly collector: CollectorClient;
  readonly checker: CheckerClient;

  constructor(room: RunningRoom) {
    this.room = room;
    const insecure = credentials.createInsecure();
    const options = { interceptors: [withDeadline], ...RECONNECT };
    this.writes = new WritesClient(room.reship.grpc, insecure, options);
    this.reship = new ReshipClient(room.reship.grpc, insecure, options);
    this.collector = new CollectorClient(room.collector.grpc, insecure, options);
    this.checker = new CheckerClient(room.checker.grpc, insecure, options);
  }

  submit(request: SubmitRequest): Promise<SubmitResponse> {
    return unary((answer) => this.writes.submit(request, answer));
  }

  reshipStatus(): Promise<ReshipStatus> {
    return unary((answer) => this.reship.getStatus({}, answer));
  }

  collectorStatus(): Promise<CollectorStatus> {
    return unary((answer) => this.collector.getStatus({}, answer));
  }

  /** Every visible key of the room's cache. */
  async dump(): Promise<Map<string, KeyEntry>> {
    const entries = new Map<string, KeyEntry>();
    for await (const page of this.collector.scanKeys({ prefix: '' }, { deadline: Date.now() + ANSWER_MS_MAX })) {
      for (const entry of page.entries) entries.set(entry.key, entry);
    }
    return entries;
  }

  close(): void {
    for (const client of [this.writes, this.reship, this.collector, this.checker] as Client[]) client.close();
  }
}

/** Whether every peer that the status names has acked everything that its origin has logged. */
export function settled(status: ReshipStatus): boolean {
  const ends = new Map(status.logs.flatMap((log) => log.partitions.map((part) => [`${log.log}/${part.partition}`, part.next - 1])));
  return status.peers.every((peer) => peer.lanes.every((lane) => lane.ackedSeq === ends.get(`${lane.log}/${lane.partition}`)));
}

/** Waits until all rooms have applied all of each other's logs. */
export async function allSettled(clients: readonly RoomClients[], waitMsMax: number): Promise<void> {
  const deadline = Date.now() + waitMsMax;
  for (;;) {
    const statuses = await Promise.all(clients.map((client) => client.reshipStatus().catch(() => undefined)));
    if (statuses.every((status) => status !== undefined && status.peers.length > 0 && settled(status))) return;
    if (Date.now() > deadline) throw new Error(`the rooms did not settle within ${waitMsMax} ms: ${JSON.stringify(statuses, null, 1)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
