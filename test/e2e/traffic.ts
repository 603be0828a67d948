/**
 * Write requests without a pause in every room, and what must come of them. A call that fails is sent again with the same request ids
 * until it is acked, as an application should; what was acked is never sent again, so that a lost ack shows as a lost write.
 */
import assert from 'node:assert/strict';
import type { WriteRequest } from '../../proto/gen/wmb/v1/writes.ts';
import type { RoomClients } from '../harness/clients.ts';
import { cacheWrite, type Scene, submit, until } from './scene.ts';

const BATCH_WRITES = 12;
const PAUSE_MS = 20;
/** Traffic of less proves nothing. */
const KEYS_MIN = 50;

export interface TrafficOptions {
  /** Which reships take it; default: every room's. */
  readonly clients?: readonly RoomClients[];
  /** Between two calls to one of them: more where many rooms share the machine. */
  readonly pauseMs?: number;
}

export class Traffic {
  readonly #clients: readonly RoomClients[];
  readonly #name: string;
  readonly #pauseMs: number;
  readonly #acked: number[];
  readonly #expected = new Map<string, object>();
  readonly #counts = new Map<string, number>();
  readonly #running: Promise<void>[];
  #stopping = false;
  #retries = 0;

  /** Begins at once. The keys of one traffic start with its name. */
  constructor(scene: Pick<Scene, 'clients'>, name: string, { clients = scene.clients, pauseMs = PAUSE_MS }: TrafficOptions = {}) {
    this.#clients = clients;
    this.#pauseMs = pauseMs;
    this.#name = name;
    this.#acked = clients.map(() => 0);
    this.#running = clients.map((_, index) => this.#run(index));
  }

  /** Calls that had to be sent again. */
  get retries(): number {
    return this.#retries;
  }

  /** Waits until every one of them has acked this many write requests more. */
  async flows(writes: number): Promise<void> {
    const from = [...this.#acked];
    await until(`every room acks ${writes} write requests more`, () =>
      this.#acked.every((acked, index) => acked >= (from[index] as number) + writes),
    );
  }

  /** Ends when everything is acked; returns what every room must hold under this traffic's keys. */
  async stop(): Promise<ReadonlyMap<string, object>> {
    this.#stopping = true;
    await Promise.all(this.#running);
    for (const [key, count] of this.#counts) this.#expected.set(key, { type: 'string', value: String(count), elements: [], expireAtMs: 0 });
    return this.#expected;
  }

  /** Ends it, and fails where the rooms differ or hold anything else than what was acked. */
  async proves(scene: Scene): Promise<void> {
    const expected = await this.stop();
    const held = await scene.equalRooms();
    const own = new Map([...held].filter(([key]) => key.startsWith(`${this.#name}:`)));
    assert.ok(expected.size > KEYS_MIN, `${expected.size} keys`);
    assert.deepEqual(own, new Map([...expected].sort(([a], [b]) => (a < b ? -1 : 1))));
  }

  async #run(index: number): Promise<void> {
    for (let batch = 0; !this.#stopping; batch += 1) {
      const writes = Array.from({ length: BATCH_WRITES }, (_, at) => this.#next(index, batch * BATCH_WRITES + at));
      await this.#submit(index, writes);
      await new Promise((resolve) => setTimeout(resolve, this.#pauseMs));
    }
  }

  async #submit(index: number, writes: readonly WriteRequest[]): Promise<void> {
    const client = this.#clients[index] as RoomClients;
    await until(`room ${index} acks a batch`, async () => {
      const { results } = await submit(client, writes).catch(() => ({ results: [] }));
      const acked = results.length === writes.length && results.every((result) => result.stamp !== '');
      if (!acked) this.#retries += 1;
      return acked;
    });
    this.#acked[index] = (this.#acked[index] as number) + writes.length;
  }

  /** Counters that all rooms share, and keys of which each room has its own; a third of those is deleted again. */
  #next(index: number, serial: number): WriteRequest {
    const counter = `${this.#name}:count:${serial % 7}`;
    const own = `${this.#name}:${index}:${serial}`;
    this.#counts.set(counter, (this.#counts.get(counter) ?? 0) + 1);
    const gone = serial % 3 === 0;
    if (!gone) this.#expected.set(own, { type: 'string', value: String(serial), elements: [], expireAtMs: 0 });
    const commands: (string | number)[][] = [
      ['INCR', counter],
      ['SET', own, String(serial)],
    ];
    return cacheWrite(counter, gone ? [...commands, ['DEL', own]] : commands, own);
  }
}
