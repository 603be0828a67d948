/**
 * Write requests into every room at a rate. A call that fails is sent again with the same request ids until it is acked, as an application should;
 * a room that takes nothing for a while is not owed what it would have got meanwhile.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { WriteRequest } from '../../proto/gen/wmb/v1/writes.ts';
import type { RoomClients } from '../../test/harness/clients.ts';
import { submitUntilAcked } from '../../test/harness/until-acked.ts';
import { anyWrite } from './commands.ts';
import { Dice } from './dice.ts';

const TICK_MS = 20;
const BATCHES_WAITING_MAX = 16;

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

  #send(client: RoomClients, writes: readonly WriteRequest[]): Promise<void> {
    return submitUntilAcked(client, writes, {
      acked: () => {
        this.#acked += 1;
      },
      again: () => {
        this.#again += 1;
      },
    });
  }
}
