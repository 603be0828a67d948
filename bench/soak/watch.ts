/** Looks at every checker all the time, and keeps what they have ever said. */
import { setTimeout as pause } from 'node:timers/promises';
import type { CheckerStatus, DriftReport, ListDriftsResponse } from '../../proto/gen/wmb/v1/checker.ts';
import { type RoomClients, unary } from '../../test/harness/clients.ts';

const SAMPLE_MS = 500;
const LIST_MAX = 10_000;

/** An alarm and what waits in a parking lot are no differences that a checker has made up. */
const NO_FALSE_ONES: readonly string[] = ['stuck', 'parked'];

export class Watch {
  readonly #clients: readonly RoomClients[];
  readonly #stopped = new AbortController();
  readonly #running: Promise<void>[];
  /** By room, peer and checker's instance: rounds as last seen. */
  readonly #rounds = new Map<string, number>();
  readonly #suspects = new Map<string, number>();
  /** By pair: why a room does not count as compared. */
  readonly #reasons = new Map<string, string>();
  readonly #alarms = new Set<string>();
  /** By room, as last seen. */
  readonly #alarmsOpen = new Map<string, number>();
  readonly #falseOnes = new Map<string, DriftReport>();
  readonly #onFalse: (drift: DriftReport) => void;
  suspectsMax = 0;

  /** Begins at once. `onFalse` is called once for each drift that nobody made. */
  constructor(clients: readonly RoomClients[], onFalse: (drift: DriftReport) => void) {
    this.#clients = clients;
    this.#onFalse = onFalse;
    this.#running = clients.map((client) => this.#run(client));
  }

  get rounds(): number {
    return [...this.#rounds.values()].reduce((sum, each) => sum + each, 0);
  }

  get suspects(): number {
    return [...this.#suspects.values()].reduce((sum, each) => sum + each, 0);
  }

  /** Pairs that are not verified now, each with the reason. */
  get reasons(): readonly string[] {
    return [...this.#reasons].filter(([, reason]) => reason !== '').map(([pair, reason]) => `${pair}: ${reason}`);
  }

  get falseOnes(): number {
    return this.#falseOnes.size;
  }

  /** Alarms ever opened, and how many of them are over. */
  get alarms(): { readonly opened: number; readonly healed: number } {
    const open = [...this.#alarmsOpen.values()].reduce((sum, each) => sum + each, 0);
    return { opened: this.#alarms.size, healed: this.#alarms.size - open };
  }

  /** Looks no more. */
  async end(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#running);
  }

  /** One more look at everybody, and no more. */
  async stop(): Promise<void> {
    await this.end();
    await Promise.all(this.#clients.map((client) => this.#look(client)));
  }

  async #run(client: RoomClients): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      // A checker that is down says nothing; what it found it still knows when it is back.
      await this.#look(client).catch(() => undefined);
      await pause(SAMPLE_MS, undefined, { signal: this.#stopped.signal }).catch(() => undefined);
    }
  }

  async #look(client: RoomClients): Promise<void> {
    const { id } = client.room;
    const drifts = await listDrifts(client, 'all');
    this.#alarmsOpen.set(id, drifts.filter(({ kind, status }) => kind === 'stuck' && status === 'open').length);
    for (const drift of drifts) {
      const key = `${id} ${drift.id} ${drift.firstSeenMs}`;
      if (drift.kind === 'stuck') this.#alarms.add(key);
      if (NO_FALSE_ONES.includes(drift.kind) || this.#falseOnes.has(key)) continue;
      this.#falseOnes.set(key, drift);
      this.#onFalse(drift);
    }
    const status = await checkerStatus(client);
    const suspects = status.peers.reduce((sum, peer) => sum + peer.suspects, 0);
    this.suspectsMax = Math.max(this.suspectsMax, suspects);
    this.#suspects.set(id, suspects);
    for (const { room, rounds, reason } of status.peers) {
      this.#rounds.set(`${id} ${room} ${status.instance}`, rounds);
      this.#reasons.set(`${id}–${room}`, reason);
    }
  }
}

export async function listDrifts(client: RoomClients, status: 'open' | 'all'): Promise<readonly DriftReport[]> {
  const { drifts } = await unary<ListDriftsResponse>((answer) => client.checker.listDrifts({ status, limit: LIST_MAX, id: '' }, answer));
  return drifts;
}

export function checkerStatus(client: RoomClients): Promise<CheckerStatus> {
  return unary((answer) => client.checker.getStatus({}, answer));
}
