/** Runs repairs for people: one that changes anything at a time, and none is cut off in the middle of a key when the daemon ends. */
import { WmbError } from '../../core/errors.ts';
import type { Service } from '../../daemon/service.ts';
import type { RoundMeters } from '../meters.ts';
import type { RepairRequest, RepairStep } from './repairer.ts';

export interface RepairRunsOptions {
  readonly repairer: {
    recover(): Promise<void>;
    run(request: RepairRequest, signal: AbortSignal): AsyncIterable<RepairStep>;
  };
  readonly meters: Pick<RoundMeters, 'repairStep'>;
}

export class RepairRuns implements Service {
  readonly name = 'repairs';
  readonly #options: RepairRunsOptions;
  readonly #ending = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #applying = false;

  constructor(options: RepairRunsOptions) {
    this.#options = options;
  }

  /** What a kill has interrupted is marked so in the audit. */
  async start(): Promise<void> {
    await this.#options.repairer.recover();
  }

  /** Every repair under way finishes its key, and stops. */
  async drain(): Promise<void> {
    this.#ending.abort();
    await Promise.all(this.#running);
  }

  async stop(): Promise<void> {
    this.#ending.abort();
  }

  /** The steps; ends early, after a key, where `signal` aborts. OVERLOADED while another repair changes keys; DRAINING. */
  async *run(request: RepairRequest, signal: AbortSignal): AsyncGenerator<RepairStep, void> {
    if (this.#ending.signal.aborted) throw new WmbError('DRAINING', 'the checker is shutting down and begins no repair');
    if (request.apply && this.#applying) throw new WmbError('OVERLOADED', 'another repair is under way in this room; wait for it to end');
    if (request.apply) this.#applying = true;
    let finished = () => {};
    const running = new Promise<void>((resolve) => {
      finished = resolve;
    });
    this.#running.add(running);
    try {
      for await (const step of this.#options.repairer.run(request, AbortSignal.any([signal, this.#ending.signal]))) {
        if (request.apply) this.#options.meters.repairStep(step.result);
        yield step;
      }
    } finally {
      if (request.apply) this.#applying = false;
      this.#running.delete(running);
      finished();
    }
  }
}
