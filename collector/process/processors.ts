/**
 * All processors of the room, by kind: the built-in ones for `cache`, for the checker's canaries and for records that intake refused, modules and gRPC services. What they answer is checked and compiled
 * into effects here, so that everything behind this door is known to be well formed.
 *
 * A synchronous processor answers without a promise: at tens of thousands of write requests a second the promises would cost more
 * than the work.
 */
import { CANARY_KIND } from '../../core/canary.ts';
import type { Config, ProcessorConfig } from '../../core/config/types.ts';
import { compileCommands, parseCachePayload } from '../../core/converge/commands.ts';
import type { Effect } from '../../core/converge/effects.ts';
import { asWmbError, type ErrorCode, WmbError } from '../../core/errors.ts';
import { REFUSED_RECORD_KIND, tellRefusedRecord } from '../../core/refused-record.ts';
import type { Runtime } from '../../core/runtime.ts';
import { processesWrites } from '../../core/topology.ts';
import type { StampedWrite } from '../../core/words.ts';
import type { Statement } from '../../store/database.ts';
import { GrpcProcessor } from './grpc.ts';
import { callModule, loadModule } from './module.ts';
import type { CheckedOutput } from './shape.ts';

export interface Processed {
  /** As the effect log carries them. */
  readonly commands: readonly (readonly string[])[];
  readonly effects: readonly Effect[];
  readonly statements: readonly Statement[];
}

type Handler = (write: StampedWrite) => CheckedOutput | Promise<CheckedOutput>;

const NOTHING: CheckedOutput = { commands: [], statements: [] };

export class Processors {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #handlers = new Map<string, Handler>();
  readonly #services = new Map<string, GrpcProcessor>();

  constructor(options: { readonly config: Config; readonly runtime: Runtime }) {
    this.#config = options.config;
    this.#runtime = options.runtime;
    this.#handlers.set(CANARY_KIND, () => NOTHING);
    this.#handlers.set(REFUSED_RECORD_KIND, ({ payload }) => {
      throw new WmbError('RECORD_REFUSED', tellRefusedRecord(payload));
    });
    this.#handlers.set('cache', (write) => ({ commands: parseCachePayload(write.payload), statements: [] }));
  }

  /** Loads the modules. PROCESSOR_MODULE where one cannot be used. */
  async open(): Promise<void> {
    const { topology, room } = this.#config;
    if (!processesWrites(topology, room.id)) return;
    const byFile = new Map<string, string[]>();
    for (const [kind, entry] of Object.entries(room.processors)) {
      if (entry.type === 'module') byFile.set(entry.file, [...(byFile.get(entry.file) ?? []), kind]);
      else this.#handlers.set(kind, this.#grpcHandler(entry));
    }
    for (const [file, kinds] of byFile) {
      for (const [kind, run] of await loadModule(file, kinds)) {
        const timeoutMs = room.processors[kind]?.timeoutMs ?? 0;
        this.#handlers.set(kind, (write) => callModule(run, write, timeoutMs, this.#runtime));
      }
    }
  }

  #grpcHandler(entry: Extract<ProcessorConfig, { type: 'grpc' }>): Handler {
    let service = this.#services.get(entry.address);
    if (service === undefined) {
      service = new GrpcProcessor({ address: entry.address, concurrentMax: entry.concurrentMax, runtime: this.#runtime });
      this.#services.set(entry.address, service);
    }
    const client = service;
    return (write) => client.run(write, entry.timeoutMs);
  }

  /**
   * Throws, or rejects with, PROCESSOR_FAILED, PROCESSOR_TIMEOUT or RECORD_REFUSED where this write request cannot be processed, and
   * PROCESSOR_UNAVAILABLE where none can.
   */
  run(write: StampedWrite): Processed | Promise<Processed> {
    const handler = this.#handlers.get(write.kind);
    if (handler === undefined) {
      throw new WmbError(
        'PROCESSOR_FAILED',
        `no processor for the kind “${write.kind}” in this room; name one in the room file’s processors`,
      );
    }
    let output: CheckedOutput | Promise<CheckedOutput>;
    try {
      output = handler(write);
    } catch (cause) {
      throw failed(cause);
    }
    return output instanceof Promise ? output.then((done) => compile(done, write)) : compile(output, write);
  }

  async close(): Promise<void> {
    for (const service of this.#services.values()) service.close();
  }
}

function compile(output: CheckedOutput, write: StampedWrite): Processed {
  try {
    return { commands: output.commands, effects: compileCommands(output.commands, write.stamp), statements: output.statements };
  } catch (cause) {
    throw failed(cause);
  }
}

/** Whether a processor's failure with this code concerns one write request only, which is then parked. */
export function parks(code: ErrorCode): boolean {
  return code === 'PROCESSOR_FAILED' || code === 'PROCESSOR_TIMEOUT' || code === 'RECORD_REFUSED';
}

/** What parse and compile find wrong is the processor's failure here: intake lets no such payload of the kind `cache` in. */
function failed(cause: unknown): WmbError {
  const error = asWmbError(cause);
  if (parks(error.code) || error.code === 'PROCESSOR_UNAVAILABLE') return error;
  return new WmbError('PROCESSOR_FAILED', error.message, { cause });
}
