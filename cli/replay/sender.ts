/**
 * Streams write requests into one room: in batches, with a bound on what is on its way, so that memory stays flat whatever the file's
 * size. What the room did not take because it is overloaded or restarting, and what was on its way when the stream broke, is submitted again
 * with the same request id, which has one effect.
 */
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { ERRORS, type ErrorCode, type WmbError } from '../../core/errors.ts';
import { backoffMs } from '../../core/flow/backoff.ts';
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { RoomId } from '../../core/words.ts';
import type { SubmitRequest, SubmitResponse, Wait, WriteResult } from '../../proto/gen/wmb/v1/writes.ts';
import type { Clients } from '../clients.ts';
import type { ReadWrite } from './reader.ts';

export interface SenderOptions {
  readonly clients: Clients;
  readonly runtime: Runtime;
  readonly room: RoomId;
  readonly wait: Wait;
  readonly deadlineMs: number;
  /** Called once per write request, with its last result. */
  readonly onResult: (item: ReadWrite, result: WriteResult) => void;
  readonly onRetry: (writes: number) => void;
}

const BATCH_WRITES_MAX = 256;
const BATCH_BYTES_MAX = 1024 * 1024;
const BATCHES_ON_THE_WAY_MAX = 8;
const RECONNECT = { msMin: 200, msMax: 2_000 };
/** A room that takes nothing for this long is given up. */
const GIVE_UP_MS = 30_000;
/** One that never answered is probably not there at all. */
const GIVE_UP_FIRST_MS = 3_000;
const RETRY_MS_DEFAULT = 100;

export class Sender {
  readonly #options: SenderOptions;
  readonly #onTheWay = new Map<number, readonly ReadWrite[]>();
  #stream: ClientDuplexStream<SubmitRequest, SubmitResponse> | undefined;
  #gathering: ReadWrite[] = [];
  #gatheringBytes = 0;
  /** Came back and must go again, before anything new. */
  #again: ReadWrite[] = [];
  #againAtMs = 0;
  #batchId = 0;
  #failures = 0;
  #answered = false;
  #progressMs: number;
  #failure: WmbError | undefined;
  #wake: () => void = () => {};

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#progressMs = options.runtime.monotonicMs();
  }

  /** Takes one write request; resolves when there is room for the next. Rejects when the room is given up. */
  async add(item: ReadWrite): Promise<void> {
    this.#gathering.push(item);
    this.#gatheringBytes += item.write.payload.length + item.write.key.length;
    if (this.#gathering.length >= BATCH_WRITES_MAX || this.#gatheringBytes >= BATCH_BYTES_MAX) await this.#pass();
  }

  /** Sends what was gathered, for a slow source. */
  async flush(): Promise<void> {
    if (this.#gathering.length > 0) await this.#pass();
  }

  /** Resolves when every write request has its result, or when `signal` aborts. */
  async finish(signal: AbortSignal): Promise<void> {
    await this.flush();
    this.#progressMs = this.#options.runtime.monotonicMs();
    while ((this.#onTheWay.size > 0 || this.#again.length > 0) && !signal.aborted) await this.#turn(signal);
    this.#stream?.end();
  }

  async #pass(): Promise<void> {
    this.#progressMs = this.#options.runtime.monotonicMs();
    while (this.#onTheWay.size >= BATCHES_ON_THE_WAY_MAX || this.#again.length > 0) await this.#turn();
    this.#send(this.#gathering);
    this.#gathering = [];
    this.#gatheringBytes = 0;
  }

  /** Sends again what came back when it is due; otherwise waits for news. */
  async #turn(signal?: AbortSignal): Promise<void> {
    const { runtime } = this.#options;
    if (this.#failure !== undefined) throw this.#failure;
    const waitMs = this.#againAtMs - runtime.monotonicMs();
    if (this.#again.length > 0 && waitMs <= 0 && this.#onTheWay.size < BATCHES_ON_THE_WAY_MAX) {
      return this.#send(this.#again.splice(0, BATCH_WRITES_MAX));
    }
    const news = new AbortController();
    this.#wake = () => news.abort();
    await sleep(
      runtime,
      this.#again.length > 0 ? Math.max(1, waitMs) : GIVE_UP_MS,
      signal === undefined ? news.signal : AbortSignal.any([news.signal, signal]),
    );
  }

  #send(items: readonly ReadWrite[]): void {
    const { wait, deadlineMs } = this.#options;
    this.#batchId += 1;
    this.#onTheWay.set(this.#batchId, items);
    this.#stream ??= this.#open();
    this.#stream.write({ writes: items.map((item) => item.write), wait, deadlineMs, batchId: this.#batchId });
  }

  #open(): ClientDuplexStream<SubmitRequest, SubmitResponse> {
    const stream = this.#options.clients.writesClient(this.#options.room).submitStream();
    stream.on('data', (response: SubmitResponse) => this.#onResponse(response));
    stream.on('error', (error) => this.#onBroken(stream, error));
    stream.on('end', () => this.#onBroken(stream, undefined));
    return stream;
  }

  #onResponse({ batchId, results }: SubmitResponse): void {
    const { runtime, onResult, onRetry } = this.#options;
    const items = this.#onTheWay.get(batchId) ?? [];
    this.#onTheWay.delete(batchId);
    this.#failures = 0;
    this.#answered = true;
    const before = this.#again.length;
    for (const [index, result] of results.entries()) {
      const item = items[index];
      if (item === undefined) continue;
      if (result.stamp === '' && result.error !== undefined && result.error.retry !== 'never') {
        this.#again.push(item);
        this.#againAtMs = runtime.monotonicMs() + (result.error.retryAfterMs || RETRY_MS_DEFAULT);
      } else onResult(item, result);
    }
    const returned = this.#again.length - before;
    if (returned > 0) onRetry(returned);
    if (returned < items.length) this.#progressMs = runtime.monotonicMs();
    else {
      const { code = 'OVERLOADED', message = 'every write request is put off' } = results[0]?.error ?? {};
      this.#giveUpWhenStuck({ code: Object.hasOwn(ERRORS, code) ? (code as ErrorCode) : 'OVERLOADED', message });
    }
    this.#wake();
  }

  /** Everything on the way goes again over a new stream, in its order. */
  #onBroken(stream: ClientDuplexStream<SubmitRequest, SubmitResponse>, cause: unknown): void {
    if (this.#stream !== stream) return;
    const { clients, room, runtime, onRetry } = this.#options;
    this.#stream = undefined;
    const lost = [...this.#onTheWay.values()].flat();
    this.#onTheWay.clear();
    if (lost.length > 0) onRetry(lost.length);
    this.#again = [...lost, ...this.#again];
    this.#againAtMs = runtime.monotonicMs() + backoffMs(this.#failures, RECONNECT, runtime.random());
    this.#failures += 1;
    const error = clients.failure(room, 'reship', cause ?? new Error('the stream ended'));
    if (error.code === 'UNREACHABLE' || error.retry !== 'never' || cause === undefined) this.#giveUpWhenStuck(error);
    else this.#failure = error;
    this.#wake();
  }

  #giveUpWhenStuck(reason: { readonly code: ErrorCode; readonly message: string }): void {
    const { clients, room, runtime } = this.#options;
    const limitMs = this.#answered ? GIVE_UP_MS : GIVE_UP_FIRST_MS;
    if (runtime.monotonicMs() - this.#progressMs > limitMs) this.#failure = clients.stuck(room, reason);
  }
}
