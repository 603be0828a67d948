/** What processes of a room say to each other, in a topic of one partition. */
import type { Runtime } from '../../core/runtime.ts';
import type { KafkaCluster } from '../../kafka/cluster.ts';
import { followTopic } from '../../kafka/topic-calls.ts';
import type { Heard, Talk } from '../talk.ts';
import { appendRecord, type Calling, tryAgain } from './calls.ts';
import { kafkaError } from './errors.ts';

const CALL_MS_MAX = 3_000;
const HEAR_WAIT_MS = 500;

export interface KafkaTalkOptions {
  readonly cluster: KafkaCluster;
  readonly topic: string;
  readonly runtime: Runtime;
}

export class KafkaTalk implements Talk {
  readonly #options: KafkaTalkOptions;
  readonly #topic: string;

  constructor(options: KafkaTalkOptions) {
    this.#options = options;
    this.#topic = options.topic;
  }

  async say(value: Uint8Array): Promise<void> {
    await appendRecord(this.#calling('be written'), this.#topic, 0, value);
  }

  async *hear(after: number, over: AbortSignal): AsyncGenerator<readonly Heard[]> {
    const { cluster } = this.#options;
    const topic = this.#topic;
    try {
      const [first = 0] = await tryAgain(this.#calling('be read'), () => cluster.offsets(topic, 'first'));
      for await (const records of followTopic(cluster, { topic, from: Math.max(after + 1, first), waitMs: HEAR_WAIT_MS })) {
        if (over.aborted) return;
        yield records.map(({ offset, value }) => ({ at: offset, value }));
      }
    } catch (cause) {
      // Where its leader is now, the next one asks.
      await cluster.refresh().catch(() => {});
      throw kafkaError(cause, cluster.place, `the topic ${topic} cannot be read`);
    }
  }

  async forget(at: number): Promise<void> {
    const { cluster } = this.#options;
    await tryAgain(this.#calling('be pruned'), () => cluster.deleteBefore(this.#topic, new Map([[0, at]])));
  }

  close(): void {
    this.#options.cluster.close();
  }

  #calling(what: string): Calling {
    const { cluster, runtime } = this.#options;
    return { cluster, runtime, doing: `the topic ${this.#topic} cannot ${what}`, msMax: CALL_MS_MAX };
  }
}
