/**
 * The gRPC side of every daemon: services are added to `server` before start; reflection is on, so that grpcurl and the like work without
 * the proto files; grpc.health.v1 answers from the daemon's readiness.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  logVerbosity,
  Server,
  ServerCredentials,
  type ServerOptions,
  type ServiceDefinition,
  setLogVerbosity,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import type { TlsFiles } from '../core/config/types.ts';
import type { Logger } from '../core/logger.ts';
import { type Runtime, sleep } from '../core/runtime.ts';
import { addHealthService } from './grpc-health.ts';
import { formatAddress, listenError, parseAddress } from './listen.ts';
import type { Readiness } from './readiness.ts';
import type { Service } from './service.ts';
import { readTls } from './tls.ts';

export interface GrpcServerOptions {
  /** host:port to listen on. */
  readonly address: string;
  /** With TLS both sides show a certificate of this authority. */
  readonly tls: TlsFiles | undefined;
  readonly readiness: Readiness;
  readonly runtime: Runtime;
  readonly logger: Logger;
}

/** What fails is told by us, once and with a code; the library's own lines on stderr would stand between the log's. */
setLogVerbosity(logVerbosity.NONE);

/** A batch of the largest frames fits; what is larger is an error of the sender. */
export const GRPC_MESSAGE_BYTES_MAX = 32 * 1024 * 1024;

/** Answers under way get this long to leave before connections are cut. Long-lived streams have been ended by their own drains. */
const GOODBYE_MS = 250;

const OPTIONS: ServerOptions = {
  'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': GRPC_MESSAGE_BYTES_MAX,
  // A client that vanished without a word is noticed within half a minute, instead of holding its streams for ever.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
};

export class GrpcServer implements Service {
  readonly name = 'grpc';
  readonly #server = new ListedServer(OPTIONS);
  readonly #options: GrpcServerOptions;
  #port: number | undefined;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    addHealthService(this.#server, options.readiness, this.#server.services);
  }

  /** Services are added to it before start. */
  get server(): Server {
    return this.#server;
  }

  /** host:port as bound; known after start. */
  get address(): string {
    const { host, port } = parseAddress(this.#options.address);
    return formatAddress({ host, port: this.#port ?? port });
  }

  async start(): Promise<void> {
    const { address, tls, logger } = this.#options;
    parseAddress(address);
    new ReflectionService(loadProtos(), { services: this.#server.services }).addToServer(this.#server);
    const credentials = serverCredentials(tls);
    this.#port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, port) =>
        error === null ? resolve(port) : reject(listenError(error, 'grpc', address)),
      );
    });
    logger.info({ address: this.address, tls: tls !== undefined }, 'grpc listens');
  }

  async stop(): Promise<void> {
    const left = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    await Promise.race([left, sleep(this.#options.runtime, GOODBYE_MS)]);
    this.#server.forceShutdown();
  }
}

/** Remembers which services it serves, because reflection must not offer others. */
class ListedServer extends Server {
  readonly services: string[] = [];

  override addService(service: ServiceDefinition, implementation: UntypedServiceImplementation): void {
    super.addService(service, implementation);
    const path = Object.values(service)[0]?.path ?? '';
    this.services.push(path.split('/')[1] ?? '');
  }
}

function serverCredentials(tls: TlsFiles | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const { ca, cert, key } = readTls(tls);
  return ServerCredentials.createSsl(ca, [{ cert_chain: cert, private_key: key }], true);
}

/** The .proto files lie in proto/ beside this folder, in the sources as in dist/. */
function loadProtos(): ReturnType<typeof loadSync> {
  const directory = fileURLToPath(new URL('../proto/', import.meta.url));
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.proto'));
  return loadSync(files, { includeDirs: [directory], keepCase: true });
}
