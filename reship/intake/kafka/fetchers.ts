/** Asks the brokers for the records of some partitions of a topic, and waits there until there is something. */
import { type Runtime, sleep } from '../../../core/runtime.ts';
import type { KafkaCluster } from '../../../kafka/cluster.ts';
import { LeaderLoops } from '../../../kafka/leaders.ts';
import { OFFSET_OUT_OF_RANGE, protocolError } from '../../../kafka/library.ts';
import { type FetchPartition, fetchExchange } from '../../../kafka/requests.ts';
import type { PartitionIntake } from './partition.ts';

const WAIT_MS = 250;
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
/** Pause while no partition wants more. */
const FULL_MS = 20;
const BACKOFF = { msMin: 20, msMax: 1_000 } as const;
const NONE = 0;

export interface FetchersOptions {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly partitions: readonly PartitionIntake[];
  readonly runtime: Runtime;
  /** A broker cannot be asked (why), or all can again (undefined). */
  readonly onTrouble: (cause: unknown) => void;
}

export class Fetchers {
  readonly #options: FetchersOptions;
  readonly #loops: LeaderLoops;

  constructor(options: FetchersOptions) {
    const { cluster, topic, partitions, runtime, onTrouble } = options;
    this.#options = options;
    this.#loops = new LeaderLoops({
      cluster,
      topic,
      partitions: partitions.map(({ partition }) => partition),
      runtime,
      backoff: BACKOFF,
      ask: (node, led, signal) => this.#ask(node, led, signal),
      onTrouble,
    });
  }

  start(): void {
    this.#loops.start();
  }

  /** What is on its way is not waited for longer than a broker waits for records. */
  stop(): Promise<void> {
    return this.#loops.stop();
  }

  async #ask(node: number, led: readonly number[], signal: AbortSignal): Promise<void> {
    const { cluster, topic, partitions, runtime } = this.#options;
    const asked = new Map<number, { readonly place: FetchPartition; readonly partition: PartitionIntake }>();
    for (const one of led) {
      const partition = partitions.find((each) => each.partition === one);
      const place = partition?.place();
      if (partition !== undefined && place !== undefined) asked.set(one, { place, partition });
    }
    if (asked.size === 0) return sleep(runtime, FULL_MS, signal);
    const places = [...asked.values()].map(({ place }) => place);
    const exchange = fetchExchange({ topic, partitions: places, waitMs: WAIT_MS, bytesMax: ANSWER_BYTES_MAX, isolation: 'committed' });
    let failure = NONE;
    for (const answer of await cluster.send(node, exchange, 'wait')) {
      const one = asked.get(answer.partition);
      if (answer.error === NONE) one?.partition.take(answer, one.place.from);
      else if (answer.error === OFFSET_OUT_OF_RANGE) await this.#beyond(answer.partition, one?.partition);
      else failure = answer.error;
    }
    if (failure !== NONE) throw protocolError(failure);
  }

  /** There is nothing at the offset: it is before the first that is kept, or after the end. */
  async #beyond(partition: number, intake: PartitionIntake | undefined): Promise<void> {
    const { cluster, topic } = this.#options;
    const [first, end] = await Promise.all([cluster.offsets(topic, 'first'), cluster.offsets(topic, 'end')]);
    const from = intake?.place()?.from ?? 0;
    if (from < (first[partition] ?? 0)) intake?.stopAtGap(first[partition] ?? 0);
    else if (from > (end[partition] ?? from)) intake?.stopAtGap(end[partition] ?? 0);
  }
}
