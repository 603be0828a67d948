/**
 * The collector's end over gRPC. Control and frames are two streams on two connections: streams of one connection share its window and
 * its place in the line, so megabytes of frames would stand before every ack and pulse.
 */
import { type ClientDuplexStream, type ClientReadableStream, type ServiceError, status } from '@grpc/grpc-js';
import { asWmbError, WmbError } from '../../core/errors.ts';
import type { Runtime } from '../../core/runtime.ts';
import { type FrameBatch, LinkClient, type SessionDown, type SessionUp } from '../../proto/gen/wmb/v1/link.ts';
import type { Downward, Hello, LinkDialer, LinkFrame, LinkSession, Upward, Welcome } from '../link.ts';
import {
  type AckMessage,
  acksToWire,
  downwardFromWire,
  framesFromWire,
  garbage,
  helloToWire,
  upwardToWire,
  welcomeFromWire,
} from '../wire.ts';
import { ControlWriter, controlBytes, DIALER_OPTIONS, dialerCredentials, type LinkTls } from './channel.ts';

export interface RpcDialerOptions {
  readonly runtime: Runtime;
  readonly tls?: LinkTls | undefined;
  /** How long the peer may take to answer a hello. */
  readonly answerMsMax?: number;
}

const ANSWER_MS_MAX = 10_000;
/** How long a closed session may take to hand over its last acks. */
const FLUSH_MS_MAX = 500;

export function rpcDialer(options: RpcDialerOptions): LinkDialer {
  return { dial: (address, hello, signal) => dial({ ...options, address, hello, signal }) };
}

async function dial(options: RpcDialerOptions & { address: string; hello: Hello; signal: AbortSignal }): Promise<LinkSession> {
  const { address, hello, signal, runtime } = options;
  // Named by its room, also where the address is a bare IP, which TLS does not allow as a server name.
  const channelOptions = { ...DIALER_OPTIONS, 'grpc.ssl_target_name_override': hello.to };
  const connect = () => new LinkClient(address, dialerCredentials(options.tls, hello.to), channelOptions);
  const client = connect();
  const call = client.session();
  call.on('error', () => {});
  const messages = call[Symbol.asyncIterator]() as AsyncIterator<SessionDown>;
  try {
    call.write(helloToWire(hello));
    const answerMsMax = options.answerMsMax ?? ANSWER_MS_MAX;
    const first = await within({ runtime, delayMs: answerMsMax, signal, address }, messages.next());
    if (first.done) throw garbage('it closed the session without an answer to the hello');
    const { welcome, sessionId } = welcomeFromWire(first.value);
    return new RpcSession({ runtime, address, client, frameClient: connect(), call, messages, welcome, sessionId });
  } catch (cause) {
    call.cancel();
    client.close();
    throw failure(address, cause);
  }
}

interface SessionParts {
  readonly runtime: Runtime;
  readonly address: string;
  readonly client: LinkClient;
  readonly frameClient: LinkClient;
  readonly call: ClientDuplexStream<SessionUp, SessionDown>;
  readonly messages: AsyncIterator<SessionDown>;
  readonly welcome: Welcome;
  readonly sessionId: string;
}

