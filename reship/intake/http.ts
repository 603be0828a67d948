/**
 * Intake over plain HTTP: `POST /v1/writes?wait=applied&deadlineMs=2000`. The answer is NDJSON, one line per write request in their order. The
 * status is 200 where at least one was taken; otherwise it is that of the first error, so that a client that sends one
 * write request a call need not look into the body to know.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { asWmbError, ERRORS, WmbError } from '../../core/errors.ts';
import { describeError, type IncomingWrite, refused, type SubmitOptions, type WaitFor, type WriteResult } from './call.ts';
import { type ParsedWrite, parseBody } from './http-body.ts';
import type { Intake } from './intake.ts';
import { isTraceparent } from './validate.ts';

export interface WritesRouteOptions {
  readonly intake: Intake;
  /** A larger body is refused with 413. */
  readonly bodyBytesMax: number;
  /** All bodies that are being read or answered together; beyond it, 429. At least `bodyBytesMax`. */
  readonly bodiesBytesMax: number;
}

const WAITS: readonly WaitFor[] = ['logged', 'applied', 'everywhere'];
const PARAMETERS = ['wait', 'deadlineMs'];

/** A fastify plugin: `await app.register(writesRoute, { intake, … })`. */
export async function writesRoute(app: FastifyInstance, options: WritesRouteOptions): Promise<void> {
  const { intake, bodyBytesMax } = options;
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: bodyBytesMax }, (_request, body, done) => done(null, body));
  app.addHook('onRequest', bodyBudget(options));
  app.setErrorHandler((error, _request, reply) => answerError(reply, asCallError(error, bodyBytesMax)));
  app.post('/v1/writes', async (request, reply) => {
    const submitOptions = readQuery(request.query as Readonly<Record<string, unknown>>);
    const { 'content-encoding': encoding = 'identity' } = request.headers;
    if (encoding !== 'identity')
      throw new WmbError('WRITE_INVALID', `the body is sent with content-encoding ${encoding}; send it as it is`);
    const lines = /^application\/(x-)?(ndjson|jsonl)\b/i.test(request.headers['content-type'] ?? '');
    const parsed = parseBody(request.body instanceof Buffer ? request.body : Buffer.alloc(0), lines, headerTrace(request));
    return answer(reply, await submitParsed(intake, parsed, submitOptions));
  });
}

/** Submits what could be read and puts the errors of the rest in their places. */
async function submitParsed(intake: Intake, parsed: readonly ParsedWrite[], options: SubmitOptions): Promise<readonly WriteResult[]> {
  const good = parsed.filter((write): write is IncomingWrite => !('error' in write));
  const results = good.length === 0 ? [] : await intake.submit(good, options);
  let next = 0;
  return parsed.map((write) => {
    if ('error' in write) return refused(write.requestId, write.error);
    next += 1;
    return results[next - 1] as WriteResult;
  });
}

function answer(reply: FastifyReply, results: readonly WriteResult[]): FastifyReply {
  const body = results.map((result) => `${JSON.stringify(jsonResult(result))}\n`).join('');
  const first = results.every((result) => result.stamp === '') ? results[0]?.error : undefined;
  if (first !== undefined) setStatus(reply, first);
  return reply.type('application/x-ndjson; charset=utf-8').send(body);
}

function answerError(reply: FastifyReply, error: WmbError): FastifyReply {
  setStatus(reply, error);
  return reply.type('application/x-ndjson; charset=utf-8').send(`${JSON.stringify({ error: jsonError(error) })}\n`);
}

function jsonResult(result: WriteResult): object {
  const { requestId, stamp, position, outcome, error } = result;
  const taken = stamp === '' ? {} : { stamp, position };
  return {
    requestId,
    ...taken,
    ...(outcome === undefined ? {} : { outcome }),
    ...(error === undefined ? {} : { error: jsonError(error) }),
  };
}

function jsonError(error: WmbError): object {
  const { retryAfterMs, ...described } = describeError(error);
  return retryAfterMs === 0 ? described : { ...described, retryAfterMs };
}

function setStatus(reply: FastifyReply, error: WmbError): void {
  reply.code(ERRORS[error.code].http);
  if (error.retryAfterMs !== undefined) reply.header('retry-after', String(Math.ceil(error.retryAfterMs / 1_000)));
}

function readQuery(query: Readonly<Record<string, unknown>>): SubmitOptions {
  const { wait = 'logged', deadlineMs = '0' } = query;
  const unknown = Object.keys(query).find((name) => !PARAMETERS.includes(name));
  if (unknown !== undefined)
    throw new WmbError('WRITE_INVALID', `unknown query parameter ${JSON.stringify(unknown)}; there are ${PARAMETERS.join(' and ')}`);
  if (!WAITS.includes(wait as WaitFor)) throw new WmbError('WRITE_INVALID', `wait=${String(wait)}: it must be ${WAITS.join(', ')}`);
  if (!/^\d{1,9}$/.test(String(deadlineMs)))
    throw new WmbError('WRITE_INVALID', `deadlineMs=${String(deadlineMs)}: it must be a number of milliseconds`);
  return { wait: wait as WaitFor, deadlineMs: Number(deadlineMs) };
}

/** W3C: a malformed header is as good as none. */
function headerTrace(request: FastifyRequest): string {
  const { traceparent } = request.headers;
  return typeof traceparent === 'string' && isTraceparent(traceparent) ? traceparent : '';
}

/** Refuses before a body is read what all bodies together have no room for: many clients may not grow memory either. */
function bodyBudget(options: WritesRouteOptions): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  let heldBytes = 0;
  return async (request, reply) => {
    const declared = request.headers['content-length'];
    const bytes = Math.min(declared === undefined ? options.bodyBytesMax : Number(declared), options.bodyBytesMax);
    if (heldBytes + bytes > options.bodiesBytesMax) {
      throw new WmbError('OVERLOADED', `the bodies of other calls hold ${heldBytes} of ${options.bodiesBytesMax} bytes`, {
        retryAfterMs: 100,
      });
    }
    heldBytes += bytes;
    reply.raw.once('close', () => {
      heldBytes -= bytes;
    });
  };
}

function asCallError(error: unknown, bodyBytesMax: number): WmbError {
  const code = (error as { readonly code?: unknown }).code;
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new WmbError('WRITE_TOO_LARGE', `the body is over ${bodyBytesMax} bytes; send it in parts`);
  const statusCode = (error as { readonly statusCode?: unknown }).statusCode;
  if (typeof statusCode === 'number' && statusCode < 500) return new WmbError('WRITE_INVALID', (error as Error).message, { cause: error });
  return asWmbError(error);
}
