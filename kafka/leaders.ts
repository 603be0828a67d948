/** Asks the brokers for partitions of a topic, again and again: one loop for each broker that leads some, for as long as it does. */
import { backoffMs } from '../core/flow/backoff.ts';
import { type Runtime, sleep } from '../core/runtime.ts';
import type { KafkaCluster } from './cluster.ts';
import { inTurn } from './turns.ts';

/** How often it looks whether each partition has a broker that is asked. */
const COVER_MS = 500;
/** In place of a broker: nobody could be asked who leads what. */
const NOBODY = -1;

export interface LeaderLoopsOptions {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly partitions: readonly number[];
  readonly runtime: Runtime;
  /** Between two attempts with a broker that fails. */
  readonly backoff: { readonly msMin: number; readonly msMax: number };
  /** Asks one broker once for partitions that it leads, in this order; waits there, or otherwise, where there is nothing. */
  readonly ask: (node: number, partitions: readonly number[], signal: AbortSignal) => Promise<void>;
  /** A broker cannot be asked (why), or all can again (undefined). */
  readonly onTrouble: (cause: unknown) => void;
}

export class LeaderLoops {
  readonly #options: LeaderLoopsOptions;
  readonly #loops = new Map<number, Promise<void>>();
  readonly #failing = new Map<number, unknown>();
  readonly #over = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: LeaderLoopsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#cover();
  }

  /** What is on its way is waited for, unless the cluster's connections are closed. */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
    await Promise.all(this.#loops.values());
  }

  /** Sees to it that every partition's leader is asked. */
  async #cover(): Promise<void> {
    const { cluster, topic, partitions, runtime } = this.#options;
    while (!this.#over.signal.aborted) {
      const known = cluster.partitions(topic) ?? [];
      const leaders = partitions.map((partition) => known[partition]?.leader);
      for (const leader of leaders) if (leader !== undefined && !this.#loops.has(leader)) this.#loops.set(leader, this.#follow(leader));
      if (leaders.includes(undefined)) {
        await cluster.refresh().then(
          () => this.#tell(NOBODY, undefined),
          (cause: unknown) => this.#tell(NOBODY, cause),
        );
        // Somebody else has asked meanwhile, and was told.
      } else this.#tell(NOBODY, undefined);
      await sleep(runtime, COVER_MS, this.#over.signal);
    }
  }

  /** Asks one broker for as long as it leads something. */
  async #follow(node: number): Promise<void> {
    const { cluster, runtime, backoff, ask } = this.#options;
    const { signal } = this.#over;
    let failures = 0;
    let turn = 0;
    for (let led = this.#led(node); !signal.aborted && led.length > 0; led = this.#led(node)) {
      try {
        // What is larger than was asked for comes of the first partition that has something, and of the others never: behind one that always has something nothing large would come.
        await ask(node, inTurn(led, turn), signal);
        turn += 1;
        this.#tell(node, undefined);
        failures = 0;
      } catch (cause) {
        if (signal.aborted) break;
        failures += 1;
        // Once is what a leader's change looks like.
        if (failures > 1) this.#tell(node, cause);
        await sleep(runtime, backoffMs(failures, backoff, runtime.random()), signal);
        if (!signal.aborted) await cluster.refresh().catch(() => {});
      }
    }
    this.#tell(node, undefined);
    this.#loops.delete(node);
  }

  #led(node: number): readonly number[] {
    const { cluster, topic, partitions } = this.#options;
    const known = cluster.partitions(topic) ?? [];
    return partitions.filter((partition) => known[partition]?.leader === node);
  }

  #tell(node: number, cause: unknown): void {
    if (cause !== undefined) this.#failing.set(node, cause);
    else if (!this.#failing.delete(node)) return;
    const [first] = this.#failing.values();
    this.#options.onTrouble(first);
  }
}
