/** Processors as TypeScript (or JavaScript) modules: loaded at the start, called in this process. */
import { pathToFileURL } from 'node:url';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import { stampMs } from '../../core/stamp.ts';
import type { StampedWrite } from '../../core/words.ts';
import type { ProcessFunction, ProcessorInput, ProcessorModule } from './processor.ts';
import { type CheckedOutput, checkOutput } from './shape.ts';

/** Loads `file` and returns its function for each of `kinds`. PROCESSOR_MODULE, naming the file and what is missing. */
export async function loadModule(file: string, kinds: readonly string[]): Promise<ReadonlyMap<string, ProcessFunction>> {
  const broken = (what: string, cause?: unknown) =>
    new WmbError('PROCESSOR_MODULE', `the processor module ${file} ${what}`, cause === undefined ? {} : { cause });
  let loaded: Record<string, unknown>;
  try {
    loaded = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  } catch (cause) {
    throw broken(`cannot be loaded: ${asWmbError(cause).message}`, cause);
  }
  const module = loaded['processor'];
  if (module === undefined) throw broken('does not export “processor”; write: export const processor = defineProcessor({ … })');
  if (!isModule(module)) throw broken('exports a “processor” that defineProcessor did not make');
  const functions = new Map<string, ProcessFunction>();
  for (const kind of kinds) {
    const run = Object.hasOwn(module.kinds, kind) ? module.kinds[kind] : undefined;
    if (typeof run !== 'function')
      throw broken(`has no function for the kind “${kind}”; it has: ${Object.keys(module.kinds).join(', ') || 'none'}`);
    functions.set(kind, run);
  }
  return functions;
}

function isModule(value: unknown): value is ProcessorModule {
  return typeof value === 'object' && value !== null && 'kinds' in value && typeof value.kinds === 'object' && value.kinds !== null;
}

/** Calls a module's function. A synchronous one answers at once; an asynchronous one has `timeoutMs`. */
export function callModule(
  run: ProcessFunction,
  write: StampedWrite,
  timeoutMs: number,
  runtime: Runtime,
): CheckedOutput | Promise<CheckedOutput> {
  let output: unknown;
  try {
    output = run(new Input(write));
  } catch (cause) {
    throw thrown(cause);
  }
  return isPromise(output) ? inTime(output, write, timeoutMs, runtime).then(checkOutput) : checkOutput(output);
}

function inTime(output: PromiseLike<unknown>, write: StampedWrite, timeoutMs: number, runtime: Runtime): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const late = () =>
      reject(new WmbError('PROCESSOR_TIMEOUT', `the processor of the kind “${write.kind}” did not answer within ${timeoutMs} ms`));
    const timer = runtime.after(timeoutMs, late);
    const done = (settle: () => void) => {
      timer.cancel();
      settle();
    };
    output.then(
      (value) => done(() => resolve(value)),
      (cause: unknown) => done(() => reject(thrown(cause))),
    );
  });
}

function thrown(cause: unknown): WmbError {
  const said = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  return new WmbError('PROCESSOR_FAILED', `the processor threw ${said}`, { cause });
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** What a processor sees; JSON is parsed only for those who ask. */
class Input implements ProcessorInput {
  readonly requestId: string;
  readonly kind: string;
  readonly key: string;
  readonly payload: Uint8Array;
  readonly stamp: string;
  readonly trace: string;

  constructor(write: StampedWrite) {
    this.requestId = write.requestId;
    this.kind = write.kind;
    this.key = write.key;
    this.payload = write.payload;
    this.stamp = write.stamp;
    this.trace = write.trace;
  }

  get stampMs(): number {
    return stampMs(this.stamp);
  }

  json(): unknown {
    const { payload } = this;
    return JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8'));
  }
}
