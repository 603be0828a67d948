/**
 * One direction of a connection through TcpProxy: bytes leave in the order in which they came, each after the time that the line takes for them, and the end
 * of the stream takes its place in that order.
 */
import type { Socket } from 'node:net';

/** What a direction is like; it may change at any time, for all of the direction's connections. */
export interface Line {
  delayMs: number;
  bytesPerSecond: number;
  /** Nothing leaves. */
  held: boolean;
}

/** What may be under way; a fast line with a delay needs the product of both. */
const QUEUED_BYTES_MAX = 32 * 1024 * 1024;
/** What a slow line has taken in and not sent yet: the buffer of a router, not more. */
const WAITING_MS_MAX = 100;
const PIECE_MS = 20;
const PIECE_BYTES_MIN = 512;

interface Piece {
  /** Undefined: the end. */
  readonly bytes: Buffer | undefined;
  readonly dueMs: number;
}

export interface PipeOptions {
  readonly from: Socket;
  readonly to: Socket;
  readonly line: Line;
  /** Whether this packet is the last one, and arrives half; asked once for each. */
  readonly isTorn?: (chunk: Buffer) => boolean;
}

export class Pipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #line: Line;
  readonly #queue: Piece[] = [];
  #queuedBytes = 0;
  /** When the line has sent all that it took in. */
  #freeMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor({ from, to, line, isTorn = () => false }: PipeOptions) {
    this.#from = from;
    this.#to = to;
    this.#line = line;
    from.on('data', (chunk: Buffer) => {
      if (isTorn(chunk)) this.#tear(chunk);
      else this.#take(chunk);
    });
    from.on('end', () => this.#push(undefined));
    to.on('drain', () => this.pump());
    // Not that of `from`: what it sent before is still under way.
    to.on('close', () => clearTimeout(this.#timer));
    if (line.held) from.pause();
  }

  /** Sends what is due. Called when time has passed, and when the line has changed. */
  pump(): void {
    clearTimeout(this.#timer);
    while (this.#mayPass()) {
      const { bytes } = this.#queue.shift() ?? {};
      this.#queuedBytes -= bytes?.length ?? 0;
      if (bytes === undefined) this.#to.end();
      else this.#to.write(bytes);
    }
    this.#wait();
    if (this.#isFull()) this.#from.pause();
    else this.#from.resume();
  }

  #take(chunk: Buffer): void {
    // In pieces, so that a slow line trickles.
    const size = Math.max(PIECE_BYTES_MIN, Math.ceil((this.#line.bytesPerSecond * PIECE_MS) / 1_000));
    for (let at = 0; at < chunk.length; at += size) this.#push(chunk.subarray(at, at + size));
    this.pump();
  }

  /** Half of it arrives, and then the end. */
  #tear(chunk: Buffer): void {
    this.#take(chunk.subarray(0, chunk.length / 2));
    this.#from.destroy();
    this.#push(undefined);
  }

  #push(bytes: Buffer | undefined): void {
    const { bytesPerSecond, delayMs } = this.#line;
    const length = bytes?.length ?? 0;
    this.#freeMs = Math.max(this.#freeMs, performance.now()) + (length * 1_000) / bytesPerSecond;
    this.#queue.push({ bytes, dueMs: this.#freeMs + delayMs });
    this.#queuedBytes += length;
    if (bytes === undefined) this.pump();
  }

  #mayPass(): boolean {
    const [next] = this.#queue;
    return next !== undefined && !this.#line.held && !this.#to.writableNeedDrain && next.dueMs <= performance.now();
  }

  #wait(): void {
    const [next] = this.#queue;
    if (next === undefined || this.#line.held || this.#to.writableNeedDrain) return;
    this.#timer = setTimeout(() => this.pump(), Math.max(1, next.dueMs - performance.now()));
  }

  #isFull(): boolean {
    const behind = this.#freeMs - performance.now() > WAITING_MS_MAX;
    return this.#line.held || behind || this.#queuedBytes > QUEUED_BYTES_MAX;
  }
}
