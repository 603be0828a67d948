/** grpc.health.v1, answered from the daemon's readiness. */
import { type Server, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
  HealthService,
} from '../proto/gen/grpc/health/v1/health.ts';
import type { Readiness } from './readiness.ts';

/** `services`: those of this port. They are ready together; of one that is not here nothing can be said. */
export function addHealthService(server: Server, readiness: Readiness, services: readonly string[]): void {
  const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
  server.addService(HealthService, {
    check({ request }: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>, callback: sendUnaryData<HealthCheckResponse>) {
      const { service } = request;
      if (service !== '' && !services.includes(service))
        return callback({
          code: status.NOT_FOUND,
          details: `there is no service ${JSON.stringify(service)} here; there are ${services.join(', ')}`,
        });
      callback(null, { status: readiness.reasons().length === 0 ? SERVING : NOT_SERVING });
    },
  });
}
