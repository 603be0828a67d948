/**
 * Messages of the campus network into every room, each in the room where its sender lives, at a rate. A call that fails is sent again with the same request ids
 * until it is acked, as an application should; the stamps of what was acked say what the rooms must hold in the end.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { type Expected, expectedState } from '../../examples/messages/expected.ts';
import { read, roomOfUser } from '../../examples/messages/reader.ts';
import type { WriteRequest } from '../../proto/gen/wmb/v1/writes.ts';
import type { RoomClients } from '../harness/clients.ts';
import { submitUntilAcked } from '../harness/until-acked.ts';

const TICK_MS = 20;
const CALLS_WAITING_MAX = 16;

export interface MessagesOptions {
  readonly clients: readonly RoomClients[];
  /** Lines of `src dst unixtime`. */
  readonly text: string;
  /** Into all rooms together. */
  readonly perSecond: number;
  /** An error that does not pass by itself, of write requests that are sent again all the same. */
  readonly refusedFor: string | undefined;
}

export class Messages {
  readonly #options: MessagesOptions;
  readonly #lists: readonly (readonly WriteRequest[])[];
  readonly #stamps = new Map<string, string>();
  /** Request ids that were sent more than once. */
  readonly #resent = new Set<string>();
  readonly #running: Promise<void>;
  readonly #total: number;
  readonly #stopped = new AbortController();
  readonly #waiting = new Map<RoomClients, ReadonlySet<Promise<void>>>();
  /** Rooms in which nothing is sent. */
  readonly #held = new Set<RoomClients>();
  #again = 0;
  #refused = 0;

  /** Begins at once. */
  constructor(options: MessagesOptions) {
    this.#options = options;
    this.#lists = listsOf(options.text, options.clients.length);
    this.#total = this.#lists.flat().length;
    const share = options.perSecond / options.clients.length;
    this.#running = Promise.all(options.clients.map((client, index) => this.#run(client, this.#lists[index] ?? [], share))).then(() => {});
    this.#running.catch(() => {});
  }

  get acked(): number {
    return this.#stamps.size;
  }

  /** Calls that had to be sent again. */
  get again(): number {
    return this.#again;
  }

  /** Write requests that were refused for good, `refusedFor`. */
  get refused(): number {
    return this.#refused;
  }

  /** Resolves when this share of the messages is acked. */
  async reached(share: number): Promise<void> {
    while (this.acked < this.#total * share) await Promise.race([this.#running, pause(TICK_MS)]);
  }

  /** Resolves when so many more are acked than now: traffic flows, whatever is broken. */
  async more(count: number): Promise<void> {
    const wanted = Math.min(this.#total, this.acked + count);
    while (this.acked < wanted) await Promise.race([this.#running, pause(TICK_MS)]);
  }

  /** Nothing more is sent in the room while `work` is done; it begins when what was sent is acked. */
  async without(client: RoomClients, work: () => Promise<unknown>): Promise<void> {
    this.#held.add(client);
    while (this.#waiting.get(client)?.size) await Promise.race([this.#running, pause(TICK_MS)]);
    await work();
    this.#held.delete(client);
  }

  /** Resolves when everything is acked. */
  async end(): Promise<void> {
    await this.#running;
  }

  /** Sends no more; whoever waits for more is told. */
  stop(): void {
    this.#stopped.abort(new Error('the story is over'));
  }

  /**
   * What every room must hold. Where an answer was lost, the same request id was sent again, and the stamp in the second answer is that of the duplicate; which
   * of the two had its effect is taken from its row, `stampOf`.
   */
  expected(stampOf: ReadonlyMap<string, string>): Expected {
    const resent = [...this.#resent].map((id) => [id, stampOf.get(id) ?? ''] as const);
    return expectedState(this.#options.text, new Map([...this.#stamps, ...resent]));
  }

  async #run(client: RoomClients, writes: readonly WriteRequest[], perSecond: number): Promise<void> {
    const waiting = new Set<Promise<void>>();
    this.#waiting.set(client, waiting);
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => {});
    let [next, owed, lastMs] = [0, 0, performance.now()];
    while (next < writes.length) {
      this.#stopped.signal.throwIfAborted();
      await Promise.race([failed.promise, pause(TICK_MS)]);
      const nowMs = performance.now();
      owed = Math.min(owed + ((nowMs - lastMs) / 1_000) * perSecond, perSecond);
      lastMs = nowMs;
      if (waiting.size >= CALLS_WAITING_MAX || this.#held.has(client)) continue;
      const batch = writes.slice(next, next + Math.floor(owed));
      if (batch.length === 0) continue;
      next += batch.length;
      owed -= batch.length;
      const sent: Promise<void> = this.#send(client, batch)
        .catch(failed.reject)
        .finally(() => waiting.delete(sent));
      waiting.add(sent);
    }
    await Promise.race([failed.promise, Promise.all(waiting)]);
  }

  #send(client: RoomClients, writes: readonly WriteRequest[]): Promise<void> {
    return submitUntilAcked(client, writes, {
      signal: this.#stopped.signal,
      acked: ({ requestId, stamp }) => this.#stamps.set(requestId, stamp),
      insists: ({ code }) => {
        const isExpected = code === this.#options.refusedFor;
        if (isExpected) this.#refused += 1;
        return isExpected;
      },
      again: (left) => {
        this.#again += 1;
        for (const { requestId } of left) this.#resent.add(requestId);
      },
    });
  }
}

function listsOf(text: string, rooms: number): WriteRequest[][] {
  const lists: WriteRequest[][] = Array.from({ length: rooms }, () => []);
  for (const [index, line] of text.split('\n').entries()) {
    const write = read(line, index + 1);
    if (write === undefined) continue;
    lists[roomOfUser(write.payload.from, rooms)]?.push({ ...write, payload: Buffer.from(JSON.stringify(write.payload)), traceparent: '' });
  }
  return lists;
}
