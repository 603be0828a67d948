/**
 * Follows the topic of a log: asks each broker for what comes after the known frames of the partitions that it leads, and waits there until something comes. So
 * it hears of everybody's appends, and of everything that happens to the topic.
 */
import { type Runtime, sleep } from '../../core/runtime.ts';
import type { Seq } from '../../core/words.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { protocolError } from '../../kafka/library.ts';
import { type FetchAnswer, fetchExchange } from '../../kafka/requests.ts';
import { type Trouble, troubleOf } from '../../kafka/trouble.ts';
import { pause } from './calls.ts';

const WAIT_MS = 1_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const PARTITION_BYTES_MAX = 1024 * 1024;
/** How often it looks whether each partition has a broker that is asked. */
const COVER_MS = 500;

export interface FollowerOptions {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly partitions: number;
  readonly runtime: Runtime;
  /** The next seq of a partition; undefined where nothing more is wanted of it. */
  readonly next: (partition: number) => Seq | undefined;
  /** What a broker answered for a partition, without an error. */
  readonly take: (answer: FetchAnswer) => void;
  /** There is nothing at the partition's next seq: it is before the first that is kept, or after the end. Awaited. */
  readonly beyond: (partition: number) => Promise<void>;
  /** A broker cannot be asked, or all can again. */
  readonly onTrouble: (trouble: Trouble | undefined) => void;
}

export class Follower {
  readonly #options: FollowerOptions;
  readonly #loops = new Map<number, Promise<void>>();
  readonly #over = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#cover();
  }

  /** The cluster's connections are closed before, or this waits for their answers. */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
    await Promise.all(this.#loops.values());
  }

  /** Sees to it that every partition's leader is asked. */
  async #cover(): Promise<void> {
    const { cluster, topic, partitions, runtime, onTrouble } = this.#options;
    while (!this.#over.signal.aborted) {
      const leaders = cluster.partitions(topic)?.map(({ leader }) => leader) ?? [];
      for (const leader of leaders) if (leader !== undefined && !this.#loops.has(leader)) this.#loops.set(leader, this.#follow(leader));
      if (leaders.length < partitions || leaders.includes(undefined)) {
        await cluster.refresh().catch((cause) => onTrouble(troubleOf(cause)));
      }
      await sleep(runtime, COVER_MS, this.#over.signal);
    }
  }

  /** Asks one broker for as long as it leads something. */
  async #follow(node: number): Promise<void> {
    const { cluster, runtime, onTrouble } = this.#options;
    let failures = 0;
    while (!this.#over.signal.aborted && this.#led(node).length > 0) {
      try {
        await this.#ask(node);
        if (failures > 0) onTrouble(undefined);
        failures = 0;
      } catch (cause) {
        if (this.#over.signal.aborted) break;
        failures += 1;
        if (failures > 1) onTrouble(troubleOf(cause));
        await pause(runtime, failures);
        await cluster.refresh().catch(() => {});
      }
    }
    this.#loops.delete(node);
  }

  #led(node: number): readonly number[] {
    const { cluster, topic } = this.#options;
    return (cluster.partitions(topic) ?? []).filter(({ leader }) => leader === node).map(({ partition }) => partition);
  }

  async #ask(node: number): Promise<void> {
    const { cluster, topic, runtime, next, take, beyond } = this.#options;
    const partitions = this.#led(node).flatMap((partition) => {
      const from = next(partition);
      return from === undefined ? [] : [{ partition, from, bytesMax: PARTITION_BYTES_MAX }];
    });
    if (partitions.length === 0) return sleep(runtime, COVER_MS, this.#over.signal);
    const exchange = fetchExchange({ topic, partitions, waitMs: WAIT_MS, bytesMax: ANSWER_BYTES_MAX });
    let failure: unknown;
    for (const answer of await cluster.send(node, exchange, 'wait')) {
      if (answer.error === 0) take(answer);
      else if (answer.error === OFFSET_OUT_OF_RANGE) await beyond(answer.partition);
      else failure = protocolError(answer.error);
    }
    if (failure !== undefined) throw failure;
  }
}

const OFFSET_OUT_OF_RANGE = 1;
