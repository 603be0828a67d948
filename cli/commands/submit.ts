/** `wmb submit`: one write request from the command line, or a few from stdin. */
import { text as readAll } from 'node:stream/consumers';
import { type Command, Option } from 'commander';
import { ERRORS, type ErrorCode, WmbError } from '../../core/errors.ts';
import { parseWriteJson, writeFromJson } from '../../core/write-json.ts';
import type { SubmitResponse, WriteRequest, WriteResult } from '../../proto/gen/wmb/v1/writes.ts';
import { CALL_MS_MAX, Clients } from '../clients.ts';
import { type ConfigOptions, type Context, configOf, configOption, type JsonOptions, jsonOption, roomOf, wholeNumber } from '../context.ts';
import { outcomeName } from '../outcome.ts';
import { printable } from '../table.ts';
import { newRequestId, toWire, WAITS, waitOf } from '../wire-write.ts';

interface SubmitOptions extends ConfigOptions, JsonOptions {
  readonly kind?: string;
  readonly key?: string;
  readonly payload?: string;
  readonly requestId?: string;
  readonly wait: string;
  readonly deadlineMs?: number;
  readonly room?: string;
}

const EXAMPLES = `
Examples:
  wmb submit --key user:7 --payload '[["HSET","user:7","name","Li"]]' --wait applied
  wmb submit --kind message --key user:7 --payload '{"from":7,"to":8,"at":1082040961}'
  echo '{"kind":"cache","key":"k","payload":[["SET","k","v"]]}' | wmb submit -`;

/** How long the call may take beyond the wait itself. */
const WAIT_MS_DEFAULT = 30_000;

export function addSubmitCommand(program: Command, context: Context): void {
  program
    .command('submit')
    .description('submit a write request; or several from stdin, one JSON object a line')
    .argument('[-]', 'read NDJSON write requests from stdin')
    .option('--kind <kind>', 'kind of the write request (default: cache)')
    .option('--key <key>', 'ordering key')
    .option('--payload <text>', 'payload, as the kind’s processor takes it; for kind cache a JSON array of commands')
    .option('--request-id <id>', 'globally unique; submitting it again has no second effect (default: made)')
    .addOption(new Option('--wait <for>', 'what to wait for').choices(WAITS).default('logged'))
    .option('--deadline-ms <n>', 'how long to wait beyond logged (default: the room’s)', wholeNumber('--deadline-ms', 1))
    .option('--room <room>', 'the room to submit in (default: this one)')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', EXAMPLES)
    .action((source: string | undefined, options: SubmitOptions) => submit(context, source, options));
}

async function submit(context: Context, source: string | undefined, options: SubmitOptions): Promise<void> {
  const config = configOf(options);
  const room = roomOf(config, options.room);
  const given = source === undefined ? [fromOptions(options)] : await fromStdin(source, options);
  const writes = given.flatMap((line) => ('error' in line ? [] : [withId(context, line)]));
  const deadlineMs = options.deadlineMs ?? 0;
  const callMsMax = CALL_MS_MAX + (options.deadlineMs ?? WAIT_MS_DEFAULT);
  const request = { writes, wait: waitOf(options.wait), deadlineMs, batchId: 0 };
  const taken = await Clients.with(config, context.runtime, (clients) =>
    clients.writes<SubmitResponse>(room, (client, ...rest) => client.submit(request, ...rest), callMsMax),
  );
  // What could not be read keeps its place among the results.
  const answers = [...taken.results];
  const results = given.flatMap((line) => ('error' in line ? [line] : answers.splice(0, 1)));
  for (const result of results) context.print(options.json ? JSON.stringify(resultJson(result)) : resultLine(result));
  failOn(results);
}

function fromOptions({ kind = 'cache', key, payload, requestId = '' }: SubmitOptions): WriteRequest {
  if (key === undefined) throw new WmbError('USAGE', 'wmb submit needs --key and --payload (or - to read stdin)');
  if (payload === undefined) throw new WmbError('USAGE', 'wmb submit needs --payload');
  return { requestId, kind, key, payload: Buffer.from(payload), traceparent: '' };
}

async function fromStdin(
  source: string,
  { kind, key, payload, requestId }: SubmitOptions,
): Promise<readonly (WriteRequest | WriteResult)[]> {
  if (source !== '-')
    throw new WmbError('USAGE', `“${source}” is not understood; give options, or - to read stdin (wmb replay reads files)`);
  if ([kind, key, payload, requestId].some((option) => option !== undefined))
    throw new WmbError('USAGE', 'with - every line says its own kind, key, payload and requestId');
  const lines = (await readAll(process.stdin)).split('\n');
  const writes = lines.flatMap((line, index) => (line.trim() === '' ? [] : [fromLine(line, index + 1)]));
  if (writes.length === 0) throw new WmbError('USAGE', 'stdin held no write request');
  return writes;
}

/** The write request of a line, or the result that says why it is none: the other lines are unaffected. */
function fromLine(line: string, lineNumber: number): WriteRequest | WriteResult {
  try {
    return toWire(writeFromJson(parseWriteJson(line)));
  } catch (cause) {
    const error = { code: 'WRITE_INVALID', message: `line ${lineNumber}: ${(cause as Error).message}`, retry: 'never', retryAfterMs: 0 };
    return { requestId: '', stamp: '', position: '', outcome: 0, error };
  }
}

function withId({ runtime }: Context, write: WriteRequest): WriteRequest {
  return write.requestId === '' ? { ...write, requestId: newRequestId(runtime) } : write;
}

function resultJson({ requestId, stamp, position, outcome, error }: WriteResult): object {
  const taken = stamp === '' ? {} : { stamp, position };
  const name = outcomeName(outcome);
  return { requestId, ...taken, ...(name === '' ? {} : { outcome: name }), ...(error === undefined ? {} : { error }) };
}

function resultLine({ requestId, stamp, position, outcome, error }: WriteResult): string {
  const done = stamp === '' ? 'not taken' : `${position}  ${stamp}  ${outcomeName(outcome) || 'logged'}`;
  return printable(`${requestId}  ${done}${error === undefined ? '' : `  ${error.code}: ${error.message}`}`);
}

/** The first error decides the exit code; the others have been printed. */
function failOn(results: readonly WriteResult[]): void {
  const failed = results.flatMap(({ error }) => (error === undefined ? [] : [error]));
  const first = failed[0];
  if (first === undefined) return;
  const code = Object.hasOwn(ERRORS, first.code) ? (first.code as ErrorCode) : 'INTERNAL';
  throw new WmbError(
    code,
    results.length === 1 ? first.message : `${failed.length} of ${results.length} write requests failed, the first with: ${first.message}`,
  );
}
