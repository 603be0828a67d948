/** What goes through intake: write requests as they come in, the call that brought them, and what each of them gets back. */
import { ERRORS, type WmbError } from '../../core/errors.ts';
import type { Stamp } from '../../core/stamp.ts';
import type { Outcome, WriteRequest } from '../../core/words.ts';

/** A write request that nobody has checked yet; an empty request id asks for one to be made. */
export type IncomingWrite = WriteRequest;

/**
 * What a call waits for: that its write requests are durable in this room's log (`logged`), that this room's cache has them
 * (`applied`: read your own write), or that every room's mark has passed them (`everywhere`).
 */
export type WaitFor = 'logged' | 'applied' | 'everywhere';

export interface SubmitOptions {
  readonly wait: WaitFor;
  /** How long to wait beyond `logged`; 0: the room's default. Never longer than WAIT_MS_MAX. */
  readonly deadlineMs: number;
  /** The caller has checked its write requests (validate.ts), and may submit kinds of WMB's own. */
  readonly checked?: boolean;
}

export const WAIT_MS_MAX = 3_600_000;

/** Not taken: `stamp` and `position` are empty and `error` says why. Taken: both are set; `error` only where the wait ran out. */
export interface WriteResult {
  readonly requestId: string;
  readonly stamp: Stamp;
  /** As `formatPosition` writes it. */
  readonly position: string;
  /** This room's receipt, where the caller waited for it and it is known. */
  readonly outcome: Outcome | undefined;
  readonly error: WmbError | undefined;
}

export type OpenResult = { -readonly [Field in keyof WriteResult]: WriteResult[Field] };

/** One call of `submit` on its way: one promise for all of its write requests. */
export interface Call {
  readonly results: OpenResult[];
  readonly options: SubmitOptions;
  readonly startedMs: number;
  readonly resolve: (results: readonly WriteResult[]) => void;
}

/** The write requests of one call that lie next to each other in one frame, from place `firstIndex` on. */
export interface Segment {
  readonly call: Call;
  readonly firstIndex: number;
  /** Their places in the call's results. */
  readonly slots: number[];
}

export function refused(requestId: string, error: WmbError): OpenResult {
  return { requestId, stamp: '', position: '', outcome: undefined, error };
}

/** An error as gRPC and HTTP answers carry it; `retryAfterMs` 0: no hint. */
export function describeError(error: WmbError): { code: string; message: string; retry: string; retryAfterMs: number } {
  return { code: error.code, message: error.message, retry: ERRORS[error.code].retry, retryAfterMs: Math.ceil(error.retryAfterMs ?? 0) };
}
