/**
 * Streams a list of write requests into one room, in order, in batches, with a bound on what is on its way. What the room did not take because it
 * was overloaded or restarting is submitted again with the same request id, so each write request has one effect.
 */
import { once } from 'node:events';
import type { SubmitResponse, WriteRequest } from '../../../proto/gen/wmb/v1/writes.ts';
import { Wait } from '../../../proto/gen/wmb/v1/writes.ts';
import type { RoomClients } from '../../../test/harness/clients.ts';

const BATCH_WRITES_MAX = 64;
const BATCHES_ON_THE_WAY_MAX = 8;

export class Submitter {
  /** Stamp of every write request that the room has taken. */
  readonly stamps = new Map<string, string>();
  readonly #clients: RoomClients;
  readonly #writes: readonly WriteRequest[];
  #next = 0;

  constructor(clients: RoomClients, writes: readonly WriteRequest[]) {
    this.#clients = clients;
    this.#writes = writes;
  }

  get total(): number {
    return this.#writes.length;
  }

  get done(): number {
    return this.stamps.size;
  }

  /** Submits everything at up to `perSecondMax` write requests a second; resolves when all are acked as durable. */
  async run(perSecondMax: number): Promise<void> {
    const stream = this.#clients.writes.submitStream();
    const waiting = new Map<number, readonly WriteRequest[]>();
    const again: WriteRequest[] = [];
    const failure = once(stream, 'error').then(([error]) => Promise.reject(error));
    failure.catch(() => {});
    let wake = () => {};
    stream.on('data', (response: SubmitResponse) => {
      const batch = waiting.get(response.batchId) ?? [];
      waiting.delete(response.batchId);
      again.push(...this.#record(response, batch));
      wake();
    });
    const started = performance.now();
    for (let batchId = 1; this.done < this.total; ) {
      const due = Math.floor(((performance.now() - started) / 1000) * perSecondMax) - this.#next;
      const full = waiting.size >= BATCHES_ON_THE_WAY_MAX;
      const batch = full ? [] : again.length > 0 ? again.splice(0, BATCH_WRITES_MAX) : this.#take(Math.min(BATCH_WRITES_MAX, due));
      if (batch.length === 0) {
        await Promise.race([
          failure,
          new Promise<void>((resolve) => {
            wake = resolve;
            setTimeout(resolve, 10);
          }),
        ]);
        continue;
      }
      waiting.set(batchId, batch);
      stream.write({ writes: [...batch], wait: Wait.WAIT_LOGGED, deadlineMs: 0, batchId });
      batchId += 1;
    }
    stream.end();
  }

  #take(count: number): readonly WriteRequest[] {
    const batch = this.#writes.slice(this.#next, this.#next + Math.max(0, count));
    this.#next += batch.length;
    return batch;
  }

  /** Keeps the stamps; returns what must be submitted again. Anything refused for good is a failure of the demo. */
  #record(response: SubmitResponse, batch: readonly WriteRequest[]): WriteRequest[] {
    const again: WriteRequest[] = [];
    for (const [index, result] of response.results.entries()) {
      const write = batch[index] as WriteRequest;
      if (result.error === undefined) this.stamps.set(write.requestId, result.stamp);
      else if (result.error.retry === 'never')
        throw new Error(`${write.requestId} was refused: ${result.error.code} ${result.error.message}`);
      else again.push(write);
    }
    return again;
  }
}
