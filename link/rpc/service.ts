/** The reship's end over gRPC. */
import type { Server, ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js';
import { Metadata, status } from '@grpc/grpc-js';
import { asWmbError, WmbError } from '../../core/errors.ts';
import { Wakeup } from '../../core/flow/wakeup.ts';
import type { Logger } from '../../core/logger.ts';
import type { Runtime } from '../../core/runtime.ts';
import {
  type FrameBatch,
  type FramesRequest,
  type LinkServer,
  LinkService,
  type SessionDown,
  type SessionUp,
} from '../../proto/gen/wmb/v1/link.ts';
import type { Downward, Hello, LinkFrame, LinkHost, ServedSession, Upward } from '../link.ts';
import { downwardToWire, errorToWire, framesToWire, garbage, helloFromWire, upwardsFromWire, welcomeToWire } from '../wire.ts';
import { ControlWriter, certificateNames, controlBytes, notNamed } from './channel.ts';

export interface LinkServiceOptions {
  readonly runtime: Runtime;
  readonly logger: Logger;
  /** Whether a dialler must show a certificate that names its room. */
  readonly certificates: boolean;
  /** How long a dialler may take to say hello. */
  readonly helloMsMax?: number;
}

const HELLO_MS_MAX = 10_000;
const BATCH_BYTES_MAX = 256 * 1024;

type SessionCall = ServerDuplexStream<SessionUp, SessionDown>;
type FramesCall = ServerWritableStream<FramesRequest, FrameBatch>;

/** Adds the link service to a gRPC server, whose limit on messages that it sends must leave room for the largest frame. */
export function addLinkService(server: Server, host: LinkHost, options: LinkServiceOptions): void {
  const sessions = new Map<string, RpcServedSession>();
  const implementation: LinkServer = {
    session: (call) => void open({ call, host, options, sessions }),
    frames: (call) => {
      call.on('error', () => {});
      const session = sessions.get(call.request.sessionId);
      if (session !== undefined) {
        // The dialler waits for it: where several processes have one address, its second connection may be with another one.
        call.sendMetadata(new Metadata());
        session.attach(call);
      } else call.emit('error', { code: status.NOT_FOUND, details: 'no session has this id' });
    },
  };
  server.addService(LinkService, implementation);
}

interface Opening {
  readonly call: SessionCall;
  readonly host: LinkHost;
  readonly options: LinkServiceOptions;
  readonly sessions: Map<string, RpcServedSession>;
}

/** Waits for the hello, asks the host, and hands the session over. A refusal goes to the dialler as an error message. */
async function open({ call, host, options, sessions }: Opening): Promise<void> {
  call.on('error', () => {});
  const timer = options.runtime.after(options.helloMsMax ?? HELLO_MS_MAX, () => refuse(call, garbage('it did not say hello')), true);
  try {
    const messages = call[Symbol.asyncIterator]() as AsyncIterator<SessionUp>;
    const first = await messages.next();
    timer.cancel();
    if (first.done) {
      call.end();
      return;
    }
    const hello = helloFromWire(first.value);
    if (options.certificates) checkCertificate(call, hello);
    const welcome = host.welcome(hello);
    const sessionId = Buffer.from(options.runtime.bytes(16)).toString('hex');
    const session = new RpcServedSession(hello, call, messages);
    sessions.set(sessionId, session);
    void session.closed.then(() => sessions.delete(sessionId));
    call.write(welcomeToWire(welcome, sessionId));
    host.serve(session);
  } catch (cause) {
    timer.cancel();
    const error = asWmbError(cause);
    options.logger.warn({ code: error.code, peer: call.getPeer(), reason: error.message }, 'a link session is refused');
    refuse(call, error);
  }
}

function refuse(call: SessionCall, error: WmbError): void {
  if (call.cancelled) return;
  call.write(errorToWire(error));
  call.end();
}

function checkCertificate(call: SessionCall, hello: Hello): void {
  const certificate = call.getAuthContext()?.sslPeerCertificate;
  if (!certificateNames(certificate, hello.from)) throw notNamed(certificate, hello.from);
}

class RpcServedSession implements ServedSession {
  readonly hello: Hello;
  readonly control: AsyncIterable<Upward>;
  readonly closed: Promise<WmbError | undefined>;
  readonly #call: SessionCall;
  readonly #writer: ControlWriter<SessionDown>;
  /** Woken when the frame stream arrives, takes more, or the session is over. */
  readonly #writable = new Wakeup();
  #frames: FramesCall | undefined;
  #over = false;
  #resolveClosed: (reason: WmbError | undefined) => void = () => {};

  constructor(hello: Hello, call: SessionCall, messages: AsyncIterator<SessionUp>) {
    this.hello = hello;
    this.#call = call;
    this.#writer = new ControlWriter(call);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.control = this.#received(messages);
    call.on('cancelled', () => this.#gone());
    call.on('error', () => this.#gone());
    call.on('close', () => this.#gone());
  }

  /** The dialler opened the frame stream. */
  attach(frames: FramesCall): void {
    if (this.#over || this.#frames !== undefined) {
      frames.end();
      return;
    }
    this.#frames = frames;
    for (const event of ['cancelled', 'error', 'close']) frames.on(event, () => this.#gone());
    frames.on('drain', () => this.#writable.wake());
    this.#writable.wake();
  }

  send(message: Downward): void {
    if (this.#over) return;
    const error = this.#writer.write(downwardToWire(message), controlBytes(message));
    if (error !== undefined) this.close(error);
  }

  async sendFrames(frames: readonly LinkFrame[]): Promise<void> {
    let start = 0;
    let bytes = 0;
    for (const [index, frame] of frames.entries()) {
      bytes += frame.bytes.length;
      if (bytes < BATCH_BYTES_MAX && index < frames.length - 1) continue;
      (await this.#ready()).write(framesToWire(frames.slice(start, index + 1)));
      start = index + 1;
      bytes = 0;
    }
    await this.#ready();
  }

  close(error?: WmbError): void {
    if (this.#over) return;
    if (error !== undefined) this.#call.write(errorToWire(error));
    this.#call.end();
    this.#frames?.end();
    this.#finish(error);
  }

  /** The frame stream, when it takes more. */
  async #ready(): Promise<FramesCall> {
    for (;;) {
      if (this.#over) throw new WmbError('PEER_UNREACHABLE', `the session with ${this.hello.from} is over`);
      if (this.#frames !== undefined && !this.#frames.writableNeedDrain) return this.#frames;
      await this.#writable.wait();
    }
  }

  async *#received(messages: AsyncIterator<SessionUp>): AsyncGenerator<Upward, void> {
    try {
      while (!this.#over) {
        const item = await messages.next();
        if (item.done) break;
        yield* upwardsFromWire(item.value);
      }
      this.close();
    } catch (cause) {
      if (cause instanceof WmbError) this.close(cause);
      else this.#gone();
    }
  }

  #gone(): void {
    if (this.#over) return;
    this.#call.end();
    this.#frames?.end();
    this.#finish(new WmbError('PEER_UNREACHABLE', `room ${this.hello.from} went away`));
  }

  #finish(reason: WmbError | undefined): void {
    this.#over = true;
    this.#writable.wake();
    this.#resolveClosed(reason);
  }
}
