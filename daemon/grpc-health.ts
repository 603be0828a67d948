/** grpc.health.v1, answered from the daemon's readiness. */
import type { Server, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthService,
} from '../proto/gen/grpc/health/v1/health.ts';
import type { Readiness } from './readiness.ts';

export function addHealthService(server: Server, readiness: Readiness): void {
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  server.addService(HealthService, {
    check(_call: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>, callback: sendUnaryData<HealthCheckResponse>) {
      callback(null, { status: readiness.reasons().length === 0 ? SERVING : NOT_SERVING });
    },
  });
}
