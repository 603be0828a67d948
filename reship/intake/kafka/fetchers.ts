/** Asks the brokers for the records of some partitions of a topic: one loop for each broker that leads some, which waits there until there is something. */
import { backoffMs } from '../../../core/flow/backoff.ts';
import { type Runtime, sleep } from '../../../core/runtime.ts';
import type { KafkaCluster } from '../../../kafka/cluster.ts';
import { protocolError } from '../../../kafka/library.ts';
import { fetchSource, type SourceAnswer, type SourcePlace } from '../../../kafka/source-fetch.ts';
import type { PartitionIntake } from './partition.ts';

const WAIT_MS = 250;
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
/** How often it looks whether each partition has a broker that is asked. */
const COVER_MS = 500;
/** Pause while no partition wants more. */
const FULL_MS = 20;
const BACKOFF = { msMin: 20, msMax: 1_000 } as const;
const NONE = 0;
const OFFSET_OUT_OF_RANGE = 1;
const LEADER_NOT_AVAILABLE = 5;

export interface FetchersOptions {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly partitions: readonly PartitionIntake[];
  readonly runtime: Runtime;
  /** A broker cannot be asked, or can be again. */
  readonly onTrouble: (node: number, cause: unknown) => void;
}

export class Fetchers {
  readonly #options: FetchersOptions;
  readonly #loops = new Map<number, Promise<void>>();
  readonly #over = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: FetchersOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#cover();
  }

  /** What is on its way is not waited for longer than a broker waits for records. */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
    await Promise.all(this.#loops.values());
  }

  /** Sees to it that every partition's leader is asked. */
  async #cover(): Promise<void> {
    const { cluster, topic, partitions, runtime, onTrouble } = this.#options;
    while (!this.#over.signal.aborted) {
      const known = cluster.partitions(topic) ?? [];
      const leaders = partitions.map(({ partition }) => known[partition]?.leader);
      for (const leader of leaders) if (leader !== undefined && !this.#loops.has(leader)) this.#loops.set(leader, this.#follow(leader));
      if (leaders.includes(undefined)) await cluster.refresh().catch((cause: unknown) => onTrouble(-1, cause));
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
        if (failures > 0) onTrouble(node, undefined);
        failures = 0;
      } catch (cause) {
        failures += 1;
        if (failures > 1 && !this.#over.signal.aborted) onTrouble(node, cause);
        await sleep(runtime, backoffMs(failures, BACKOFF, runtime.random()), this.#over.signal);
        if (!this.#over.signal.aborted) await cluster.refresh().catch(() => {});
      }
    }
    if (failures > 0) onTrouble(node, undefined);
    this.#loops.delete(node);
  }

  #led(node: number): readonly PartitionIntake[] {
    const { cluster, topic, partitions } = this.#options;
    const known = cluster.partitions(topic) ?? [];
    return partitions.filter(({ partition }) => known[partition]?.leader === node);
  }

  async #ask(node: number): Promise<void> {
    const { cluster, topic, runtime } = this.#options;
    const asked = new Map<number, { readonly place: SourcePlace; readonly partition: PartitionIntake }>();
    for (const partition of this.#led(node)) {
      const place = partition.place();
      if (place !== undefined) asked.set(place.partition, { place, partition });
    }
    if (asked.size === 0) return sleep(runtime, FULL_MS, this.#over.signal);
    const places = [...asked.values()].map(({ place }) => place);
    const exchange = fetchSource({ topic, places, waitMs: WAIT_MS, bytesMax: ANSWER_BYTES_MAX });
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

/** Asks the partition's leader once. What it rejects with is the library's. */
export async function fetchOnce(cluster: KafkaCluster, topic: string, place: SourcePlace): Promise<SourceAnswer> {
  const leader = cluster.partitions(topic)?.[place.partition]?.leader;
  if (leader === undefined) throw protocolError(LEADER_NOT_AVAILABLE);
  const exchange = fetchSource({ topic, places: [place], waitMs: 0, bytesMax: place.bytesMax });
  const [answer] = await cluster.send(leader, exchange);
  if (answer === undefined || answer.error !== NONE) throw protocolError(answer?.error ?? LEADER_NOT_AVAILABLE);
  return answer;
}