class RpcSession implements LinkSession {
  readonly welcome: Welcome;
  readonly closed: Promise<WmbError | undefined>;
  readonly frames: AsyncIterable<readonly LinkFrame[]>;
  readonly control: AsyncIterable<Downward>;
  readonly #parts: SessionParts;
  readonly #frameCall: ClientReadableStream<FrameBatch>;
  readonly #writer: ControlWriter<SessionUp>;
  /** Said within this turn of the microtasks. */
  #acks: AckMessage[] = [];
  #over = false;
  #resolveClosed: (reason: WmbError | undefined) => void = () => {};

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.welcome = parts.welcome;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#writer = new ControlWriter(parts.call);
    this.#frameCall = parts.frameClient.frames({ sessionId: parts.sessionId });
    for (const stream of [parts.call, this.#frameCall]) stream.on('error', (cause: Error) => this.#finish(failure(parts.address, cause)));
    // Until somebody reads for the first time, grpc-js takes messages off the connection without a bound.
    this.#frameCall.read(0);
    const frameMessages = this.#frameCall[Symbol.asyncIterator]() as AsyncIterator<FrameBatch>;
    this.frames = this.#received(frameMessages, framesFromWire);
    this.control = this.#received(parts.messages, downwardFromWire);
  }

  send(message: Upward): void {
    if (this.#over) return;
    if (message.type === 'ack') {
      this.#acks.push(message);
      if (this.#acks.length === 1) queueMicrotask(() => this.#sendAcks());
    } else {
      this.#sendAcks();
      this.#write(upwardToWire(message), controlBytes(message));
    }
  }

  #sendAcks(): void {
    const acks = this.#acks;
    if (acks.length === 0) return;
    this.#acks = [];
    this.#write(
      acksToWire(acks),
      acks.reduce((sum, ack) => sum + controlBytes(ack), 0),
    );
  }

  #write(message: SessionUp, bytes: number): void {
    if (this.#over) return;
    const error = this.#writer.write(message, bytes);
    if (error !== undefined) this.#finish(error);
  }

  close(): void {
    this.#sendAcks();
    this.#finish(undefined);
  }

  async *#received<W, M>(messages: AsyncIterator<W>, convert: (message: W) => M): AsyncGenerator<M, void> {
    try {
      while (!this.#over) {
        const item = await messages.next();
        if (item.done) break;
        yield convert(item.value);
      }
      this.#finish(new WmbError('PEER_UNREACHABLE', `${this.#parts.address}: the peer ended the session`));
    } catch (cause) {
      this.#finish(failure(this.#parts.address, cause));
    }
  }

  #finish(reason: WmbError | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#resolveClosed(reason);
    if (reason === undefined) this.#endGently();
    else this.#hangUp();
  }

  /** What was sent before close() still reaches the peer, if the peer reads. */
  #endGently(): void {
    const timer = this.#parts.runtime.after(FLUSH_MS_MAX, () => this.#hangUp(), true);
    this.#parts.call.once('status', () => {
      timer.cancel();
      this.#hangUp();
    });
    this.#parts.call.end();
  }

  #hangUp(): void {
    this.#parts.call.cancel();
    this.#frameCall.cancel();
    this.#parts.client.close();
    this.#parts.frameClient.close();
  }
}

/** `answer`, or a rejection when it takes too long or the caller gives up. */
function within<T>(limits: { runtime: Runtime; delayMs: number; signal: AbortSignal; address: string }, answer: Promise<T>): Promise<T> {
  const { runtime, delayMs, signal, address } = limits;
  return new Promise((resolve, reject) => {
    const giveUp = (what: string) => reject(new WmbError('PEER_UNREACHABLE', `${address}: ${what}`));
    const onAbort = () => giveUp('the dial was given up');
    const timer = runtime.after(delayMs, () => giveUp(`no answer to the hello within ${delayMs} ms`));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    const settle = () => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
    };
    answer.finally(settle).then(resolve, reject);
  });
}

/** A gRPC failure in the words of the link; the only place that matches on grpc-js's messages. */
function failure(address: string, cause: unknown): WmbError {
  if (cause instanceof WmbError)
    return cause.message.startsWith(address) ? cause : new WmbError(cause.code, `${address}: ${cause.message}`, { cause });
  const { code, details } = cause as Partial<ServiceError>;
  if (code === undefined) return asWmbError(cause, 'PEER_GARBAGE');
  if (details?.includes('certificate does not name')) return new WmbError('IDENTITY_REFUSED', `${address}: ${details}`, { cause });
  const unreachable =
    (code === status.UNAVAILABLE || code === status.CANCELLED || code === status.DEADLINE_EXCEEDED) &&
    !/protocol error|parse error/i.test(details ?? '');
  if (unreachable) return new WmbError('PEER_UNREACHABLE', `${address}: the peer does not answer: ${details}`, { cause });
  return new WmbError('PEER_GARBAGE', `${address}: the peer does not speak the link protocol: ${details}`, { cause });
}
