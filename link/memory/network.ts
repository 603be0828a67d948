/**
 * The link within one process, for the simulator and for tests: the same two ends as over gRPC, on the injected runtime's time, with a
 * fate for every message. A direction of a session is a pipe as TCP gives it: what arrives, arrives in order and once; what does not
 * arrive takes everything behind it along, either silently (`stall`, a half-open connection) or with the session (`cut`).
 */
import { asWmbError, WmbError } from '../../core/errors.ts';
import { BoundedQueue, type QueueLimits } from '../../core/flow/bounded-queue.ts';
import type { Runtime } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import type { Downward, Hello, LinkDialer, LinkFrame, LinkHost, LinkSession, ServedSession, Upward, Welcome } from '../link.ts';

/** What happens to one message: it arrives after so many milliseconds, its session breaks, or its direction falls silent. */
export type Fate = number | 'cut' | 'stall';

export interface Faults {
  /** Asked once for every message, also for the hello. `what` is the message's type, `hello`, `welcome` or `frames`. */
  fate(from: RoomId, to: RoomId, what: string): Fate;
}

const ANSWER_MS_MAX = 10_000;
const CONTROL_LIMITS: QueueLimits = { bytesMax: 4 * 1024 * 1024, countMax: 16_384 };
/** As much as a socket's buffers would take before the sender has to wait. */
const FRAME_LIMITS: QueueLimits = { bytesMax: 1024 * 1024, countMax: 1024 };

export class MemoryNetwork implements LinkDialer {
  readonly #runtime: Runtime;
  readonly #faults: Faults;
  readonly #hosts = new Map<string, LinkHost>();
  readonly #sessions = new Set<MemorySession>();

  constructor(runtime: Runtime, faults: Faults = { fate: () => 0 }) {
    this.#runtime = runtime;
    this.#faults = faults;
  }

  /** Serves `host` at `address`. The returned function closes it and breaks its sessions. */
  listen(address: string, host: LinkHost): () => void {
    this.#hosts.set(address, host);
    return () => {
      this.#hosts.delete(address);
      for (const session of this.#sessions) if (session.address === address) session.break('its process is gone');
    };
  }

  /** Breaks all sessions between two rooms. Whether they can be dialled again is for the faults to say. */
  cut(left: RoomId, right: RoomId): void {
    for (const session of this.#sessions) {
      const { from, to } = session.hello;
      if ((from === left && to === right) || (from === right && to === left)) session.break('the line was cut');
    }
  }

  async dial(address: string, hello: Hello, signal: AbortSignal): Promise<LinkSession> {
    await this.#travel(hello.from, hello.to, 'hello', signal);
    const host = this.#hosts.get(address);
    if (host === undefined) throw unreachable(address, 'nobody listens there');
    const session = new MemorySession({ address, hello, runtime: this.#runtime, faults: this.#faults });
    const welcome = welcomed(host, hello);
    this.#sessions.add(session);
    void session.closed.then(() => this.#sessions.delete(session));
    host.serve(session.served());
    await this.#travel(hello.to, hello.from, 'welcome', signal).catch((cause) => {
      session.break('the dial was given up');
      throw cause;
    });
    return session.dialled(welcome);
  }

  /** One step of a dial. A step that is never answered ends with the dialler's patience. */
  #travel(from: RoomId, to: RoomId, what: string, signal: AbortSignal): Promise<void> {
    const fate = this.#faults.fate(from, to, what);
    if (fate === 'cut') return Promise.reject(unreachable(to, 'the line is cut'));
    return new Promise((resolve, reject) => {
      const end = (failure: string | undefined) => {
        timer.cancel();
        signal.removeEventListener('abort', giveUp);
        if (failure === undefined) resolve();
        else reject(unreachable(to, failure));
      };
      const giveUp = () => end('the dial was given up');
      const timer =
        fate === 'stall'
          ? this.#runtime.after(ANSWER_MS_MAX, () => end(`no answer to the hello within ${ANSWER_MS_MAX} ms`))
          : this.#runtime.after(fate, () => end(undefined));
      signal.addEventListener('abort', giveUp, { once: true });
      if (signal.aborted) giveUp();
    });
  }
}

/** Refusals cross as code and message only, as they would on a wire. */
function welcomed(host: LinkHost, hello: Hello): Welcome {
  try {
    return host.welcome(hello);
  } catch (cause) {
    const { code, message } = asWmbError(cause);
    throw new WmbError(code, message);
  }
}

interface SessionParts {
  readonly address: string;
  readonly hello: Hello;
  readonly runtime: Runtime;
  readonly faults: Faults;
}

class MemorySession {
  readonly address: string;
  readonly hello: Hello;
  readonly closed: Promise<void>;
  readonly #up: Pipe<Upward>;
  readonly #down: Pipe<Downward>;
  readonly #frames: Pipe<readonly LinkFrame[]>;
  readonly #dialledEnd: End;
  readonly #servedEnd: End;

