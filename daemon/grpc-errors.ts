/**
 * How a WmbError crosses gRPC: the status of the error table, the message as details, and the code in the trailing metadata, so that the
 * other end gets the same WmbError back.
 */
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import { asWmbError, ERRORS, type ErrorCode, WmbError } from '../core/errors.ts';

const CODE = 'wmb-code';
const RETRY_AFTER = 'retry-after-ms';

/** What a handler passes to its callback, or emits as 'error' on a stream. */
export function toGrpcError(cause: unknown): Partial<StatusObject> & Error {
  const error = asWmbError(cause);
  const metadata = new Metadata();
  metadata.set(CODE, error.code);
  if (error.retryAfterMs !== undefined) metadata.set(RETRY_AFTER, String(error.retryAfterMs));
  return Object.assign(new Error(error.message), { code: status[ERRORS[error.code].grpc], details: error.message, metadata });
}

/**
 * The WmbError behind a failed call. An error without our code comes from the transport, or from something that is not WMB: UNREACHABLE
 * when nobody answers at `address`, otherwise INTERNAL.
 */
export function fromGrpcError(cause: unknown, address: string): WmbError {
  const error = cause as Partial<ServiceError> & Error;
  const code = error.metadata?.get(CODE)[0]?.toString();
  if (code !== undefined && code in ERRORS) {
    const retryAfterMs = Number(error.metadata?.get(RETRY_AFTER)[0] ?? Number.NaN);
    return new WmbError(
      code as ErrorCode,
      error.details ?? error.message,
      Number.isNaN(retryAfterMs) ? { cause } : { cause, retryAfterMs },
    );
  }
  return new WmbError(foreignCode(error.code), `${address}: ${error.details ?? error.message}`, { cause });
}

function foreignCode(code: number | undefined): ErrorCode {
  switch (code) {
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
    case status.CANCELLED:
      return 'UNREACHABLE';
    case status.UNIMPLEMENTED:
      return 'PEER_GARBAGE';
    case status.RESOURCE_EXHAUSTED:
      return 'WRITE_TOO_LARGE';
    default:
      return 'INTERNAL';
  }
}
