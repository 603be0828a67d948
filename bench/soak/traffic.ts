/**
 * Write requests into every room at a rate. A call that fails is sent again with the same request ids until it is acked, as an application should;
 * a room that takes nothing for a while is not owed what it would have got meanwhile.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Wait, type WriteRequest } from '../../proto/gen/wmb/v1/writes.ts';
import type { RoomClients } from '../../test/harness/clients.ts';
import { anyWrite } from './commands.ts';
import { Dice } from './dice.ts';

const TICK_MS = 20;
const BATCHES_WAITING_MAX = 16;
const AGAIN_MS = 200;
const DEADLINE_MS = 10_000;

export interface SoakTrafficOptions {
  readonly clients: readonly RoomClients[];
  /** Write requests into each room. */
  readonly perSecond: number;
  readonly seed: number;
  /** A write request was refused for good. */
  readonly failed: (error: unknown) => void;
}

export class SoakTraffic {
  readonly #running: Promise<void>[];
  readonly #stopped = new AbortController();
  readonly #name: string;
  #acked = 0;
  #again = 0;

  readonly #failed: (error: unknown) => void;

  /** Begins at once. */
  constructor({ clients, perSecond, seed, failed }: SoakTrafficOptions) {
    this.#name = `soak-${process.pid}`;
    this.#failed = failed;
    this.#running = clients.map((client, index) => this.#run(client, perSecond, new Dice(seed * 16 + index)));
  }

  /** Write requests that were acked. */
  get acked(): number {
    return this.#acked;
  }

  /** Calls that were sent again. */
  get again(): number {
    return this.#again;
  }

  /** Resolves when everything that was sent is acked. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#running);
  }

  async #run(client: RoomClients, perSecond: number, dice: Dice): Promise<void> {
    const waiting = new Set<Promise<void>>();
    let [made, owed, lastMs] = [0, 0, performance.now()];
    while (!this.#stopped.signal.aborted) {
      await pause(TICK_MS);
      const nowMs = performance.now();
      owed = Math.min(owed + ((nowMs - lastMs) / 1_000) * perSecond, perSecond / 5 + 1);
      lastMs = nowMs;
      const count = Math.floor(owed);
      if (count === 0 || waiting.size >= BATCHES_WAITING_MAX) continue;
      owed -= count;
      const writes = Array.from({ length: count }, (_, at) => anyWrite(dice, `${this.#name}-${client.room.id}-${made + at}`));
      made += count;
      const sent: Promise<void> = this.#send(client, writes)
        .catch(this.#failed)
        .finally(() => waiting.delete(sent));
      waiting.add(sent);
    }
    await Promise.all(waiting);
  }

  async #send(client: RoomClients, writes: readonly WriteRequest[]): Promise<void> {
    for (let left = writes; left.length > 0; ) {
      const { results } = await client
        .submit({ writes: [...left], wait: Wait.WAIT_LOGGED, deadlineMs: DEADLINE_MS, batchId: 0 })
        .catch(() => ({ results: [] }));
      for (const { error } of results) if (error?.retry === 'never') throw new Error(`${client.room.id}: ${error.code}: ${error.message}`);
      const taken = new Set(results.filter(({ stamp }) => stamp !== '').map(({ requestId }) => requestId));
      this.#acked += taken.size;
      left = left.filter(({ requestId }) => !taken.has(requestId));
      if (left.length === 0) return;
      this.#again += 1;
      await pause(AGAIN_MS);
    }
  }
}
