/**
 * Follows the topic of a log: asks each broker for what comes after the known frames of the partitions that it leads, and waits there until something comes. So
 * it hears of everybody's appends, and of everything that happens to the topic.
 */
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Seq } from '../../core/words.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { LeaderLoops } from '../../kafka/leaders.ts';
import { OFFSET_OUT_OF_RANGE, protocolError } from '../../kafka/library.ts';
import { type FetchAnswer, fetchExchange } from '../../kafka/requests.ts';
import { type Trouble, troubleOf } from '../../kafka/trouble.ts';
import { BACKOFF } from './calls.ts';

const WAIT_MS = 1_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const PARTITION_BYTES_MAX = 1024 * 1024;
/** Pause while nothing more is wanted of any partition. */
const IDLE_MS = 500;

export interface FollowerOptions {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly partitions: number;
  readonly runtime: Runtime;
  /** The next seq of a partition; undefined where nothing more is wanted of it. */
  readonly next: (partition: number) => Seq | undefined;
  /** How long a broker is left alone before it is asked again; 0: it is asked to wait for what comes. */
  readonly restMs: () => number;
  /** What a broker answered for a partition, without an error. */
  readonly take: (answer: FetchAnswer) => void;
  /** There is nothing at the partition's next seq: it is before the first that is kept, or after the end. Awaited. */
  readonly beyond: (partition: number) => Promise<void>;
  /** A broker cannot be asked, or all can again. */
  readonly onTrouble: (trouble: Trouble | undefined) => void;
}

export class Follower {
  readonly #options: FollowerOptions;
  readonly #loops: LeaderLoops;
  readonly #resting = new Set<AbortController>();

  constructor(options: FollowerOptions) {
    const { cluster, topic, partitions, runtime, onTrouble } = options;
    this.#options = options;
    this.#loops = new LeaderLoops({
      cluster,
      topic,
      partitions: Array.from({ length: partitions }, (_, partition) => partition),
      runtime,
      backoff: BACKOFF,
      ask: (node, led, signal) => this.#ask(node, led, signal),
      onTrouble: (cause) => onTrouble(cause === undefined ? undefined : troubleOf(cause)),
    });
  }

  start(): void {
    this.#loops.start();
  }

  /** Ends every rest. */
  look(): void {
    for (const rest of this.#resting) rest.abort();
  }

  /** The cluster's connections are closed before, or this waits for their answers. */
  async stop(): Promise<void> {
    const stopped = this.#loops.stop();
    this.look();
    await stopped;
  }

  async #rest(ms: number): Promise<void> {
    const rest = new AbortController();
    this.#resting.add(rest);
    await sleep(this.#options.runtime, ms, rest.signal);
    this.#resting.delete(rest);
  }

  async #ask(node: number, led: readonly number[], signal: AbortSignal): Promise<void> {
    const { cluster, topic, runtime, next, take, beyond, restMs } = this.#options;
    const ms = restMs();
    if (ms > 0) await this.#rest(ms);
    if (signal.aborted) return;
    const partitions = led.flatMap((partition) => {
      const from = next(partition);
      return from === undefined ? [] : [{ partition, from, bytesMax: PARTITION_BYTES_MAX }];
    });
    if (partitions.length === 0) return sleep(runtime, IDLE_MS, signal);
    const exchange = fetchExchange({ topic, partitions, waitMs: ms > 0 ? 0 : WAIT_MS, bytesMax: ANSWER_BYTES_MAX });
    let failure: unknown;
    for (const answer of await cluster.send(node, exchange, 'wait')) {
      if (answer.error === 0) take(answer);
      else if (answer.error === OFFSET_OUT_OF_RANGE) await beyond(answer.partition);
      else failure = protocolError(answer.error);
    }
    if (failure !== undefined) throw failure;
  }
}
