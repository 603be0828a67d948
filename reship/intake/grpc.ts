/**
 * Intake over gRPC: `wmb.v1.Writes`. A unary call of which nothing could be taken because intake is full or shutting down fails as a call, with
 * the hint in the metadata that gRPC's own retry policies understand; in every other case each write request carries its own error.
 */
import { Metadata, type Server, type ServerDuplexStream, type ServerUnaryCall, type ServiceError, status } from '@grpc/grpc-js';
import { ERRORS, type WmbError } from '../../core/errors.ts';
import { Wakeup } from '../../core/flow/wakeup.ts';
import type { Outcome } from '../../core/words.ts';
import {
  type SubmitRequest,
  type SubmitResponse,
  Wait,
  Outcome as WireOutcome,
  type WriteResult as WireResult,
  type WritesServer,
  WritesService,
} from '../../proto/gen/wmb/v1/writes.ts';
import { describeError, type IncomingWrite, type WaitFor, type WriteResult } from './call.ts';
import type { Intake } from './intake.ts';
import { isTraceparent } from './validate.ts';

/** Batches of one stream that are not answered; while there are so many, or the client does not read its answers, no more is read from it. */
const STREAM_BATCHES_MAX = 32;

const WAITS: Readonly<Record<Wait, WaitFor>> = {
  [Wait.WAIT_UNSPECIFIED]: 'logged',
  [Wait.WAIT_LOGGED]: 'logged',
  [Wait.WAIT_APPLIED]: 'applied',
  [Wait.WAIT_EVERYWHERE]: 'everywhere',
};

const OUTCOMES: Readonly<Record<Outcome, WireOutcome>> = {
  applied: WireOutcome.OUTCOME_APPLIED,
  superseded: WireOutcome.OUTCOME_SUPERSEDED,
  duplicate: WireOutcome.OUTCOME_DUPLICATE,
  parked: WireOutcome.OUTCOME_PARKED,
  rejected: WireOutcome.OUTCOME_REJECTED,
};

export function addWritesService(server: Server, intake: Intake): void {
  const implementation: WritesServer = {
    submit: (call, callback) => {
      void submitUnary(intake, call).then(
        (response) => callback(null, response),
        (error: ServiceError) => callback(error),
      );
    },
    submitStream: (call) => void new SubmitStream(intake, call).run(),
  };
  server.addService(WritesService, implementation);
}

async function submitUnary(intake: Intake, call: ServerUnaryCall<SubmitRequest, SubmitResponse>): Promise<SubmitResponse> {
  const { results, response } = await submitBatch(intake, call.request, callTrace(call.metadata));
  const refusal = refusalOfAll(results);
  if (refusal !== undefined) throw serviceError(refusal);
  return response;
}

/** One stream of batches: reads while it may, answers in the order in which batches end. */
class SubmitStream {
  readonly #intake: Intake;
  readonly #stream: ServerDuplexStream<SubmitRequest, SubmitResponse>;
  readonly #trace: string;
  readonly #changed = new Wakeup();
  #inFlight = 0;
  #blocked = false;
  #broken = false;

  constructor(intake: Intake, stream: ServerDuplexStream<SubmitRequest, SubmitResponse>) {
    this.#intake = intake;
    this.#stream = stream;
    this.#trace = callTrace(stream.metadata);
    const broken = () => {
      this.#broken = true;
      this.#changed.wake();
    };
    // An error event that nobody listens to would end the process.
    stream.on('error', broken);
    stream.on('cancelled', broken);
    stream.on('drain', () => {
      this.#blocked = false;
      this.#changed.wake();
    });
  }

  async run(): Promise<void> {
    try {
      for await (const request of this.#stream as AsyncIterable<SubmitRequest>) {
        this.#inFlight += 1;
        void this.#answer(request);
        while (!this.#broken && (this.#blocked || this.#inFlight >= STREAM_BATCHES_MAX)) await this.#changed.wait();
      }
    } catch {
      // The client has gone or sent what is no message; grpc-js has told it. What was taken stays taken.
      this.#broken = true;
    }
    while (!this.#broken && this.#inFlight > 0) await this.#changed.wait();
    if (!this.#broken) this.#stream.end();
  }

  async #answer(request: SubmitRequest): Promise<void> {
    const { response } = await submitBatch(this.#intake, request, this.#trace);
    this.#inFlight -= 1;
    if (!this.#broken && !this.#stream.write(response)) this.#blocked = true;
    this.#changed.wake();
  }
}

async function submitBatch(
  intake: Intake,
  request: SubmitRequest,
  trace: string,
): Promise<{ results: readonly WriteResult[]; response: SubmitResponse }> {
  const writes: IncomingWrite[] = request.writes.map((write) => ({
    requestId: write.requestId,
    kind: write.kind,
    key: write.key,
    payload: write.payload,
    trace: write.traceparent === '' ? trace : write.traceparent,
  }));
  // A newer client may ask for a wait that this release does not know: the strongest one cannot tell it too little.
  const wait = WAITS[request.wait] ?? 'everywhere';
  const results = await intake.submit(writes, { wait, deadlineMs: request.deadlineMs });
  return { results, response: { results: results.map(wireResult), batchId: request.batchId } };
}

function wireResult(result: WriteResult): WireResult {
  const { requestId, stamp, position, outcome, error } = result;
  return {
    requestId,
    stamp,
    position,
    outcome: outcome === undefined ? WireOutcome.OUTCOME_UNSPECIFIED : OUTCOMES[outcome],
    error: error === undefined ? undefined : describeError(error),
  };
}

/** The error that kept every write request out, where it is one that a later retry of the whole call answers. */
function refusalOfAll(results: readonly WriteResult[]): WmbError | undefined {
  const refusing = ({ error }: WriteResult) => error?.code === 'OVERLOADED' || error?.code === 'DRAINING';
  return results.every(refusing) ? results[0]?.error : undefined;
}

function serviceError(error: WmbError): ServiceError {
  const metadata = new Metadata();
  const { code, message, retryAfterMs } = describeError(error);
  metadata.set('wmb-code', code);
  if (retryAfterMs > 0) {
    metadata.set('retry-after-ms', String(retryAfterMs));
    metadata.set('grpc-retry-pushback-ms', String(retryAfterMs));
  }
  return Object.assign(new Error(message), { code: status[ERRORS[error.code].grpc], details: message, metadata });
}

/** The trace context of the call, for write requests that bring none of their own. W3C: a malformed one is as good as none. */
function callTrace(metadata: Metadata): string {
  const [value] = metadata.get('traceparent');
  return typeof value === 'string' && isTraceparent(value) ? value : '';
}
