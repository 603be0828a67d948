/**
 * The HTTP side of every daemon: /healthz (the process is alive), /readyz (503 with the reasons while it is not ready for traffic),
 * /metrics (Prometheus). Other parts put their routes on `app` before the service starts. Every error body is
 * `{"error":{"code","message","retry","retryAfterMs"?}}` with the HTTP status of the error table.
 */
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import { KEY_BYTES_MAX } from '../core/converge/command-args.ts';
import { asWmbError, ERRORS, WmbError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { formatAddress, listenError, parseAddress } from './listen.ts';
import type { PrometheusMetrics } from './metrics.ts';
import type { Readiness } from './readiness.ts';
import type { Service } from './service.ts';

export interface OpsHttpOptions {
  /** host:port to listen on. */
  readonly address: string;
  /** Larger request bodies are refused with WRITE_TOO_LARGE. */
  readonly bodyBytesMax: number;
  readonly readiness: Readiness;
  readonly metrics: PrometheusMetrics;
  readonly logger: Logger;
}

const METHODS = ['GET', 'POST'] as const;

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly retry: string; readonly retryAfterMs?: number };
}

export class OpsHttp implements Service {
  readonly name = 'http';
  readonly app: FastifyInstance;
  readonly #options: OpsHttpOptions;

  constructor(options: OpsHttpOptions) {
    this.#options = options;
    this.app = fastify({
      bodyLimit: options.bodyBytesMax,
      forceCloseConnections: true,
      // In characters: a key in a path.
      routerOptions: { maxParamLength: KEY_BYTES_MAX },
      // A path that is no valid percent-encoding never reaches a route.
      frameworkErrors: (error, _request, reply) => answerError(error, reply, options.logger),
    });
    this.app.setErrorHandler((error, _request, reply) => answerError(error, reply, options.logger));
    this.app.setNotFoundHandler((request) => {
      throw new WmbError('NOT_FOUND', `no such resource: ${request.method} ${request.url}${this.#othersText(request.url)}`);
    });
    this.#addRoutes();
  }

  /** host:port as bound; known after start. */
  get address(): string {
    const bound = this.app.addresses()[0];
    if (bound === undefined || typeof bound === 'string') return this.#options.address;
    return formatAddress({ host: bound.address, port: bound.port });
  }

  async start(): Promise<void> {
    try {
      await this.app.listen(parseAddress(this.#options.address));
    } catch (error) {
      if (error instanceof WmbError) throw error;
      throw listenError(error, 'http', this.#options.address);
    }
    this.#options.logger.info({ address: this.address }, 'http listens');
  }

  async stop(): Promise<void> {
    await this.app.close();
  }

  /** Somebody looks at a resource with a browser that only takes POST. */
  #othersText(url: string): string {
    const path = url.split('?')[0] ?? '';
    const taken = METHODS.filter((method) => this.app.findRoute({ url: path, method }) !== null);
    return taken.length === 0 ? '' : `; it takes ${taken.join(', ')}`;
  }

  #addRoutes(): void {
    const { readiness, metrics } = this.#options;
    this.app.get('/healthz', () => ({ status: 'alive' }));
    this.app.get('/readyz', (_request, reply) => {
      const reasons = readiness.reasons();
      reply.code(reasons.length === 0 ? 200 : 503).send({ ready: reasons.length === 0, reasons });
    });
    this.app.get('/metrics', async (_request, reply) => {
      reply.type(metrics.contentType).send(await metrics.text());
    });
  }
}

/** The body for an error; also for errors of single lines within an answer. */
export function errorBody(error: WmbError): ErrorBody {
  const { code, message, retry, retryAfterMs } = error;
  return { error: { code, message, retry, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) } };
}

function answerError(cause: unknown, reply: FastifyReply, logger: Logger): void {
  const error = fromFastify(cause);
  if (error.code === 'INTERNAL') logger.error({ err: cause }, 'http request failed');
  if (error.retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(error.retryAfterMs / 1000));
  reply.code(ERRORS[error.code].http).send(errorBody(error));
}

/** What fastify itself refuses (sizes, content types, broken JSON) has a status but no code of ours. */
function fromFastify(cause: unknown): WmbError {
  const status = cause instanceof Error ? (cause as Error & { statusCode?: number }).statusCode : undefined;
  if (cause instanceof WmbError || status === undefined || status >= 500) return asWmbError(cause);
  const message = (cause as Error).message;
  return new WmbError(status === 413 ? 'WRITE_TOO_LARGE' : 'WRITE_INVALID', message, { cause });
}
