/** Sends the room's own reship what only the collector knows: stamps seen from peers, and appends to logs that reship serves. */
import type { Runtime } from '../../core/runtime.ts';
import { NO_STAMP, type Stamp } from '../../core/stamp.ts';
import type { LogName } from '../../core/words.ts';
import type { LinkSession, Upward } from '../../link/link.ts';
import type { LocalHints } from '../lane.ts';

export class HintSender {
  readonly #runtime: Runtime;
  readonly #stops: readonly (() => void)[];
  #session: LinkSession | undefined;
  #observed: Stamp = NO_STAMP;
  readonly #appended = new Map<string, Upward>();
  #scheduled = false;

  constructor(hints: LocalHints, runtime: Runtime) {
    this.#runtime = runtime;
    this.#stops = [hints.onObserved((stamp) => this.#observe(stamp)), hints.onAppended((log, partition) => this.#append(log, partition))];
  }

  /** The newest stamp is told to every session anew: reship may have been restarted. */
  attach(session: LinkSession): void {
    this.#session = session;
    this.#flush();
  }

  detach(): void {
    this.#session = undefined;
  }

  stop(): void {
    for (const stop of this.#stops) stop();
  }

  #observe(stamp: Stamp): void {
    if (stamp <= this.#observed) return;
    this.#observed = stamp;
    this.#schedule();
  }

  #append(log: LogName, partition: number): void {
    this.#appended.set(`${log}/${partition}`, { type: 'appended', log, partition });
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    void this.#runtime.turn().then(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#session === undefined) return;
    if (this.#observed !== NO_STAMP) this.#session.send({ type: 'observed', stamp: this.#observed });
    for (const message of this.#appended.values()) this.#session.send(message);
    this.#appended.clear();
  }
}
