/**
 * Where databases follow by the servers' own replication: in the master room this writes the heartbeat, in a slave room it looks whether the database follows
 * and how far it has come. The marks that have arrived go to the origins with the acks, for those who wait for `everywhere`; nothing else waits for them.
 */
import { asWmbError, type WmbError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { Metrics } from '../core/metrics.ts';
import type { Runtime, Timer } from '../core/runtime.ts';
import type { Mark } from '../core/words.ts';
import type { Service } from '../daemon/service.ts';
import type { DatabaseStatus } from '../proto/gen/wmb/v1/admin.ts';
import type { ReplicaStatus, Replication } from '../store/replica.ts';

export interface ReplicationWatchOptions {
  readonly role: 'master' | 'slave';
  readonly replication: Replication & { close(): Promise<void> };
  /** In a slave room: the master's marks as far as they have come, and who is told of them. */
  readonly marks: () => Promise<readonly Mark[]>;
  readonly arrived: (marks: readonly Mark[]) => void;
  readonly runtime: Runtime;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** A heartbeat, or a look at the threads. */
const LOOK_MS = 1_000;
/** A look at the marks: so long at most does a call that waits for `everywhere` wait in vain. */
const MARKS_MS = 100;

const UNKNOWN: ReplicaStatus = { state: 'stopped', reason: 'it has not been looked at yet', missing: undefined, heartbeatMs: undefined };

export class ReplicationWatch implements Service {
  readonly name = 'replication';
  readonly #options: ReplicationWatchOptions;
  readonly #timers = new Map<string, Timer>();
  readonly #running = new Set<Promise<void>>();
  #status = UNKNOWN;
  /** What failed last, of each kind of look. */
  readonly #failing = new Map<string, WmbError>();
  #isStopped = true;

  constructor(options: ReplicationWatchOptions) {
    this.#options = options;
    if (options.role === 'slave') this.#measure(options.metrics);
  }

  async start(): Promise<void> {
    this.#isStopped = false;
    if (this.#options.role === 'master') return this.#every('heartbeat', LOOK_MS, () => this.#beat());
    await this.#every('threads', LOOK_MS, () => this.#look());
    await this.#every('marks', MARKS_MS, async () => this.#options.arrived(await this.#options.marks()));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const timer of this.#timers.values()) timer.cancel();
    await Promise.all(this.#running);
    await this.#options.replication.close();
  }

  /** What does not mend itself. A server that is away for a while does. */
  unready(): string | undefined {
    const { state, reason } = this.#status;
    const failure = this.#failing.get('threads');
    if (failure?.code === 'STORE_DENIED') return `the slave database cannot be asked how it follows: ${failure.told}`;
    return state === 'diverged' || state === 'not-set-up'
      ? `the slave database ${state === 'diverged' ? 'has diverged' : 'follows nobody'}: ${reason}`
      : undefined;
  }

  status(): DatabaseStatus {
    const { role } = this.#options;
    const { state, reason, missing } = this.#status;
    const lagMs = this.#lagMs();
    if (role === 'master')
      return { role, state: '', reason: this.#failing.get('heartbeat')?.told ?? '', missing: undefined, lagMs: undefined };
    return { role, state, reason: this.#failing.get('threads')?.told ?? reason, missing, lagMs };
  }

  /** By the clocks of both rooms. */
  #lagMs(): number | undefined {
    const { heartbeatMs } = this.#status;
    return heartbeatMs === undefined ? undefined : Math.max(0, Math.round(this.#options.runtime.nowMs() - heartbeatMs));
  }

  #beat(): Promise<void> {
    return this.#options.replication.beat(this.#options.runtime.nowMs());
  }

  async #look(): Promise<void> {
    const before = this.#status.state;
    this.#status = await this.#options.replication.status();
    const { state, reason, missing } = this.#status;
    if (state === before) return;
    const severity = state === 'following' ? 'info' : state === 'stopped' ? 'warn' : 'error';
    this.#options.logger[severity]({ state, before, missing, reason }, `the slave database: ${state}`);
  }

  /** Now, and again a while after it has ended. */
  async #every(kind: string, pauseMs: number, look: () => Promise<void>): Promise<void> {
    const done = this.#once(kind, look);
    this.#running.add(done);
    await done;
    this.#running.delete(done);
    if (this.#isStopped) return;
    this.#timers.set(
      kind,
      this.#options.runtime.after(pauseMs, () => void this.#every(kind, pauseMs, look), true),
    );
  }

  /** Said when it begins to fail, and when it ends. */
  async #once(kind: string, look: () => Promise<void>): Promise<void> {
    const { logger } = this.#options;
    try {
      await look();
      if (this.#failing.delete(kind)) logger.info({ look: kind }, 'the database answers again');
    } catch (cause) {
      const failure = asWmbError(cause);
      const { code, message } = failure;
      if (!this.#failing.has(kind)) logger.warn({ look: kind, code, reason: message }, 'the database cannot be asked how it follows');
      this.#failing.set(kind, failure);
    }
  }

  #measure(metrics: Metrics): void {
    metrics.gauge(
      { name: 'wmb_replica_state', help: 'How the slave database follows the master’s; 1 for the state that it is in.', labels: ['state'] },
      (report) => {
        for (const state of ['following', 'stopped', 'diverged', 'not-set-up'] as const)
          report(this.#status.state === state ? 1 : 0, { state });
      },
    );
    metrics.gauge(
      {
        name: 'wmb_replica_lag_ms',
        help: 'Age of the newest heartbeat of the master’s database that has arrived in this room’s, by both rooms’ clocks.',
      },
      (report) => {
        const lagMs = this.#lagMs();
        if (lagMs !== undefined) report(lagMs);
      },
    );
    metrics.gauge(
      {
        name: 'wmb_replica_missing_transactions_count',
        help: 'Transactions that the master’s database has committed and this room’s has not, where the master’s server can be asked.',
      },
      (report) => {
        if (this.#status.missing !== undefined) report(this.#status.missing);
      },
    );
  }
}