  constructor(parts: SessionParts) {
    this.address = parts.address;
    this.hello = parts.hello;
    const { from, to } = parts.hello;
    const cut = (why: string) => this.break(why);
    const up = { ...parts, from, to, cut, line: { silent: false } };
    const down = { ...parts, from: to, to: from, cut, line: { silent: false } };
    this.#up = new Pipe(up, CONTROL_LIMITS);
    this.#down = new Pipe(down, CONTROL_LIMITS);
    this.#frames = new Pipe(down, FRAME_LIMITS);
    this.#dialledEnd = new End(() => this.#endAll());
    this.#servedEnd = new End(() => this.#endAll());
    this.closed = Promise.all([this.#dialledEnd.closed, this.#servedEnd.closed]).then(() => {});
  }

  /** Ends both sides. */
  break(why: string): void {
    this.#dialledEnd.finish(unreachable(this.address, why));
    this.#servedEnd.finish(unreachable(this.hello.from, why));
  }

  dialled(welcome: Welcome): LinkSession {
    return {
      welcome,
      frames: this.#frames.queue,
      control: this.#down.queue,
      send: (message) => this.#up.send(message, message.type, messageBytes(message)),
      close: () => {
        this.#dialledEnd.finish(undefined);
        this.#servedEnd.finish(unreachable(this.hello.from, 'it closed the session'));
      },
      closed: this.#dialledEnd.closed,
    };
  }

  served(): ServedSession {
    return {
      hello: this.hello,
      control: this.#up.queue,
      send: (message) => this.#down.send(message, message.type, messageBytes(message)),
      sendFrames: (frames) => this.#sendFrames(frames),
      close: (error) => {
        this.#servedEnd.finish(error);
        this.#dialledEnd.finish(
          error === undefined ? unreachable(this.address, 'it ended the session') : new WmbError(error.code, error.message),
        );
      },
      closed: this.#servedEnd.closed,
    };
  }

  async #sendFrames(frames: readonly LinkFrame[]): Promise<void> {
    const over = () => unreachable(this.hello.from, 'the session is over');
    if (this.#frames.queue.ended) throw over();
    if (frames.length > 0)
      this.#frames.send(
        frames,
        'frames',
        frames.reduce((sum, frame) => sum + frame.bytes.length, 0),
      );
    await this.#frames.room();
    if (this.#frames.queue.ended) throw over();
  }

  #endAll(): void {
    for (const pipe of [this.#up, this.#down, this.#frames]) pipe.queue.end();
  }
}

/** One side's view of the end of a session. */
class End {
  readonly closed: Promise<WmbError | undefined>;
  readonly #onFinish: () => void;
  #resolve: (reason: WmbError | undefined) => void = () => {};

  constructor(onFinish: () => void) {
    this.#onFinish = onFinish;
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  finish(reason: WmbError | undefined): void {
    this.#resolve(reason);
    this.#onFinish();
  }
}

interface PipeParts {
  readonly runtime: Runtime;
  readonly faults: Faults;
  readonly from: RoomId;
  readonly to: RoomId;
  readonly cut: (why: string) => void;
  /** Shared by the pipes of one direction: once silent, none of them delivers any more. */
  readonly line: { silent: boolean };
}

/** One stream of one direction: keeps the order whatever the delays, and counts what is on its way against the limits. */
class Pipe<T> {
  readonly queue: BoundedQueue<T>;
  readonly #parts: PipeParts;
  readonly #limits: QueueLimits;
  #arrivesMs = 0;
  /** Each timer delivers the oldest, so that the order holds whatever the timers' resolution. */
  readonly #travelling: { readonly item: T; readonly bytes: number }[] = [];
  #travellingBytes = 0;

  constructor(parts: PipeParts, limits: QueueLimits) {
    this.#parts = parts;
    this.#limits = limits;
    this.queue = new BoundedQueue(limits);
  }

  send(item: T, what: string, bytes: number): void {
    if (this.queue.ended) return;
    const { runtime, faults, from, to, cut, line } = this.#parts;
    const fate = line.silent ? 'stall' : faults.fate(from, to, what);
    const overrun = this.#travellingBytes + this.queue.bytes > 2 * this.#limits.bytesMax || this.#travelling.length > this.#limits.countMax;
    if (overrun || fate === 'cut') {
      cut(overrun ? 'the peer does not read' : 'the line was cut');
      return;
    }
    this.#travelling.push({ item, bytes });
    this.#travellingBytes += bytes;
    if (fate === 'stall') {
      line.silent = true;
      return;
    }
    this.#arrivesMs = Math.max(this.#arrivesMs, runtime.monotonicMs() + fate);
    runtime.after(Math.max(0, this.#arrivesMs - runtime.monotonicMs()), () => this.#arrive());
  }

  /** Resolves when what is on its way and not yet read is within the limits. */
  async room(): Promise<void> {
    while (!this.queue.ended && this.#crowded()) await this.queue.taken();
  }

  #crowded(): boolean {
    const { bytesMax, countMax } = this.#limits;
    return this.#travellingBytes + this.queue.bytes >= bytesMax || this.#travelling.length + this.queue.count >= countMax;
  }

  #arrive(): void {
    const next = this.#travelling.shift();
    if (next === undefined || this.queue.ended) return;
    this.#travellingBytes -= next.bytes;
    if (!this.queue.push(next.item, next.bytes)) this.#parts.cut('the peer does not read');
  }
}

function messageBytes(message: Upward | Downward): number {
  return message.type === 'ack' ? 100 + 60 * message.exceptions.length : 100;
}

function unreachable(whom: string, why: string): WmbError {
  return new WmbError('PEER_UNREACHABLE', `${whom}: ${why}`);
}
