/** Calls from a command to the daemons of any room of the topology, each with a deadline, each failing with a WmbError that names who did not answer. */
import {
  type CallOptions,
  ChannelCredentials,
  type Client,
  type ClientReadableStream,
  connectivityState,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import type { Config } from '../core/config/types.ts';
import { type ErrorCode, WmbError } from '../core/errors.ts';
import type { Runtime } from '../core/runtime.ts';
import { roomEntry } from '../core/topology.ts';
import type { RoomId } from '../core/words.ts';
import { fromGrpcError } from '../daemon/grpc-errors.ts';
import { readTls } from '../daemon/tls.ts';
import { CollectorClient, ReshipClient } from '../proto/gen/wmb/v1/admin.ts';
import { CheckerClient } from '../proto/gen/wmb/v1/checker.ts';
import { WritesClient } from '../proto/gen/wmb/v1/writes.ts';

export type DaemonName = 'reship' | 'collector' | 'checker';

/** Long enough for a busy daemon over a long line, short enough for a person who waits. */
export const CALL_MS_MAX = 5_000;
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
/** A stream that is silent for good reasons must be told from one whose other end is gone. */
const KEEPALIVE = { 'grpc.keepalive_time_ms': 5_000, 'grpc.keepalive_timeout_ms': 5_000, 'grpc.enable_retries': 0 };

type Answer<T> = (error: ServiceError | null, response: T) => void;
type StartCall<C, T> = (client: C, metadata: Metadata, options: Partial<CallOptions>, answer: Answer<T>) => unknown;

export class Clients {
  readonly config: Config;
  readonly #runtime: Runtime;
  readonly #credentials: ChannelCredentials;
  readonly #open = new Map<string, Client>();

  constructor(config: Config, runtime: Runtime) {
    this.config = config;
    this.#runtime = runtime;
    this.#credentials = clientCredentials(config);
  }

  /** `use` with clients that are closed afterwards. */
  static async with<T>(config: Config, runtime: Runtime, use: (clients: Clients) => Promise<T>): Promise<T> {
    const clients = new Clients(config, runtime);
    try {
      return await use(clients);
    } finally {
      clients.close();
    }
  }

  reship<T>(room: RoomId, start: StartCall<ReshipClient, T>, msMax = CALL_MS_MAX): Promise<T> {
    return this.#call({ room, daemon: 'reship', client: this.#client(ReshipClient, room, 'reship'), start, msMax });
  }

  collector<T>(room: RoomId, start: StartCall<CollectorClient, T>, msMax = CALL_MS_MAX): Promise<T> {
    return this.#call({ room, daemon: 'collector', client: this.#client(CollectorClient, room, 'collector'), start, msMax });
  }

  writes<T>(room: RoomId, start: StartCall<WritesClient, T>, msMax = CALL_MS_MAX): Promise<T> {
    return this.#call({ room, daemon: 'reship', client: this.writesClient(room), start, msMax });
  }

  /** For streams. */
  writesClient(room: RoomId): WritesClient {
    return this.#client(WritesClient, room, 'reship');
  }

  /** Rejects with CHECKER_ABSENT where the room has none. */
  async checker<T>(room: RoomId, start: StartCall<CheckerClient, T>, msMax = CALL_MS_MAX): Promise<T> {
    return this.#call({ room, daemon: 'checker', client: this.#client(CheckerClient, room, 'checker'), start, msMax });
  }

  /** What the room’s checker says, message by message, until it ends the stream, breaks off (rejects) or `signal` aborts (ends). */
  async *checkerStream<T>(
    room: RoomId,
    start: (client: CheckerClient) => ClientReadableStream<T>,
    signal?: AbortSignal,
  ): AsyncGenerator<T, void, undefined> {
    const client = this.#client(CheckerClient, room, 'checker');
    const stream = start(client);
    const cancel = () => stream.cancel();
    // Pings begin with the session: of who takes the connection and says nothing they do not tell.
    const dial = this.#runtime.after(CALL_MS_MAX, () => {
      if (client.getChannel().getConnectivityState(false) !== connectivityState.READY) stream.destroy(new DialError());
    });
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      for await (const message of stream) yield message as T;
    } catch (error) {
      if (!signal?.aborted) throw this.failure(room, 'checker', error);
    } finally {
      dial.cancel();
      signal?.removeEventListener('abort', cancel);
      stream.cancel();
    }
  }

  /** host:port of the room’s daemon, from the address book. */
  address(room: RoomId, daemon: DaemonName): string {
    const entry = roomEntry(this.config.topology, room);
    if (entry === undefined) throw new WmbError('ROOM_UNKNOWN', `there is no room “${room}” in the topology`);
    const addresses = entry[daemon];
    if (addresses === undefined) throw new WmbError('CHECKER_ABSENT', `room ${room} has no checker in the topology`);
    return addresses.grpc;
  }

  /** The failure of a call to a room’s daemon, for people. */
  failure(room: RoomId, daemon: DaemonName, cause: unknown): WmbError {
    const who = `${daemon} of ${room} at ${this.address(room, daemon)}`;
    const error = fromGrpcError(cause, who);
    if (error.code !== 'UNREACHABLE') return error;
    const reason = /E[A-Z]{4,}/.exec(error.message)?.[0] ?? (/deadline/i.test(error.message) ? 'no answer in time' : undefined);
    return new WmbError('UNREACHABLE', `${who} does not answer${reason === undefined ? '' : ` (${reason})`}`, { cause });
  }

  /** A room that answers, or breaks off, without taking anything. `code`: why. */
  stuck(room: RoomId, { code, message }: { readonly code: ErrorCode; readonly message: string }): WmbError {
    return new WmbError(code, `reship of ${room} has taken nothing for too long: ${message}`);
  }

  close(): void {
    for (const client of this.#open.values()) client.close();
    this.#open.clear();
  }

  #call<C, T>(call: { room: RoomId; daemon: DaemonName; client: C; start: StartCall<C, T>; msMax: number }): Promise<T> {
    const deadline = this.#runtime.nowMs() + call.msMax;
    return new Promise((resolve, reject) => {
      call.start(call.client, new Metadata(), { deadline }, (error, response) => {
        if (error === null) resolve(response);
        else reject(this.failure(call.room, call.daemon, error));
      });
    });
  }

  #client<C extends Client>(Constructor: ClientConstructor<C>, room: RoomId, daemon: DaemonName): C {
    const key = `${Constructor.serviceName}/${room}`;
    const known = this.#open.get(key) as C | undefined;
    if (known !== undefined) return known;
    const client = new Constructor(this.address(room, daemon), this.#credentials, {
      'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
      ...KEEPALIVE,
    });
    this.#open.set(key, client);
    return client;
  }
}

/** As gRPC says it of a call with a deadline. */
class DialError extends Error {
  readonly code = status.DEADLINE_EXCEEDED;

  constructor() {
    super('no session before the deadline');
  }
}

interface ClientConstructor<C> {
  new (address: string, credentials: ChannelCredentials, options?: object): C;
  readonly serviceName: string;
}

function clientCredentials({ room: { tls } }: Config): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const { ca, cert, key } = readTls(tls);
  return ChannelCredentials.createSsl(ca, key, cert);
}
