/** Checkers of rooms in which nobody makes a drift: none may ever report one, and in the end every room is verified. */
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { whyNotVerified } from '../../bench/soak/rest.ts';
import { Watch } from '../../bench/soak/watch.ts';
import type { RoomClients } from '../harness/clients.ts';
import { until } from './scene.ts';

/** A fifth of what the examples have: tests wait for it. */
const GRACE_MS = 2_000;
export const QUICK_CHECKER = { roundMs: 500, graceMs: GRACE_MS, sweepMs: 10_000, canaryMs: 500, workPercentMax: 50 };
const VERIFY_MS_MAX = 120_000;
const SHOWN_MAX = 8;

export class WatchedCheckers {
  readonly #clients: readonly RoomClients[];
  readonly #watch: Watch;
  readonly #falseOnes: string[] = [];

  /** Looks on from now on, also at checkers that are started later, and until the file's tests end. */
  constructor(clients: readonly RoomClients[]) {
    this.#clients = clients;
    this.#watch = new Watch(clients, ({ kind, subject, wrong, why }) => this.#falseOnes.push(`${kind} ${subject} in ${wrong}: ${why}`));
    after(() => this.#watch.end());
  }

  /** Nothing more is written: waits until every checker has found its room equal to all others, and fails where one has ever reported a drift. */
  async areSilent(): Promise<void> {
    const sinceMs = Date.now() + GRACE_MS;
    const isVerified = async () => {
      const reasons = await whyNotVerified(this.#clients, sinceMs);
      if (reasons.length > 0) throw new Error(reasons.join('; '));
      return true;
    };
    await until('all rooms are verified', isVerified, VERIFY_MS_MAX);
    await this.#watch.stop();
    none('drifts that nobody made', this.#falseOnes);
  }
}

/** Fails where there are differences, and shows some of them. */
export function none(what: string, differences: readonly string[]): void {
  assert.deepEqual(differences.slice(0, SHOWN_MAX), [], `${what}: ${differences.length} differences`);
}
