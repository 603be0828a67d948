/**
 * The load: SETs of 200 B over a fixed set of keys, and a client that sends batches made beforehand. What an application spends on making
 * and encoding its write requests is no part of WMB, and on two cores it would be taken from the daemons.
 */
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import type { StampedWrite } from '../core/words.ts';
import { SubmitRequest, SubmitResponse, Wait, type WriteRequest } from '../proto/gen/wmb/v1/writes.ts';

export const PAYLOAD_BYTES = 200;
export const KEYS = 100_000;
/** Defaults take no bytes. */
const NOTHING_ELSE = { wait: Wait.WAIT_UNSPECIFIED, deadlineMs: 0, batchId: 0 };

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const SUBMIT_STREAM = '/wmb.v1.Writes/SubmitStream';
/** Without the local pool all clients of a process would share one connection, and its window. */
const OPTIONS = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1, 'grpc.use_local_subchannel_pool': 1 };

/** Write requests with ids of their own, over `KEYS` keys in an order that looks random; values that hardly compress. */
export class Writes {
  readonly #name: string;
  #state = 0x9e3779b9;
  #made = 0;

  /** `name` tells the request ids of one load from those of another. */
  constructor(name: string) {
    this.#name = name;
  }

  next(): WriteRequest {
    const key = `user:${this.#random() % KEYS}:profile`;
    const stem = `[["SET","${key}","`;
    const payload = Buffer.alloc(PAYLOAD_BYTES);
    payload.write(stem);
    for (let at = stem.length; at < PAYLOAD_BYTES - 3; at += 5) payload.write(this.#letters(), at);
    payload.write('"]]', PAYLOAD_BYTES - 3);
    this.#made += 1;
    return { requestId: `${this.#name}-${this.#made}`, kind: 'cache', key, payload, traceparent: '' };
  }

  batch(count: number): WriteRequest[] {
    return Array.from({ length: count }, () => this.next());
  }

  #letters(): string {
    let bits = this.#random();
    let text = '';
    for (let i = 0; i < 5; i += 1, bits >>>= 6) text += LETTERS[bits & 63];
    return text;
  }

  /** xorshift32: the same data in every run. */
  #random(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }
}

/** The same data as frames and stores see it, for the references. */
export function stamped(writes: readonly WriteRequest[], firstCounter: number): StampedWrite[] {
  return writes.map(({ requestId, kind, key, payload }, index) => {
    const stamp = `0190000000${(firstCounter + index).toString(16).padStart(6, '0')}01000001`;
    return { stamp, requestId, kind, key, trace: '', payload };
  });
}

/** A batch as it goes over the wire. */
export function encodeBatch(writes: readonly WriteRequest[], batchId: number, wait: Wait): Buffer {
  return Buffer.from(SubmitRequest.encode({ writes: [...writes], wait, deadlineMs: 60_000, batchId }).finish());
}

/** Batches of `size` write requests, with ids 0, 1, …, that wait for the log alone; each is made when it is asked for. */
export function* batchesOf(name: string, count: number, size: number): Generator<Buffer, void> {
  const writes = new Writes(name);
  for (let from = 0, id = 0; from < count; from += size, id += 1)
    yield encodeBatch(writes.batch(Math.min(size, count - from)), id, Wait.WAIT_LOGGED);
}

/**
 * Write requests that are encoded before the clock runs: whoever sends at a fixed rate neither takes processor time for it from the daemons nor makes
 * garbage, whose collection would hold up what is sent and count as the daemons' latency.
 */
export class PreparedWrites {
  readonly #bytes: Buffer;
  /** Where each begins, and the end of the last. */
  readonly #offsets: Uint32Array;

  constructor(name: string, count: number) {
    const writes = new Writes(name);
    const encoded: Uint8Array[] = [];
    this.#offsets = new Uint32Array(count + 1);
    for (let at = 0; at < count; at += 1) {
      const bytes = SubmitRequest.encode({ writes: [writes.next()], ...NOTHING_ELSE }).finish();
      encoded.push(bytes);
      this.#offsets[at + 1] = (this.#offsets[at] as number) + bytes.length;
    }
    this.#bytes = Buffer.concat(encoded);
  }

  /** A batch of some of them as it goes over the wire: encoded messages one after the other are the encoding of both together (protobuf, "Last One Wins"). */
  batch(from: number, to: number, { batchId, wait }: { readonly batchId: number; readonly wait: Wait }): Buffer {
    return Buffer.concat([this.#bytes.subarray(this.#offsets[from], this.#offsets[to]), encodeBatch([], batchId, wait)]);
  }
}

export interface LoadStream {
  send(batch: Buffer): void;
  close(): void;
}

/** Opens a stream of batches into a room. What the room does not take is an error: no bench submits more than it may. */
export class LoadClient {
  readonly #client: Client;

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), OPTIONS);
  }

  stream(answered: (batchId: number) => void, failed: (error: Error) => void): LoadStream {
    const pass = (bytes: Buffer) => bytes;
    const decode = (bytes: Buffer) => SubmitResponse.decode(bytes);
    const call: ClientDuplexStream<Buffer, SubmitResponse> = this.#client.makeBidiStreamRequest(SUBMIT_STREAM, pass, decode);
    call.on('error', failed);
    call.on('data', (response: SubmitResponse) => {
      const error = response.results.find((result) => result.error !== undefined)?.error;
      if (error === undefined) answered(response.batchId);
      else failed(new Error(`a write request was not taken: ${error.code} ${error.message}`));
    });
    return { send: (batch) => void call.write(batch), close: () => call.end() };
  }

  close(): void {
    this.#client.close();
  }
}

/** Sends all `batches` (ids 0, 1, …), `onTheWay` at a time; resolves when all are answered. */
export function sendAll(client: LoadClient, batches: Iterator<Buffer>, onTheWay: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let open = 0;
    const sendNext = () => {
      const next = batches.next();
      if (next.done) return;
      open += 1;
      stream.send(next.value);
    };
    const answered = () => {
      open -= 1;
      sendNext();
      endIfDone();
    };
    const endIfDone = () => {
      if (open > 0) return;
      stream.close();
      resolve();
    };
    const stream = client.stream(answered, reject);
    for (let i = 0; i < onTheWay; i += 1) sendNext();
    endIfDone();
  });
}
