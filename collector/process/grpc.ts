/**
 * Processors behind the gRPC service wmb.v1.Processor. A service that cannot be reached parks nothing: it throws
 * PROCESSOR_UNAVAILABLE and the lane waits. One that answers with an error, or not in time, parks that write request.
 */
import { connectivityState, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import { stampMs } from '../../core/stamp.ts';
import type { StampedWrite } from '../../core/words.ts';
import {
  type Column,
  ProcessorClient,
  type ProcessResponse,
  type Statement as WireStatement,
  type SqlValue as WireValue,
} from '../../proto/gen/wmb/v1/processor.ts';
import type { Row, SqlValue } from '../../store/database.ts';
import { type CheckedOutput, checkOutput } from './shape.ts';

const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

export class GrpcProcessor {
  readonly #address: string;
  readonly #concurrentMax: number;
  readonly #runtime: Runtime;
  readonly #client: ProcessorClient;
  /** Calls that wait for a place; at most one batch of write requests a lane. */
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: { readonly address: string; readonly concurrentMax: number; readonly runtime: Runtime }) {
    this.#address = options.address;
    this.#concurrentMax = options.concurrentMax;
    this.#runtime = options.runtime;
    this.#client = new ProcessorClient(options.address, credentials.createInsecure(), {
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2_000,
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 5_000,
    });
  }

  async run(write: StampedWrite, timeoutMs: number): Promise<CheckedOutput> {
    if (this.#running >= this.#concurrentMax) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return fromWire(await this.#call(write, timeoutMs));
    } finally {
      // The place goes straight to the next in line.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  close(): void {
    this.#client.close();
  }

  #call(write: StampedWrite, timeoutMs: number): Promise<ProcessResponse> {
    const { payload } = write;
    const request = {
      requestId: write.requestId,
      kind: write.kind,
      key: write.key,
      payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
      stamp: write.stamp,
      stampMs: stampMs(write.stamp),
      traceparent: write.trace,
    };
    return new Promise((resolve, reject) => {
      const options = { deadline: this.#runtime.nowMs() + timeoutMs };
      const deliver = (error: ServiceError | null, response: ProcessResponse) => {
        if (error === null) resolve(response);
        else reject(this.#failure(error, write, timeoutMs));
      };
      this.#client.process(request, new Metadata(), options, deliver);
    });
  }

  #failure(error: ServiceError, write: StampedWrite, timeoutMs: number): WmbError {
    const who = `the processor service ${this.#address}`;
    const connected = this.#client.getChannel().getConnectivityState(false) === connectivityState.READY;
    if (error.code === status.DEADLINE_EXCEEDED && connected) {
      return new WmbError('PROCESSOR_TIMEOUT', `${who} did not answer for the kind “${write.kind}” within ${timeoutMs} ms`, {
        cause: error,
      });
    }
    // Without a connection the deadline says nothing about this write request.
    if (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED || error.code === status.CANCELLED) {
      return new WmbError('PROCESSOR_UNAVAILABLE', `${who} cannot be reached (${error.details}); start it, the lane waits`, {
        cause: error,
      });
    }
    const name = status[error.code] ?? String(error.code);
    return new WmbError('PROCESSOR_FAILED', `${who} answered ${name}: ${error.details}`, { cause: error });
  }
}

function fromWire(response: ProcessResponse): CheckedOutput {
  return checkOutput({
    cache: response.commands.map((command) => command.args),
    database: response.statements.map(statementOf),
  });
}

function statementOf(wire: WireStatement): unknown {
  const { statement } = wire;
  if (statement === undefined) return undefined;
  if (statement.$case === 'sql') return { op: 'sql', text: statement.value.text, params: statement.value.params.map(sqlValueOf) };
  const { table, key, values } = statement.value;
  return { op: 'upsert', table, key: rowOf(key), values: rowOf(values) };
}

function rowOf(columns: readonly Column[]): Row {
  const row = Object.fromEntries(columns.map(({ name, value }) => [name, sqlValueOf(value)]));
  if (Object.keys(row).length === columns.length) return row;
  const twice = columns.find(({ name }, at) => columns.findIndex((column) => column.name === name) < at);
  throw new WmbError('PROCESSOR_FAILED', `the processor’s result is wrong: it names the column “${twice?.name}” twice`);
}

/** A value with nothing set is NULL. */
function sqlValueOf(wire: WireValue | undefined): SqlValue {
  return wire?.value === undefined ? null : wire.value.value;
}
