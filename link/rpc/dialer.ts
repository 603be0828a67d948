/**
 * The collector's end over gRPC. Control and frames are two streams on two connections: streams of one connection share its window and
 * its place in the line, so megabytes of frames would stand before every ack and pulse.
 */
import { once } from 'node:events';
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
  /** How long the peer may take to answer a hello. Behind a balancer a dial may lead to a process that stands still. */
  readonly answerMsMax: number;
}

/** With so many a balancer that takes turns has gone round as many processes as a room may well have. */
const CONNECTIONS_MAX = 16;
/** How long a closed session may take to hand over its last acks. */
const FLUSH_MS_MAX = 500;

export function rpcDialer(options: RpcDialerOptions): LinkDialer {
  return { dial: (address, hello, signal) => dial({ ...options, address, hello, signal }) };
}

async function dial(options: RpcDialerOptions & { address: string; hello: Hello; signal: AbortSignal }): Promise<LinkSession> {
  const { address, hello, signal, runtime } = options;
  // Named by its room, also where the address is a bare IP, which TLS does not allow as a server name.
  const channelOptions = { ...DIALER_OPTIONS, 'grpc.ssl_target_name_override': hello.to };
  const client = new LinkClient(address, dialerCredentials(options.tls, hello.to), channelOptions);
  const call = client.session();
  call.on('error', () => {});
  const messages = call[Symbol.asyncIterator]() as AsyncIterator<SessionDown>;
  try {
    call.write(helloToWire(hello));
    const limits = { runtime, delayMs: options.answerMsMax, address };
    const first = await within({ ...limits, signal, what: 'no answer to the hello' }, messages.next());
    if (first.done) throw garbage('it closed the session without an answer to the hello');
    const { welcome, sessionId } = welcomeFromWire(first.value);
    const connectAgain = () => new LinkClient(peerOf(call) ?? address, dialerCredentials(options.tls, hello.to), channelOptions);
    const open = (over: AbortSignal) =>
      openFrames(connectAgain, sessionId, { ...limits, signal: over, what: 'no answer where the frames are' });
    return new RpcSession({ runtime, address, client, call, messages, welcome, open });
  } catch (cause) {
    call.cancel();
    client.close();
    throw failure(address, cause);
  }
}

/** Where a name stands for several processes, the one that the session is with. */
function peerOf(call: ClientDuplexStream<SessionUp, SessionDown>): string | undefined {
  const peer = call.getPeer();
  return /^(\[[0-9a-f:]+\]|[\d.]+):\d+$/i.test(peer) ? peer : undefined;
}

interface Frames {
  readonly frameClient: LinkClient;
  readonly frameCall: ClientReadableStream<FrameBatch>;
}

/** Behind a balancer a connection may lead to another process of the room, also to one that stands still: another connection leads elsewhere. */
async function openFrames(connect: () => LinkClient, sessionId: string, limits: Limits): Promise<Frames> {
  for (let attempt = 1; ; attempt += 1) {
    const frameClient = connect();
    const frameCall = frameClient.frames({ sessionId });
    // Until somebody reads for the first time, grpc-js takes messages off the connection without a bound.
    frameCall.read(0);
    try {
      await within(limits, once(frameCall, 'metadata'));
      return { frameClient, frameCall };
    } catch (cause) {
      frameCall.on('error', () => {});
      frameCall.cancel();
      frameClient.close();
      const isElsewhere = cause instanceof WmbError || (cause as Partial<ServiceError>).code === status.NOT_FOUND;
      if (!isElsewhere || limits.signal.aborted || attempt >= CONNECTIONS_MAX) throw cause;
    }
  }
}

interface SessionParts {
  readonly runtime: Runtime;
  readonly address: string;
  readonly client: LinkClient;
  readonly call: ClientDuplexStream<SessionUp, SessionDown>;
  readonly messages: AsyncIterator<SessionDown>;
  readonly welcome: Welcome;
  /** The frames of this session. */
  readonly open: (over: AbortSignal) => Promise<Frames>;
}

class RpcSession implements LinkSession {
  readonly welcome: Welcome;
  readonly closed: Promise<WmbError | undefined>;
  readonly frames: AsyncIterable<readonly LinkFrame[]>;
  readonly control: AsyncIterable<Downward>;
  readonly #parts: SessionParts;
  readonly #ended = new AbortController();
  readonly #opened: Promise<Frames>;
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
    this.#opened = parts.open(this.#ended.signal);
    const failed = (cause: unknown) => this.#finish(failure(parts.address, cause));
    parts.call.on('error', failed);
    this.#opened.then(({ frameCall }) => void frameCall.on('error', failed), failed);
    this.frames = this.#receivedFrames();
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

  async *#receivedFrames(): AsyncGenerator<readonly LinkFrame[], void> {
    const opened = await this.#opened.catch(() => undefined);
    if (opened === undefined) return;
    yield* this.#received(opened.frameCall[Symbol.asyncIterator]() as AsyncIterator<FrameBatch>, framesFromWire);
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
    this.#ended.abort();
    this.#parts.call.cancel();
    this.#parts.client.close();
    const close = ({ frameCall, frameClient }: Frames) => {
      frameCall.cancel();
      frameClient.close();
    };
    this.#opened.then(close, () => {});
  }
}

interface Limits {
  readonly runtime: Runtime;
  readonly delayMs: number;
  readonly signal: AbortSignal;
  readonly address: string;
  /** What there is then. */
  readonly what: string;
}

/** `answer`, or a rejection when it takes too long or the caller gives up. */
function within<T>({ runtime, delayMs, signal, address, what }: Limits, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = (reason: string) => reject(new WmbError('PEER_UNREACHABLE', `${address}: ${reason}`));
    const onAbort = () => giveUp('the dial was given up');
    const timer = runtime.after(delayMs, () => giveUp(`${what} within ${delayMs} ms`));
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
