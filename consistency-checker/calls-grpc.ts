/** Calls of the checker to other daemons over gRPC: each with a deadline, each failing with a WmbError that names who did not answer, or answered what it may not. */
import { type CallOptions, type ChannelCredentials, type Client, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { ERRORS, type ErrorCode, WmbError } from '../core/errors.ts';
import type { Runtime } from '../core/runtime.ts';
import type { RoomId } from '../core/words.ts';
import { fromGrpcError } from '../daemon/grpc-errors.ts';
import { dialerCredentials, type LinkTls } from '../link/rpc/channel.ts';

export interface CallTarget {
  /** For people: `collector of beijing`. */
  readonly who: string;
  /** Whose certificate it must show over TLS. */
  readonly room: RoomId;
  /** host:port. */
  readonly address: string;
  readonly tls: LinkTls | undefined;
  readonly runtime: Runtime;
  /** UNREACHABLE for a daemon of this room, PEER_UNREACHABLE for one of another. */
  readonly silence: 'UNREACHABLE' | 'PEER_UNREACHABLE';
  /** Default: {@link CALL_MS_MAX}. */
  readonly callMsMax?: number;
}

/** Long enough for a busy daemon over a long line. */
export const CALL_MS_MAX = 5_000;
/** What claims to be larger is not taken. */
const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;

const CHANNEL = {
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  // A connection whose other end is gone without a word is noticed, and dialled again soon: rounds are seconds apart.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.min_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.enable_http_proxy': 0,
};

type Answer<T> = (error: ServiceError | null, response: T) => void;
export type StartCall<C, T> = (client: C, metadata: Metadata, options: Partial<CallOptions>, answer: Answer<T>) => unknown;
type ClientConstructor<C> = new (address: string, credentials: ChannelCredentials, options?: object) => C;

export class Calls<C extends Client> {
  readonly #target: CallTarget;
  readonly #client: C;

  constructor(Constructor: ClientConstructor<C>, target: CallTarget) {
    this.#target = target;
    // Named by its room, also where the address is a bare IP, which TLS does not allow as a server name.
    const options = { ...CHANNEL, ...(target.tls === undefined ? {} : { 'grpc.ssl_target_name_override': target.room }) };
    this.#client = new Constructor(target.address, dialerCredentials(target.tls, target.room), options);
  }

  unary<T>(start: StartCall<C, T>): Promise<T> {
    const { runtime, callMsMax = CALL_MS_MAX } = this.#target;
    const deadline = runtime.nowMs() + callMsMax;
    return new Promise((resolve, reject) => {
      start(this.#client, new Metadata(), { deadline }, (error, response) => {
        if (error === null) resolve(response);
        else reject(this.#failure(error));
      });
    });
  }

  /** What came is no answer. */
  garbage(what: string): WmbError {
    return new WmbError('PEER_GARBAGE', `${this.#name} answered what cannot be: ${what}`);
  }

  close(): void {
    this.#client.close();
  }

  get #name(): string {
    return `${this.#target.who} at ${this.#target.address}`;
  }

  #failure(error: ServiceError): WmbError {
    const known = error.metadata?.get('wmb-code')[0]?.toString();
    if (known !== undefined && known in ERRORS) {
      const { code, message, retryAfterMs } = fromGrpcError(error, this.#name);
      return new WmbError(code, `${this.#name}: ${message}`, retryAfterMs === undefined ? {} : { retryAfterMs });
    }
    const [code, what] = this.#meaning(error);
    return new WmbError(code, `${this.#name} ${what}`, { cause: error });
  }

  /** Of an error that is not WMB's own: it comes from the transport, or from something that is no checker. */
  #meaning({ code, details = '' }: ServiceError): readonly [ErrorCode, string] {
    const { silence, callMsMax = CALL_MS_MAX } = this.#target;
    if (details.includes('certificate does not name')) return ['IDENTITY_REFUSED', `cannot be trusted: ${details}`];
    if (code === status.DEADLINE_EXCEEDED) return [silence, `did not answer within ${callMsMax} ms`];
    const isGarbage = /protocol error|parse error/i.test(details);
    if ((code === status.UNAVAILABLE || code === status.CANCELLED) && !isGarbage) return [silence, `does not answer${reasonOf(details)}`];
    if (code === status.RESOURCE_EXHAUSTED) return ['WRITE_TOO_LARGE', `answered more than ${MESSAGE_BYTES_MAX} bytes: ${details}`];
    return ['PEER_GARBAGE', `does not speak the checker’s protocol: ${details}`];
  }
}

/** `ECONNREFUSED` says more than the sentence around it. */
function reasonOf(details: string): string {
  const reason = /E[A-Z]{4,}/.exec(details)?.[0];
  return reason === undefined ? '' : ` (${reason})`;
}
