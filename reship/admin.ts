/** What people and the checker ask of a reship: proto service wmb.v1.Reship. */
import type { Server, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import type { Config } from '../core/config/types.ts';
import type { Runtime } from '../core/runtime.ts';
import { toGrpcError } from '../daemon/grpc-errors.ts';
import type { ServedLog } from '../log/log.ts';
import {
  type GetStatusRequest,
  type IntakeTopicStatus,
  type LogStatus,
  type PeerStatus,
  type ReshipMember,
  ReshipService,
  type ReshipStatus,
} from '../proto/gen/wmb/v1/admin.ts';
import type { IntakeState } from './intake/intake.ts';

export interface AdminOptions {
  readonly config: Config;
  readonly instance: string;
  readonly runtime: Runtime;
  readonly intake: { readonly state: IntakeState };
  readonly logs: () => readonly ServedLog[];
  readonly peers: () => Promise<PeerStatus[]>;
  readonly topics: { readonly status: IntakeTopicStatus[] };
  /** Empty where this one is alone. */
  readonly members: () => ReshipMember[];
}

export function addReshipAdmin(server: Server, options: AdminOptions): void {
  const startedMs = options.runtime.monotonicMs();
  server.addService(ReshipService, {
    getStatus(_call: ServerUnaryCall<GetStatusRequest, ReshipStatus>, answer: sendUnaryData<ReshipStatus>): void {
      statusOf(options, startedMs).then(
        (status) => answer(null, status),
        (error: unknown) => answer(toGrpcError(error)),
      );
    },
  });
}

async function statusOf(options: AdminOptions, startedMs: number): Promise<ReshipStatus> {
  const { config, instance, runtime, intake, logs, peers, topics, members } = options;
  const { pendingWrites, pendingBytes, waiting, taken, refused, draining } = intake.state;
  return {
    room: config.room.id,
    topologyEpoch: config.topology.epoch,
    instance,
    uptimeMs: Math.round(runtime.monotonicMs() - startedMs),
    nowMs: Math.round(runtime.nowMs()),
    logs: logs().map(logStatus),
    peers: await peers(),
    intake: { pendingWrites, pendingBytes, waiting, taken, refused, draining },
    topics: topics.status,
    members: members(),
  };
}

function logStatus(log: ServedLog): LogStatus {
  const partitions = Array.from({ length: log.partitions }, (_, partition) => log.extent(partition));
  return {
    log: log.log,
    epoch: log.epoch,
    bytes: log.bytes(),
    partitions: partitions.map(({ partition, first, next, writes, stampLast }) => ({ partition, first, next, writes, stampLast })),
  };
}
